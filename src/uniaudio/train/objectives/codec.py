"""Train a codec: spectral reconstruction, commitment, and content in the first codebook.

B batch, N samples, T frames, K codebooks, D width of a code vector
"""

import random
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio.codec.losses import MultiResolutionMelLoss, MultiResolutionSTFTLoss
from uniaudio.codec.model import Codec
from uniaudio.data.crops import IGNORED, Crops


@dataclass(frozen=True, kw_only=True)
class CodecObjectiveConfig:
    """Weights of the losses. For `unquantized_steps` the latent passes unquantised, so that k-means starts well."""

    batch_size: int = 20
    unquantized_steps: int = 150
    mel_weight: float = 1.0
    stft_weight: float = 0.3
    commitment_weight: float = 0.1
    content_weight: float = 0.1
    codebook_dropout: float = 0.3


class CodecObjective:
    """Round trip of random crops; a linear probe on the first codebook predicts the phone (known for made speech)."""

    def __init__(self, codec: Codec, crops: Crops, config: CodecObjectiveConfig) -> None:
        self.codec, self.crops, self.config = codec, crops, config
        probe = nn.Linear(codec.config.dim, max(1, len(crops.phones)))
        self.module = nn.ModuleDict({"codec": codec, "probe": probe})
        self.mel = MultiResolutionMelLoss(sample_rate=codec.config.sample_rate)
        self.stft = MultiResolutionSTFTLoss()

    def batch(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return samples [B, 1, N] and phone labels [B, T]."""
        return self.crops.batch(self.config.batch_size, seed, step)

    def loss(self, batch: tuple[Tensor, Tensor], step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted loss and its parts."""
        samples, labels = batch
        config = self.config
        quantize = step >= config.unquantized_steps
        levels = self.codec.config.num_codebooks
        if random.random() < config.codebook_dropout:
            levels = random.randint(1, levels)
        output = self.codec(samples, levels, quantize)
        mel = self.mel(output.samples, samples)
        stft = self.stft(output.samples, samples)
        logits = self.module["probe"](output.first.transpose(1, 2))  # [B, T, phones]
        content = functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        content = torch.nan_to_num(content)  # a batch without a single known phone
        loss = config.mel_weight * mel + config.stft_weight * stft
        loss = loss + config.commitment_weight * output.commitment_loss + config.content_weight * content
        figures = {
            "mel": float(mel.detach()),
            "stft": float(stft.detach()),
            "commitment": float(output.commitment_loss.detach()),
            "content": float(content.detach()),
            "frames": float(labels.numel()),
        }
        return loss, figures

    def describe(self) -> dict[str, Any]:
        """Return the codec's configuration and the loss weights."""
        return {"codec": asdict(self.codec.config), "loss": asdict(self.config)}
