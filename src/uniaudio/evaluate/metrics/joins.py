"""Clicks where a recording was cut: how much a moment stands out, among all others, by sudden high-frequency energy.

N samples
"""

import numpy as np

from uniaudio.audio.io import Audio

RATE = 16000
CLICK_DB = 3.0  # louder than this is a click: so are 2 % of sound places and of 20 ms crossfades in made speech
NEAR_SECONDS = 0.008  # a click is sought this far around the join
APART_SECONDS = 0.03  # and compared with what is further away than this
_ORDER = 4  # of the difference that takes out the low frequencies
_SHORT, _LONG = 4, 320  # samples over which energy is compared: 0.25 ms against the 20 ms around it
_FLOOR = 1e-8  # the power of 16-bit rounding after the difference
_PERCENTILE = 99.9


def join_click(audio: Audio, seconds: float) -> float:
    """Return how far, in dB, the sharpest moment at a join exceeds nearly every moment elsewhere (99.9 %).

    Sharpness is the energy of the fourth difference over 0.25 ms against that of the 20 ms around: a step raises it,
    the onset of a consonant, which goes on, hardly does. Speech has sharp moments of its own, so a weak click may hide.
    Raises ValueError for a join outside the recording or one with less than 0.25 s of sound besides it.
    """
    samples = audio.mono().resample(RATE).samples[0].astype(np.float64)
    if not 0 < seconds < len(samples) / RATE:
        raise ValueError(f"a join at {seconds:.2f} s is not inside a recording of {len(samples) / RATE:.2f} s")
    sharp = _sharpness(samples)
    at, near, apart = (round(value * RATE) for value in (seconds, NEAR_SECONDS, APART_SECONDS))
    elsewhere = np.concatenate([sharp[: max(0, at - apart)], sharp[at + apart :]])
    if len(elsewhere) < RATE // 4 or not np.any(samples):
        raise ValueError(f"a recording of {len(samples) / RATE:.2f} s says too little of a join in it")
    here = sharp[max(0, at - near) : at + near].max()
    return float(10 * np.log10(here / np.percentile(elsewhere, _PERCENTILE)))


def _sharpness(samples: np.ndarray) -> np.ndarray:
    """Return the short-time over the long-time energy [N - 4] of the fourth difference of samples [N]."""
    from scipy.ndimage import uniform_filter1d

    power = np.diff(samples, n=_ORDER) ** 2
    short = uniform_filter1d(power, _SHORT, mode="nearest")
    around = (uniform_filter1d(power, _LONG, mode="nearest") * _LONG - short * _SHORT) / (_LONG - _SHORT)
    return (np.maximum(short, 0) + _FLOOR) / (np.maximum(around, 0) + _FLOOR)  # running sums may round below 0
