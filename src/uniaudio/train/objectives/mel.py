"""Train what is on both sides of AudioLDM 2's latents: the autoencoder of log-mels, and the vocoder behind it.

B batch, N samples, T mel frames, M mel bands
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from uniaudio.audio.filterbanks import TacotronMel
from uniaudio.codec.losses import MultiResolutionMelLoss, MultiResolutionSTFTLoss
from uniaudio.config import to_dict
from uniaudio.diffusion.autoencoder import MelAutoencoder
from uniaudio.diffusion.vocoder import Vocoder
from uniaudio.errors import InputError
from uniaudio.train.objectives.adversarial import AdversarialConfig, Adversary
from uniaudio.train.objectives.codec import Recordings


@dataclass(frozen=True, kw_only=True)
class AutoencoderObjectiveConfig:
    """Weights of the losses: absolute and squared error of normalised mels, and the divergence per latent value.

    Raises InputError for a `batch_size` below 1.
    """

    batch_size: int = 16
    absolute_weight: float = 1.0
    squared_weight: float = 0.5
    divergence_weight: float = 0.01

    def __post_init__(self) -> None:
        _check_batch_size(self.batch_size)


class AutoencoderObjective:
    """Round trip of the log-mels of random crops."""

    def __init__(self, network: MelAutoencoder, crops: Recordings, config: AutoencoderObjectiveConfig) -> None:
        self.network, self.crops, self.config = network, crops, config
        self.module = nn.ModuleDict({"autoencoder": network})
        self.mel = TacotronMel(num_mels=network.config.num_mels)

    def batch(self, seed: int, step: int) -> Tensor:
        """Return log-mels [B, T, M]."""
        return self.mel(self.crops.batch(self.config.batch_size, seed, step)[0][:, 0])

    def loss(self, batch: Tensor, step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted loss; "mel" is the mean absolute error in nepers."""
        mean, deviation = self.network.posterior(batch)
        latent = mean + deviation * torch.randn_like(mean)
        error = (self.network.reconstruct(latent) - batch) / self.network.config.mel_std
        divergence = 0.5 * (mean.square() + deviation.square() - 1 - 2 * deviation.log()).mean()
        absolute = error.abs().mean()
        config = self.config
        loss = config.absolute_weight * absolute + config.squared_weight * error.square().mean()
        loss = loss + config.divergence_weight * divergence
        figures = {"mel": float(absolute.detach()) * self.network.config.mel_std}
        return loss, figures | {"divergence": float(divergence.detach()), "frames": float(batch[:, :, 0].numel())}

    def describe(self) -> dict[str, Any]:
        """Return the configuration of the network and of the loss."""
        return {"autoencoder": to_dict(self.network.config), "loss": to_dict(self.config)}


@dataclass(frozen=True, kw_only=True)
class VocoderObjectiveConfig:
    """Weights of the codec's multi-resolution losses, and if asked its adversary.

    With an autoencoder, a share `decoded_share` of the log-mels has gone through it, as those of latents will have.
    Raises InputError for a `batch_size` below 1.
    """

    batch_size: int = 12
    mel_weight: float = 1.0
    stft_weight: float = 0.3
    decoded_share: float = 0.5
    adversarial: AdversarialConfig | None = None

    def __post_init__(self) -> None:
        _check_batch_size(self.batch_size)


class VocoderObjective:
    """Waveforms of random crops from their log-mels, some of them decoded by `autoencoder`, which stays as it is."""

    def __init__(
        self,
        network: Vocoder,
        crops: Recordings,
        config: VocoderObjectiveConfig,
        autoencoder: MelAutoencoder | None = None,
    ) -> None:
        self.network, self.crops, self.config, self.autoencoder = network, crops, config, autoencoder
        self.module = nn.ModuleDict({"vocoder": network})
        self.adversary = None if config.adversarial is None else Adversary(config.adversarial)
        if self.adversary is not None:
            self.module["discriminator"] = self.adversary.discriminator
        shape = network.config
        self.front_end = TacotronMel(shape.sample_rate, hop_length=shape.hop_length, num_mels=shape.num_mels)
        self.mel = MultiResolutionMelLoss(sample_rate=shape.sample_rate)
        self.stft = MultiResolutionSTFTLoss()

    def batch(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return samples [B, 1, N] and their log-mels [B, T, M]."""
        samples = self.crops.batch(self.config.batch_size, seed, step)[0]
        mels = self.front_end(samples[:, 0])
        if self.autoencoder is not None:
            decoded = torch.rand(len(mels)) < self.config.decoded_share
            with torch.no_grad():
                heard = self.autoencoder.decode(self.autoencoder.encode(mels[decoded])) if decoded.any() else mels[:0]
            mels[decoded] = heard[:, : mels.shape[1]]
        return samples, mels

    def loss(self, batch: tuple[Tensor, Tensor], step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted loss and its parts."""
        samples, mels = batch
        made = self.network(mels)[:, None]  # [B, 1, N]
        mel, stft = self.mel(made, samples), self.stft(made, samples)
        loss = self.config.mel_weight * mel + self.config.stft_weight * stft
        figures = {"mel": float(mel.detach()), "stft": float(stft.detach()), "frames": float(mels[:, :, 0].numel())}
        if self.adversary is not None and step >= self.adversary.config.start_step:
            generator, discriminator, more = self.adversary.losses(made, samples)
            loss, figures = loss + generator + discriminator, figures | more
        return loss, figures

    def describe(self) -> dict[str, Any]:
        """Return the configuration of the network and of the loss."""
        return {"vocoder": to_dict(self.network.config), "loss": to_dict(self.config)}


def _check_batch_size(size: int) -> None:
    if size < 1:
        raise InputError(f"batch_size {size} is no size of a batch: use 1 or more")
