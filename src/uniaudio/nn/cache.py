"""A preallocated key/value cache for ragged batches: every row has its own length.

B batch, L layers, H heads, S capacity in frames, T new frames, E head width
"""

import torch
from torch import Tensor


class KeyValueCache:
    """Keys and values of every layer; `append` writes at each row's own end, `advance` moves the ends.

    Rows of different lengths are right-padded: what is written beyond a row's end is never attended to (the mask
    hides it) and the next append overwrites it.
    """

    def __init__(
        self,
        layers: int,
        batch: int,
        heads: int,
        capacity: int,
        head_width: int,
        dtype: torch.dtype,
        device: str = "cpu",
    ) -> None:
        shape = (layers, batch, heads, capacity, head_width)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.positions = torch.zeros(batch, capacity, dtype=torch.long, device=device)
        self.lengths = torch.zeros(batch, dtype=torch.long, device=device)
        self.capacity = capacity
        self.longest = 0  # no row is longer; known without asking the device

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write keys and values [B, H, T, E] after each row's end; return all of them, [B, H, S', E], S' in use."""
        new = keys.shape[2]
        assert self.longest + new <= self.capacity, f"cache of {self.capacity} frames is full"
        if new == 1:
            rows = torch.arange(keys.shape[0], device=keys.device)
            self.keys[layer, rows, :, self.lengths] = keys[:, :, 0].to(self.keys.dtype)
            self.values[layer, rows, :, self.lengths] = values[:, :, 0].to(self.values.dtype)
        else:
            index = self.lengths[:, None] + torch.arange(new, device=keys.device)  # [B, T]
            index = index[:, None, :, None].expand(-1, keys.shape[1], -1, keys.shape[3])
            self.keys[layer].scatter_(2, index, keys.to(self.keys.dtype))
            self.values[layer].scatter_(2, index, values.to(self.values.dtype))
        used = self.longest + new
        return self.keys[layer, :, :, :used], self.values[layer, :, :, :used]

    def keep_positions(self, positions: Tensor) -> Tensor:
        """Write positions [B, T] after each row's end; return all of them [B, S'], for keys as `append` returns."""
        index = self.lengths[:, None] + torch.arange(positions.shape[1], device=positions.device)
        self.positions.scatter_(1, index, positions)
        return self.positions[:, : self.longest + positions.shape[1]]

    def mask(self, new: int) -> Tensor:
        """Return the bool mask [B, 1, T, S'] of what each of `new` queries may see: its own row, up to itself."""
        used = self.longest + new
        last = self.lengths[:, None] + torch.arange(new, device=self.lengths.device)  # [B, T]
        return (torch.arange(used, device=last.device) <= last[..., None])[:, None]

    def advance(self, counts: Tensor | int) -> None:
        """Move each row's end by `counts` frames (an int, or [B] after a right-padded prompt)."""
        self.lengths += counts
        self.longest += counts if isinstance(counts, int) else int(counts.max())

    def reset(self) -> None:
        """Forget everything, keep the memory."""
        self.lengths.zero_()
        self.longest = 0
