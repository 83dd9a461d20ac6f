"""The codec: an encoder, a residual quantiser and a decoder behind one interface, whatever their shape.

B batch, N samples, T frames, K codebooks, D width of a code vector
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from uniaudio.codec.convnext import ConvNextConfig, ConvNextDecoder, ConvNextEncoder
from uniaudio.codec.quantize import ResidualVectorQuantizer


@dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """What defines a codec; `shape` picks which of the two backbones is built."""

    shape: Literal["convnext", "seanet"] = "convnext"
    num_codebooks: int = 6
    codebook_size: int = 1024
    convnext: ConvNextConfig = field(default_factory=ConvNextConfig)

    @property
    def sample_rate(self) -> int:
        return self.convnext.sample_rate

    @property
    def hop_length(self) -> int:
        return self.convnext.hop_length * self.convnext.stride

    @property
    def frame_rate(self) -> float:
        return self.sample_rate / self.hop_length

    @property
    def dim(self) -> int:
        return self.convnext.dim


@dataclass(frozen=True, kw_only=True)
class CodecOutput:
    """samples [B, 1, T * hop], codes [B, K, T], commitment_loss scalar, first [B, D, T] (first codebook alone)."""

    samples: Tensor
    codes: Tensor
    commitment_loss: Tensor
    first: Tensor


class Codec(nn.Module):
    """Neural audio codec: `encode` turns samples in [-1, 1] into codes, `decode` turns codes into samples."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ConvNextEncoder(config.convnext)
        self.decoder = ConvNextDecoder(config.convnext)
        self.quantizer = ResidualVectorQuantizer(config.dim, config.num_codebooks, config.codebook_size)

    def forward(self, samples: Tensor, num_codebooks: int | None = None, quantize: bool = True) -> CodecOutput:
        """Round-trip samples [B, 1, N], N a multiple of the hop; without `quantize` the latent passes unchanged."""
        latent = self.encoder(samples)
        if not quantize:
            codes = torch.zeros(latent.shape[0], 0, latent.shape[2], dtype=torch.long)
            decoded = self.decoder(latent)
            return CodecOutput(samples=decoded, codes=codes, commitment_loss=latent.new_zeros(()), first=latent)
        output = self.quantizer(latent, num_codebooks)
        return CodecOutput(
            samples=self.decoder(output.quantized),
            codes=output.codes,
            commitment_loss=output.commitment_loss,
            first=output.first,
        )

    @torch.no_grad()
    def encode(self, samples: Tensor) -> Tensor:
        """Return codes [B, K, ceil(N / hop)] int64 of samples [B, 1, N] in [-1, 1]."""
        return self.quantizer.encode(self.encoder(samples))

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Return samples [B, 1, T * hop] of codes [B, K', T], K' <= K; raises ValueError for ids out of range."""
        return self.decoder(self.quantizer.decode(codes))


def with_codebooks(config: CodecConfig, num_codebooks: int) -> CodecConfig:
    """Return the config of the same codec cut to its first `num_codebooks` (codebook dropout makes that possible)."""
    return dataclasses.replace(config, num_codebooks=num_codebooks)
