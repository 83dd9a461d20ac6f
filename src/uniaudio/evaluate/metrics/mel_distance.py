"""How far two recordings of any sound are apart: mean absolute difference of their log-mel spectrograms, in dB.

One resolution, so that figures can be compared: 16 kHz, windows of 64 ms every 16 ms, 80 mel bands. What is more than
80 dB below a full-scale tone counts as silence.
"""

import functools
import math

import torch

from uniaudio.audio.io import Audio
from uniaudio.audio.spectral import LogMel

RATE, N_FFT, HOP, NUM_MELS, FLOOR_DB = 16000, 1024, 256, 80, -80.0


def mel_distance(original: Audio, processed: Audio) -> float:
    """Return the mean difference over bands and frames, in dB >= 0; the shorter recording decides the length.

    Raises ValueError when one of them is empty.
    """
    first, second = (torch.from_numpy(audio.mono().resample(RATE).samples) for audio in (original, processed))
    size = min(first.shape[1], second.shape[1])
    if not size:
        raise ValueError("there is no sound to compare")
    mel = _mel()
    nepers = (mel(first[:, :size]) - mel(second[:, :size])).abs().mean()
    return float(nepers) * 20 / math.log(10)


@functools.cache
def _mel() -> LogMel:
    return LogMel(RATE, N_FFT, HOP, NUM_MELS, floor=N_FFT / 4 * 10 ** (FLOOR_DB / 20))  # N_FFT / 4: a full-scale tone
