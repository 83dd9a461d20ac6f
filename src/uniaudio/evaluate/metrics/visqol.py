"""Perceptual quality of speech: ViSQOL v3 in its speech mode (Chinen et al. 2020) by `visqol-python`, optional.

Its mapping to opinion scores is the published polynomial, not the lattice network, whose runtime is one more package.
The audio mode is left out: it judges at 48 kHz, far above the band of what is made here, and needs a C++ compiler.
"""

import functools
from typing import Any

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.evaluate.metrics import judge_package

RATE = 16000


def visqol(original: Audio, processed: Audio) -> float:
    """Return ViSQOL's opinion score of speech, 1 to 5; the shorter recording decides the length.

    Raises ValueError below 0.5 s and for a silent original, and InputError when the package is missing.
    """
    clean, other = (audio.mono().resample(RATE).samples[0].astype(np.float64) for audio in (original, processed))
    size = min(len(clean), len(other))
    if size < RATE // 2 or not np.any(clean[:size]):
        raise ValueError(f"ViSQOL needs at least 0.5 s of speech, got {size / RATE:.2f} s")
    return float(_judge().measure_from_arrays(clean[:size], other[:size], RATE).moslqo)


@functools.cache
def _judge() -> Any:
    api = judge_package("visqol").VisqolApi()
    api.create(mode="speech", use_lattice_model=False)
    return api
