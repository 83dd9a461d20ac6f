"""Building blocks of made sounds: control curves, noise, tones, voices, resonances, modes, grains and passing sources.

N samples at RATE, M modes, G grains, L samples of a grain. Everything random takes the caller's generator.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.random import Generator

from uniaudio.data.synthesize.corpus import SAMPLE_RATE as RATE

TOP_HZ = 7600.0  # nothing is made above
SOUND_SPEED = 340.0  # m/s


def samples(seconds: float) -> int:
    """Return the number of samples, at least one."""
    return max(1, round(seconds * RATE))


def curve(n: int, *points: tuple[float, float]) -> np.ndarray:
    """Return straight lines through (position from 0 to 1, value) points, [N]."""
    positions, values = zip(*points, strict=True)
    return np.interp(np.linspace(0.0, 1.0, n), positions, values)


def wander(rng: Generator, n: int, rate_hz: float, low: float, high: float) -> np.ndarray:
    """Return a random curve in [low, high] with about `rate_hz` turning points a second, [N]."""
    count = max(2, int(n / RATE * rate_hz) + 2)
    return np.interp(np.linspace(0, count - 1, n), np.arange(count), rng.uniform(low, high, count))


def hump(n: int, power: float = 1.0) -> np.ndarray:
    """Return a raised half sine that starts and ends at zero, [N]."""
    return np.sin(np.linspace(0.0, np.pi, n)) ** power


def strike(n: int, decay: float, attack: float = 0.001) -> np.ndarray:
    """Return an envelope that rises in `attack` s and falls by e every `decay` s, [N]."""
    time = np.arange(n) / RATE
    return np.minimum(1.0, time / attack) * np.exp(-time / decay)


def gate(n: int, start: float, seconds: float, edge: float = 0.005) -> np.ndarray:
    """Return 1 between start and start + seconds and 0 elsewhere, with edges of `edge` s, [N]."""
    time = np.arange(n) / RATE
    return np.clip(np.minimum(time - start, start + seconds - time) / edge, 0.0, 1.0)


def white(rng: Generator, n: int) -> np.ndarray:
    """Return white noise of unit power, [N]."""
    return rng.standard_normal(n)


def coloured(rng: Generator, n: int, db_per_octave: float) -> np.ndarray:
    """Return noise of unit power whose spectrum falls or rises by `db_per_octave` above 30 Hz, [N]."""
    from scipy import fft

    size: Any = fft.next_fast_len(n, real=True)
    spectrum: Any = fft.rfft(rng.standard_normal(size))
    hz = np.maximum(np.fft.rfftfreq(size, 1 / RATE), 30.0)
    noise: Any = fft.irfft(spectrum * (hz / 1000.0) ** (db_per_octave / 6.02), size)[:n]
    return noise / (np.sqrt(np.mean(noise**2)) + 1e-12)


def band(signal: np.ndarray, low: float | None, high: float | None, order: int = 2) -> np.ndarray:
    """Return the signal between two frequencies in Hz (Butterworth); None leaves that side open."""
    from scipy.signal import butter, sosfilt

    if low is not None and high is not None:
        sections = butter(order, (low, min(high, 7900.0)), "bandpass", fs=RATE, output="sos")
    elif low is not None:
        sections = butter(order, low, "highpass", fs=RATE, output="sos")
    else:
        sections = butter(order, high, "lowpass", fs=RATE, output="sos")
    filtered: Any = sosfilt(sections, signal)
    return filtered


def resonate(signal: np.ndarray, *peaks: tuple[float, float, float]) -> np.ndarray:
    """Return the sum of resonances (centre Hz, width Hz, gain) driven by the signal, [N]."""
    from scipy.signal import iirpeak, lfilter

    total = np.zeros(len(signal))
    for hz, width, gain in peaks:
        forward, back = iirpeak(hz, hz / width, fs=RATE)
        ringing: Any = lfilter(forward, back, signal)
        total += gain * ringing
    return total


def convolve(signal: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return the signal through an impulse response, as long as the signal."""
    from scipy.signal import oaconvolve

    return oaconvolve(signal, kernel)[: len(signal)]


def phase(hz: np.ndarray) -> np.ndarray:
    """Return the phase in turns of a frequency curve, [N]."""
    return np.cumsum(hz) / RATE


def _harmonics(hz: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Yield the sine of each harmonic of a frequency curve [N], by sin (k+1)x = 2 cos x sin kx - sin (k-1)x."""
    turns = 2 * np.pi * (phase(hz) % 1.0)
    twice, before, now = 2 * np.cos(turns), np.zeros(len(hz)), np.sin(turns)
    for _ in range(count):
        yield now
        before, now = now, twice * now - before


def tone(hz: np.ndarray, gains: Any) -> np.ndarray:
    """Return harmonics of a frequency curve [N] with the given gains [K]; those above TOP_HZ are silent."""
    total, highest = np.zeros(len(hz)), hz.max()
    for number, (gain, wave) in enumerate(zip(gains, _harmonics(hz, len(gains)), strict=True), 1):
        total += gain * (wave if number * highest < TOP_HZ else wave * (number * hz < TOP_HZ))
    return total


def voice(hz: np.ndarray, formants: list[tuple[Any, float, float]], tilt: float = 1.0) -> np.ndarray:
    """Return a source with harmonics of 1 / number**tilt, shaped by formants, [N].

    A formant is (centre in Hz: a number or a curve [N], width Hz, gain): the parallel form of the source-filter model.
    """
    total = np.zeros(len(hz))
    for number, wave in enumerate(_harmonics(hz, int(np.clip(TOP_HZ / hz.min(), 1, 60))), 1):
        partial = number * hz
        gain = 0.02 + sum(height / (1 + ((partial - centre) / (width / 2)) ** 2) for centre, width, height in formants)
        total += wave * gain * (number**-tilt * (partial < TOP_HZ))
    return total


def rough(rng: Generator, n: int, rate_hz: float, depth: float) -> np.ndarray:
    """Return a gain in [1 - depth, 1] that flutters irregularly up to `rate_hz`, [N]: hoarseness, rattle."""
    return 1.0 - depth * wander(rng, n, 2 * rate_hz, 0.0, 1.0)


def narrowband(rng: Generator, hz: np.ndarray, width: float) -> np.ndarray:
    """Return noise of `width` Hz around a moving centre [N]: a howl, a whistle, a breath."""
    from scipy.signal import butter, sosfilt

    sections = butter(2, width / 2, "lowpass", fs=RATE, output="sos")
    noise = rng.standard_normal(len(hz)) + 1j * rng.standard_normal(len(hz))
    slow: Any = sosfilt(sections, noise)
    moved = np.real(slow * np.exp(2j * np.pi * phase(hz)))
    return moved / (np.sqrt(np.mean(moved**2)) + 1e-12)


def pulses(rng: Generator, hz: np.ndarray, jitter: float = 0.1) -> np.ndarray:
    """Return one impulse a turn of the frequency curve, with heights in 1 +- jitter, [N]."""
    whole = np.floor(phase(hz))
    found = np.flatnonzero(np.diff(whole, prepend=-1.0) > 0)
    train = np.zeros(len(hz))
    train[found] = 1.0 + jitter * rng.uniform(-1, 1, len(found))
    return train


def modal(n: int, hz: Any, decays: Any, gains: Any) -> np.ndarray:
    """Return the sum of decaying modes, [N]: frequencies Hz, decay times s (to 1/e) and gains, [M] each."""
    hz, decays, gains = (np.asarray(value, float)[:, None] for value in (hz, decays, gains))
    keep = (hz < TOP_HZ)[:, 0]
    time = np.arange(n) / RATE
    return (gains * np.exp(-time / decays) * np.sin(2 * np.pi * hz * time))[keep].sum(0)


def body(rng: Generator, n: int, lowest: float, count: int, decay: float, spread: float = 1.6) -> np.ndarray:
    """Return a struck irregular body, [N]: `count` modes from `lowest` Hz, each about `spread` x the one before.

    Higher modes decay sooner, as in damped wood, metal or glass; `decay` s is that of the lowest.
    """
    hz = lowest * np.cumprod(np.concatenate(([1.0], rng.uniform(0.8, 1.2, count - 1) * spread)))
    return modal(n, hz, decay * (hz / lowest) ** -0.7, rng.uniform(0.4, 1.0, count) * (hz / lowest) ** -0.4)


def onsets(rng: Generator, n: int, rate_hz: float) -> np.ndarray:
    """Return random moments, `rate_hz` a second on average, as sample numbers, [G]."""
    return np.sort(rng.integers(0, n, rng.poisson(rate_hz * n / RATE)))


def beats(rng: Generator, n: int, period: float, jitter: float = 0.05) -> np.ndarray:
    """Return regular moments every `period` s, each off by up to `jitter` of a period, as sample numbers, [G]."""
    start = rng.uniform(0.0, 0.3) * period
    time = np.arange(start, max(n / RATE, start + 1e-6), period)
    time = time + period * jitter * rng.uniform(-1, 1, len(time))
    return np.clip((time * RATE).astype(int), 0, n - 1)


def place(n: int, moments: np.ndarray, grains: np.ndarray) -> np.ndarray:
    """Return grains [G, L] added up at their moments [G], [N]; what runs over the end is cut."""
    if not len(moments):
        return np.zeros(n)
    length = grains.shape[1]
    index = np.asarray(moments, int)[:, None] + np.arange(length)  # [G, L]
    return np.bincount(index.ravel(), weights=grains.ravel(), minlength=n + length)[:n]


def hits(rng: Generator, n: int, moments: np.ndarray, kernel: np.ndarray, depth: float = 0.5) -> np.ndarray:
    """Return one kernel [L] struck at the moments [G] with gains in [1 - depth, 1], [N]."""
    return place(n, moments, kernel * rng.uniform(1 - depth, 1.0, len(moments))[:, None])


def cloud(rng: Generator, n: int, rate_hz: float, hz: tuple[float, float], decay: tuple[float, float]) -> np.ndarray:
    """Return a cloud of clicks in six timbres, [N]: `rate_hz` a second, ringing at `hz` for `decay` s (ranges)."""
    total = np.zeros(n)
    for _ in range(6):
        fall = rng.uniform(*decay)
        kernel = modal(samples(6 * fall), [rng.uniform(*hz)], [fall], [1.0])
        train = np.zeros(n)
        moments = onsets(rng, n, rate_hz / 6)
        np.add.at(train, moments, rng.exponential(1.0, len(moments)))
        total += convolve(train, kernel)
    return total


def drops(rng: Generator, n: int, rate_hz: float, hz: tuple[float, float], rise: float = 0.3) -> np.ndarray:
    """Return bubbles, [N]: damped sines at random pitches in `hz` that rise by `rise`, after van den Doel (2005)."""
    moments = onsets(rng, n, rate_hz)
    count, length = len(moments), samples(0.09)
    low, high = np.log(hz)
    pitch = np.exp(rng.uniform(low, high, count))[:, None]  # [G, 1]
    time = np.arange(length) / RATE
    turns = pitch * (time + rise * time * time / 0.18)  # [G, L]
    fall = rng.uniform(9.0, 18.0, (count, 1)) / pitch
    heights = rng.exponential(1.0, (count, 1)) * (pitch / hz[0]) ** -0.5
    return place(n, moments, heights * np.exp(-time / fall) * np.sin(2 * np.pi * turns) * np.minimum(1, time / 0.001))


def pass_by(signal: np.ndarray, speed: float, nearest: float, when: float) -> np.ndarray:
    """Return a source that drives past at `speed` m/s, `nearest` m away after the share `when` of the time, [N].

    The delay by the changing distance is the Doppler shift; the gain is 1 / distance.
    """
    time = np.arange(len(signal)) / RATE
    distance = np.sqrt(nearest**2 + (speed * (time - when * time[-1])) ** 2)
    delay = (distance - distance.min()) / SOUND_SPEED
    return np.interp(np.abs(time - delay), time, signal) * nearest / distance  # mirrored before the start
