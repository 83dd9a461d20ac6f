"""The room removed by weighted prediction error (Nakatani et al. 2010; package nara_wpe), on one channel.

N samples, F frequencies, T frames
"""

from typing import Any

import numpy as np

from uniaudio.audio.io import Audio

_WINDOW, _HOP = 512, 128
_TAPS, _DELAY, _ROUNDS = 40, 3, 3  # one channel needs more taps than nara_wpe's 10: 40 are 0.32 s
_MIN_SECONDS = 1.0


def dereverberate(reverberant: Audio) -> Audio:
    """Return the recording less the part of each frame that the frames 3 to 42 before it predict.

    Raises ValueError for a recording that is silent or shorter than 1 s: too little to estimate 40 taps from.
    """
    from nara_wpe.wpe import wpe
    from scipy.signal import istft, stft

    samples = reverberant.samples[0]
    if reverberant.seconds < _MIN_SECONDS or not np.any(samples):
        raise ValueError(f"WPE needs {_MIN_SECONDS:g} s of sound, got {reverberant.seconds:.2f} s or silence")
    settings: dict[str, Any] = {"fs": reverberant.sample_rate, "nperseg": _WINDOW, "noverlap": _WINDOW - _HOP}
    spectrum = stft(samples.astype(np.float64), **settings)[2]  # [F, T]
    dry = wpe(spectrum[:, None], taps=_TAPS, delay=_DELAY, iterations=_ROUNDS)[:, 0]  # [F, T]
    made = istft(dry, **settings)[1][: len(samples)]
    return Audio(np.asarray(made, np.float32).clip(-1, 1)[None], reverberant.sample_rate)
