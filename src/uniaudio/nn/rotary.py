"""Rotary position embedding (2104.09864) for explicit, possibly repeated positions.

B batch, H heads, T frames, E head width
"""

import torch
from torch import Tensor


def rotary_table(positions: Tensor, head_width: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Return (cos, sin), each [B, 1, T, E / 2] float32, for positions [B, T]."""
    half = torch.arange(0, head_width, 2, device=positions.device, dtype=torch.float32) / head_width
    angles = positions.float()[:, None, :, None] * base**-half  # [B, 1, T, E / 2]
    return angles.cos(), angles.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate queries or keys x [B, H, T, E] by the angles of their positions; keeps the dtype of x."""
    cos, sin = table
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)
    return turned.to(x.dtype)
