"""Mel-cepstral distortion (Kubichek 1993) in dB between two recordings of the same words, aligned in time.

The cepstra are the cosine transform of a log-mel spectrogram. WORLD's are fitted to a spectral envelope freed of pitch,
so figures of the two kinds cannot be compared: these are larger where only the pitch differs. The dB are true ones:
the root-mean-square difference of the smoothed log spectra over the mel scale, level excluded.

T, U frames, D cepstra
"""

import functools
from typing import TYPE_CHECKING

import numpy as np

from uniaudio.audio.io import Audio

if TYPE_CHECKING:
    from uniaudio.audio.spectral import LogMel

RATE, N_FFT, HOP, NUM_MELS = 16000, 1024, 160, 80
NUM_CEPSTRA = 13  # from 1 on; 0 is the level
RANGE_DB = 60.0  # below the loudest band of a recording: what is quieter counts as silence
MAX_SECONDS = 60.0
_DB_PER_NEPER = 20 / np.log(10)


def mel_cepstral_distortion(original: Audio, processed: Audio, aligned: bool = True) -> float:
    """Return the mean distance in dB >= 0 over the frames of the cheapest alignment (dynamic time warping).

    With `aligned=False` frame t is compared with frame t, and the shorter recording decides the length. Raises
    ValueError for a recording that is silent, shorter than 64 ms or longer than 60 s.
    """
    first, second = mel_cepstra(original), mel_cepstra(processed)
    if not aligned:
        size = min(len(first), len(second))
        return float(np.linalg.norm(first[:size] - second[:size], axis=1).mean())
    from scipy.spatial.distance import cdist

    distances = cdist(first, second)
    return float(np.mean(distances[warping_path(distances)]))


def mel_cepstra(audio: Audio) -> np.ndarray:
    """Return cepstra [T, D], 100 frames a second, scaled so that their Euclidean distance is the distortion in dB."""
    import torch
    from scipy.fft import dct

    samples = audio.mono().resample(RATE).samples
    seconds = samples.shape[1] / RATE
    if not N_FFT / RATE <= seconds <= MAX_SECONDS or not np.any(samples):
        raise ValueError(f"mel-cepstral distortion needs 0.064 to {MAX_SECONDS:g} s of sound, got {seconds:.2f} s")
    peak = np.abs(samples).max()
    mel = _mel()(torch.from_numpy(samples / peak))[0].double().numpy()  # [M, T]
    mel = np.maximum(mel, mel.max() - RANGE_DB / _DB_PER_NEPER)
    # The log spectrum is the sum of cepstra times cosines, whose mean square is 1 / 2.
    cepstra = np.asarray(dct(mel, type=2, axis=0))[1 : NUM_CEPSTRA + 1] / NUM_MELS  # [D, T]
    return cepstra.T * _DB_PER_NEPER / np.sqrt(2)


def warping_path(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of the path of least sum through distances [T, U], from corner to corner.

    Steps go one frame on in one recording or in both. Computed by anti-diagonals, each as one vector.
    """
    rows, columns = distances.shape
    step = np.zeros((rows, columns), np.int8)  # 0 both, 1 row, 2 column
    before = np.full(rows + 1, np.inf)  # cost of cell (i, d - i) at i + 1; `before` is diagonal d - 1, `earlier` d - 2
    earlier = before.copy()
    earlier[0] = 0.0
    for diagonal in range(rows + columns - 1):
        i = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        choices = np.stack([earlier[i], before[i], before[i + 1]])  # both, row, column
        step[i, diagonal - i] = choices.argmin(axis=0)
        costs = np.full(rows + 1, np.inf)
        costs[i + 1] = distances[i, diagonal - i] + choices.min(axis=0)
        earlier, before = before, costs
    i, j = rows - 1, columns - 1
    path = [(i, j)]
    while i or j:
        taken = step[i, j]
        i, j = i - (taken != 2), j - (taken != 1)
        path.append((i, j))
    both = np.array(path[::-1])  # [steps, 2]
    return both[:, 0], both[:, 1]


@functools.cache
def _mel() -> "LogMel":
    from uniaudio.audio.spectral import LogMel

    return LogMel(RATE, N_FFT, HOP, NUM_MELS, floor=1e-4)
