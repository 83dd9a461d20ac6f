"""Timed phones as a label for every frame."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

UNKNOWN = -1  # label of a frame that no phone covers

Segments = Sequence[Sequence[Any]]  # [phone, start s, end s]


def frame_phones(segments: Segments, num_frames: int, frame_rate: float, names: dict[str, int]) -> "Tensor":
    """Return the phone at the centre of each frame (int64 [T], or UNKNOWN); `names` takes in new phones."""
    import torch

    labels = torch.full((num_frames,), UNKNOWN)
    for phone, start, end in segments:
        first, last = frames_between(start, end, frame_rate)
        labels[first:last] = names.setdefault(str(phone), len(names))
    return labels


def frames_between(start: float, end: float, frame_rate: float) -> tuple[int, int]:
    """Return the first and one past the last frame whose centre lies in start <= t < end seconds."""
    first, last = (max(0, math.ceil(t * frame_rate - 0.5 - 1e-9)) for t in (start, end))
    return first, last
