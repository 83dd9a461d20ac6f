"""Made rooms: impulse responses of empty boxes, image sources first and a diffuse tail after them.

Early reflections are image sources of pyroomacoustics (Scheibler et al. 2018). From the time on at which their order
no longer suffices, noise that decays with the room's RT60 takes over, as reflections do that nobody can tell apart.
"""

import importlib.util
import math
import random
from dataclasses import dataclass
from typing import Any

import numpy as np

from uniaudio.audio.corrupt import direct_sample, rt60
from uniaudio.data.synthesize.corpus import SAMPLE_RATE, SHARES, Rendered
from uniaudio.errors import InputError

# What is held out: no volume (m^3) and no RT60 (s) of dev or test lies in a range of train.
VOLUMES = {
    "train": ((15.0, 30.0), (36.0, 70.0), (85.0, 160.0), (190.0, 300.0)),
    "dev": ((30.5, 32.5), (71.0, 77.0), (161.0, 174.0)),
    "test": ((33.0, 35.5), (77.5, 84.5), (174.5, 189.5)),
}
RT60S = {
    "train": ((0.20, 0.30), (0.40, 0.60), (0.70, 0.95), (1.05, 1.20)),
    "dev": ((0.31, 0.34), (0.61, 0.64), (0.96, 0.99)),
    "test": ((0.35, 0.39), (0.65, 0.69), (1.00, 1.04)),
}
_ABSORPTION = (0.03, 0.6)  # of the walls, from bare concrete to heavy drapery: the sizes that an RT60 can have
_ORDER = 10  # reflections of an image source
_WALL_METRES = 0.4  # least distance of talker and microphone from the walls
_LEAST_METRES, _MOST_METRES = 0.5, 4.0  # between talker and microphone
_SPEED = 343.0  # of sound, m/s
_FADE_SECONDS = 0.008  # in which the tail takes over from the image sources
_TRIES = 50  # positions drawn until the direct path is the strongest sample


@dataclass(frozen=True, kw_only=True)
class Room:
    """One planned response: a box of `size` [length, width, height] m, its RT60 in s, and a seed of the positions."""

    id: str
    split: str
    size: tuple[float, float, float]
    rt60_target: float
    seed: int

    @property
    def name(self) -> str:
        """The identity of the room: its size in metres."""
        return "x".join(f"{side:.1f}" for side in self.size)

    @property
    def seconds(self) -> float:
        """Length of the response: 75 dB of decay."""
        return round(1.25 * self.rt60_target + 0.05, 3)


def plan(hours: float, seed: int) -> list[Room]:
    """Return the rooms of about `hours` of impulse responses (0.9 s each), in a fixed order for a seed."""
    random_ = random.Random(seed)
    total = max(12, round(hours * 3600 / 0.9))
    rooms: list[Room] = []
    for split in SHARES:
        for index in range(max(4, round(total * SHARES[split]))):
            target, size = _target_and_size(split, random_)
            id, seed_ = f"rooms-{split}-{index:06d}", random_.randrange(1 << 31)
            rooms.append(Room(id=id, split=split, size=size, rt60_target=target, seed=seed_))
    random_.shuffle(rooms)
    return rooms


def _target_and_size(split: str, random_: random.Random) -> tuple[float, tuple[float, float, float]]:
    """Draw an RT60 and a size, whole decimetres, with walls that exist."""
    while True:
        target = round(random_.uniform(*random_.choice(RT60S[split])), 3)
        low, high = random_.choice(VOLUMES[split])
        height, aspect = round(random_.uniform(2.3, 4.2), 1), random_.uniform(1.05, 2.2)
        width = round(math.sqrt(random_.uniform(low, high) / height / aspect), 1)
        size = (round(width * aspect, 1), width, height)
        volume = math.prod(size)
        fits = low <= volume <= high and height <= 1.5 * width
        if fits and _ABSORPTION[0] <= _absorption(size, target) <= _ABSORPTION[1]:
            return target, size


def _absorption(size: tuple[float, float, float], rt60_target: float) -> float:
    """Return the energy that walls must absorb for an RT60, by Eyring's formula (1930)."""
    length, width, height = size
    surface = 2 * (length * width + length * height + width * height)
    return 1 - math.exp(-24 * math.log(10) / _SPEED * math.prod(size) / (surface * rt60_target))


def needs() -> None:
    """Raise InputError when pyroomacoustics is missing."""
    if importlib.util.find_spec("pyroomacoustics") is None:
        raise InputError("pyroomacoustics is not installed; install it with: pip install pyroomacoustics")


def render(room: Room) -> Rendered:
    """Simulate one response; its direct path is 1 and its largest sample, so every tool that aligns by it agrees."""
    rng = np.random.default_rng(room.seed)
    for _ in range(_TRIES):
        source, microphone = _positions(room, rng)
        response = _with_tail(_image_sources(room, source, microphone), room, rng)
        distance = float(np.linalg.norm(source - microphone))
        direct = direct_sample(response)
        expected = distance / _SPEED * SAMPLE_RATE
        if response[direct] > 0 and abs(direct - expected) < 2:
            break
    else:
        raise InputError(f"{room.id}: no position has a direct path above the reflections; make it with another seed")
    response = (response / response[direct]).astype(np.float32)
    custom = {
        "rt60": round(rt60(response, SAMPLE_RATE), 4),
        "rt60_target": room.rt60_target,
        "room": room.name,
        "distance_m": round(distance, 3),
        "direct_sample": direct,
    }
    return Rendered(samples=response, custom=custom)


def _positions(room: Room, rng: np.random.Generator) -> tuple[Any, Any]:
    """Draw a talker and a microphone [3], m: apart, but less than three times the distance of equal energies.

    Nearer than 0.7 of that distance (where the direct path alone takes 5 dB of the decay) an RT60 is ill-defined.
    """
    size = np.array(room.size)
    equal = 0.057 * math.sqrt(math.prod(room.size) / room.rt60_target)
    most = min(_MOST_METRES, 3 * equal, 0.7 * (max(room.size) - 2 * _WALL_METRES))
    least = min(max(_LEAST_METRES, 0.7 * equal), 0.8 * most)
    while True:
        source = rng.uniform(_WALL_METRES, size - _WALL_METRES)
        microphone = rng.uniform(_WALL_METRES, size - _WALL_METRES)
        if least <= np.linalg.norm(source - microphone) <= most:
            return source, microphone


def _image_sources(room: Room, source: Any, microphone: Any) -> Any:
    """Return the response [R'] of the first reflections, starting when the talker speaks."""
    import pyroomacoustics as pra

    pra.constants.set("num_threads", 1)  # workers are processes, and sums of threads differ in their last bits
    material = pra.Material(_absorption(room.size, room.rt60_target))
    box = pra.ShoeBox(room.size, fs=SAMPLE_RATE, materials=material, max_order=_ORDER, air_absorption=False)
    box.set_sound_speed(_SPEED)
    box.add_source(source)
    box.add_microphone(microphone)
    box.compute_rir()
    response: Any = box.rir  # [microphones][sources][R']
    return np.asarray(response[0][0])[pra.constants.get("frac_delay_length") // 2 :]


def _with_tail(early: Any, room: Room, rng: np.random.Generator) -> Any:
    """Return the response [R]: image sources while they are complete, then decaying noise of the same energy."""
    complete = _ORDER / (_SPEED * math.sqrt(sum(1 / side**2 for side in room.size)))  # s: no image of it is missing
    num_samples, end = round(room.seconds * SAMPLE_RATE), int(complete * SAMPLE_RATE)
    fade = int(_FADE_SECONDS * SAMPLE_RATE)
    early = np.pad(early[:num_samples], (0, max(0, num_samples - len(early))))
    decay = 10 ** (-3 * np.arange(num_samples) / SAMPLE_RATE / room.rt60_target)
    window = slice(end // 2, end)
    level = math.sqrt(np.mean(early[window] ** 2) / np.mean(decay[window] ** 2))
    phase = np.clip((np.arange(num_samples) - (end - fade)) / fade, 0, 1) * (math.pi / 2)
    return early * np.cos(phase) + rng.standard_normal(num_samples) * level * decay * np.sin(phase)
