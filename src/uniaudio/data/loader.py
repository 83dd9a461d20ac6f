"""Which examples make a batch of training: mixed over tasks and corpora, of similar length.

Everything is a pure function of (seed, step), so a run resumes in the middle of an epoch without a state of its own,
and processes that train together share the batches out by taking every Wth step each.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from uniaudio.data.shards import Shards
from uniaudio.errors import InputError
from uniaudio.sequence.batch import Batch, collate
from uniaudio.sequence.layout import Sequence as Line

T = TypeVar("T")


class BatchPlan:
    """Batches of example numbers, filled to a budget of frames, for groups of examples that are mixed.

    `lengths` [N] in frames; `groups` are disjoint lists of numbers (a task of a corpus). In an epoch, group i of n_i
    examples has a share p_i ~ f_i n_i^alpha of the draws (`factors` f, default 1), and no example comes twice: the
    epoch ends with the group that is drawn whole first (all of them for alpha 1), the others show a new choice in the
    next. Raises InputError when there is nothing to plan with.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        groups: Sequence[np.ndarray],
        budget: int,
        *,
        alpha: float = 1.0,
        factors: Sequence[float] | None = None,
        chunk: int = 4096,
    ) -> None:
        factors = [1.0] * len(groups) if factors is None else factors
        kept = [(np.asarray(group, np.int64), one) for group, one in zip(groups, factors, strict=True) if len(group)]
        self.groups = [group for group, _ in kept]
        if not self.groups:
            raise InputError("there is no example to train on: give tokens that have some")
        self.lengths, self.budget, self.chunk = lengths, budget, chunk
        sizes = np.array([len(group) for group in self.groups])
        weights = sizes.astype(np.float64) ** alpha * np.array([factor for _, factor in kept])
        draws = np.round(weights * (sizes / weights).min()).astype(np.int64)
        self.draws = np.clip(draws, 1, sizes)  # [groups]
        self._counts: dict[tuple[int, int], int] = {}
        self._planned: tuple[int, int, list[np.ndarray]] | None = None

    def indices(self, seed: int, step: int) -> np.ndarray:
        """Return the example numbers of the batch of a step."""
        epoch = 0
        while True:
            if (seed, epoch) not in self._counts:
                self._counts[seed, epoch] = len(self.epoch(seed, epoch))
            if step < self._counts[seed, epoch]:
                return self.epoch(seed, epoch)[step]
            step -= self._counts[seed, epoch]
            epoch += 1

    def epoch(self, seed: int, epoch: int) -> list[np.ndarray]:
        """Return the batches of an epoch."""
        if self._planned is None or self._planned[:2] != (seed, epoch):
            self._planned = (seed, epoch, self._plan(seed, epoch))
        return self._planned[2]

    def _plan(self, seed: int, epoch: int) -> list[np.ndarray]:
        random = np.random.default_rng((seed, epoch))
        parts = [group[random.permutation(len(group))[:n]] for group, n in zip(self.groups, self.draws, strict=True)]
        drawn = random.permutation(np.concatenate(parts))
        batches: list[np.ndarray] = []
        for first in range(0, len(drawn), self.chunk):
            part = drawn[first : first + self.chunk]
            batches += self._fill(part[np.argsort(self.lengths[part], kind="stable")])
        return [batches[index] for index in random.permutation(len(batches))]

    def _fill(self, ordered: np.ndarray) -> Iterator[np.ndarray]:
        """Yield runs of examples, sorted by length, whose longest times their number is within the budget."""
        first, lengths = 0, self.lengths[ordered].tolist()
        for index, longest in enumerate(lengths):
            if index > first and longest * (index - first + 1) > self.budget:
                yield ordered[first:index]
                first = index
        yield ordered[first:]


class Reader(Protocol):
    """Makes training sequences (`data.sequences.SequenceReader`, `data.stages.StageReader`)."""

    frame_rate: float

    def __call__(self, shards: Shards, index: int, random: np.random.Generator) -> Line: ...

    def lengths(self, shards: Shards) -> np.ndarray: ...


class Batches:
    """Batches of training sequences from one or more token folders; picklable, so that workers can make them ahead.

    `tasks` are mixed with those of every folder as groups of their own; one with an `emphasis` of 2 is drawn twice as
    often as its size says. Raises InputError when none is there.
    """

    def __init__(
        self,
        sources: Sequence[Shards],
        reader: Reader,
        tasks: Sequence[str],
        budget: int,
        *,
        alpha: float = 1.0,
        emphasis: Mapping[str, float] | None = None,
        max_seconds: float = 30.0,
        vector_dim: int = 0,
    ) -> None:
        self.sources, self.reader, self.vector_dim = sources, reader, vector_dim
        lengths, groups, first = [], [], 0
        for shards in sources:
            lengths.append(reader.lengths(shards))
            short = shards.frames <= max_seconds * reader.frame_rate
            groups += [first + np.intersect1d(np.flatnonzero(short), shards.of_kinds([task])) for task in tasks]
            first += len(shards)
        self._firsts = np.cumsum([0, *(len(shards) for shards in sources)])
        if not any(len(group) for group in groups):
            raise InputError(f"no example of {', '.join(tasks)} up to {max_seconds:g} s: tokenize examples of them")
        factors = [(emphasis or {}).get(task, 1.0) for _ in sources for task in tasks]
        self.plan = BatchPlan(np.concatenate(lengths), groups, budget, alpha=alpha, factors=factors)

    def draw(self, seed: int, step: int) -> Batch:
        """Return the batch of a step."""
        random = np.random.default_rng((seed, step, 0))
        sequences = []
        for number in self.plan.indices(seed, step):
            source = int(np.searchsorted(self._firsts, number, side="right")) - 1
            sequences.append(self.reader(self.sources[source], int(number - self._firsts[source]), random))
        return collate(sequences, self.vector_dim)


class Ahead(Generic[T]):
    """Makes the batches of the next steps in other processes while the current one is used.

    Called like the function that it wraps, for every `stride`th step; after a step out of order the workers start
    again there.
    """

    def __init__(self, draw: Callable[[int, int], T], workers: int, depth: int = 4, stride: int = 1) -> None:
        self.draw, self.workers, self.depth, self.stride = draw, workers, depth, stride
        self._stream: Iterator[T] | None = None
        self._next: tuple[int, int] | None = None

    def __call__(self, seed: int, step: int) -> T:
        if self.workers < 1:
            return self.draw(seed, step)
        if self._stream is None or self._next != (seed, step):
            self._stream = self._start(seed, step)
        self._next = (seed, step + self.stride)
        return next(self._stream)

    def _start(self, seed: int, step: int) -> Iterator[T]:
        import torch
        from torch.utils.data import DataLoader

        settings: dict[str, Any] = {"num_workers": self.workers, "prefetch_factor": self.depth}
        settings["generator"] = torch.Generator()  # the step's own random numbers must not depend on when workers start
        steps: Any = _Steps(self.draw, seed)
        order: Any = _From(step, self.stride)
        return iter(DataLoader(steps, batch_size=None, sampler=order, **settings))


class _Steps(Generic[T]):
    """The batches of a seed by step, as a map-style dataset."""

    def __init__(self, draw: Callable[[int, int], T], seed: int) -> None:
        self.draw, self.seed = draw, seed

    def __getitem__(self, step: int) -> T:
        return self.draw(self.seed, step)


@dataclass(frozen=True)
class _From:
    """Counts every `stride`th step without end."""

    first: int
    stride: int

    def __iter__(self) -> Iterator[int]:
        step = self.first
        while True:
            yield step
            step += self.stride
