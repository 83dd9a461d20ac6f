"""Speech-to-reverberation energy ratio where the dry speech is known, on waveforms and, for generated speech, in gaps.

Early is what a filter of at most 50 ms makes of the dry speech: direct sound, first reflections and the colour of the
channel. The rest is late reverberation, and whatever else was not said.

M mel bands, T frames
"""

import functools
from typing import TYPE_CHECKING

import numpy as np

from uniaudio.audio.io import Audio

if TYPE_CHECKING:
    from uniaudio.audio.spectral import LogMel

RATE = 16000
EARLY_SECONDS = 0.050  # of the filter, of which LEAD_SECONDS come before the dry speech
LEAD_SECONDS = 0.004
CEILING_DB = 60.0
_RIDGE = 1e-6  # of the energy of the dry speech: the filter stays tame where the speech has no energy
_GAP_DB = 30.0  # a band of the dry speech is silent this far below its loud frames
_N_FFT, _HOP, _NUM_MELS = 512, 128, 32


def reverberation_ratio(original: Audio, processed: Audio) -> float:
    """Return the early energy over the rest in dB, within +-CEILING_DB, of `processed` against dry `original`.

    It compares waveforms, so speech from a codec or a model, whose phases are its own, scores low even when it is dry:
    use `gap_ratio` for it. The shorter recording decides the length. Raises ValueError below 0.25 s and for silence.
    """
    from scipy.linalg import solve_toeplitz
    from scipy.signal import correlate, oaconvolve

    clean, other = (samples.astype(np.float64) for samples in _in_step(original, processed))
    lead, taps = round(LEAD_SECONDS * RATE), round(EARLY_SECONDS * RATE)
    first = len(clean) - 1  # where a correlation has lag 0
    other = np.concatenate([np.zeros(lead), other, np.zeros(taps)])  # the filter may start `lead` early
    own = correlate(clean, clean, method="fft")[first : first + taps]
    own[0] *= 1 + _RIDGE
    cross = correlate(other, clean, method="fft")[first : first + taps]
    inside = slice(0, lead + len(clean))  # what a room adds after the end is not in the recording
    early = oaconvolve(clean, solve_toeplitz(own, cross))[inside]
    return _ratio_db(np.sum(early**2), np.sum((other[inside] - early) ** 2))


def gap_ratio(original: Audio, processed: Audio) -> float:
    """Return the energy where the dry `original` sounds over that in its gaps, in dB, within +-CEILING_DB.

    A gap is a frame of a mel band in which the dry speech has been silent for 50 ms. Blind to phase; of dry speech it
    is not infinite but the speech's own, so compare it on the same sentences only: halving late reverberation raises
    it by 6 dB until it gets near that. Lengths and errors as `reverberation_ratio`.
    """
    import torch
    from scipy.ndimage import maximum_filter1d

    both = [torch.from_numpy(samples[None]) for samples in _in_step(original, processed)]
    dry, heard = (np.exp(2 * _mel()(samples)[0].double().numpy()) for samples in both)  # [M, T] power
    hold = round(EARLY_SECONDS * RATE / _HOP)
    # The loudest of the last `hold` and the next two frames, into which the windows reach.
    recent = maximum_filter1d(dry, hold + 3, axis=1, origin=(hold - 2) // 2, mode="nearest")
    gaps = recent < np.percentile(dry, 99, axis=1, keepdims=True) * 10 ** (-_GAP_DB / 10)
    if not gaps.any() or gaps.all():
        raise ValueError("the dry speech has no gap in which reverberation could be heard")
    return _ratio_db(np.sum(heard[~gaps]), np.sum(heard[gaps]))


def _in_step(original: Audio, processed: Audio) -> tuple[np.ndarray, np.ndarray]:
    """Return both at RATE, float32 [N] each."""
    dry, heard = (audio.mono().resample(RATE).samples[0] for audio in (original, processed))
    size = min(len(dry), len(heard))
    if size < RATE // 4 or not np.any(dry[:size]) or not np.any(heard[:size]):
        raise ValueError(f"the reverberation ratio needs 0.25 s of sound that is not silent, got {size / RATE:.2f} s")
    return dry[:size], heard[:size]


def _ratio_db(kept: float, lost: float) -> float:
    least = (kept + lost) * 10 ** (-CEILING_DB / 10)
    return float(np.clip(10 * np.log10(max(kept, least) / max(lost, least)), -CEILING_DB, CEILING_DB))


@functools.cache
def _mel() -> "LogMel":
    from uniaudio.audio.spectral import LogMel

    return LogMel(RATE, _N_FFT, _HOP, _NUM_MELS, floor=1e-6)
