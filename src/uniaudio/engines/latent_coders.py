"""What turns audio into latents and back: an autoencoder of log-mels with a vocoder, or the codec before it rounds.

B batch, N samples, C channels, T frames and F bins of a latent, D width of the codec's latent
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from uniaudio.audio.filterbanks import TacotronMel
from uniaudio.codec.model import Codec
from uniaudio.diffusion.autoencoder import MelAutoencoder
from uniaudio.diffusion.vocoder import Vocoder
from uniaudio.engines.tokenizers import load_tokenizers, weights_hash
from uniaudio.errors import InputError


class Coder(Protocol):
    """Latents [B, C, T, F] with `channels` and `bins`, `rate` frames a second, of audio at `sample_rate`."""

    channels: int
    bins: int

    @property
    def sample_rate(self) -> int: ...

    @property
    def rate(self) -> float: ...

    def to_latent(self, samples: Tensor) -> Tensor:
        """Return the scaled latent [B, C, T, F] of samples [B, N]."""
        ...

    def to_samples(self, latent: Tensor) -> Tensor:
        """Return the samples [B, N] of a scaled latent."""
        ...


class MelCoder:
    """The way of the paper: log-mel and autoencoder, and back through a vocoder."""

    def __init__(self, autoencoder: MelAutoencoder, vocoder: Vocoder) -> None:
        sizes, cells = vocoder.config, autoencoder.config
        self.autoencoder, self.vocoder = autoencoder, vocoder
        self.mel = TacotronMel(sizes.sample_rate, hop_length=sizes.hop_length, num_mels=sizes.num_mels)
        self.channels, self.bins = cells.latent_channels, cells.num_mels // cells.reduction

    @property
    def sample_rate(self) -> int:
        return self.vocoder.config.sample_rate

    @property
    def rate(self) -> float:
        return self.sample_rate / self.vocoder.config.hop_length / self.autoencoder.config.reduction

    def to_latent(self, samples: Tensor) -> Tensor:
        return self.autoencoder.encode(self.mel(samples))

    def to_samples(self, latent: Tensor) -> Tensor:
        return self.vocoder(self.autoencoder.decode(latent))


@dataclass(frozen=True, kw_only=True)
class CodecLatentConfig:
    """The first `channels` principal components of the `dim` values that the codec of `model` has for a frame; `sha256`
    is the hash of that model's weights (empty: not known yet)."""

    channels: int = 32
    dim: int = 96
    model: str = "uniaudio-codec"
    sha256: str = ""


class CodecLatent(nn.Module):
    """Samples [B, N] <-> latent [B, C, T, 1]: what the codec's encoder says before it is rounded to codes.

    Component i, of variance v_i, is scaled to a deviation in proportion to v_i ^ 1/4, so that the first ones, which
    are heard most, stand out from noise first; all together have a variance of 1 a channel. The codec is no part of
    this module's weights: a folder names its model.
    """

    mean: Tensor
    analysis: Tensor
    synthesis: Tensor

    def __init__(self, config: CodecLatentConfig) -> None:
        super().__init__()
        self.config, self.channels, self.bins = config, config.channels, 1
        self.register_buffer("mean", torch.zeros(config.dim))
        self.register_buffer("analysis", torch.eye(config.dim)[:, : config.channels].contiguous())
        self.register_buffer("synthesis", torch.eye(config.dim)[: config.channels].contiguous())
        self._codec: list[Codec] = []  # in a list, so that it is no submodule

    def attach(self, codec: Codec) -> "CodecLatent":
        """Take the codec; raises InputError for one whose latents have another width."""
        if codec.config.dim != self.config.dim:
            raise InputError(f"the codec has {codec.config.dim} values a frame, the latents need {self.config.dim}")
        self._codec = [codec.eval().requires_grad_(False)]
        return self

    @property
    def codec(self) -> Codec:
        return self._codec[0]

    @property
    def sample_rate(self) -> int:
        return self.codec.config.sample_rate

    @property
    def rate(self) -> float:
        return self.codec.config.frame_rate

    def to_latent(self, samples: Tensor) -> Tensor:
        with torch.autocast(samples.device.type, enabled=False):
            frames = self.codec.latent(samples[:, None]).transpose(1, 2)  # [B, T, D]
            return ((frames - self.mean) @ self.analysis).transpose(1, 2)[..., None]

    def to_samples(self, latent: Tensor) -> Tensor:
        frames = latent[..., 0].transpose(1, 2).float() @ self.synthesis + self.mean  # [B, T, D]
        return self.codec.decoder(frames.transpose(1, 2))[:, 0]

    @torch.no_grad()
    def fit(self, samples: Tensor) -> None:
        """Set the components by samples [B, N]: principal components of the codec's latents, scaled as said above."""
        frames = self.codec.latent(samples[:, None]).transpose(1, 2).flatten(0, 1)  # [B T, D]
        variances, vectors = torch.linalg.eigh(torch.cov(frames.T))  # ascending
        kept = slice(-1, -1 - self.config.channels, -1)
        order = list(range(self.config.dim))[kept]
        deviations = variances[order].clamp(min=1e-8).sqrt()
        scale = deviations.sqrt()  # what deviations are divided by, up to one factor for all
        scale = scale * (deviations / scale).square().mean().sqrt()
        self.mean.copy_(frames.mean(0))
        self.analysis.copy_(vectors[:, order] / scale)
        self.synthesis.copy_((vectors[:, order] * scale).T)


def new_codec_latent(model: str, channels: int) -> CodecLatent:
    """Return the latents of a model's codec, not yet fitted; raises InputError for a model without one."""
    codec, _ = load_tokenizers(model)
    config = CodecLatentConfig(channels=channels, dim=codec.config.dim, model=model, sha256=weights_hash(model))
    return CodecLatent(config).attach(codec)


def with_its_codec(latent: CodecLatent) -> CodecLatent:
    """Attach the codec that latents name; raises InputError when it is another version than theirs."""
    name = latent.config.model
    codec, _ = load_tokenizers(name)
    if weights_hash(name) != latent.config.sha256:
        raise InputError(f"this model was made with another version of {name}; fetch both again")
    return latent.attach(codec)
