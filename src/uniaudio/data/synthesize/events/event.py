"""What an event of a scene is: how it sounds and how it is called."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from uniaudio.data.synthesize.events.blocks import RATE, convolve, gate, samples


@dataclass(frozen=True, kw_only=True)
class Event:
    """One class of sound. `synthesize(rng, n)` returns n samples of one occurrence at any level.

    `nouns` are noun phrases with their article ("a dog bark"), `plurals` the same to be counted ("dog barks"; empty
    where the event is not counted), `says` are (subject, verb, gerund). `seconds` is the range of one occurrence,
    `gap` that of the pause between two, `most` how many are made in a row.
    """

    synthesize: Callable[[Generator, int], np.ndarray]
    family: str
    nouns: tuple[str, ...]
    plurals: tuple[str, ...]
    says: tuple[tuple[str, str, str], ...]
    seconds: tuple[float, float]
    gap: tuple[float, float]
    most: int

    @property
    def countable(self) -> bool:
        return self.most > 1

    @property
    def lasting(self) -> bool:
        """Whether it can go on for a whole scene."""
        return self.seconds[1] >= 8.0

    def render(self, rng: Generator, seconds: float) -> np.ndarray:
        """Return one occurrence, float32 [N] with peak 1."""
        n = samples(seconds)
        size = 2 ** rng.uniform(*_SIZES)
        made = np.nan_to_num(self.synthesize(rng, samples(seconds * size)))
        made = np.interp(np.linspace(0, len(made) - 1, n), np.arange(len(made)), made)
        made = convolve(made, np.array([1.0, rng.uniform(*_COLOURS)])) * gate(n, 0.0, n / RATE, edge=0.004)
        return (made / (np.abs(made).max() + 1e-9)).astype(np.float32)


LASTING = (2.0, 10.0)
_SIZES = (-0.3, 0.07)  # octaves of the source's own: a larger one is lower and slower; more up would alias
_COLOURS = (-0.6, 0.6)  # of a microphone: the second tap of a filter that brightens (below 0) or dulls


def table(family: str, *events: tuple[str, Event]) -> dict[str, Event]:
    """Return the events of one family by name."""
    assert all(event.family == "" for _, event in events)
    return {name: Event(**{**vars(event), "family": family}) for name, event in events}


def event(
    synthesize: Callable[[Generator, int], np.ndarray],
    nouns: str,
    says: str,
    plurals: str = "",
    *,
    seconds: tuple[float, float] = LASTING,
    gap: tuple[float, float] = (0.2, 0.5),
    most: int = 1,
) -> Event:
    """Return an event from its words, alternatives parted by `|`.

    `says` has subject/verb/gerund and, where there is more, what follows both: "a ball/bounces/bouncing/on the floor".
    """
    said = []
    for one in says.split("|"):
        subject, verb, gerund, *rest = one.split("/")
        said.append((subject, " ".join([verb, *rest]), " ".join([gerund, *rest])))
    return Event(
        synthesize=synthesize,
        family="",
        nouns=tuple(nouns.split("|")),
        plurals=tuple(plurals.split("|")) if plurals else (),
        says=tuple(said),
        seconds=seconds,
        gap=gap,
        most=most,
    )
