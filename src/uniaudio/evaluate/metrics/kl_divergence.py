"""Kullback-Leibler divergence of what a classifier hears in a reference and in what was generated for its caption.

As in the evaluations of AudioGen and AudioLDM: pairs of clips with one caption, KL(reference || generated), averaged.
L labels
"""

import numpy as np

_FLOOR = 1e-6  # AudioLDM's, so that a label which is never heard costs a finite amount


def kl_divergence(reference: np.ndarray, generated: np.ndarray) -> float:
    """Return KL(reference || generated) >= 0 in nats of two distributions [L], as `Heard.distribution`.

    Raises ValueError for other lengths and for what is no distribution.
    """
    if reference.shape != generated.shape or reference.ndim != 1:
        raise ValueError(f"distributions {list(reference.shape)} and {list(generated.shape)} cannot be compared")
    for shares in (reference, generated):
        if not np.all(shares >= 0) or not np.isclose(shares.sum(), 1, atol=1e-3):
            raise ValueError(f"the shares of a distribution sum to 1, these to {float(shares.sum()):.4g}")
    first, second = ((shares + _FLOOR) / (shares + _FLOOR).sum() for shares in (reference, generated))
    return float(max(0.0, np.sum(first * np.log(first / second))))
