"""Train AudioLDM 2: latent diffusion on the true language of audio, the bridge that predicts it, and both together.

B batch, C channels, T frames and F bins of a latent, L vectors of the language of audio, D width, N rows of a caption
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from uniaudio.config import to_dict
from uniaudio.data.latents import LatentBatch, LatentSet
from uniaudio.diffusion.bridge import Bridge, Condition
from uniaudio.diffusion.denoiser import Denoiser
from uniaudio.diffusion.phones import TimedPhones, one_hot
from uniaudio.errors import InputError
from uniaudio.ssl.audiomae import pool

Stage = Literal["diffusion", "bridge", "joint"]


@dataclass(frozen=True, kw_only=True)
class LatentObjectiveConfig:
    """What is trained in a `stage` and on what: `shares` of the kinds of audio in a batch.

    "diffusion" sees the true language of audio, pooled as drawn from `poolings`. "bridge" predicts the one of
    `pooling`, in a share `rollout_share` of the steps after its own vectors, as when it generates, else after the true
    ones; its batches are of one kind each, so that captions are not padded to phones. In "joint" the denoiser gets the
    true one in a share `true_share` of the steps, else the roll-out, through which its gradient flows, and the bridge
    also its own loss with `bridge_weight`. Conditions of the bridge are dropped with probability `drop`.

    Raises InputError for a `batch_size` below 1 and no pooling.
    """

    stage: Stage = "diffusion"
    batch_size: int = 16
    shares: dict[str, float] = field(default_factory=lambda: {"sound": 0.4, "music": 0.35, "speech": 0.25})
    poolings: tuple[int, ...] = (2, 4, 8)
    pooling: int = 8
    true_share: float = 0.25
    bridge_loss: Literal["l1", "mse"] = "l1"
    bridge_weight: float = 1.0
    rollout_share: float = 0.0
    drop: float = 0.1

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size {self.batch_size} is no size of a batch: use 1 or more")
        if not self.poolings:
            raise InputError("there is no pooling to draw: use poolings=[8]")


class LatentObjective:
    """The loss of a stage on the arrays of a `LatentSet`; the encoders that made those are nowhere in it.

    `grid` is AudioMAE's (patches along time and frequency).
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        data: LatentSet,
        grid: tuple[int, int],
        config: LatentObjectiveConfig,
    ) -> None:
        self.config, self.data, self.grid = config, data, grid
        names = {"diffusion": ("denoiser", "phones"), "bridge": ("bridge",)}.get(config.stage)
        self.module = nn.ModuleDict({name: networks[name] for name in names or ("denoiser", "phones", "bridge")})

    def batch(self, seed: int, step: int) -> LatentBatch:
        """Return the batch of a step."""
        config = self.config
        return self.data.batch(config.shares, config.batch_size, seed, step, one_kind=config.stage == "bridge")

    def loss(self, batch: LatentBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of the stage and its parts."""
        config = self.config
        frames = {"frames": float(batch.latent.shape[0] * batch.latent.shape[2])}
        if config.stage == "diffusion":
            chosen = config.poolings[int(torch.randint(len(config.poolings), ()))]
            loss = self._denoise(batch, pool(batch.features, self.grid, chosen))
            return loss, {"diffusion": float(loss.detach()), **frames}
        true = pool(batch.features, self.grid, config.pooling)
        conditions = dropped(told(batch, self._bridge), config.drop)
        is_rolled = config.stage == "bridge" and bool(torch.rand(()) < config.rollout_share)
        bridge = self._bridge
        made = bridge.rollout(conditions, true.shape[1]) if is_rolled else bridge.teacher_forced(conditions, true)
        error = Bridge.loss(made, true, config.bridge_loss)
        if config.stage == "bridge":
            return error, {"bridge": float(error.detach()), "rolled_out": float(is_rolled), **frames}
        is_true = bool(torch.rand(()) < config.true_share)
        loa = true if is_true else bridge.rollout(conditions, true.shape[1])
        diffusion = self._denoise(batch, loa)
        figures = {"diffusion": float(diffusion.detach()), "bridge": float(error.detach()), "true": float(is_true)}
        return diffusion + config.bridge_weight * error, {**figures, **frames}

    @property
    def _bridge(self) -> Bridge:
        bridge = self.module["bridge"]
        assert isinstance(bridge, Bridge)
        return bridge

    def _denoise(self, batch: LatentBatch, loa: Tensor) -> Tensor:
        denoiser, phones = self.module["denoiser"], self.module["phones"]
        assert isinstance(denoiser, Denoiser) and isinstance(phones, TimedPhones)
        mask = batch.caption_mask.clone()
        mask[:, 0] = True  # attention to nothing at all is not defined; the row is 0 there
        return denoiser.loss(batch.latent, loa, batch.caption, mask, phones(batch.phones))

    def describe(self) -> dict[str, Any]:
        """Return the networks' configurations, the loss, and which arrays it is on."""
        parts = {name: to_dict(part.config) for name, part in self.module.items()}  # pyright: ignore
        return {**parts, "loss": to_dict(self.config), "latents": self.data.digest}


def told(batch: LatentBatch, bridge: Bridge) -> dict[str, Condition]:
    """Return what a batch says to a bridge: captions, voices and the phones that are said, each with its mask."""
    values = {
        "caption": (batch.caption, batch.caption_mask),
        "voice": (batch.voice[:, None], batch.voiced[:, None]),
    }
    if "phones" in bridge.config.conditions and bool(batch.phones.any()):
        values["phones"] = one_hot(batch.phones, bridge.config.conditions["phones"])
    return values


def dropped(conditions: Mapping[str, Condition], share: float) -> dict[str, Condition]:
    """Return conditions with all of a row masked, for a `share` of the rows."""
    count = len(next(iter(conditions.values()))[0])
    kept = (torch.rand(count) >= share)[:, None]
    return {name: (values, mask & kept.to(mask.device)) for name, (values, mask) in conditions.items()}
