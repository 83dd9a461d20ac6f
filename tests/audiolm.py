"""A tiny untrained AudioLM of every kind."""

from dataclasses import replace
from typing import Any

import torch

from tests.requests import noise
from uniaudio.codec.model import Codec
from uniaudio.engines.audiolm import AudioLMEngine, StageConfig
from uniaudio.lm.multiscale import MultiScaleConfig, MultiScaleLM
from uniaudio.lm.pattern_lm import PatternConfig, PatternLM
from uniaudio.lm.sampling import Sampling
from uniaudio.nn.transformer import TransformerConfig
from uniaudio.recipes.debug import CODEC
from uniaudio.sequence.layout import ROLES
from uniaudio.sequence.stages import Stages
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tokenizers.semantic import MelFeatures, SemanticTokenizer

CODEBOOKS, SIZE, TOKENS, RATE = 4, CODEC.codebook_size, 16, 25.0
HOT = Sampling(temperature=1000.0, top_k=0)
GREEDY = Sampling(temperature=0.0)
KINDS = {"paper": ("flatten", True, 2), "mini": ("multiscale", False, CODEBOOKS), "three": ("multiscale", False, 2)}


def stages_of(kind: str) -> Stages:
    _, dedup, num_coarse = KINDS[kind]
    return Stages(Vocabulary.new(CODEBOOKS, SIZE), num_coarse, TOKENS, dedup)


def model_of(kind: str, stages: Stages, stage: str) -> MultiScaleLM | PatternLM:
    """Return a model whose weights are large enough for every part of the sequence to matter."""
    order = KINDS[kind][0] if stage != "semantic" or kind == "three" else "flatten"
    sizes: dict[str, Any] = {"num_ids": stages.vocabulary.num_ids, "num_slots": stages.layouts[stage].num_slots}
    sizes["num_roles"] = len(ROLES)
    transformer = TransformerConfig(width=32, layers=2, heads=2)
    if order == "multiscale":
        local = TransformerConfig(width=32, layers=1, heads=2)
        model = MultiScaleLM(MultiScaleConfig(**sizes, in_step=True, global_=transformer, local_=local))
    else:
        sizes |= {"relative_buckets": 8, "relative_distance": 16} if kind == "paper" else {}
        model = PatternLM(PatternConfig(**sizes, pattern=order, transformer=transformer))
        if model.transformer.relative is not None:
            torch.nn.init.normal_(model.transformer.relative.table.weight)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6 if parameter.ndim == 2 else 1)
    return model.eval()


def engine_of(kind: str, sampling: Sampling = HOT, window: int = 12, overlap: int = 6) -> AudioLMEngine:
    torch.manual_seed(0)
    codec = Codec(replace(CODEC, num_codebooks=CODEBOOKS)).eval()
    semantic = SemanticTokenizer.fit(MelFeatures(), [noise(2.0)], num_ids=TOKENS, frame_rate=RATE)
    stages = stages_of(kind)
    names = ("semantic", *stages.layouts)
    models = {stage: model_of(kind, stages, stage) for stage in names}
    stuck = 1 if stages.dedup else 0
    configs = {
        stage: StageConfig(
            window=window,
            overlap=0 if stage == "fine" else overlap,
            sampling=replace(sampling, repetition_frames=stuck if stage == "semantic" else 0),
        )
        for stage in names
    }
    return AudioLMEngine("tiny", codec, semantic, stages, models, configs)
