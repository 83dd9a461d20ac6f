"""How different the clips of a set are: of one caption under several seeds, or of a whole set.

N clips, D width of an embedding
"""

from collections.abc import Sequence

import numpy as np


def diversity(embeddings: np.ndarray) -> float:
    """Return the mean cosine distance, 0 (all alike) to 2, over all pairs of embeddings [N, D].

    Raises ValueError for fewer than two and for a zero vector.
    """
    if embeddings.ndim != 2 or len(embeddings) < 2:
        raise ValueError(f"diversity needs two clips or more, got {len(embeddings)}")
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not np.all(lengths > 0):
        raise ValueError("an embedding is zero, so it has no direction")
    unit = embeddings.astype(np.float64) / lengths
    count = len(unit)
    cosines = float(np.square(unit.sum(0)).sum()) - count  # of all ordered pairs
    return 1 - cosines / (count * (count - 1))


def diversity_within(groups: Sequence[np.ndarray]) -> float:
    """Return the mean diversity of groups of embeddings [N, D], as of the clips of each caption.

    Raises ValueError without a group, and as `diversity` does.
    """
    if not groups:
        raise ValueError("there is no group of clips")
    return float(np.mean([diversity(group) for group in groups]))
