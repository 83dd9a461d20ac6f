"""Train AudioMAE: hide most patches of a filterbank and draw them again from the rest.

B batch, N samples, T frames, F bands, L patches, V visible patches, D width
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from uniaudio.config import to_dict
from uniaudio.errors import InputError
from uniaudio.ssl.audiomae import AudioMae, MaeDecoder, MaeDecoderConfig
from uniaudio.train.objectives.codec import Recordings


@dataclass(frozen=True, kw_only=True)
class AudioMaeObjectiveConfig:
    """`mask_share` of the patches are hidden. Raises InputError for no share and for a `batch_size` below 1."""

    batch_size: int = 24
    mask_share: float = 0.8
    decoder: MaeDecoderConfig = field(default_factory=MaeDecoderConfig)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size {self.batch_size} is no size of a batch: use 1 or more")
        if not 0 < self.mask_share < 1:
            raise InputError(f"mask_share {self.mask_share} is no share: use more than 0 and less than 1")


class AudioMaeObjective:
    """Squared error of the hidden patches, each scaled to mean 0 and deviation 1, and of nothing else."""

    def __init__(self, network: AudioMae, crops: Recordings, config: AudioMaeObjectiveConfig) -> None:
        self.network, self.crops, self.config = network, crops, config
        network.requires_grad_(True)
        self.decoder = MaeDecoder(network.config, config.decoder)
        self.module = nn.ModuleDict({"audiomae": network, "decoder": self.decoder})

    def batch(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return filterbanks [B, T, F] and the places [B, V] of the visible patches."""
        samples = self.crops.batch(self.config.batch_size, seed, step)[0][:, 0]
        height, width = self.network.config.grid
        kept = round(height * width * (1 - self.config.mask_share))
        order = torch.rand(len(samples), height * width).argsort(dim=1)
        return self.network.fbank(samples), order[:, :kept]

    def loss(self, batch: tuple[Tensor, Tensor], step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the mean squared error over the hidden patches."""
        fbank, places = batch
        embedded = self.network.embed(fbank)
        visible = embedded.gather(1, places[..., None].expand(-1, -1, embedded.shape[2]))  # [B, V, D]
        states = self.network.encode(visible)[-1][:, 1:]
        drawn = self.decoder(states, places).float()
        wanted = self._patches(fbank)
        hidden = torch.ones(drawn.shape[:2], device=drawn.device).scatter(1, places, 0.0)
        errors = (drawn - wanted).square().mean(2)
        loss = (errors * hidden).sum() / hidden.sum()
        return loss, {"hidden": float(hidden.mean()), "frames": float(hidden.numel())}

    def _patches(self, fbank: Tensor) -> Tensor:
        """Return the normalised patches [B, L, patch^2] of filterbanks [B, T, F]."""
        size = self.network.config.patch
        patches = fbank.unfold(1, size, size).unfold(2, size, size).flatten(3).flatten(1, 2)
        variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
        return (patches - mean) / (variance + 1e-6).sqrt()

    def describe(self) -> dict[str, Any]:
        """Return the configuration of the encoder and of the loss."""
        return {"audiomae": to_dict(self.network.config), "loss": to_dict(self.config)}
