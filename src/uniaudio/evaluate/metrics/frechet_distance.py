"""Frechet distance of two sets of embeddings, each taken for a Gaussian (Heusel et al. 2017; for audio Kilgour 2019).

N vectors, D width
"""

import numpy as np


def frechet_distance(reference: np.ndarray, generated: np.ndarray, least: int | None = None) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) >= 0 of vectors [N, D] and [N', D].

    With few vectors it is far too large, so sets are compared only at equal sizes. Raises ValueError for sets of other
    widths and for fewer than `least` vectors (D + 1 unless said, below which a covariance is singular).
    """
    if reference.ndim != 2 or generated.ndim != 2 or reference.shape[1] != generated.shape[1]:
        raise ValueError(f"embeddings {list(reference.shape)} and {list(generated.shape)} cannot be compared")
    needed, fewest = max(2, least or reference.shape[1] + 1), min(len(reference), len(generated))
    if fewest < needed:
        raise ValueError(f"a Frechet distance needs {needed} embeddings in each set, got {fewest}: use more clips")
    first, second = (np.asarray(x, np.float64) for x in (reference, generated))
    return gaussian_distance(
        first.mean(0), np.atleast_2d(np.cov(first.T)), second.mean(0), np.atleast_2d(np.cov(second.T))
    )


def gaussian_distance(mean_1: np.ndarray, cov_1: np.ndarray, mean_2: np.ndarray, cov_2: np.ndarray) -> float:
    """Return the squared Frechet (2-Wasserstein) distance of two Gaussians: means [D], covariances [D, D].

    The trace of (C1 C2)^(1/2) is that of the symmetric (C1^(1/2) C2 C1^(1/2))^(1/2), so only symmetric matrices are
    decomposed and singular ones do no harm (Dowson and Landau 1982).
    """
    values, vectors = np.linalg.eigh(cov_1)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ cov_2 @ root).clip(min=0)).sum()
    distance = np.sum((mean_1 - mean_2) ** 2) + np.trace(cov_1) + np.trace(cov_2) - 2 * shared
    return float(max(0.0, distance))
