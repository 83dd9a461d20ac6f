"""k-means: cluster centres of feature vectors, whole or by mini-batches; it knows nothing of sound.

N vectors, D width of a vector
"""

import torch
from torch import Tensor

from uniaudio.errors import InputError

_STARTERS = 40  # the starting centres are chosen among this many vectors per cluster
_FEWEST_STARTERS = 20_000


def nearest(vectors: Tensor, centroids: Tensor, chunk: int = 16384) -> Tensor:
    """Return the index (int64 [N]) of the centroid [num_ids, D] nearest to each of vectors [N, D]."""
    norms = centroids.square().sum(1)
    # |v - c|^2 = |v|^2 - 2 v c + |c|^2, and |v|^2 does not choose.
    return torch.cat([(norms - 2 * part @ centroids.T).argmin(1) for part in vectors.split(chunk)])


def standardiser(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation, [D] each, of vectors [N, D]; a constant dimension has a tiny one."""
    return vectors.mean(0), vectors.std(0, correction=0).clamp(min=1e-5)


def fit_kmeans(
    features: Tensor, num_ids: int, seed: int = 0, iterations: int = 50, batch_size: int | None = None
) -> Tensor:
    """Return `num_ids` cluster centres [num_ids, D] of features [N, D], by k-means++ and Lloyd's iterations.

    With a `batch_size` each iteration sees that many random vectors alone and moves a centre by its share of all that
    it has seen (Sculley, "Web-scale k-means clustering", 2010): for millions of vectors. The same seed gives the same
    centres. Raises InputError when there are fewer features than clusters.
    """
    if len(features) < num_ids:
        raise InputError(
            f"{len(features)} frames are too few for {num_ids} clusters: give more speech or fewer clusters"
        )
    generator = torch.Generator().manual_seed(seed)
    centroids = _spread(_starters(features, num_ids, generator), num_ids, generator)
    if batch_size is None:
        return _lloyd(features.float(), centroids, iterations)
    seen = torch.zeros(num_ids)
    for _ in range(iterations):
        batch = features[torch.randint(len(features), (batch_size,), generator=generator)].float()
        counts, sums = _totals(batch, nearest(batch, centroids), num_ids)
        seen += counts
        share = (counts / seen.clamp(min=1))[:, None]
        centroids += share * (sums / counts.clamp(min=1)[:, None] - centroids)
        unused = torch.nonzero(seen == 0)[:, 0]
        centroids[unused] = batch[torch.randint(len(batch), (len(unused),), generator=generator)]
    return centroids


def _lloyd(features: Tensor, centroids: Tensor, iterations: int) -> Tensor:
    """Return centroids [num_ids, D] after at most `iterations` over all features [N, D]."""
    assignment = None
    for _ in range(iterations):
        new = nearest(features, centroids)
        if assignment is not None and torch.equal(new, assignment):
            break
        assignment = new
        counts, sums = _totals(features, assignment, len(centroids))
        centroids = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centroids)
        empty = torch.nonzero(counts == 0)[:, 0]
        if len(empty):  # an empty cluster moves to the features that are worst served
            distance = (features - centroids[assignment]).square().sum(1)
            centroids[empty] = features[distance.topk(len(empty)).indices]
    return centroids


def _totals(features: Tensor, assignment: Tensor, num_ids: int) -> tuple[Tensor, Tensor]:
    """Return how many features fell to each centre [num_ids], and their sums [num_ids, D]."""
    sums = torch.zeros(num_ids, features.shape[1]).index_add_(0, assignment, features)
    return torch.bincount(assignment, minlength=num_ids).float(), sums


def _starters(features: Tensor, num_ids: int, generator: torch.Generator) -> Tensor:
    """Return the features [N', D] among which the starting centres are chosen: all, or enough of them."""
    enough = max(_FEWEST_STARTERS, _STARTERS * num_ids)
    if len(features) <= enough:
        return features.float()
    return features[torch.randperm(len(features), generator=generator)[:enough]].float()


def _spread(features: Tensor, num_ids: int, generator: torch.Generator) -> Tensor:
    """Choose starting centres far from one another (k-means++, Arthur and Vassilvitskii 2007)."""
    chosen = int(torch.randint(len(features), (1,), generator=generator))
    centroids = [features[chosen]]
    distance = (features - centroids[0]).square().sum(1)
    for _ in range(num_ids - 1):
        # Inverse of the cumulative distribution in float64, which loses no weight to rounding.
        total = distance.double().cumsum(0)
        point = torch.rand(1, generator=generator, dtype=torch.float64) * total[-1]
        chosen = min(int(torch.searchsorted(total, point, right=True)), len(features) - 1)
        centroids.append(features[chosen])
        distance = torch.minimum(distance, (features - centroids[-1]).square().sum(1))
    return torch.stack(centroids)
