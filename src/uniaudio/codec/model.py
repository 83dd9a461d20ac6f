"""The codec: an encoder, a residual quantiser and a decoder behind one interface, whatever their shape.

B batch, N samples, T frames, K codebooks, D width of a code vector
"""

import copy
import dataclasses
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio.codec.convnext import ConvNextConfig, ConvNextDecoder, ConvNextEncoder, Matrix
from uniaudio.codec.quantize import ResidualVectorQuantizer
from uniaudio.codec.seanet import SEANetConfig, SEANetDecoder, SEANetEncoder
from uniaudio.errors import InputError


@dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """What defines a codec; `shape` picks which of the two backbones is built, and so which sizes are read.

    "convnext" computes at the frame rate and is fast; "seanet" is the published codec of UniAudio, on raw samples.
    """

    shape: Literal["convnext", "seanet"] = "convnext"
    num_codebooks: int = 6
    codebook_size: int = 1024
    convnext: ConvNextConfig = field(default_factory=ConvNextConfig)
    seanet: SEANetConfig = field(default_factory=SEANetConfig)

    @property
    def _backbone(self) -> ConvNextConfig | SEANetConfig:
        return self.convnext if self.shape == "convnext" else self.seanet

    @property
    def sample_rate(self) -> int:
        """Samples per second (Hz)."""
        return self._backbone.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples per code frame."""
        return self.convnext.hop_length * self.convnext.stride if self.shape == "convnext" else self.seanet.hop_length

    @property
    def frame_rate(self) -> float:
        """Code frames per second (Hz)."""
        return self.sample_rate / self.hop_length

    @property
    def dim(self) -> int:
        """Width of a code vector."""
        return self._backbone.dim


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
        self.encoder, self.decoder = _backbone(config)
        self.quantizer = ResidualVectorQuantizer(config.dim, config.num_codebooks, config.codebook_size)

    def forward(self, samples: Tensor, num_codebooks: int | None = None, quantize: bool = True) -> CodecOutput:
        """Round-trip samples [B, 1, N] with the first `num_codebooks`; without `quantize` the latent is not rounded."""
        latent = self.latent(samples)
        if not quantize:
            codes = torch.zeros(latent.shape[0], 0, latent.shape[2], dtype=torch.long, device=latent.device)
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
        """Return codes [B, K, ceil(N / hop)] int64 of samples [B, 1, N] in [-1, 1]; autocast does not change them."""
        with torch.autocast(samples.device.type, enabled=False):
            return self.quantizer.encode(self.latent(samples))

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Return samples [B, 1, T * hop] of codes [B, K', T], K' <= K; raises ValueError for ids out of range."""
        return self.decoder(self.quantizer.decode(codes))

    def cut(self, num_codebooks: int) -> "Codec":
        """Return the codec of the first `num_codebooks` codebooks, which shares this one's weights.

        Its codes are the first levels of this one's; training with codebook dropout makes it sound well.
        Raises ValueError when there are not that many.
        """
        kept = Codec.__new__(Codec)  # a fresh one would draw random weights only to throw them away
        nn.Module.__init__(kept)
        kept.config = dataclasses.replace(self.config, num_codebooks=num_codebooks)
        kept.encoder, kept.decoder = self.encoder, self.decoder
        kept.quantizer = self.quantizer.cut(num_codebooks)
        kept.training = self.training
        return kept

    def refined(self, **sizes: int) -> "Codec":
        """Return a codec with the same codes whose ConvNeXt decoder has other `sizes`, as in `fine_blocks=4`.

        What fits keeps this one's weights; the rest of the decoder is fresh and has to be trained.
        """
        convnext = dataclasses.replace(self.config.convnext, **sizes)
        codec = Codec(dataclasses.replace(self.config, convnext=convnext))
        own = codec.state_dict()
        kept = {name: value for name, value in self.state_dict().items() if own[name].shape == value.shape}
        codec.load_state_dict(own | kept)
        return codec

    def in_bfloat16(self) -> "Codec":
        """Return a copy whose matrix products are in bfloat16: several times as fast on processors that have it.

        All else stays float32. A few codes differ from this one's, and samples by about -50 dB. Raises InputError for
        a codec of shape "seanet", which has no matrices.
        """
        if self.config.shape != "convnext":
            raise InputError(f"a codec of shape {self.config.shape!r} is computed in float32 only")
        lowered = copy.deepcopy(self)
        for module in lowered.modules():
            if isinstance(module, Matrix):
                module.bfloat16()
        return lowered

    def latent(self, samples: Tensor) -> Tensor:
        """Return the encoder's [B, D, T] of samples [B, 1, N], lengthened by silence to whole frames; not rounded."""
        return self.encoder(functional.pad(samples, (0, -samples.shape[-1] % self.config.hop_length)))


def _backbone(config: CodecConfig) -> tuple[nn.Module, nn.Module]:
    """Return the encoder [B, 1, T * hop] -> [B, D, T] and the decoder back."""
    if config.shape == "convnext":
        return ConvNextEncoder(config.convnext), ConvNextDecoder(config.convnext)
    return SEANetEncoder(config.seanet), SEANetDecoder(config.seanet)
