"""Train a language model: cross-entropy of the target frames given everything before them.

B batch, T frames, K slots
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from uniaudio.errors import InputError
from uniaudio.lm.interface import Legal
from uniaudio.lm.orders import AnyLM, training_flops
from uniaudio.sequence.batch import Batch, hide_conditions


@dataclass(frozen=True, kw_only=True)
class LMObjectiveConfig:
    """`slot_weights` weigh the slots' losses (empty: equal); `label_smoothing` as in cross-entropy.

    `history_dropout` is the share of earlier target frames that are hidden from the model, so that it leans on the
    conditions and survives its own mistakes; in a share `history_blackout` of the examples all of them are. With
    `prompt_frames` a target begins with a prompt of a random length, at least that many frames: blackouts spare it, and
    in a share `prompt_dropout` of the examples it is hidden, for guidance.
    `condition_dropout` is the share of examples whose conditions are hidden, for guidance. Slots after the first learn
    from a share `local_share` of the frames (multi-scale alone). Raises InputError for a share outside 0 to 1.
    """

    slot_weights: tuple[float, ...] = ()
    label_smoothing: float = 0.0
    history_dropout: float = 0.0
    history_blackout: float = 0.0
    prompt_frames: int = 0
    prompt_dropout: float = 0.0
    condition_dropout: float = 0.0
    local_share: float = 1.0

    def __post_init__(self) -> None:
        for name in ("history_dropout", "history_blackout", "prompt_dropout", "condition_dropout", "local_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} {getattr(self, name)} is no share: use 0 to 1")


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
        self._hide(batch)
        extra = {} if self.config.local_share == 1 else {"local_share": self.config.local_share}
        losses = self.module.losses(batch, self.legal, self.config.label_smoothing, **extra)
        weights = torch.tensor(self.config.slot_weights or [1.0] * len(losses))
        loss = (torch.stack(losses) * weights.to(losses[0])).sum() / weights.sum()  # a product would be in bfloat16
        figures = {f"slot_{slot}": float(value.detach()) for slot, value in enumerate(losses)}
        figures["flops"] = training_flops(self.module, batch, self.legal, self.config.local_share)
        return loss, {**figures, "frames": float(batch.target.sum())}

    def _hide(self, batch: Batch) -> None:
        """Set the inputs of a batch: frames without the parts of history and conditions that this step hides."""
        config, rows = self.config, len(batch.lengths)
        if not (config.history_dropout or config.history_blackout or config.prompt_dropout or config.condition_dropout):
            return
        device = batch.frames.device
        inputs = batch.frames
        if config.condition_dropout:
            inputs = hide_conditions(batch, torch.rand(rows, device=device) < config.condition_dropout, self.fill)
        dark = torch.rand(rows, 1, device=device) < config.history_blackout
        if config.prompt_frames:
            dark = self._parts(batch, dark)
        hidden = batch.target & (dark | (torch.rand(batch.target.shape, device=device) < config.history_dropout))
        batch.inputs = torch.where(hidden[..., None], self.fill, inputs)

    def _parts(self, batch: Batch, dark: Tensor) -> Tensor:
        """Return what is hidden of the targets, [B, T] bool, where blackouts [B, 1] spare a prompt of random length."""
        config, sizes = self.config, batch.target.sum(1, keepdim=True)  # [B, 1]
        free = (sizes - config.prompt_frames).clamp(min=0)
        length = config.prompt_frames + (torch.rand(sizes.shape, device=sizes.device) * (free + 1)).long()
        in_prompt = batch.target.cumsum(1) <= length  # [B, T]
        lost = torch.rand(sizes.shape, device=sizes.device) < config.prompt_dropout
        return torch.where(in_prompt, lost, dark)

    def describe(self) -> dict[str, Any]:
        """Return the model's configuration and the loss's."""
        return {"lm": asdict(self.module.config), "loss": asdict(self.config)}
