"""The stages of AudioLDM 2 on computed latents: latent diffusion alone, the bridge alone, and both together."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from uniaudio import checkpoint, config
from uniaudio.data.latents import INDEX, LatentSet
from uniaudio.diffusion.bridge import Bridge, BridgeConfig
from uniaudio.diffusion.denoiser import Denoiser, DenoiserConfig, NoiseConfig
from uniaudio.diffusion.phones import TimedPhones, TimedPhonesConfig
from uniaudio.errors import InputError
from uniaudio.recipes import building
from uniaudio.recipes.audioldm2 import TRAINERS
from uniaudio.recipes.trained import averaged
from uniaudio.train.loop import LoopConfig, train
from uniaudio.train.objectives.latent import LatentObjective, LatentObjectiveConfig
from uniaudio.train.optim import OptimConfig

_DENOISER = DenoiserConfig(
    latent_channels=32,
    extra_channels=32,
    loa_dim=192,
    text_dim=384,
    channels=(192, 192, 192),
    attention=(False, False, True),
    layers_per_block=1,
    narrow=True,
    noise=NoiseConfig(prediction="v_prediction"),
    snr_limit=5.0,
)
_BRIDGE = BridgeConfig(
    conditions={"caption": 384, "voice": 192, "phones": 200},
    loa_dim=192,
    num_tokens=4,
    width=256,
    layers=4,
    heads=4,
    max_positions=320,
)


@dataclass(frozen=True, kw_only=True)
class LatentRecipe:
    """The run of a stage on a folder of latents, by default those of a codec, which have one bin.

    With `in_step` the denoiser also gets the language of audio along time (`DenoiserConfig.in_step`, the grid being the
    folder's). `start` are earlier runs whose networks this one begins with. A denoiser may begin with one that was not
    in step: its new weights are then 0.
    """

    denoiser: DenoiserConfig = _DENOISER
    in_step: bool = True
    phones: TimedPhonesConfig = TimedPhonesConfig(per_frame=2, channels=32, bins=1)
    bridge: BridgeConfig = _BRIDGE
    objective: LatentObjectiveConfig = field(default_factory=LatentObjectiveConfig)
    start: tuple[str, ...] = ()
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=2400,
            ema_decay=0.998,
            save_every_minutes=4.0,
            optim=OptimConfig(lr=1e-3, warmup_steps=100, schedule="wsd", decay_share=0.3),
        )
    )


def _stage(steps: int, lr: float, objective: LatentObjectiveConfig) -> LatentRecipe:
    plain = LatentRecipe()
    optim = replace(plain.loop.optim, lr=lr, warmup_steps=30, decay_share=0.5)
    return replace(plain, objective=objective, loop=replace(plain.loop, steps=steps, ema_decay=0.995, optim=optim))


RECIPES = {
    "latent_diffusion": LatentRecipe(),
    "latent_bridge": _stage(1500, 1e-3, LatentObjectiveConfig(stage="bridge", batch_size=64, rollout_share=0.7)),
    "latent_joint": _stage(500, 2e-4, LatentObjectiveConfig(stage="joint")),
}


def train_latent(name: str, overrides: list[str], corpus: Path, folder: Path, minutes: float | None) -> None:
    """Run any recipe of AudioLDM 2: a stage on a folder of latents, or one of the networks before, on recordings."""
    if name in RECIPES:
        train_stage(name, overrides, corpus, folder, minutes)
    else:
        TRAINERS[name](overrides, corpus, folder, minutes)


def train_stage(name: str, overrides: list[str], latents: Path, folder: Path, minutes: float | None) -> None:
    """Run a recipe of `RECIPES` with overrides on a folder of latents.

    Raises InputError for a folder that holds none, and for a start whose networks have other sizes.
    """
    recipe = config.override(RECIPES[name], overrides)
    data, grid = LatentSet(latents), grid_of(latents)
    torch.manual_seed(recipe.loop.seed)
    with building():
        networks: dict[str, nn.Module] = {
            "denoiser": Denoiser(replace(recipe.denoiser, in_step=grid if recipe.in_step else None)),
            "phones": TimedPhones(recipe.phones),
            "bridge": Bridge(recipe.bridge),
        }
    for run in recipe.start:
        start_from(networks, Path(run))
    objective = LatentObjective(networks, data, grid, recipe.objective)
    train(objective, recipe.loop.ending_after(minutes), folder)


def start_from(networks: dict[str, nn.Module], run: Path) -> None:
    """Give networks the averaged weights that a run has for them; raises InputError when it has none."""
    described, tensors = averaged(run)
    found = [name for name in networks if name in described]
    if not found:
        raise InputError(f"{run} is no run of a stage of AudioLDM 2: give one of {', '.join(RECIPES)}")
    if "denoiser" in found:
        tensors = _with_room(networks["denoiser"], tensors)
    for name in found:
        checkpoint.load_into(networks[name], tensors, f"{name}.")


def _with_room(denoiser: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with zeros where `denoiser` hears more than the one they are of: it begins as that one."""
    own, first = denoiser.state_dict(), "denoiser.unet.conv_in.weight"
    new = {f"denoiser.{name}": torch.zeros_like(own[name]) for name in own if "class_embedding" in name}
    tensors = new | tensors
    if first in tensors and new:
        missing = own["unet.conv_in.weight"].shape[1] - tensors[first].shape[1]
        tensors[first] = nn.functional.pad(tensors[first], (0, 0, 0, 0, 0, max(0, missing)))
    return tensors


def grid_of(latents: Path) -> tuple[int, int]:
    """Return AudioMAE's patches along time and frequency, as a folder of latents knows them."""
    height, width = json.loads((latents / INDEX).read_text(encoding="utf-8"))["grid"]
    return int(height), int(width)
