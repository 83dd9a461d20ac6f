"""Optimisers, parameter groups and the learning-rate schedule."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from uniaudio.errors import InputError
from uniaudio.train.distributed import cut_like


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """How the weights move. `lr` is AdamW's; hidden matrices move by Muon with `matrix_lr` when `name` is "muon".

    Raises InputError for a negative `warmup_steps` and a `decay_share` of 0 or less.
    """

    name: Literal["adamw", "muon"] = "adamw"
    lr: float = 3e-4
    matrix_lr: float = 0.02
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    warmup_steps: int = 200
    schedule: Literal["cosine", "wsd"] = "cosine"
    decay_share: float = 0.25
    final_scale: float = 0.02

    def __post_init__(self) -> None:
        if self.warmup_steps < 0:
            raise InputError(f"warmup_steps {self.warmup_steps} is negative: use 0 or more")
        if self.decay_share <= 0:
            raise InputError(f"decay_share {self.decay_share} is not a share of the steps: use more than 0")


def build_optimizers(module: nn.Module, config: OptimConfig) -> list[torch.optim.Optimizer]:
    """Return the optimisers of a module's trainable parameters: AdamW, and Muon for hidden matrices if asked.

    Embeddings, output heads, vectors and convolutions always go to AdamW (Muon is for matrices between layers).
    Raises InputError for Muon with a torch that has none.
    """
    apart = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    apart |= {id(m.weight) for n, m in module.named_modules() if isinstance(m, nn.Linear) and n.endswith("head")}
    matrices, decayed, plain = [], [], []
    for parameter in module.parameters():
        if not parameter.requires_grad:
            continue
        if config.name == "muon" and parameter.ndim == 2 and id(parameter) not in apart:
            matrices.append(parameter)
        elif parameter.ndim >= 2:
            decayed.append(parameter)
        else:
            plain.append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW([g for g in groups if g["params"]], lr=config.lr, betas=config.betas, fused=True)
    ]
    if matrices:
        muon = getattr(torch.optim, "Muon", None)
        if muon is None:
            raise InputError("optim.name=muon needs torch >= 2.9; use optim.name=adamw")
        optimizers.append(muon(matrices, lr=config.matrix_lr, weight_decay=config.weight_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def lr_scale(step: int, steps: int, config: OptimConfig) -> float:
    """Return the factor on the learning rate at `step` of `steps`: linear warm-up, then cosine, or stable and decay."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = min(1.0, (step - config.warmup_steps) / max(1, steps - config.warmup_steps))
    if config.schedule == "cosine":
        return config.final_scale + (1 - config.final_scale) * 0.5 * (1 + math.cos(math.pi * done))
    left = (1 - done) / config.decay_share
    return max(config.final_scale, min(1.0, left))


def pack_state(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Return the state of the optimisers as flat tensors, by position: "0.3.exp_avg" is optimiser 0, parameter 3."""
    packed: dict[str, Tensor] = {}
    for index, optimizer in enumerate(optimizers):
        for position, parameter in enumerate(_parameters(optimizer)):
            state = optimizer.state.get(parameter, {})
            kept = {key: value for key, value in state.items() if value is not None}
            packed |= {f"{index}.{position}.{key}": torch.as_tensor(value) for key, value in kept.items()}
    return packed


def unpack_state(optimizers: list[torch.optim.Optimizer], packed: dict[str, Tensor]) -> None:
    """Put a packed state back; the parameters must be the same, in the same order.

    Raises InputError for a state that is not of these optimisers, or lacks a value.
    """
    parameters = {f"{i}.{j}": (o, p) for i, o in enumerate(optimizers) for j, p in enumerate(_parameters(o))}
    found: dict[str, set[str]] = {}
    for name in packed:
        place, _, key = name.rpartition(".")
        found.setdefault(place, set()).add(key)
    for place, keys in found.items():
        wanted = set().union(*(other for p, other in found.items() if p.split(".")[0] == place.split(".")[0]))
        if place not in parameters or keys != wanted:
            raise InputError(f"the state of the optimisers does not fit at {place!r}: the checkpoint is damaged")
    for name, value in packed.items():
        place, _, key = name.rpartition(".")
        optimizer, parameter = parameters[place]
        if key != "step" and value.shape != parameter.shape:
            raise InputError(f"the state of the optimisers does not fit at {name!r}: the checkpoint is damaged")
        placed = value.to(parameter.device) if key == "step" else cut_like(value, parameter)
        optimizer.state[parameter][key] = placed.clone()


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
