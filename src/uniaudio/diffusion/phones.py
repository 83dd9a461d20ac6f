"""Phones laid out in time, as additional channels of a latent.

B batch, S phone frames (some for each latent frame), T latent frames, E width of an embedding, C2 channels, F bins
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class TimedPhonesConfig:
    """`per_frame` phone frames lie in one latent frame; ids from 1 to `num_ids` - 1 are phones, 0 is none."""

    num_ids: int = 200
    per_frame: int = 4
    width: int = 24
    kernel_size: int = 5
    channels: int = 8
    bins: int = 8


class TimedPhones(nn.Module):
    """Phone ids [B, S] -> channels [B, C2, T, F], T = S / per_frame; exactly 0 in rows without any phone."""

    def __init__(self, config: TimedPhonesConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.num_ids, config.width)
        self.mix = nn.Conv1d(config.width, config.width, config.kernel_size, padding=config.kernel_size // 2)
        self.spread = nn.Linear(config.width * config.per_frame, config.channels * config.bins)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)  # [B, S, E]
        x = x + functional.gelu(self.mix(x.transpose(1, 2)).transpose(1, 2))
        x = self.spread(x.reshape(len(x), -1, self.config.width * self.config.per_frame))  # [B, T, C2 * F]
        x = x.unflatten(2, (self.config.channels, self.config.bins)).transpose(1, 2)
        spoken = (ids > 0).any(1).to(x.dtype)
        return x * spoken[:, None, None, None]


def one_hot(ids: Tensor, num_ids: int) -> tuple[Tensor, Tensor]:
    """Return each run of equal phones of ids [B, S] once, as [B, N, num_ids] ones and zeros, and the mask [B, N].

    That is how the bridge is told what is said: its projection of them is an embedding.
    """
    rows = [torch.unique_consecutive(row) for row in ids]
    rows = [row[row > 0] for row in rows]
    length = max(1, *(len(row) for row in rows))
    padded = torch.stack([functional.pad(row, (0, length - len(row))) for row in rows])
    return functional.one_hot(padded.long(), num_ids).float(), padded > 0
