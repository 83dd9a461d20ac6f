"""T5's relative positions (1910.10683): what a query adds to each key's score follows from their distance alone.

B batch, H heads, T queries, S keys
"""

import math

import torch
from torch import Tensor, nn


class RelativeBias(nn.Module):
    """A learnt value per head and bucket of distance, shared by all layers.

    Half of the buckets are for keys of later positions, which only conditions in step with the target have. Of each
    half, the first half are distances one by one, the others grow in logarithmic steps up to `max_distance`.
    """

    def __init__(self, heads: int, buckets: int = 32, max_distance: int = 128) -> None:
        super().__init__()
        if buckets < 4 or buckets % 4 or max_distance <= buckets // 4:
            raise ValueError(
                f"{buckets} buckets to distance {max_distance} cannot be cut: use a multiple of 4, and a distance "
                "above a quarter of it"
            )
        self.buckets, self.max_distance = buckets, max_distance
        self.table = nn.Embedding(buckets, heads)
        nn.init.zeros_(self.table.weight)

    def bucket(self, distance: Tensor) -> Tensor:
        """Return the bucket of each distance (position of the query less that of the key)."""
        half, exact = self.buckets // 2, self.buckets // 4
        far = distance.abs().clamp(min=1).float()
        steps = torch.log(far / exact) / math.log(self.max_distance / exact) * (half - exact)
        far = (exact + steps.long()).clamp(max=half - 1)
        return torch.where(distance.abs() < exact, distance.abs(), far) + half * (distance < 0)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return what is added to the scores [B, H, T, S] for positions [B, T] and [B, S]."""
        return self.table(self.bucket(queries[:, :, None] - keys[:, None])).permute(0, 3, 1, 2)
