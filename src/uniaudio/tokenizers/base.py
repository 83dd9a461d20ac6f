"""What every tokenizer gives (an `Item`) and looks like (`Tokenizer`); it knows no task and no vocabulary.

T frames, k ids per frame (1, or K for audio codes), D width
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Item:
    """One value as frames: either discrete `ids` (int64 [T, k], from 0 in the tokenizer's own section) or `vectors`
    (float [T, D]), never both. `aligned` says whether the frames run in step with the target's, where that differs
    from what the modality's table entry says (None)."""

    ids: Tensor | None = None
    vectors: Tensor | None = None
    aligned: bool | None = None

    def __post_init__(self) -> None:
        assert (self.ids is None) != (self.vectors is None), "an item has ids or vectors, exactly one of them"
        frames = self.ids if self.ids is not None else self.vectors
        assert frames is not None and frames.ndim == 2, "an item's frames are [T, k] or [T, D]"

    def __len__(self) -> int:
        frames = self.ids if self.ids is not None else self.vectors
        assert frames is not None
        return frames.shape[0]


class Tokenizer(Protocol):
    """Turns the value of one modality into an `Item`.

    `name` is the modality, `num_ids` the size of its own section of the vocabulary (0 when it is continuous or
    shares the codec's), `frame_rate` the frames per second (None when the frames do not follow time).
    """

    @property
    def name(self) -> str: ...

    @property
    def num_ids(self) -> int: ...

    @property
    def frame_rate(self) -> float | None: ...

    def encode(self, value: Any) -> Item: ...


def count_frames(seconds: float, frame_rate: float) -> int:
    """Return how many frames cover `seconds`: the last one may be partly empty (floating-point dust is forgiven)."""
    return max(0, math.ceil(seconds * frame_rate - 1e-6))
