"""Edited sound: a hole is filled by linear interpolation of the spectrum across it; any other edit changes nothing.

N samples, F frequencies, T frames
"""

import re
from typing import Any, cast

import numpy as np

from uniaudio.audio.io import Audio

_FFT, _HOP = 1024, 256
_BORDER = 4 * _FFT  # samples on each side of a hole that say what it should sound like
_SILENT = 1e-5
_MIN_HOLE_SECONDS = 0.1
_FADE = 80  # samples at the two ends of the filling
_FILL = re.compile(
    r"\b(inpaint|hole|gap|missing|masked|blank|silent|silenced|deleted|erased|empty|dropped|lost|cut[- ]out)\b"
)
_HIGH = re.compile(r"\b(high|highs|top|treble|upper|bandwidth|spectrum|frequenc\w*)\b")


def edit(caption: str, source: Audio) -> Audio:
    """Return the source, its longest hole filled if the caption asks for that.

    A hole is at least 0.1 s of digital silence with sound on both sides. The samples outside of it stay as they are.
    """
    said = caption.lower()
    hole = find_hole(source.samples[0], source.sample_rate)
    if hole is None or not _FILL.search(said) or _HIGH.search(said):
        return source
    samples = source.samples[0].copy()
    samples[slice(*hole)] = filling(samples, *hole)
    return Audio(samples[None], source.sample_rate)


def find_hole(samples: np.ndarray, sample_rate: int) -> tuple[int, int] | None:
    """Return (first, last + 1) of the longest silent stretch inside samples [N], or None."""
    loud = np.flatnonzero(np.abs(samples) > _SILENT)
    gaps = np.diff(loud) - 1
    if not len(gaps) or gaps.max() < _MIN_HOLE_SECONDS * sample_rate:
        return None
    longest = int(gaps.argmax())
    return int(loud[longest]) + 1, int(loud[longest + 1])


def filling(samples: np.ndarray, first: int, last: int) -> np.ndarray:
    """Return samples [last - first]: noise whose mean spectrum moves linearly from that before a hole to that after."""
    from scipy.signal import istft, stft

    before = _spectrum(samples[max(0, first - _BORDER) : first])
    after = _spectrum(samples[last : last + _BORDER])
    size = last - first
    noise = np.random.default_rng(0).standard_normal(size)
    settings: dict[str, Any] = {"nperseg": _FFT, "noverlap": _FFT - _HOP}
    frames = stft(noise, **settings)[2]  # [F, T]
    share = np.linspace(0, 1, frames.shape[1])
    frames *= (before[:, None] * (1 - share) + after[:, None] * share) / _spectrum(noise)[:, None].mean()
    made = istft(frames, **settings)[1]
    made = np.pad(made, (0, max(0, size - len(made))))[:size]
    fade = min(_FADE, size // 2)
    made[:fade] *= np.linspace(0, 1, fade)
    made[size - fade :] *= np.linspace(1, 0, fade)
    return made.clip(-1, 1).astype(np.float32)


def _spectrum(samples: np.ndarray) -> np.ndarray:
    """Return the mean magnitude [F] over the frames of samples [N], which may be few."""
    from scipy.signal import stft

    padded = np.pad(samples, (0, max(0, _FFT - len(samples))))
    return np.abs(stft(padded, nperseg=_FFT, noverlap=_FFT - _HOP, boundary=cast(Any, None), padded=False)[2]).mean(1)
