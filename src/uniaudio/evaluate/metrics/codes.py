"""What a codec's codes say about its codebooks: the share in use, their entropy, and the bits they take.

K codebooks, T frames
"""

import numpy as np


class CodeCounts:
    """How often each entry of each codebook was chosen; `counts` [K, codebook_size] int64."""

    def __init__(self, num_codebooks: int, codebook_size: int) -> None:
        self.counts = np.zeros((num_codebooks, codebook_size), np.int64)

    def add(self, codes: np.ndarray) -> None:
        """Count codes [K, T]; raises ValueError for another K or an entry that does not exist."""
        num_codebooks, size = self.counts.shape
        if (
            codes.ndim != 2
            or len(codes) != num_codebooks
            or (codes.size and not 0 <= codes.min() <= codes.max() < size)
        ):
            raise ValueError(f"codes {list(codes.shape)} do not fit {num_codebooks} codebooks of {size} entries")
        for row, chosen in zip(self.counts, codes, strict=True):
            row += np.bincount(chosen, minlength=size)

    @property
    def frames(self) -> int:
        """Frames counted."""
        return int(self.counts[0].sum())

    def use(self) -> np.ndarray:
        """Return the share [K] of entries chosen at least once; with few frames it says little."""
        return (self.counts > 0).mean(axis=1)

    def entropy(self) -> np.ndarray:
        """Return the entropy [K] in bits of the choices (Shannon); with few frames it is estimated too low."""
        shares = self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)  # [K, size]
        return -np.sum(shares * np.log2(np.where(shares > 0, shares, 1)), axis=1)

    def perplexity(self) -> np.ndarray:
        """Return 2 ** entropy [K]: how many entries, if all were chosen equally often."""
        return 2 ** self.entropy()

    def bits_per_second(self, frame_rate: float) -> tuple[float, float]:
        """Return the bitrate of the codes as they are, and with an ideal entropy coder of single codes."""
        num_codebooks, size = self.counts.shape
        return frame_rate * num_codebooks * float(np.log2(size)), frame_rate * float(self.entropy().sum())
