"""Same notes at the same time? Cosine of the chroma of two recordings, frame by frame.

F frames of 100 ms, 12 pitch classes
"""

import functools

import numpy as np

from uniaudio.audio.io import Audio

RATE, N_FFT, HOP = 16000, 8192, 1600
LOWEST_HZ, HIGHEST_HZ, A4_HZ = 60.0, 2500.0, 440.0
_QUIET_DB = 50.0  # frames that much below the loudest one have no notes


def chroma(audio: Audio) -> np.ndarray:
    """Return the magnitude in each pitch class from C, [F, 12]; raises ValueError below 0.5 s and for silence."""
    samples = audio.mono().resample(RATE).samples[0].astype(np.float64)
    if len(samples) < N_FFT:
        raise ValueError(f"chroma needs at least {N_FFT / RATE:.2f} s, got {len(samples) / RATE:.2f} s")
    if np.abs(samples).max() < 1e-4:
        raise ValueError("the clip is silent, so it has no notes")
    frames = np.lib.stride_tricks.sliding_window_view(samples, N_FFT)[::HOP] * np.hanning(N_FFT)
    return np.abs(np.fft.rfft(frames, axis=1)) @ _classes()


def chroma_similarity(original: Audio, processed: Audio) -> float:
    """Return the cosine, -1 to 1, of the chroma less its mean, averaged over the frames in which the original sounds.

    The shorter recording decides the length; a silent frame of `processed` counts 0. Raises ValueError as `chroma`
    does, also for an original without pitch.
    """
    first, second = chroma(original), chroma(processed)
    count = min(len(first), len(second))
    first, second = first[:count], second[:count]
    loud = first.sum(1) > first.sum(1).max() * 10 ** (-_QUIET_DB / 20)
    first, second = (x - x.mean(1, keepdims=True) for x in (first[loud], second[loud]))
    lengths = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
    if not np.all(lengths[0] > 0):
        raise ValueError("the original has no pitch")
    return float(np.mean(np.sum(first * second, axis=1) / (lengths[0] * np.maximum(lengths[1], 1e-9))))


@functools.cache
def _classes() -> np.ndarray:
    """Return which pitch class each bin belongs to, [N_FFT / 2 + 1, 12], falling off between semitones."""
    hz = np.fft.rfftfreq(N_FFT, 1 / RATE)
    pitch = 69 + 12 * np.log2(np.maximum(hz, 1) / A4_HZ)
    away = (pitch[:, None] - np.arange(12) + 6) % 12 - 6  # semitones, -6 to 6
    inside = (hz >= LOWEST_HZ) & (hz <= HIGHEST_HZ)
    return np.cos(np.pi * np.clip(away, -0.5, 0.5)) * inside[:, None]
