"""Requests that join and leave a running batch between frames; each gets the ids that it would get alone.

B places of the batch, K slots, D width, V candidates of a slot
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from uniaudio.lm.interface import Legal
from uniaudio.lm.sampling import Sampling

if TYPE_CHECKING:
    from uniaudio.lm.compiled import CompiledLM, Prompt


@dataclass
class _Running:
    """A request in its place: bounds on its frames, its random stream, what each frame gets, and the frames so far."""

    bounds: tuple[int, int]
    generator: torch.Generator
    added: list[np.ndarray]  # [S + 1, D] of each of its rows
    before: int  # frames of the target that its prompt brought
    made: int = 0
    repeated: int = 0  # how many of the last frames began with `first`
    first: int = -1

    def count(self, first: int) -> None:
        """Take note of how a frame began."""
        self.repeated = self.repeated + 1 if first == self.first else 1
        self.first = first


class ContinuousBatch:
    """Up to `places` requests of one sampling (but for the seeds) that are generated together, frame by frame.

    `capacity` bounds the frames of a request, prompt and target together.
    """

    def __init__(
        self, lm: "CompiledLM", legal: Legal, sampling: Sampling, target_role: int, places: int, capacity: int
    ) -> None:
        from uniaudio.lm.compiled import Rows

        self.legal, self.sampling, self.capacity = legal, sampling, capacity
        self._rows = Rows(lm, legal, sampling, places, capacity)
        self._places: list[_Running | None] = [None] * places
        table = lm.lm.role_embedding
        width = lm.config.global_.width
        self._role = torch.zeros(width) if table is None else table.weight[target_role].detach()
        self._starts = torch.tensor([start for start, _ in legal.ranges])
        self._end = legal.ranges[0][1] - legal.ranges[0][0]  # the candidate of slot 0 that ends

    def __bool__(self) -> bool:
        """Is any request running?"""
        return any(place is not None for place in self._places)

    @property
    def free(self) -> int:
        """How many requests may join."""
        return self._places.count(None)

    def join(self, prompts: "list[Prompt]", bounds: tuple[int, int], generator: torch.Generator) -> int:
        """Add a request; return its place. With guidance it has two prompts: with and without its conditions.

        `bounds` are the least and the greatest number of frames. Raises ValueError when every place is taken and
        when the request does not fit the capacity.
        """
        if not self.free:
            raise ValueError(f"all {len(self._places)} places are taken: wait for a request to leave")
        needed = max(max(prompt.length, prompt.position) for prompt in prompts) + bounds[1] + 1
        if needed > self.capacity:
            raise ValueError(f"a request of {needed} frames does not fit a capacity of {self.capacity}")
        place = self._places.index(None)
        if bounds[1] > 0:
            for copy, prompt in enumerate(prompts):
                self._rows.load(place + copy * len(self._places), prompt)
            added = [(prompt.added + self._role).numpy() for prompt in prompts]
            running = _Running(bounds, generator, added, prompts[0].made)
            for first in prompts[0].firsts:
                running.count(first - int(self._starts[0]))
            self._places[place] = running
        return place

    def leave(self, place: int) -> None:
        """Take a request out before its end."""
        self._places[place] = None
        for row in range(place, len(self._rows.lengths), len(self._places)):
            self._rows.clear(row)

    def step(self) -> dict[int, Tensor]:
        """Make one frame; return the frames [K] by place. Requests that ended are gone afterwards."""
        self._draw()
        choices = self._rows.step()
        frames: dict[int, Tensor] = {}
        for place, running in enumerate(self._places):
            if running is None:
                continue
            first = int(choices[place, 0])
            if first != self._end:
                frames[place] = torch.from_numpy(choices[place].copy()) + self._starts
                running.count(first)
                running.made += 1
            if first == self._end or running.made >= running.bounds[1]:
                self.leave(place)
        return frames

    def _draw(self) -> None:
        """Draw the noise of a frame from each request's own stream, and forbid what may not come now."""
        noise, bias = self._rows.noise[:, 0], self._rows.bias[:, 0]
        bias.fill(0)
        greedy, frames = self.sampling.temperature == 0, self.sampling.repetition_frames
        for place, running in enumerate(self._places):
            if running is None:
                continue
            if not greedy:
                torch.rand(noise.shape[1], generator=running.generator, out=noise[place])
            for copy, added in enumerate(running.added):
                step = min(running.before + running.made + 1, len(added) - 1)
                self._rows.added[place + copy * len(self._places), 0] = added[step]
            if running.made < running.bounds[0]:
                bias[place, self._end] = -np.inf
            if 0 < frames <= running.repeated:
                bias[place, running.first] = -np.inf
        if not greedy:  # Gumbel's, times the temperature instead of the logits divided by it
            noise.clamp_(1e-10, 1 - 1e-7).log_().neg_().log_().mul_(-max(self.sampling.temperature, 1e-6))
