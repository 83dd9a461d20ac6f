"""What rooms and narrow bands do to sound, where lhotse, which mixes and reverberates, has nothing; it knows no file.

Key: N samples, R samples of an impulse response. Sound is mono [N] in [-1, 1].
"""

from typing import TYPE_CHECKING

import numpy as np

from uniaudio.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Samples = NDArray[np.float32]

_SILENT_POWER = 1e-12  # below a thousandth of the last bit of 16-bit sound
_SPARE_DECAY_DB = 15.0  # a cut response bends the end of its decay curve by less than 0.2 dB this far above the cut


def direct_sample(impulse_response: "ArrayLike") -> int:
    """Return the index of the direct path in a response [R]: its largest absolute sample, the earliest of equals."""
    return int(np.argmax(np.abs(_sound(impulse_response, "impulse response"))))


def rt60(impulse_response: "ArrayLike", sample_rate: int, decay_db: float = 30.0) -> float:
    """Return the reverberation time in seconds: how long the sound takes to decay by 60 dB.

    A line is fitted to Schroeder's backward-integrated energy (1965) from -5 dB down to -5 - `decay_db` and extended
    to 60 dB: T30 (default) or T20 of ISO 3382-1, for responses without background noise. Raises InputError for a
    response that is empty, silent, not finite, without reverberation, or cut before it has decayed.
    """
    if sample_rate < 1 or decay_db <= 0:
        raise InputError(f"sample_rate {sample_rate} and decay_db {decay_db} must be positive")
    response = _sound(impulse_response, "impulse response")[direct_sample(impulse_response) :]
    energy = np.cumsum(response[::-1] ** 2)[::-1]
    level_db = 10 * np.log10(np.maximum(energy / energy[0], 1e-15))  # [R]
    fitted = np.flatnonzero((level_db <= -5) & (level_db >= -5 - decay_db))
    if len(fitted) < 8:
        raise InputError("the impulse response has no reverberation to measure: its energy ends at once")
    slope_db = np.polyfit(fitted / sample_rate, level_db[fitted], 1)[0]  # dB per second, negative
    if -slope_db * len(response) / sample_rate < 5 + decay_db + _SPARE_DECAY_DB:
        seconds = len(response) / sample_rate
        raise InputError(f"the impulse response ends after {seconds:.2f} s, before it has decayed: give a longer one")
    return float(-60 / slope_db)


def bandlimit(samples: "ArrayLike", sample_rate: int, cutoff_hz: float) -> "Samples":
    """Return the sound [N] without what lies above `cutoff_hz`, without delay: flat to 0.9 of it, 80 dB down at it.

    Raises InputError for a cutoff outside (0, sample_rate / 2) and for samples that are empty or not finite.
    """
    from scipy.signal import fftconvolve, kaiserord

    if not 0 < cutoff_hz < sample_rate / 2:
        raise InputError(f"the cutoff must lie between 0 and {sample_rate / 2:g} Hz, not at {cutoff_hz} Hz")
    samples = _sound(samples, "sound", may_be_silent=True)
    num_taps, beta = kaiserord(80.0, 0.1 * cutoff_hz / (sample_rate / 2))
    half, share = num_taps // 2, 0.95 * cutoff_hz / (sample_rate / 2)
    taps = np.sinc(share * np.arange(-half, half + 1)) * np.kaiser(2 * half + 1, beta)
    taps /= taps.sum()
    return fftconvolve(samples, taps)[half : half + len(samples)].astype(np.float32)  # [N + taps - 1] -> [N]


def _sound(samples: "ArrayLike", what: str, may_be_silent: bool = False) -> "NDArray[np.float64]":
    """Return samples as float64 [N] of their own; raises InputError for what is no sound."""
    sound = np.array(samples, np.float64)
    if sound.ndim != 1:
        raise InputError(f"the {what} must be mono samples [N], not of shape {list(sound.shape)}: average its channels")
    if not sound.size:
        raise InputError(f"the {what} is empty: give at least one sample")
    if not np.isfinite(sound).all():
        raise InputError(f"the {what} holds values that are not numbers: repair or remove it")
    if not may_be_silent and np.mean(sound**2) < _SILENT_POWER:
        raise InputError(f"the {what} is silent, so it has no level: choose another")
    return sound
