"""Code orders as data: in which step each cell of T frames of K slots is predicted (UniAudio 2310.00704, ablation).

B batch, T frames, K slots, S steps
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pattern:
    """Slot k of frame t, of T frames, is predicted in step `stride` * t + `offsets`[k] + `passes`[k] * T.

    No step holds two cells of one slot. Where there is a second pass the stride must be 1.
    """

    stride: int
    offsets: tuple[int, ...]
    passes: tuple[int, ...]

    @property
    def num_slots(self) -> int:
        return len(self.offsets)

    def num_steps(self, num_frames: int) -> int:
        """Return S for T frames."""
        if num_frames == 0:
            return 0
        return max(self.stride * (num_frames - 1) + o + p * num_frames for o, p in self._slots()) + 1

    def cells(self, num_frames: int) -> list[list[tuple[int, int]]]:
        """Return per step the cells (frame, slot) that are predicted at once."""
        steps: list[list[tuple[int, int]]] = [[] for _ in range(self.num_steps(num_frames))]
        for frame in range(num_frames):
            for slot, (offset, turn) in enumerate(self._slots()):
                steps[self.stride * frame + offset + turn * num_frames].append((frame, slot))
        return steps

    def step_of(self, num_frames: Tensor, frame: Tensor) -> Tensor:
        """Return the steps [B, T, K] that predict the cells of frames `frame` [B, T], for num_frames [B]."""
        return self.stride * frame[..., None] + self._first(num_frames)[:, None]

    def frame_at(self, num_frames: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Return the frame [B, S, K] that each slot predicts in steps [B, S], and whether there is one (bool)."""
        since = step[..., None] - self._first(num_frames)[:, None]  # [B, S, K]
        frame = torch.div(since, self.stride, rounding_mode="floor")
        return frame, (since % self.stride == 0) & (frame >= 0) & (frame < num_frames[:, None, None])

    def moment(self, num_frames: Tensor, step: Tensor) -> Tensor:
        """Return the frame [B, S] whose time steps [B, S] have: a step's position is that of this frame.

        Each slot then sees everything that runs in step with the target at one distance, whatever the frame.
        """
        second = (step >= num_frames[:, None]) & (max(self.passes) > 0)
        return torch.div(torch.where(second, step - num_frames[:, None], step), self.stride, rounding_mode="floor")

    def to_steps(self, frames: Tensor, num_frames: Tensor, ended: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return steps [B, S, K] of frames [B, T, K] and which of their cells are filled [B, S, K] bool.

        Row b has num_frames[b] frames, where `ended` [B] is set with the end mark's, of which slot 0 alone is a cell.
        A step's empty cells are 0.
        """
        rows, longest, slots = frames.shape
        num_steps = max(self.num_steps(count) for count in num_frames.tolist())
        index, real = self._cells(num_frames, longest)  # [B, T, K] both
        if ended is not None:
            last = torch.arange(longest, device=frames.device) == num_frames[:, None] - 1  # [B, T]
            real = real & ~((last & ended[:, None])[..., None] & (torch.arange(slots, device=frames.device) > 0))
        index = torch.where(real, index, num_steps)  # what is no cell goes to a step that is cut off
        steps = frames.new_zeros(rows, num_steps + 1, slots).scatter(1, index, frames)
        filled = torch.zeros_like(steps, dtype=torch.bool).scatter(1, index, True)
        return steps[:, :-1], filled[:, :-1]

    def to_frames(self, steps: Tensor, num_frames: Tensor) -> Tensor:
        """Return the frames [B, T, K] that steps [B, S, K] hold; rows with fewer frames are filled with 0."""
        index, real = self._cells(num_frames, int(num_frames.max()))
        return steps.gather(1, torch.where(real, index, 0)).masked_fill(~real, 0)

    def end_step(self, num_frames: int) -> int:
        """Return the step that predicts the end mark: it is slot 0 of the frame after the last."""
        return self.stride * num_frames + self.offsets[0]

    def _slots(self) -> list[tuple[int, int]]:
        return list(zip(self.offsets, self.passes, strict=True))

    def _first(self, num_frames: Tensor) -> Tensor:
        """Return the step [B, K] of frame 0 in each slot."""
        offsets, passes = (torch.tensor(x, device=num_frames.device) for x in (self.offsets, self.passes))
        return offsets + passes * num_frames[:, None]

    def _cells(self, num_frames: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """Return the step of each cell of a grid of frames, and which cells are a row's own, [B, T, K] both."""
        frame = torch.arange(longest, device=num_frames.device).expand(len(num_frames), -1)  # [B, T]
        index = self.step_of(num_frames, frame)
        return index, (frame < num_frames[:, None])[..., None].expand_as(index)


def flatten(num_slots: int) -> Pattern:
    """Cell after cell, frame after frame: T * K steps."""
    return Pattern(num_slots, tuple(range(num_slots)), (0,) * num_slots)


def parallel(num_slots: int) -> Pattern:
    """All slots of a frame at once: T steps."""
    return Pattern(1, (0,) * num_slots, (0,) * num_slots)


def delay(num_slots: int) -> Pattern:
    """Slot k runs k steps behind slot 0 (MusicGen, 2306.05284): T + K - 1 steps."""
    return Pattern(1, tuple(range(num_slots)), (0,) * num_slots)


def coarse_first(num_slots: int) -> Pattern:
    """Slot 0 of every frame, then the other slots of every frame at once: 2 * T steps."""
    return Pattern(1, (0,) * num_slots, (0, *(1,) * (num_slots - 1)))


PATTERNS: dict[str, Callable[[int], Pattern]] = {
    "flatten": flatten,
    "parallel": parallel,
    "delay": delay,
    "coarse_first": coarse_first,
}
