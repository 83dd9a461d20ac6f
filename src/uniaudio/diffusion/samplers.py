"""From noise to a latent: one loop for plain generation, another start (SDEdit), a part that stays, and windows.

B batch, C channels, T latent frames, F latent bins, W frames of a window
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from uniaudio.diffusion.denoiser import Predict
from uniaudio.diffusion.library import diffusers_class

SAMPLERS = {
    "ddim": "DDIMScheduler",
    "dpmpp": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
}
MAX_STEPS = 500  # of a schedule of 1000
Unconditional = Literal["zeros", "rollout"]
OnStep = Callable[[int, int], None]  # (steps done, steps in all)


@dataclass(frozen=True, kw_only=True)
class Diffusion:
    """How a latent is sampled: `eta` is DDIM's alone; `unconditional` is the language of audio that guidance leaves.

    "zeros" is what training drops it to and the original code takes; "rollout" rolls it out of the empty prompt, as
    diffusers does. Raises ValueError for an unknown sampler and values out of range.
    """

    sampler: str = "ddim"
    steps: int = 50
    guidance: float = 3.5
    rescale: float = 0.0
    eta: float = 0.0
    unconditional: Unconditional = "zeros"

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ValueError(f"sampler {self.sampler!r} must be one of {', '.join(SAMPLERS)}")
        if not 1 <= self.steps <= MAX_STEPS or self.guidance < 1:
            raise ValueError(f"steps must be from 1 to {MAX_STEPS} and guidance 1 or more: {self}")
        if not 0 <= self.rescale <= 1 or not 0 <= self.eta <= 1:
            raise ValueError(f"rescale and eta must be from 0 to 1: {self}")


@dataclass(frozen=True, kw_only=True)
class Start:
    """A latent [B, C, T, F] to set out from: it gets the noise of the last `strength` (0..1) of the steps."""

    latent: Tensor
    strength: float


@dataclass(frozen=True, kw_only=True)
class Keep:
    """What stays of a latent [B, C, T, F]: where `mask`, which broadcasts to it, is 1."""

    latent: Tensor
    mask: Tensor


def make_scheduler(name: str, schedule: Mapping[str, Any]) -> Any:
    """Return a scheduler of diffusers by our name for it; `schedule` is a noise schedule in the words of diffusers.

    Steps lead (the first is one above a multiple), nothing is clipped, and the last step ends at the first alpha, as in
    the public models. DPM-Solver++ would begin too late with leading steps (at 501 of 1000 for 500), so its lie evenly.
    """
    kind = diffusers_class(SAMPLERS[name])
    known = inspect.signature(kind.__init__).parameters
    ours = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, "timestep_spacing": "leading"}
    settings = {key: value for key, value in {**ours, **schedule}.items() if key in known}
    if name == "dpmpp":
        settings["timestep_spacing"] = "linspace"
    return kind(**settings)


def make_noise(shape: Sequence[int], generators: Sequence[torch.Generator]) -> Tensor:
    """Return noise [B, *shape], each row from its own generator, so that a batch gives what single requests do."""
    return torch.stack([torch.randn(tuple(shape), generator=generator) for generator in generators])


@torch.no_grad()
def sample(
    predict: Predict,
    scheduler: Any,
    noise: Tensor,
    settings: Diffusion,
    *,
    generators: Sequence[torch.Generator] = (),
    start: Start | None = None,
    keep: Keep | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Return the latent [B, C, T, F] that `noise` (of unit variance) becomes by the steps of a scheduler.

    `generators`, one a row, are drawn from only where `settings.eta` is above 0. What `keep` keeps is exact at the end,
    and has the noise of each step before.
    """
    scheduler.set_timesteps(settings.steps, device=noise.device)
    steps = scheduler.timesteps
    latent = noise * scheduler.init_noise_sigma
    if start is not None:
        first = len(steps) - max(1, round(start.strength * len(steps)))
        steps = steps[first:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        latent = scheduler.add_noise(start.latent, noise, steps[:1].expand(len(noise)))
    known = inspect.signature(scheduler.step).parameters
    extra: dict[str, Any] = {"eta": settings.eta} if "eta" in known else {}
    if settings.eta and "generator" in known:
        extra["generator"] = list(generators)
    for index, step in enumerate(steps):
        prediction = predict(scheduler.scale_model_input(latent, step), step)
        latent = scheduler.step(prediction, step, latent, **extra).prev_sample
        if keep is not None:
            latent = _put_back(keep, latent, noise, scheduler, steps[index + 1 :])
        if on_step is not None:
            on_step(index + 1, len(steps))
    return latent


def _put_back(keep: Keep, latent: Tensor, noise: Tensor, scheduler: Any, later: Tensor) -> Tensor:
    """Return the latent with what stays in its place, at the noise of the next step, or without any at the end."""
    kept = keep.latent
    if len(later):
        kept = scheduler.add_noise(kept, noise, later[:1].expand(len(latent)))
    return keep.mask * kept + (1 - keep.mask) * latent


def spans(length: int, window: int, overlap: int) -> list[tuple[int, int]]:
    """Return where windows of at most `window` frames lie that cover `length`, each at least `overlap` over the next.

    They are all of the same length, and spread evenly.
    """
    assert 0 <= overlap < window
    if length <= window:
        return [(0, length)]
    count = -(-(length - overlap) // (window - overlap))
    starts = [round(index * (length - window) / (count - 1)) for index in range(count)]
    return [(start, start + window) for start in starts]


def windowed(predicts: Sequence[Predict], places: Sequence[tuple[int, int]]) -> Predict:
    """Return one prediction of any length from one for each window (2302.08113, with ramps where windows meet).

    In the overlap of two windows the weight of one falls as that of the other rises, at every step of the loop: both
    work on the same latent, so there is no seam to hide afterwards.
    """
    assert len(predicts) == len(places)
    if len(places) == 1:
        return predicts[0]

    def predict(noisy: Tensor, step: Tensor) -> Tensor:
        total, weights = torch.zeros_like(noisy), noisy.new_zeros(noisy.shape[2])
        for one, (first, last), weight in zip(predicts, places, _ramps(places), strict=True):
            weight = weight.to(noisy)
            part = one(noisy[:, :, first:last], step)  # [B, C, W, F]
            total[:, :, first:last] += part * weight[:, None]
            weights[first:last] += weight
        return total / weights[:, None]

    return predict


def _ramps(places: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Return the weights [W] of each window: 1, but rising and falling in a line where it meets its neighbours."""
    ramps = []
    for index, (first, last) in enumerate(places):
        weight = torch.ones(last - first)
        before = places[index - 1][1] - first if index else 0
        after = last - places[index + 1][0] if index + 1 < len(places) else 0
        if before:
            weight[:before] *= torch.linspace(0, 1, before + 2)[1:-1]
        if after:
            weight[-after:] *= torch.linspace(1, 0, after + 2)[1:-1]
        ramps.append(weight)
    return ramps
