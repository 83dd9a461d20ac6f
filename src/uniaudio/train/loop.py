"""The training loop: it knows steps, optimisers, averages and checkpoints, and no network.

A step is a pure function of (weights, optimiser state, seed, step): batches and random numbers are drawn from the
step's own seed, so a run that was killed anywhere and resumed has the same weights as one that never stopped.
"""

import json
import random
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from uniaudio import checkpoint
from uniaudio.errors import InputError
from uniaudio.nn.ema import Ema
from uniaudio.train.log import TrainLog
from uniaudio.train.optim import OptimConfig, build_optimizers, lr_scale, pack_state, unpack_state


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long and how carefully to train. `stop_after_minutes` ends the session early; the run can be resumed.

    Raises InputError for negative `steps` and a `log_every` below 1.
    """

    steps: int = 1000
    seed: int = 0
    bf16: bool = True
    ema_decay: float = 0.999
    log_every: int = 20
    save_every_minutes: float = 10.0
    stop_after_minutes: float | None = None
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise InputError(f"steps {self.steps} is negative: use 0 or more")
        if self.log_every < 1:
            raise InputError(f"log_every {self.log_every} is no number of steps: use 1 or more")

    def ending_after(self, minutes: float | None) -> "LoopConfig":
        """Return a copy that stops after `minutes`; None keeps `stop_after_minutes` as it is."""
        return self if minutes is None else replace(self, stop_after_minutes=minutes)


class Objective(Protocol):
    """What is trained: `module` holds every trainable weight; `loss` must depend on nothing but its arguments."""

    @property
    def module(self) -> nn.Module: ...

    def batch(self, seed: int, step: int) -> Any:
        """Return the batch of a step, the same for the same arguments."""
        ...

    def loss(self, batch: Any, step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the scalar to minimise and figures for the log, "frames" among them."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return the configuration that rebuilds `module`, for the checkpoint."""
        ...


def train(objective: Objective, config: LoopConfig, folder: Path) -> int:
    """Train from `folder`'s checkpoint, or from scratch if there is none; return the number of steps done in all.

    Ctrl-C and SIGTERM end the session after the current step, with a checkpoint: SIGTERM returns as a finished session
    does, Ctrl-C raises KeyboardInterrupt. Raises InputError when the folder holds a checkpoint of another
    configuration.
    """
    state = TrainState(objective, config)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.recover(folder / "checkpoint")
    if (folder / "checkpoint").exists():
        state.load(folder / "checkpoint")
    started = saved = time.monotonic()
    with closing(TrainLog(folder, state.step, config.steps, config.log_every)) as log, _stop_signals() as caught:
        while state.step < config.steps and not caught:
            begun = time.monotonic()
            figures = state.advance()
            log.add(state.step, figures, time.monotonic() - begun)
            if time.monotonic() - saved > 60 * config.save_every_minutes:
                state.save(folder / "checkpoint")
                saved = time.monotonic()
            limit = config.stop_after_minutes
            if limit is not None and time.monotonic() - started > 60 * limit:
                break
        state.save(folder / "checkpoint")
    if signal.SIGINT in caught:
        raise KeyboardInterrupt
    return state.step


class TrainState:
    """Everything that a step changes: weights, optimiser state, averages and the step count."""

    def __init__(self, objective: Objective, config: LoopConfig) -> None:
        self.objective, self.config, self.step = objective, config, 0
        objective.module.train()
        self.optimizers = build_optimizers(objective.module, config.optim)
        self.ema = Ema(objective.module, config.ema_decay)
        device = next(objective.module.parameters()).device.type
        self.autocast = torch.autocast(device, torch.bfloat16, enabled=config.bf16)

    def advance(self) -> dict[str, float]:
        """Do one step; a step whose gradient is not finite changes no weight."""
        step_seed = (self.config.seed * 1_000_003 + self.step) % 2**63
        torch.manual_seed(step_seed)
        random.seed(step_seed)
        batch = self.objective.batch(self.config.seed, self.step)
        with self.autocast:
            loss, figures = self.objective.loss(batch, self.step)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.objective.module.parameters(), self.config.optim.clip)
        finite = bool(torch.isfinite(norm))
        scale = lr_scale(self.step, self.config.steps, self.config.optim)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * scale
            if finite:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if finite:
            self.ema.update(self.step)
        self.step += 1
        return {"loss": float(loss.detach()), "gradient_norm": float(norm) if finite else 0.0, **figures}

    def save(self, folder: Path) -> None:
        """Write the checkpoint atomically."""
        tensors = {f"model.{k}": v for k, v in self.objective.module.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.state().items()}
        tensors |= {f"optimizer.{k}": v for k, v in pack_state(self.optimizers).items()}
        tensors = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
        checkpoint.save(folder, tensors, {"step": self.step, **self._identity()})

    def load(self, folder: Path) -> None:
        """Read a checkpoint written by `save`; raises InputError if it is of another configuration or damaged."""
        loaded = checkpoint.load(folder)
        if loaded.config.get("objective") != self._identity()["objective"]:
            raise InputError(f"{folder} was trained with another configuration; choose another run folder")
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "optimizer": {}}
        for key, value in loaded.tensors.items():
            part, _, name = key.partition(".")
            parts.setdefault(part, {})[name] = value
        step, names = loaded.config.get("step"), set(self.ema.names)
        if len(parts) > 3 or parts["ema"].keys() != names or not isinstance(step, int) or step < 0:
            raise InputError(f"{folder} is damaged, it is no whole training checkpoint: choose another run folder")
        checkpoint.load_into(self.objective.module, parts["model"])
        self.ema.load(parts["ema"])
        unpack_state(self.optimizers, parts["optimizer"])
        self.step = step

    def _identity(self) -> dict[str, Any]:
        loop = asdict(replace(self.config, stop_after_minutes=None))
        return json.loads(json.dumps({"objective": self.objective.describe(), "loop": loop}))  # tuples become lists


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT (Ctrl-C) and SIGTERM in a list instead of dying; the old handlers come back at the end."""
    caught: list[int] = []
    old = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            old[number] = signal.signal(number, lambda got, _frame: caught.append(got))
    except ValueError:  # not in the main thread: the caller handles signals
        pass
    try:
        yield caught
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
