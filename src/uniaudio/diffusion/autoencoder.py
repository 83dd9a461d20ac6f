"""A variational autoencoder of log-mel spectrograms: diffusers' AutoencoderKL, with its latents brought to scale.

B batch, T mel frames, M mel bands, C latent channels, r frames (and bands) of one latent cell
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio.diffusion.library import diffusers_class

MEL_FLOOR = math.log(1e-5)  # log-mel of silence


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Sizes; the defaults are the shipped ones. A cell covers `reduction` frames and as many bands.

    `patch` x `patch` cells of the spectrogram become channels first, which costs a CPU a fraction of convolutions at
    full size; the public models have 1. `mel_mean` and `mel_std` bring log-mels to unit scale, `scaling_factor` is
    that of diffusers until `standardise` has measured better ones.

    Raises ValueError for an empty list of channels and for sizes below 1.
    """

    num_mels: int = 64
    latent_channels: int = 16
    patch: int = 4
    channels: tuple[int, ...] = (64, 128)
    blocks: int = 1
    norm_groups: int = 16
    middle_attention: bool = False
    mel_mean: float = -5.0
    mel_std: float = 2.5
    scaling_factor: float = 1.0

    def __post_init__(self) -> None:
        if not self.channels or min(self.patch, self.blocks, self.latent_channels, *self.channels) < 1:
            raise ValueError("an autoencoder needs channels, blocks, latent_channels and a patch of 1 or more")

    @property
    def reduction(self) -> int:
        """Mel frames, and bands, of one latent cell."""
        return self.patch * 2 ** (len(self.channels) - 1)


class MelAutoencoder(nn.Module):
    """log-mel [B, T, M] -> latent [B, C, T / r, M / r] of mean 0 and deviation 1 -> log-mel."""

    shift: Tensor
    scale: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        levels, planes = len(config.channels), config.patch**2
        self.vae = diffusers_class("AutoencoderKL")(
            in_channels=planes,
            out_channels=planes,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=config.channels,
            layers_per_block=config.blocks,
            latent_channels=config.latent_channels,
            norm_num_groups=config.norm_groups,
            mid_block_add_attention=config.middle_attention,
        )
        shape = (config.latent_channels, 1, 1)
        self.register_buffer("shift", torch.zeros(shape))
        self.register_buffer("scale", torch.full(shape, config.scaling_factor))

    def encode(self, mel: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the scaled latent [B, C, T / r, M / r]: the mean, or with a generator a draw.

        Frames are completed to whole cells with silence.
        """
        mean, deviation = self.posterior(mel)
        if generator is not None:
            noise = torch.randn(mean.shape, generator=generator, device=generator.device).to(mean)
            mean = mean + deviation * noise
        return (mean - self.shift) * self.scale

    def decode(self, latent: Tensor) -> Tensor:
        """Return the log-mel [B, T, M] of a scaled latent; differentiable."""
        return self.reconstruct(latent / self.scale + self.shift)

    def posterior(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of the unscaled latent, float32."""
        reduction = self.config.reduction
        mel = functional.pad(mel, (0, 0, 0, -mel.shape[1] % reduction), value=MEL_FLOOR)
        planes = functional.pixel_unshuffle(self._normal(mel)[:, None], self.config.patch)  # [B, P * P, T / P, M / P]
        found = self.vae.encode(planes).latent_dist
        return found.mean.float(), found.std.float()

    def reconstruct(self, latent: Tensor) -> Tensor:
        """Return the log-mel [B, T, M] of an unscaled latent."""
        planes = self.vae.decode(latent).sample.float()
        mel = functional.pixel_shuffle(planes, self.config.patch)[:, 0]
        return mel * self.config.mel_std + self.config.mel_mean

    @torch.no_grad()
    def standardise(self, latents: Tensor) -> None:
        """Set the scale by latents [B, C, T, M] as `encode` gave them: afterwards each channel has mean 0 and std 1."""
        latents = latents.float() / self.scale + self.shift
        self.shift.copy_(latents.mean((0, 2, 3))[:, None, None])
        self.scale.copy_(1 / latents.std((0, 2, 3)).clamp(min=1e-4)[:, None, None])

    def _normal(self, mel: Tensor) -> Tensor:
        return (mel - self.config.mel_mean) / self.config.mel_std
