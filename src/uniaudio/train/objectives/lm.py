"""Train a language model: cross-entropy of the target frames given everything before them.

B batch, T frames, K slots
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from uniaudio.lm.interface import Legal
from uniaudio.lm.orders import AnyLM
from uniaudio.sequence.batch import Batch


@dataclass(frozen=True, kw_only=True)
class LMObjectiveConfig:
    """`slot_weights` weigh the slots' losses (empty: equal); `label_smoothing` as in cross-entropy.

    `history_dropout` is the share of earlier target frames that are hidden from the model, so that it leans on the
    conditions and survives its own mistakes.
    """

    slot_weights: tuple[float, ...] = ()
    label_smoothing: float = 0.0
    history_dropout: float = 0.0


class LMObjective:
    """Next-frame prediction on the target alone; batches come from `draw(seed, step)`."""

    def __init__(
        self, model: AnyLM, legal: Legal, draw: Callable[[int, int], Batch], config: LMObjectiveConfig, fill: int
    ) -> None:
        self.module, self.legal, self.draw, self.config, self.fill = model, legal, draw, config, fill

    def batch(self, seed: int, step: int) -> Batch:
        """Return the batch of a step."""
        return self.draw(seed, step)

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the mean loss per slot and the figures of every slot."""
        if self.config.history_dropout > 0:
            hidden = batch.target & (
                torch.rand(batch.target.shape, device=batch.target.device) < self.config.history_dropout
            )
            batch.inputs = torch.where(hidden[..., None], self.fill, batch.frames)
        losses = self.module.losses(batch, self.legal, self.config.label_smoothing)
        weights = torch.tensor(self.config.slot_weights or [1.0] * len(losses))
        loss = torch.stack(losses) @ weights.to(losses[0]) / weights.sum()
        figures = {f"slot_{slot}": float(value.detach()) for slot, value in enumerate(losses)}
        return loss, {**figures, "frames": float(batch.target.sum())}

    def describe(self) -> dict[str, Any]:
        """Return the model's configuration and the loss's."""
        return {"lm": asdict(self.module.config), "loss": asdict(self.config)}
