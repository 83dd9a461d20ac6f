"""Pitch kept or lost: both recordings through Praat's autocorrelation tracker (praat-parselmouth, optional).

F frames, each 10 ms
"""

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.evaluate.metrics import judge_package

RATE = 16000
FRAME_SECONDS = 0.01
FLOOR_HZ, CEILING_HZ = 75.0, 1000.0
OCTAVE_COST = 0.03  # above Praat's default for speech, with which it hears high sung vowels an octave low
TOLERANCE_CENTS = 50.0
_MIN_SECONDS = 3 / FLOOR_HZ  # Praat's window


def pitch_track(audio: Audio) -> np.ndarray:
    """Return the pitch [F] in Hz, 0 where unvoiced; recordings of the same length have the same frames.

    Raises ValueError for a recording shorter than Praat's window (40 ms), InputError when the package is missing.
    """
    samples = audio.mono().resample(RATE).samples[0]
    if len(samples) <= _MIN_SECONDS * RATE:
        raise ValueError(f"pitch needs more than {_MIN_SECONDS:.2f} s, got {len(samples) / RATE:.2f} s")
    sound = judge_package("parselmouth").Sound(samples.astype(np.float64), RATE)
    pitch = sound.to_pitch_ac(
        time_step=FRAME_SECONDS, pitch_floor=FLOOR_HZ, pitch_ceiling=CEILING_HZ, octave_cost=OCTAVE_COST
    )
    return np.asarray(pitch.selected_array["frequency"])


def pitch_error(original: np.ndarray, processed: np.ndarray) -> float:
    """Return the share, among frames voiced in both tracks [F], of those more than 50 cents apart.

    Raises ValueError for tracks of different lengths or without such frames.
    """
    _check(original, processed)
    both = (original > 0) & (processed > 0)
    if not both.any():
        raise ValueError("no frame is voiced in both recordings")
    cents = 1200 * np.log2(processed[both] / original[both])
    return float(np.mean(np.abs(cents) > TOLERANCE_CENTS))


def voicing_error(original: np.ndarray, processed: np.ndarray) -> float:
    """Return the share of frames voiced in one of two tracks [F] and unvoiced in the other.

    Raises ValueError for tracks of different lengths.
    """
    _check(original, processed)
    return float(np.mean((original > 0) != (processed > 0)))


def _check(original: np.ndarray, processed: np.ndarray) -> None:
    if original.shape != processed.shape or not original.size:
        raise ValueError(f"pitch tracks of {original.size} and {processed.size} frames cannot be compared")
