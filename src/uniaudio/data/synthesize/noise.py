"""Made background noise: seventeen types to train with, and others that are only heard in dev and test.

Each type is a function of a random generator and a number of samples N; every call draws its own machine, weather or
crowd. Times are in seconds, frequencies in Hz, levels arbitrary until `render` sets them.
"""

import importlib.util
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from uniaudio.data.synthesize.corpus import SAMPLE_RATE, SHARES, Rendered
from uniaudio.errors import InputError

SECONDS = 10.0
_PEAK = 0.95
_VOWELS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
_VOWEL_WIDTHS_HZ = (80, 110, 160)


@dataclass(frozen=True, kw_only=True)
class Noise:
    """One planned clip: its type, the seed of everything random in it, and its level (root-mean-square)."""

    id: str
    split: str
    noise_type: str
    seed: int
    rms: float


def plan(hours: float, seed: int) -> list[Noise]:
    """Return the clips of about `hours` of noise, types in turn, in a fixed order for a seed."""
    random_ = random.Random(seed)
    total = max(12, round(hours * 3600 / SECONDS))
    clips: list[Noise] = []
    for split, types in TYPES.items():
        for index in range(max(len(types), round(total * SHARES[split]))):
            noise_type, rms = list(types)[index % len(types)], round(random_.uniform(0.04, 0.1), 4)
            id, seed_ = f"noise-{split}-{index:06d}", random_.randrange(1 << 31)
            clips.append(Noise(id=id, split=split, noise_type=noise_type, seed=seed_, rms=rms))
    random_.shuffle(clips)
    return clips


def needs() -> None:
    """Raise InputError when scipy is missing."""
    if importlib.util.find_spec("scipy") is None:
        raise InputError("scipy is not installed; install it with: pip install scipy")


def render(clip: Noise) -> Rendered:
    """Make one clip, at its level or, where single peaks would clip, below it."""
    samples = TYPES[clip.split][clip.noise_type](np.random.default_rng(clip.seed), round(SECONDS * SAMPLE_RATE))
    samples = samples - np.mean(samples)
    gain = min(clip.rms / np.sqrt(np.mean(samples**2)), _PEAK / np.abs(samples).max())
    return Rendered(samples=(samples * gain).astype(np.float32), custom={"noise_type": clip.noise_type})


# --- what noises are made of ------------------------------------------------------------------------------------


def _shaped(rng: Generator, n: int, gain: Callable[[Any], Any]) -> Any:
    """Gaussian noise [N] of power 1 whose spectrum follows gain(Hz) above 30 Hz (nobody hears what is below)."""
    hz = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    audible = (np.maximum(hz, 1.0) / 30) ** 4 / np.sqrt(1 + (np.maximum(hz, 1.0) / 30) ** 8)
    spectrum = np.fft.rfft(rng.standard_normal(n)) * gain(np.maximum(hz, 10.0)) * audible
    samples = np.fft.irfft(spectrum, n)
    return samples / np.sqrt(np.mean(samples**2))


def _tilted(rng: Generator, n: int, db_per_octave: float) -> Any:
    """Noise whose spectrum rises or falls evenly."""
    return _shaped(rng, n, lambda hz: hz ** (db_per_octave / 6.02))


def _band(rng: Generator, n: int, low: float, high: float, db_per_octave: float = 0.0) -> Any:
    """Noise between two frequencies, with soft edges."""
    return _shaped(
        rng, n, lambda f: f ** (db_per_octave / 6.02) / np.sqrt((1 + (low / f) ** 6) * (1 + (f / high) ** 6))
    )


def _slow(rng: Generator, n: int, per_second: float, depth: float) -> Any:
    """A smooth random curve [N] of mean about 0 and deviation `depth` that turns `per_second` times a second."""
    points = np.clip(rng.standard_normal(int(n / SAMPLE_RATE * per_second) + 3), -2, 2) * depth
    place = np.arange(n) / SAMPLE_RATE * per_second
    left = place.astype(int)
    share = 0.5 - 0.5 * np.cos(np.pi * (place - left))
    return points[left] * (1 - share) + points[left + 1] * share


def _sway(rng: Generator, n: int, per_second: float, depth_db: float) -> Any:
    """A loudness [N] that sways by `depth_db`."""
    return 10 ** (_slow(rng, n, per_second, depth_db) / 20)


def _tones(rng: Generator, n: int, hz: Any, levels: Sequence[float] | Any) -> Any:
    """A steady or gliding (hz [N]) tone whose harmonics 1, 2, ... have these levels, in random phase."""
    size = 4096
    spectrum = np.zeros(size // 2 + 1, complex)
    spectrum[1 : 1 + len(levels)] = np.asarray(levels) * np.exp(2j * np.pi * rng.random(len(levels)))
    table = np.fft.irfft(spectrum) * size / 2
    phase = np.cumsum(np.broadcast_to(hz, n)) / SAMPLE_RATE + rng.random()
    return table[(phase * size).astype(np.int64) % size]


def _harmonics(rng: Generator, count: int, slope: float) -> Any:
    """Levels of harmonics that fall as k^-slope, each more or less."""
    return np.arange(1, count + 1) ** -slope * 10 ** (rng.normal(0, 4, count) / 20)


def _ring(rng: Generator, hz: Any, decay: Any, noise: float = 0.0) -> Any:
    """A struck body: partials `hz` that fall by 60 dB in `decay` s, and a share of noise at the stroke."""
    hz, decay = np.atleast_1d(hz).astype(float), np.broadcast_to(decay, np.size(hz))
    seconds = np.arange(int(SAMPLE_RATE * float(np.max(decay)))) / SAMPLE_RATE
    phase = 2 * np.pi * (hz[:, None] * seconds + rng.random((len(hz), 1)))
    body = (np.sin(phase) * 10 ** (-3 * seconds / decay[:, None])).sum(0) / np.sqrt(len(hz))
    return body + noise * rng.standard_normal(len(seconds)) * np.exp(-seconds / 0.004)


def _click(rng: Generator, low: float, high: float, decay: float) -> Any:
    """A short stroke of band noise."""
    n = max(64, int(SAMPLE_RATE * decay))
    return _band(rng, n, low, high) * 10 ** (-3 * np.arange(n) / n)


def _scatter(rng: Generator, n: int, times: Any, pool: Sequence[Any], gains: Any) -> Any:
    """Add one of `pool` (drawn anew each time) at every time, with its gain."""
    out = np.zeros(n)
    starts, gains = (np.asarray(times) * SAMPLE_RATE).astype(int), np.broadcast_to(gains, np.shape(times))
    which = rng.integers(len(pool), size=len(starts))
    for start, gain, index in zip(starts, gains, which, strict=True):
        if 0 <= start < n:
            piece = pool[index][: n - start]
            out[start : start + len(piece)] += gain * piece
    return out


def _at_random(rng: Generator, n: int, per_second: float) -> Any:
    """Times of independent events, at least one."""
    seconds = n / SAMPLE_RATE
    return np.sort(rng.uniform(0, seconds, max(1, rng.poisson(per_second * seconds))))


def _in_turn(rng: Generator, n: int, period: float, jitter: float) -> Any:
    """Times of a cycle, each moved by a share `jitter` of the period."""
    times = np.arange(rng.uniform(0, period), n / SAMPLE_RATE, period)
    return times + rng.normal(0, jitter * period, len(times))


# --- types of train ---------------------------------------------------------------------------------------------


def _white(rng: Generator, n: int) -> Any:
    return _tilted(rng, n, 0.0) * _sway(rng, n, 0.3, rng.uniform(0, 1))


def _pink(rng: Generator, n: int) -> Any:
    return _tilted(rng, n, rng.uniform(-3.5, -2.5)) * _sway(rng, n, 0.3, rng.uniform(0, 1.5))


def _brown(rng: Generator, n: int) -> Any:
    return _tilted(rng, n, rng.uniform(-6.5, -5.5)) * _sway(rng, n, 0.3, rng.uniform(0, 1.5))


def _mains_hum(rng: Generator, n: int) -> Any:
    hz = rng.choice([50.0, 60.0]) * (1 + _slow(rng, n, 0.2, 0.0005))
    hum = _tones(rng, n, hz, _harmonics(rng, 16, rng.uniform(0.7, 1.6)))
    return hum * _sway(rng, n, 0.5, 1.0) + 0.02 * _tilted(rng, n, -3.0)


def _fan(rng: Generator, n: int) -> Any:
    turn = rng.uniform(12, 35) * (1 + _slow(rng, n, 0.3, 0.01))
    blades = int(rng.integers(3, 8))
    chop = _tones(rng, n, turn * blades, _harmonics(rng, 12, 1.2))
    wobble = 1 + rng.uniform(0.05, 0.4) * _tones(rng, n, turn, [1.0])
    air = _band(rng, n, 80, rng.uniform(600, 3000), -3.0)
    return (air + rng.uniform(0.1, 0.6) * chop) * wobble


def _traffic(rng: Generator, n: int) -> Any:
    seconds = np.arange(n) / SAMPLE_RATE
    out = 0.4 * _band(rng, n, 25, 250, -4.0) * _sway(rng, n, 0.5, 3)
    for start in _at_random(rng, n, rng.uniform(0.2, 0.8)):
        passing = 1 / (1 + ((seconds - start) / rng.uniform(0.4, 1.5)) ** 2)
        tyres = _band(rng, n, 100, rng.uniform(700, 2500), -2.0)
        doppler = 1 - 0.06 * np.tanh((seconds - start) / 0.6)
        motor = _tones(rng, n, rng.uniform(35, 110) * doppler, _harmonics(rng, 10, 1.0))
        out += passing * (tyres + 0.3 * motor) * rng.uniform(0.3, 1)
    return out


def _syllables(rng: Generator, seconds: float) -> Any:
    """One talker without words: vowels of a glottal pulse train through three formants, hisses, pauses."""
    from scipy.signal import lfilter

    n = int(seconds * SAMPLE_RATE)
    out, place = np.zeros(n + SAMPLE_RATE), int(rng.uniform(0, 0.5) * SAMPLE_RATE)  # room for the last syllable
    base_hz, size = rng.uniform(85, 240), rng.uniform(0.9, 1.2)
    while place < n:
        length = int(rng.uniform(0.1, 0.3) * SAMPLE_RATE)
        if rng.random() < 0.3:
            hiss = _click(rng, 2500, 7000, rng.uniform(0.06, 0.12)) * 0.3
            out[place : place + len(hiss)] += hiss
            place += len(hiss) // 2
        hz = base_hz * np.linspace(1, rng.uniform(0.8, 1.15), length) * rng.uniform(0.9, 1.2)
        pulses = np.diff(np.floor(np.cumsum(hz) / SAMPLE_RATE), prepend=0.0)
        voice: Any = lfilter([1.0, -1.0], [1.0, -1.75, 0.76], pulses)  # a soft glottis, and lips
        for formant, width in zip(_VOWELS_HZ[rng.integers(len(_VOWELS_HZ))], _VOWEL_WIDTHS_HZ, strict=True):
            radius = np.exp(-np.pi * width / SAMPLE_RATE)
            around = -2 * radius * np.cos(2 * np.pi * formant * size / SAMPLE_RATE)
            voice = lfilter([1 + around + radius**2], [1, around, radius**2], voice)
        voice = voice / (np.std(voice) + 1e-9) * np.hanning(length) * rng.uniform(0.5, 1.2)
        out[place : place + length] += voice
        place += int(length * rng.uniform(0.75, 1.1))
        place += int(rng.uniform(0.2, 1.0) * SAMPLE_RATE) if rng.random() < 0.12 else 0
    return out[:n]


def _babble(rng: Generator, n: int) -> Any:
    talkers = [_syllables(rng, n / SAMPLE_RATE) * rng.uniform(0.3, 1) for _ in range(rng.integers(5, 11))]
    voices = np.sum(talkers, axis=0)
    voices /= np.sqrt(np.mean(voices**2))
    clinks = _scatter(
        rng, n, _at_random(rng, n, 0.6), [_ring(rng, rng.uniform(1800, 6000, 4), 0.2) for _ in range(4)], 0.5
    )
    return voices + 0.15 * _band(rng, n, 100, 2000, -4.0) + clinks * rng.uniform(0, 1)


def _wind(rng: Generator, n: int) -> Any:
    gust = _slow(rng, n, rng.uniform(0.4, 1.0), 1.0)
    out = _band(rng, n, 20, 200, -4.0) * 10 ** (gust * 6 / 20)
    out += 0.4 * _band(rng, n, 200, 900, -3.0) * 10 ** (gust * 10 / 20)
    whistle_hz = rng.uniform(300, 900) * 2 ** (0.25 * gust)
    whistle = _band(rng, n, 1, 15) * _tones(rng, n, whistle_hz, [1.0]) * 10 ** (gust * 8 / 20)
    return out + rng.uniform(0, 0.3) * whistle


def _rain(rng: Generator, n: int) -> Any:
    drops = [_click(rng, rng.uniform(800, 3000), rng.uniform(4000, 7500), rng.uniform(0.003, 0.02)) for _ in range(32)]
    times = _at_random(rng, n, rng.uniform(20, 150))
    patter = _scatter(rng, n, times, drops, rng.lognormal(0, 0.7, len(times)))
    return (_band(rng, n, 700, 7500, -1.0) * 0.5 + rng.uniform(0.3, 1.2) * patter) * _sway(rng, n, 0.3, 1.5)


def _keyboard(rng: Generator, n: int) -> Any:
    keys = [_click(rng, rng.uniform(600, 1500), rng.uniform(3000, 7000), rng.uniform(0.02, 0.05)) for _ in range(16)]
    downs = np.cumsum(rng.gamma(3, rng.uniform(0.03, 0.07), int(n / SAMPLE_RATE * 40)))
    downs += np.cumsum(rng.uniform(0.3, 1.5, len(downs)) * (rng.random(len(downs)) < 0.06))
    out = _scatter(rng, n, downs, keys, rng.uniform(0.5, 1, len(downs)))
    ups = downs + rng.uniform(0.05, 0.1, len(downs))
    return out + _scatter(rng, n, ups, keys, rng.uniform(0.1, 0.4, len(ups))) + 0.02 * _tilted(rng, n, -3.0)


def _factory(rng: Generator, n: int) -> Any:
    plates = [_ring(rng, rng.uniform(150, 4000, 8), rng.uniform(0.1, 0.7), 1.0) for _ in range(5)]
    stamps = _in_turn(rng, n, rng.uniform(0.4, 1.4), 0.01)
    out = _scatter(rng, n, stamps, plates[:2], rng.uniform(1.5, 2.5)) + _scatter(
        rng, n, _at_random(rng, n, 1.5), plates, 0.8
    )
    steam = _scatter(rng, n, stamps + 0.15, [_band(rng, 4000, 2000, 7500) * np.hanning(4000)], 0.5)
    motor_hz = rng.uniform(40, 160) * (1 + _slow(rng, n, 0.5, 0.01))
    return out + steam + 0.4 * _tones(rng, n, motor_hz, _harmonics(rng, 20, 0.8)) + 0.4 * _band(rng, n, 60, 3000, -3.0)


def _engine_idle(rng: Generator, n: int) -> Any:
    exhaust = [_ring(rng, rng.uniform(50, 400, 6), rng.uniform(0.06, 0.15), 0.3) for _ in range(6)]
    hz = rng.uniform(14, 32)
    fired = _in_turn(rng, n, 1 / hz, 0.03)
    cylinders = rng.uniform(0.7, 1.2, int(rng.choice([3, 4, 6])))
    out = _scatter(rng, n, fired, exhaust, cylinders[np.arange(len(fired)) % len(cylinders)])
    ticks = _scatter(rng, n, fired, [_click(rng, 1500, 6000, 0.01)], 0.15)
    return (out + ticks + 0.2 * _band(rng, n, 60, 1500, -3.0)) * _sway(rng, n, 0.5, 1)


def _vinyl_crackle(rng: Generator, n: int) -> Any:
    clicks = [_click(rng, rng.uniform(400, 2000), 7500, rng.uniform(0.002, 0.006)) for _ in range(16)]
    times = _at_random(rng, n, rng.uniform(8, 60))
    out = _scatter(rng, n, times, clicks, np.minimum(rng.lognormal(-1, 0.8, len(times)), 1.5))
    out += _scatter(rng, n, _in_turn(rng, n, 60 / rng.choice([33.3, 45.0, 78.0]), 0.002), clicks[:1], 1.0)
    return out + 0.1 * _tilted(rng, n, -2.0) + 0.15 * _band(rng, n, 15, 60)


def _electrical_buzz(rng: Generator, n: int) -> Any:
    hz = rng.choice([100.0, 120.0]) * (1 + _slow(rng, n, 0.3, 0.001))
    gate = np.abs(_tones(rng, n, hz / 2, [1.0])) ** rng.uniform(4, 20)
    sparks = _band(rng, n, rng.uniform(500, 1500), 7500) * gate
    buzz = _tones(rng, n, hz, _harmonics(rng, 60, rng.uniform(0.2, 0.6)))
    return (0.3 * buzz + sparks) * _sway(rng, n, rng.uniform(0.5, 6), rng.uniform(0.5, 4))


def _radio_static(rng: Generator, n: int) -> Any:
    fading = _sway(rng, n, rng.uniform(0.3, 2), rng.uniform(3, 7))
    pops = _scatter(rng, n, _at_random(rng, n, 6), [_click(rng, 300, 5000, 0.01) for _ in range(8)], rng.uniform(1, 3))
    whistle = _tones(rng, n, rng.uniform(500, 2500) * 2 ** _slow(rng, n, 0.4, 0.5), [1.0]) * _sway(rng, n, 1, 6)
    return _band(rng, n, 250, rng.uniform(2800, 5500)) * fading + 0.4 * pops + rng.uniform(0, 0.2) * whistle


def _train_interior(rng: Generator, n: int) -> Any:
    out = _band(rng, n, 25, rng.uniform(200, 500), -4.0) * _sway(rng, n, 1.5, 2) + 0.25 * _band(rng, n, 300, 3500, -3.0)
    thuds = [_click(rng, 40, 300, 0.25) + 0.2 * _click(rng, 300, 1500, 0.25) for _ in range(4)]
    joints = _in_turn(rng, n, rng.uniform(0.7, 1.8), 0.01)
    both = np.concatenate([joints, joints + rng.uniform(0.1, 0.2)])
    squeal = _tones(rng, n, rng.uniform(1500, 3500) * (1 + _slow(rng, n, 2, 0.01)), _harmonics(rng, 3, 1.0))
    heard = np.clip(_slow(rng, n, 0.4, 1.0) - 0.8, 0, None)
    return out + _scatter(rng, n, both, thuds, rng.uniform(0.8, 2)) + 0.3 * squeal * heard


def _kitchen(rng: Generator, n: int) -> Any:
    dishes = [_ring(rng, rng.uniform(900, 7000, 6), rng.uniform(0.05, 0.4), 0.6) for _ in range(16)]
    tables = [_click(rng, 80, 1200, 0.12) for _ in range(4)]
    times = np.concatenate([t + np.cumsum(rng.exponential(0.12, rng.integers(1, 8))) for t in _at_random(rng, n, 0.8)])
    out = _scatter(rng, n, times, dishes, rng.lognormal(-0.5, 0.6, len(times)))
    extractor = _band(rng, n, 70, 1500, -2.0) * rng.uniform(0.03, 0.15)
    return out + _scatter(rng, n, _at_random(rng, n, 0.7), tables, 1.2) + extractor


# --- types of dev and test --------------------------------------------------------------------------------------


def _blue(rng: Generator, n: int) -> Any:
    return _tilted(rng, n, rng.uniform(2.5, 3.5)) * _sway(rng, n, 0.3, rng.uniform(0, 1.5))


def _water_stream(rng: Generator, n: int) -> Any:
    def bubble() -> Any:
        seconds = np.arange(int(rng.uniform(0.01, 0.05) * SAMPLE_RATE)) / SAMPLE_RATE
        hz = rng.uniform(350, 2800) * (1 + rng.uniform(0, 8) * seconds)  # a bubble rises as it shrinks
        return np.sin(2 * np.pi * np.cumsum(hz) / SAMPLE_RATE) * np.exp(-5 * seconds / seconds[-1])

    times = _at_random(rng, n, rng.uniform(60, 200))
    bubbles = _scatter(rng, n, times, [bubble() for _ in range(48)], rng.lognormal(-0.5, 0.7, len(times)))
    return bubbles + rng.uniform(0.1, 0.4) * _band(rng, n, 400, 6000, -2.0) * _sway(rng, n, 1, 1.5)


def _vacuum_cleaner(rng: Generator, n: int) -> Any:
    load = _slow(rng, n, rng.uniform(0.5, 1.2), 1.0)  # the nozzle meets carpet and floor
    motor = _tones(rng, n, rng.uniform(180, 420) * (1 - 0.03 * load), _harmonics(rng, 14, 0.5))
    return _band(rng, n, 200, rng.uniform(3000, 6500), -1.0) * 10 ** (load * 2 / 20) + rng.uniform(0.3, 0.8) * motor


def _applause(rng: Generator, n: int) -> Any:
    hands = [_click(rng, rng.uniform(500, 1100), rng.uniform(1600, 4000), rng.uniform(0.02, 0.05)) for _ in range(40)]
    people = [_in_turn(rng, n, rng.uniform(0.2, 0.35), 0.06) for _ in range(rng.integers(10, 70))]
    times = np.concatenate(people)
    return _scatter(rng, n, times, hands, rng.lognormal(-0.5, 0.6, len(times))) * _sway(rng, n, 0.4, 3)


def _air_conditioner(rng: Generator, n: int) -> Any:
    on = 1 / (1 + np.exp(-6 * _slow(rng, n, 0.3, 1.0)))  # the compressor comes and goes
    hum = _tones(rng, n, rng.choice([49.0, 59.0]), _harmonics(rng, 8, 1.2)) * on
    rattle = _scatter(rng, n, _in_turn(rng, n, rng.uniform(0.06, 0.12), 0.1), [_click(rng, 400, 2500, 0.03)], 0.3) * on
    return _band(rng, n, 40, 400, -4.0) + rng.uniform(0.2, 0.6) * (hum + rattle) + 0.2 * _band(rng, n, 400, 6000, -3.0)


def _waves(rng: Generator, n: int) -> Any:
    swell = _slow(rng, n, rng.uniform(0.3, 0.6), 1.0)
    surf = _band(rng, n, 60, 700, -2.0) * 10 ** (swell * 6 / 20)
    return surf + 0.6 * _band(rng, n, 700, 7000, -2.0) * 10 ** (np.roll(swell, int(0.6 * SAMPLE_RATE)) * 9 / 20)


def _pneumatic_drill(rng: Generator, n: int) -> Any:
    strokes = [_ring(rng, rng.uniform(100, 3500, 8), rng.uniform(0.04, 0.1), 1.5) for _ in range(6)]
    hammer = _scatter(rng, n, _in_turn(rng, n, 1 / rng.uniform(14, 28), 0.03), strokes, 1.0)
    pressed = 1 / (1 + np.exp(-12 * (_slow(rng, n, 0.5, 1.0) + 0.5)))
    compressor = _tones(rng, n, rng.uniform(25, 60), _harmonics(rng, 20, 0.9))
    return (hammer + 0.4 * _band(rng, n, 1000, 7500)) * pressed + 0.3 * compressor + 0.1 * _tilted(rng, n, -3.0)


def _named(*makers: Callable[[Generator, int], Any]) -> dict[str, Callable[[Generator, int], Any]]:
    return {maker.__name__.removeprefix("_"): maker for maker in makers}


# What is held out: no type is in two splits.
TYPES = {
    "train": _named(
        *(_white, _pink, _brown, _mains_hum, _fan, _traffic, _babble, _wind, _rain, _keyboard, _factory),
        *(_engine_idle, _vinyl_crackle, _electrical_buzz, _radio_static, _train_interior, _kitchen),
    ),
    "dev": _named(_blue, _water_stream, _vacuum_cleaner),
    "test": _named(_applause, _air_conditioner, _waves, _pneumatic_drill),
}
