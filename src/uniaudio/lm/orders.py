"""The language models by code order: the multi-scale one, and the flat ones of the paper's ablation."""

from typing import Any

from torch import nn

from uniaudio import config
from uniaudio.lm.interface import Batch, Legal
from uniaudio.lm.multiscale import MultiScaleConfig, MultiScaleLM
from uniaudio.lm.pattern_lm import PatternConfig, PatternLM
from uniaudio.lm.patterns import PATTERNS

ORDERS: tuple[str, ...] = ("multiscale", *PATTERNS)

LMConfig = MultiScaleConfig | PatternConfig
AnyLM = MultiScaleLM | PatternLM


def read_config(data: dict[str, Any]) -> LMConfig:
    """Return the configuration that `dataclasses.asdict` turned into `data`; raises InputError for a wrong one."""
    return config.from_dict(PatternConfig if "pattern" in data else MultiScaleConfig, data)


def build(sizes: LMConfig) -> AnyLM:
    """Return the untrained model of a configuration."""
    return PatternLM(sizes) if isinstance(sizes, PatternConfig) else MultiScaleLM(sizes)


def training_flops(model: AnyLM, batch: Batch, legal: Legal, local_share: float = 1.0) -> float:
    """Return the operations of a forward and a backward pass: 6 for each weight at each position that is no padding.

    2 for the product and the sum of the forward pass, twice that for the backward pass (2001.08361, section 2.1). What
    attention does with pairs of positions is left out, so it is a lower bound.
    """
    targets, candidates = batch.target.sum(1).tolist(), [stop - start for start, stop in legal.ranges]
    if isinstance(model, PatternLM):
        positions = sum(batch.lengths.tolist()) - sum(targets) + sum(map(model.pattern.num_steps, targets))
        heads = sum(candidates) * model.heads.embedding_dim * sum(targets)
        return 6.0 * (_num_weights(model.transformer) * positions + heads)
    local, width = _num_weights(model.local_), model.local_embedding.embedding_dim
    first = local + _num_weights(model.to_local) + candidates[0] * width
    others = local * (len(candidates) - 1) + sum(candidates[1:]) * width
    frames = sum(targets) * (first + local_share * others)
    return 6.0 * (_num_weights(model.global_) * sum(batch.lengths.tolist()) + frames)


def _num_weights(part: nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())
