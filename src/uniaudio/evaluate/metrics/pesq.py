"""Perceptual quality of speech: wide-band PESQ (ITU-T P.862.2) by the `pesq` package, which is optional."""

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.evaluate.metrics import judge_package

RATE = 16000
WORST = 1.0  # the end of the scale


def pesq(original: Audio, processed: Audio) -> float:
    """Return PESQ-wb, 1 (worst) to 4.64; the shorter recording decides the length.

    Digital silence in place of speech scores WORST. Raises ValueError below 0.25 s and where no speech is found, and
    InputError when the package is missing.
    """
    package = judge_package("pesq")
    clean, other = (audio.mono().resample(RATE).samples[0] for audio in (original, processed))
    size = min(len(clean), len(other))
    if size < RATE // 4 or not np.any(clean[:size]):
        raise ValueError(f"PESQ needs at least 0.25 s of speech, got {size / RATE:.2f} s")
    if not np.any(other[:size]):
        return WORST  # the package divides by its level
    try:
        return float(package.pesq(RATE, clean[:size], other[:size], "wb"))
    except package.NoUtterancesError as error:
        raise ValueError("PESQ finds no speech in the recording") from error
