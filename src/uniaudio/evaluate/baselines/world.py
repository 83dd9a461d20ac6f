"""Voice conversion by WORLD: the mean pitch and the formants of the source moved to those of the target speaker.

N samples, T frames of 5 ms, D frequencies
"""

import warnings
from importlib import import_module
from typing import Any

import numpy as np

from uniaudio.audio.io import Audio

_RATE = 16000
_RATIOS = np.arange(0.80, 1.2501, 0.01)  # formants of the target over those of the source
_BAND_HZ = (150.0, 5000.0)  # where formants are compared


def convert(source: Audio, speaker: Audio) -> Audio:
    """Return the words of the source at the speaker's pitch and with formants in the speaker's place.

    One factor moves all pitches and one all formants: WORLD (Morise et al. 2016) analyses and synthesises.
    Raises ValueError when one of the recordings has no voiced frame.
    """
    world = _world()
    samples = source.samples[0]
    pitch, power, noise = _analysed(world, samples, "source")
    other_pitch, other_power, _ = _analysed(world, speaker.samples[0], "speaker")
    ratio = formant_ratio(_mean_envelope(pitch, power), _mean_envelope(other_pitch, other_power))
    place = np.arange(power.shape[1]) / ratio  # where each frequency of the result comes from
    raised = pitch * (_median(other_pitch) / _median(pitch))
    moved = np.exp(_at(np.log(power + 1e-12), place))
    made = world.synthesize(raised, moved, np.clip(_at(noise, place), 1e-3, 1 - 1e-3), _RATE)
    made = np.pad(made, (0, max(0, len(samples) - len(made))))[: len(samples)]
    made *= np.sqrt(np.mean(samples**2) / max(np.mean(made**2), 1e-12))
    return Audio(made.clip(-1, 1)[None].astype(np.float32), _RATE)


def formant_ratio(own: np.ndarray, other: np.ndarray) -> float:
    """Return the factor on frequency that makes one mean log envelope [D] the most like another [D].

    Compared by correlation after the linear slope is taken out, so that level and brightness do not count.
    """
    hertz = np.linspace(0, _RATE / 2, len(own))
    inside = (hertz >= _BAND_HZ[0]) & (hertz <= _BAND_HZ[1])
    wanted = _level(hertz[inside], other[inside])
    scores = [wanted @ _level(hertz[inside], np.interp(hertz[inside] / ratio, hertz, own)) for ratio in _RATIOS]
    return float(_RATIOS[int(np.argmax(scores))])


def _world() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports pkg_resources, which warns that it is old
        return import_module("pyworld")


def _analysed(world: Any, samples: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pitch [T] in Hz (0 where unvoiced), the power of the envelope [T, D] and aperiodicity [T, D]."""
    speech = np.ascontiguousarray(samples, np.float64)
    pitch, times = world.dio(speech, _RATE, f0_floor=65.0, f0_ceil=500.0)
    pitch = world.stonemask(speech, pitch, times, _RATE)
    if not (pitch > 0).any():
        raise ValueError(f"no frame of the {name} is voiced: there is no pitch to move")
    return pitch, world.cheaptrick(speech, pitch, times, _RATE), world.d4c(speech, pitch, times, _RATE)


def _median(pitch: np.ndarray) -> float:
    return float(np.median(pitch[pitch > 0]))


def _mean_envelope(pitch: np.ndarray, power: np.ndarray) -> np.ndarray:
    return np.log(power[pitch > 0] + 1e-12).mean(0)


def _level(hertz: np.ndarray, envelope: np.ndarray) -> np.ndarray:
    """Return an envelope without its straight slope, of length 1."""
    flat = envelope - np.polyval(np.polyfit(hertz, envelope, 1), hertz)
    return flat / max(float(np.linalg.norm(flat)), 1e-12)


def _at(frames: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return frames [T, D] read at fractional places [D] of the frequency axis."""
    place = np.clip(place, 0, frames.shape[1] - 1.001)
    left, part = place.astype(int), place % 1
    return np.ascontiguousarray(frames[:, left] * (1 - part) + frames[:, left + 1] * part)
