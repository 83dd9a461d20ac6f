"""A scene of sound events as data, and its sound: one stem per event, so that a scene can lack one and keep the rest.

N samples at SAMPLE_RATE.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from uniaudio.data.synthesize.corpus import SAMPLE_RATE
from uniaudio.data.synthesize.events import EVENTS
from uniaudio.data.synthesize.events.blocks import band, coloured, samples, strike
from uniaudio.errors import InputError

DISTANCES = {  # gain dB, low-pass Hz (None: open), share of the reverberant tail, its decay to 1/e in s
    "near": (0.0, None, 0.0, 0.0),
    "middle": (-4.0, 6500.0, 0.15, 0.06),
    "far": (-11.0, 2600.0, 0.6, 0.17),
}
BACKGROUNDS = {"hiss": 0.0, "air": -3.0, "rumble": -7.0}  # dB an octave
_LOUD = 0.11  # root-mean-square of the loudest 50 ms of an event at 0 dB
_PEAK = 0.31  # of a stem: three and a background never clip


@dataclass(frozen=True, kw_only=True)
class SceneEvent:
    """One event of a scene: its class (a key of EVENTS), when it sounds, how often, how loud, how far away."""

    name: str
    start: float
    seconds: float
    count: int
    gain_db: float
    distance: str
    seed: int

    @property
    def end(self) -> float:
        return round(self.start + self.seconds, 3)


@dataclass(frozen=True, kw_only=True)
class Background:
    """A faint steady noise (a key of BACKGROUNDS); `level_db` is relative to a loud event."""

    name: str
    level_db: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Up to three events over an optional background."""

    seconds: float
    events: tuple[SceneEvent, ...]
    background: Background | None = None


def render_events(scene: Scene) -> list[np.ndarray]:
    """Return one float32 stem [N] per event; each depends on its own event and the length of the scene alone."""
    return [_stem(event, samples(scene.seconds)) for event in scene.events]


def render_background(scene: Scene) -> np.ndarray:
    """Return the background, float32 [N]; zeros where there is none."""
    n, background = samples(scene.seconds), scene.background
    if background is None:
        return np.zeros(n, np.float32)
    noise = coloured(np.random.default_rng(background.seed), n, BACKGROUNDS[background.name])
    level = _LOUD * 10 ** (background.level_db / 20)
    return np.clip(level * noise, -0.06, 0.06).astype(np.float32)


def mix(stems: list[np.ndarray]) -> np.ndarray:
    """Return the plain sum of stems, float32 [N]: no gain that depends on what is in the scene."""
    if not stems:
        raise InputError("no stems to mix: give the background at least")
    return np.asarray(np.sum(stems, axis=0), np.float32)


def scene_from(custom: dict[str, Any], seconds: float) -> Scene:
    """Return the scene of a recording from its custom fields `events` and `background` and its length.

    Raises InputError when they do not describe one.
    """
    try:
        events = tuple(
            SceneEvent(
                name=data["class"],
                start=data["start"],
                seconds=round(data["end"] - data["start"], 3),
                count=data["count"],
                gain_db=data["gain_db"],
                distance=data["distance"],
                seed=data["seed"],
            )
            for data in custom["events"]
        )
        background = custom.get("background")
        return Scene(seconds=seconds, events=events, background=Background(**background) if background else None)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"no scene in {custom!r:.200}: give the custom fields of a `sound` corpus ({error})"
        ) from error


def _stem(placed: SceneEvent, n: int) -> np.ndarray:
    """Return one event at its place, loudness and distance, float32 [N]."""
    if placed.name not in EVENTS or placed.distance not in DISTANCES:
        known = f"events: {', '.join(EVENTS)}; distances: {', '.join(DISTANCES)}"
        raise InputError(f"no event {placed.name!r} at distance {placed.distance!r}; {known}")
    rng = np.random.default_rng(placed.seed)
    first = min(n, round(placed.start * SAMPLE_RATE))
    made = _occurrences(placed, rng)[: n - first]
    made = np.pad(made, (0, n - first - len(made)))  # room for the tail
    made *= min(_LOUD / _loudest(made), _PEAK / (np.abs(made).max(initial=0.0) + 1e-9))
    gain, low_pass, wet, decay = DISTANCES[placed.distance]
    if low_pass is not None and len(made):
        made = band(made, None, low_pass * rng.uniform(0.8, 1.2))
        made = (1 - wet) * made + wet * _tail(made, decay * rng.uniform(0.8, 1.3), rng)
    made *= 10 ** ((gain + placed.gain_db) / 20)
    made *= min(1.0, _PEAK / (np.abs(made).max(initial=0.0) + 1e-9))
    return np.pad(made, (first, 0)).astype(np.float32)


def _occurrences(placed: SceneEvent, rng: Generator) -> np.ndarray:
    """Return the event `count` times in its span, [n]: the same source each time, a little higher, softer, sooner."""
    event, count = EVENTS[placed.name], placed.count
    ratio = pause_ratio(placed.name)
    unit_seconds = placed.seconds / (count + (count - 1) * ratio)
    unit = event.render(rng, unit_seconds)
    total = np.zeros(samples(placed.seconds))
    for index in range(count):
        late = rng.uniform(-0.2, 0.2) * ratio if 0 < index < count - 1 else 0.0
        first = round((index * (1 + ratio) + late) * len(unit))
        stretch = 2 ** rng.uniform(-0.05, 0.05) if count > 1 else 1.0
        once = np.interp(np.arange(0, len(unit) - 1, stretch), np.arange(len(unit)), unit)
        once = once[: max(0, len(total) - first)]
        total[first : first + len(once)] += once * (rng.uniform(0.75, 1.0) if count > 1 else 1.0)
    return total


def pause_ratio(name: str) -> float:
    """Return the pause between two occurrences of an event over the length of one."""
    event = EVENTS[name]
    return sum(event.gap) / sum(event.seconds)


def _loudest(signal: np.ndarray) -> float:
    """Return the root-mean-square of the loudest 50 ms."""
    size = samples(0.05)
    whole = np.pad(signal, (0, -len(signal) % size)).reshape(-1, size)
    return float(np.sqrt(np.mean(whole**2, axis=1).max(initial=0.0))) + 1e-9


def _tail(signal: np.ndarray, decay: float, rng: Generator) -> np.ndarray:
    """Return the signal through a diffuse room: noise of unit energy that decays, [N]."""
    from scipy.signal import oaconvolve

    n = samples(5 * decay)
    room = rng.standard_normal(n) * strike(n, decay, 0.01)
    return oaconvolve(signal, room / np.sqrt(np.sum(room**2)))[: len(signal)]
