"""Choosing the next id from logits: temperature, top-k, top-p, repetition guard, one random stream per request.

B batch, V candidates of a slot
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_CANDIDATES = 16


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to sample. `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 are off.

    `repetition_frames` > 0 forbids the first code of a frame once it has been the same for that many frames.
    `min_ratio` and `max_ratio` bound the number of target frames, as factors on the expected number; a target that
    follows an item frame by frame has exactly its length. `guidance` above 1 moves the logits away from those without
    conditions (classifier-free, 2207.12598), at twice the work; 1 is off. Of several `candidates` the engine keeps
    the one that the conditions explain best. Raises ValueError for values outside these ranges.
    """

    temperature: float = 0.8
    top_k: int = 30
    top_p: float = 1.0
    seed: int = 0
    repetition_frames: int = 0
    min_ratio: float = 1.0
    max_ratio: float = 1.0
    guidance: float = 1.0
    candidates: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.temperature < math.inf and 0 < self.top_p <= 1 and self.top_k >= 0):  # NaN fails too
            raise ValueError(f"need temperature >= 0, 0 < top_p <= 1 and top_k >= 0, got {self}")
        if not 0 < self.min_ratio <= self.max_ratio < math.inf:
            raise ValueError(f"need 0 < min_ratio <= max_ratio, got {self}")
        if not 1 <= self.guidance < math.inf:
            raise ValueError(f"need guidance >= 1, got {self}")
        if not 1 <= self.candidates <= MAX_CANDIDATES:
            raise ValueError(f"need 1 to {MAX_CANDIDATES} candidates, got {self}")


def filter_logits(logits: Tensor, sampling: Sampling) -> Tensor:
    """Return logits [B, V] divided by the temperature, with everything outside top-k and top-p at -inf."""
    logits = logits / max(sampling.temperature, 1e-6)
    if 0 < sampling.top_k < logits.shape[-1]:
        kth = logits.topk(sampling.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < kth, float("-inf"))
    if sampling.top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        share = ordered.softmax(-1)
        beyond = share.cumsum(-1) - share >= sampling.top_p  # keep the one that crosses the line
        logits = logits.masked_fill(beyond.gather(-1, order.argsort(-1)), float("-inf"))
    return logits


def guide(logits: Tensor, sampling: Sampling) -> Tensor:
    """Return the logits [B, V] to sample from; with guidance, logits are [2 B, V]: with, then without conditions."""
    if sampling.guidance == 1:
        return logits
    given, without = logits.chunk(2)
    return without + sampling.guidance * (given - without)


def sample(logits: Tensor, sampling: Sampling, generators: list[torch.Generator]) -> Tensor:
    """Return one choice [B] (an index into V) for each row of logits [B, V]; row b draws from generators[b] only.

    Gumbel's trick with one uniform draw per candidate keeps a row's choice independent of its neighbours.
    """
    logits = logits.float()
    if sampling.temperature == 0:
        return logits.argmax(-1)
    logits = filter_logits(logits, sampling)
    noise = torch.stack([torch.rand(logits.shape[-1], generator=generator) for generator in generators])
    gumbel = -torch.log(-torch.log(noise.clamp(1e-10, 1 - 1e-7)))
    return (logits + gumbel.to(logits.device)).argmax(-1)


def make_generators(seeds: list[int]) -> list[torch.Generator]:
    """Return one CPU generator per request."""
    return [torch.Generator().manual_seed(seed % 2**63) for seed in seeds]


def forbid_repetition(logits: Tensor, made: list[Tensor], start: int, frames: int) -> None:
    """Set to -inf, in logits [B, V] of slot 0, the id that each row's last `frames` frames [B, K] all began with."""
    if frames <= 0 or len(made) < frames:
        return
    recent = torch.stack([frame[:, 0] for frame in made[-frames:]], dim=1) - start  # [B, frames]
    stuck = (recent == recent[:, :1]).all(dim=1) & (recent[:, 0] >= 0) & (recent[:, 0] < logits.shape[1] - 1)
    for row in stuck.nonzero()[:, 0].tolist():
        logits[row, recent[row, 0]] = float("-inf")
