"""What every language model is given and gives, whatever its code order.

B batch, T frames, K slots, D width of a caption vector
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from uniaudio.lm.sampling import Sampling


@dataclass(frozen=True)
class Legal:
    """The ids that each slot may emit: ranges [start, stop) per slot, and the end mark, legal in slot 0 alone."""

    ranges: tuple[tuple[int, int], ...]
    end: int


class Batch(Protocol):
    """Right-padded sequences (`sequence.batch.Batch`, seen from below): frames [B, T, K], positions and roles [B, T],
    lengths [B], target [B, T] bool, vectors [B, T, D] with vector_mask [B, T], or None for both; inputs [B, T, K] are
    the frames as the network sees them in training, where they differ from those to be predicted."""

    frames: Tensor
    positions: Tensor
    roles: Tensor
    lengths: Tensor
    target: Tensor
    vectors: Tensor | None
    vector_mask: Tensor | None
    inputs: Tensor | None


@dataclass
class GenerationRequest:
    """How to continue the rows of a batch: bounds [B] on the number of new frames, one random stream per row.

    A row is a prompt, and perhaps the first frames of its target (`target` is set there).
    With guidance the batch has 2 B rows: the prompts of all requests, then the same ones without conditions.
    `on_frame` is called with the number of frames made so far (a progress bar).
    """

    legal: Legal
    min_frames: Tensor
    max_frames: Tensor
    target_role: int
    sampling: Sampling
    generators: list[torch.Generator]
    on_frame: Callable[[int], None] | None = None

    @property
    def copies(self) -> int:
        """How many rows of the batch belong to a request."""
        return 1 if self.sampling.guidance == 1 else 2


class LanguageModel(Protocol):
    """A network over frames of K slots."""

    config: Any

    def losses(self, batch: Batch, legal: Legal, label_smoothing: float = 0.0) -> list[Tensor]:
        """Return the mean cross-entropy of each slot over the target frames."""
        ...

    def generate(self, batch: Batch, request: GenerationRequest) -> list[Tensor]:
        """Return each row's new target frames [T_b, K], without the end mark."""
        ...


@runtime_checkable
class FrameByFrame(Protocol):
    """A language model that hands each frame out as soon as it is made."""

    def frames(self, batch: Batch, request: GenerationRequest) -> Iterator[dict[int, Tensor]]:
        """Yield the frames [K] of the rows that have not ended, by row."""
        ...
