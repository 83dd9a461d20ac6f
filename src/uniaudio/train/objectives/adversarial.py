"""The adversarial half of codec training: a discriminator and a generator that learn from one backward pass.

B batch, N samples
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import functional_call

from uniaudio.codec.discriminator import PRESETS, DiscriminatorOutput, STFTDiscriminator
from uniaudio.codec.losses import adversarial_losses, feature_matching_loss
from uniaudio.errors import InputError


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """The discriminator and its part in the loss; from `start_step` on, both sides learn in every step.

    `preset` is one of `uniaudio.codec.discriminator.PRESETS`. `batch_share` is the share of the batch's signals that
    is judged (at least one), for machines where the discriminator costs more than the codec.

    Raises InputError for a share outside (0, 1] or a negative weight or step.
    """

    preset: Literal["small", "paper"] = "small"
    game: Literal["hinge", "lsgan"] = "hinge"
    start_step: int = 0
    weight: float = 0.1
    feature_weight: float = 1.0
    batch_share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.batch_share <= 1:
            raise InputError(f"batch_share {self.batch_share} is not a share of the batch: use more than 0, at most 1")
        for name in ("start_step", "weight", "feature_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} {getattr(self, name)} is negative: use 0 or more")


class Adversary:
    """Judges decoded against original signals; `losses` gives each side a term that no gradient leaves for the other.

    Both terms use the discriminator as it is before the step, so one backward pass and one optimiser step train both.
    """

    def __init__(self, config: AdversarialConfig) -> None:
        self.config = config
        self.discriminator = STFTDiscriminator(PRESETS[config.preset])
        self.game = adversarial_losses(config.game)

    def losses(self, decoded: Tensor, original: Tensor) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Return the weighted generator term, the discriminator's own term, and figures; signals are [B, 1, N].

        The first has a gradient for `decoded` alone, the second for the discriminator's parameters alone.
        """
        judged = max(1, round(self.config.batch_share * decoded.shape[0]))
        decoded, original = decoded[:judged], original[:judged]
        real, fake = self.discriminator(original), self.discriminator(decoded.detach())
        discriminator = self.game.discriminator(real, fake)
        fake = self._judge_frozen(decoded)
        generator, features = self.game.generator(fake), feature_matching_loss(real, fake)
        figures = {
            "discriminator": float(discriminator.detach()),
            "generator": float(generator.detach()),
            "features": float(features.detach()),
            "real_above_fake": float(_margin(real, fake)),
        }
        return self.config.weight * generator + self.config.feature_weight * features, discriminator, figures

    def _judge_frozen(self, samples: Tensor) -> DiscriminatorOutput:
        """Judge samples [B, 1, N] with the discriminator's weights as constants."""
        constants = {name: parameter.detach() for name, parameter in self.discriminator.named_parameters()}
        return functional_call(self.discriminator, constants, (samples,))


def _margin(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
    """Return by how much the mean logit of real signals exceeds that of fake ones, averaged over scales."""
    with torch.no_grad():
        margins = [a.float().mean() - b.float().mean() for (a, _), (b, _) in zip(real, fake, strict=True)]
        return torch.stack(margins).mean()
