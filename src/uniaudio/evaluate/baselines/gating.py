"""Noise removed by spectral gating (package noisereduce)."""

import numpy as np

from uniaudio.audio.io import Audio


def gate(noisy: Audio) -> Audio:
    """Return the recording with each frequency turned down while it is no louder than its noise.

    The noise is estimated from the recording itself, as noisereduce does by default (non-stationary).
    Raises ValueError for a silent recording.
    """
    from noisereduce import reduce_noise

    if not np.any(noisy.samples):
        raise ValueError("the recording is silent: there is no noise to tell from anything else")
    made = reduce_noise(y=noisy.samples[0], sr=noisy.sample_rate)
    return Audio(np.asarray(made, np.float32).clip(-1, 1)[None], noisy.sample_rate)
