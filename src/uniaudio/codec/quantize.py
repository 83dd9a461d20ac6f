"""Residual vector quantisation with codebooks learnt by exponential moving averages.

B batch, D width of a code vector, T frames, K codebooks, S codebook size, M = B * T vectors
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class QuantizerOutput:
    """quantized [B, D, T] (gradient straight through), codes [B, K, T] int64, commitment_loss scalar,
    first [B, D, T]: the vectors of the first codebook alone, straight through."""

    quantized: Tensor
    codes: Tensor
    commitment_loss: Tensor
    first: Tensor


class Codebook(nn.Module):
    """One codebook [S, D], its running cluster sizes and sums; the nearest entry in Euclidean distance wins."""

    vectors: Tensor
    cluster_size: Tensor
    vector_sum: Tensor
    started: Tensor

    def __init__(self, size: int, dim: int, decay: float, dead_below: float) -> None:
        super().__init__()
        self.decay, self.dead_below = decay, dead_below
        self.register_buffer("vectors", torch.randn(size, dim))
        self.register_buffer("cluster_size", torch.ones(size))
        self.register_buffer("vector_sum", self.vectors.clone())
        self.register_buffer("started", torch.tensor(False))

    def nearest(self, x: Tensor) -> Tensor:
        """Return the ids [M] of the entries nearest to x [M, D]."""
        distance = self.vectors.pow(2).sum(1) - 2 * x @ self.vectors.t()  # [M, S], less the constant |x|^2
        return distance.argmin(1)

    @torch.no_grad()
    def start(self, x: Tensor, iterations: int = 12) -> None:
        """Set the entries by k-means over x [M, D] (random distinct starts when there are enough).

        x that is not finite changes nothing.
        """
        if not bool(x.isfinite().all()):
            return
        size = self.vectors.shape[0]
        picks = torch.randperm(x.shape[0], device=x.device)[:size]
        picks = picks.repeat(-(-size // picks.numel()))[:size]
        self.vectors.copy_(x[picks] + 1e-3 * torch.randn_like(x[picks]))
        for _ in range(iterations):
            count, total = self._assign(x, self.nearest(x))
            self.vectors.copy_(torch.where(count[:, None] > 0, total / count.clamp(min=1)[:, None], self.vectors))
        self.cluster_size.fill_(max(1.0, x.shape[0] / size))
        self.vector_sum.copy_(self.vectors * self.cluster_size[:, None])
        self.started.fill_(True)

    def _assign(self, x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return how many vectors fell to each entry [S] and their sums [S, D]."""
        count = torch.zeros_like(self.cluster_size).index_add_(0, ids, torch.ones_like(x[:, 0]))
        total = torch.zeros_like(self.vector_sum).index_add_(0, ids, x)
        return count, total

    @torch.no_grad()
    def update(self, x: Tensor, ids: Tensor) -> None:
        """Move the entries towards the mean of what fell to them; replace dead entries by random vectors of x.

        x [M, D] that is not finite changes nothing.
        """
        if not bool(x.isfinite().all()):
            return
        count, total = self._assign(x, ids)
        self.cluster_size.lerp_(count, 1 - self.decay)
        self.vector_sum.lerp_(total, 1 - self.decay)
        dead = self.cluster_size < self.dead_below
        if dead.any():
            picks = x[torch.randint(x.shape[0], (int(dead.sum()),), device=x.device)]
            self.vector_sum[dead] = picks
            self.cluster_size[dead] = 1.0
        self.vectors.copy_(self.vector_sum / self.cluster_size.clamp(min=1e-5)[:, None])


class ResidualVectorQuantizer(nn.Module):
    """K codebooks in turn, each quantising what those before it left over (SoundStream, 2107.03312, section III-C)."""

    def __init__(
        self, dim: int, num_codebooks: int, codebook_size: int, decay: float = 0.99, dead_below: float = 0.05
    ) -> None:
        super().__init__()
        self.dim, self.codebook_size = dim, codebook_size
        self.codebooks = nn.ModuleList(Codebook(codebook_size, dim, decay, dead_below) for _ in range(num_codebooks))

    @property
    def num_codebooks(self) -> int:
        """K, the number of levels."""
        return len(self.codebooks)

    def forward(self, x: Tensor, num_codebooks: int | None = None) -> QuantizerOutput:
        """Quantise x [B, D, T] with the first `num_codebooks` (default all); in training, also learn the codebooks.

        Raises ValueError for a number of codebooks that there is not.
        """
        with torch.autocast(x.device.type, enabled=False):
            flat = x.float().transpose(1, 2).reshape(-1, self.dim)  # [M, D]
            residual, total = flat.detach(), torch.zeros_like(flat)
            first, ids_of_level, loss = total, [], flat.new_zeros(())
            for level, book in enumerate(self._levels(num_codebooks)):
                if self.training and not bool(book.started):
                    book.start(residual)
                ids = book.nearest(residual)
                chosen = book.vectors[ids]
                loss = loss + functional.mse_loss(flat - total, chosen.detach())
                if self.training:
                    book.update(residual, ids)
                total = total + chosen
                residual = residual - chosen
                first = total if level == 0 else first
                ids_of_level.append(ids)
            return QuantizerOutput(
                quantized=self._unflatten(flat + (total - flat).detach(), x),
                codes=_stack(ids_of_level, x),
                commitment_loss=loss / len(ids_of_level),
                first=self._unflatten(flat + (first - flat).detach(), x),
            )

    @torch.no_grad()
    def encode(self, x: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Return the codes [B, K, T] of x [B, D, T]; learns nothing."""
        residual = x.float().transpose(1, 2).reshape(-1, self.dim)  # [M, D]
        ids_of_level = []
        for book in self._levels(num_codebooks):
            ids = book.nearest(residual)
            residual = residual - book.vectors[ids]
            ids_of_level.append(ids)
        return _stack(ids_of_level, x)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the vectors [B, D, T] of codes [B, K', T]; K' may be smaller than K.

        Raises ValueError for an id outside the codebook, and for more levels than there are or none.
        """
        if codes.numel() and (int(codes.min()) < 0 or int(codes.max()) >= self.codebook_size):
            raise ValueError(f"codes must be in [0, {self.codebook_size}), got {int(codes.min())}..{int(codes.max())}")
        books = self._levels(codes.shape[1])
        vectors = [book.vectors[codes[:, level]] for level, book in enumerate(books)]  # K' times [B, T, D]
        return sum(vectors[1:], vectors[0]).transpose(1, 2)  # [B, D, T]

    def cut(self, num_codebooks: int) -> "ResidualVectorQuantizer":
        """Return the quantiser of the first `num_codebooks`, sharing them; raises ValueError if there are fewer."""
        kept = ResidualVectorQuantizer(self.dim, 0, self.codebook_size)
        kept.codebooks.extend(self._levels(num_codebooks))
        kept.training = self.training
        return kept

    def _levels(self, num_codebooks: int | None) -> list[Codebook]:
        """Return the first `num_codebooks` codebooks (default all)."""
        if num_codebooks is not None and not 1 <= num_codebooks <= self.num_codebooks:
            raise ValueError(f"{num_codebooks} codebooks asked for, this quantiser has {self.num_codebooks}")
        return cast(list[Codebook], list(self.codebooks)[:num_codebooks])

    def _unflatten(self, flat: Tensor, like: Tensor) -> Tensor:
        return flat.reshape(like.shape[0], like.shape[2], self.dim).transpose(1, 2)  # [B, D, T]


def _stack(ids_of_level: list[Tensor], like: Tensor) -> Tensor:
    """Return codes [B, K, T] from K times ids [B * T], for x [B, D, T]."""
    return torch.stack(ids_of_level).reshape(len(ids_of_level), like.shape[0], -1).transpose(0, 1)
