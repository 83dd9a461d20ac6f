"""Train a codec: spectral reconstruction, commitment, content in the first codebook, and if asked an adversary.

B batch, N samples, T frames, K codebooks, D width of a code vector
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio.codec.losses import MultiResolutionMelLoss, MultiResolutionSTFTLoss
from uniaudio.codec.model import Codec
from uniaudio.config import to_dict
from uniaudio.data.crops import IGNORED
from uniaudio.errors import InputError
from uniaudio.train.objectives.adversarial import AdversarialConfig, Adversary


@dataclass(frozen=True, kw_only=True)
class CodecObjectiveConfig:
    """Weights of the losses. For `unquantized_steps` the latent passes unquantised, so that k-means starts well.

    With `decoder_only` the encoder and the codebooks stay as they are, so codes made before stay valid: only the
    reconstruction and the adversarial terms are left. Raises InputError for a `batch_size` below 1.
    """

    batch_size: int = 20
    unquantized_steps: int = 150
    mel_weight: float = 1.0
    stft_weight: float = 0.3
    commitment_weight: float = 0.1
    content_weight: float = 0.1
    codebook_dropout: float = 0.3
    decoder_only: bool = False
    adversarial: AdversarialConfig | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size {self.batch_size} is no size of a batch: use 1 or more")


class Recordings(Protocol):
    """Where batches come from; `uniaudio.data.crops.Crops` is one."""

    @property
    def phones(self) -> Mapping[str, int]: ...

    def batch(self, batch_size: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return samples [B, 1, N] and phone labels [B, T], the same for the same arguments."""
        ...


class CodecObjective:
    """Round trip of random crops; a linear probe on the first codebook predicts the phone (known for made speech)."""

    def __init__(self, codec: Codec, crops: Recordings, config: CodecObjectiveConfig) -> None:
        self.codec, self.crops, self.config = codec, crops, config
        codec.requires_grad_(True)  # a loaded codec comes frozen
        self.module = nn.ModuleDict({"codec": codec})
        if config.decoder_only:
            codec.encoder.requires_grad_(False)
        else:
            self.module["probe"] = nn.Linear(codec.config.dim, max(1, len(crops.phones)))
        self.adversary = None if config.adversarial is None else Adversary(config.adversarial)
        if self.adversary is not None:
            self.module["discriminator"] = self.adversary.discriminator
        self.mel = MultiResolutionMelLoss(sample_rate=codec.config.sample_rate)
        self.stft = MultiResolutionSTFTLoss()

    def batch(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return samples [B, 1, N] and phone labels [B, T]."""
        return self.crops.batch(self.config.batch_size, seed, step)

    def loss(self, batch: tuple[Tensor, Tensor], step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted loss and its parts."""
        samples, labels = batch
        config = self.config
        levels = self.codec.config.num_codebooks
        if random.random() < config.codebook_dropout:
            levels = random.randint(1, levels)
        if config.decoder_only:
            decoded, code_loss, figures = self._decode(samples, levels), samples.new_zeros(()), {}
        else:
            decoded, code_loss, figures = self._round_trip(samples, labels, levels, step)
        mel = self.mel(decoded, samples)
        stft = self.stft(decoded, samples)
        loss = config.mel_weight * mel + config.stft_weight * stft + code_loss
        figures |= {"mel": float(mel.detach()), "stft": float(stft.detach()), "frames": float(labels.numel())}
        if self.adversary is not None and step >= self.adversary.config.start_step:
            generator, discriminator, more = self.adversary.losses(decoded, samples)
            loss, figures = loss + generator + discriminator, figures | more
        return loss, figures

    def _decode(self, samples: Tensor, levels: int) -> Tensor:
        """Decode the first `levels` codes that `encode` gives; nothing before the decoder learns."""
        codes = self.codec.encode(samples)  # [B, K, T]
        return self.codec.decoder(self.codec.quantizer.decode(codes[:, :levels]))

    def _round_trip(
        self, samples: Tensor, labels: Tensor, levels: int, step: int
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Return decoded samples [B, 1, N], the weighted losses of the codes, and their figures."""
        output = self.codec(samples, levels, step >= self.config.unquantized_steps)
        logits = self.module["probe"](output.first.transpose(1, 2))  # [B, T, phones]
        content = functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        content = torch.nan_to_num(content)  # a batch without a single known phone
        loss = self.config.commitment_weight * output.commitment_loss + self.config.content_weight * content
        figures = {"commitment": float(output.commitment_loss.detach()), "content": float(content.detach())}
        return output.samples, loss, figures

    def describe(self) -> dict[str, Any]:
        """Return the codec's configuration and the loss weights, without what is off and the sizes that are not used.

        So a run that began before a newer option existed is still known as the same run.
        """
        codec, loss = to_dict(self.codec.config), to_dict(self.config)
        del codec["seanet" if self.codec.config.shape == "convnext" else "convnext"]
        off = [name for name in ("decoder_only", "adversarial") if not loss[name]]
        return {"codec": codec, "loss": {name: value for name, value in loss.items() if name not in off}}
