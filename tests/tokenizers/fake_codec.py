"""A tiny codec that satisfies the interface: the codes of a frame are the digits of its level in dB."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FakeConfig:
    sample_rate: int = 16000
    frame_rate: float = 25.0
    hop_length: int = 640
    num_codebooks: int = 3
    codebook_size: int = 10


class FakeCodec(torch.nn.Module):
    """Lossy on purpose: a frame keeps only its root mean square, in steps of 0.001, as three decimal digits."""

    def __init__(self) -> None:
        super().__init__()
        self.config = FakeConfig()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def encode(self, samples: Tensor) -> Tensor:
        hop = self.config.hop_length
        num_frames = math.ceil(samples.shape[-1] / hop)
        padded = torch.nn.functional.pad(samples, (0, num_frames * hop - samples.shape[-1]))
        frames = padded.reshape(samples.shape[0], num_frames, hop) * self.scale
        level = (frames.square().mean(-1).sqrt() * 1000).round().clamp(max=999).long()  # [B, T]
        return torch.stack([level // 100, level // 10 % 10, level % 10], dim=1)  # [B, K, T]

    def decode(self, codes: Tensor) -> Tensor:
        level = (codes * torch.tensor([100, 10, 1])[:, None]).sum(1) / 1000  # [B, T]
        return (level * self.scale).repeat_interleave(self.config.hop_length, dim=1)[:, None]
