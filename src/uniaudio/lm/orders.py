"""The language models by code order: the multi-scale one, and the flat ones of the paper's ablation."""

from typing import Any

from uniaudio import config
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
