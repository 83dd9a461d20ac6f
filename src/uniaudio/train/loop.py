"""The training loop: it knows steps, optimisers, averages and checkpoints, and no network.

A step is a pure function of (weights, optimiser state, seed, step): batches and random numbers are drawn from the
step's own seed, so a run that was killed anywhere and resumed has the same weights as one that never stopped. On how
many processes it runs changes its speed, not what it computes.
"""

import json
import math
import random
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from uniaudio import checkpoint
from uniaudio.errors import InputError
from uniaudio.nn.ema import Ema
from uniaudio.train.distributed import Network, Ranks, cut, gathered, join, place, whole
from uniaudio.train.guard import SpikeGuard
from uniaudio.train.log import SUMMED, TrainLog
from uniaudio.train.optim import OptimConfig, build_optimizers, lr_scale, pack_state, unpack_state


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long and how carefully to train. `stop_after_minutes` ends the session early; the run can be resumed.

    A step's batch is `accumulate` batches of the objective, shared out over the processes, each weighted by its frames.
    `save_every_steps` (0: never) saves besides what `save_every_minutes` does. `recompute` saves memory by computing
    the Transformer blocks a second time in the backward pass, `compile` has them compiled.

    Steps whose loss or gradient norm is `spike_factor` (0: off) times its median over the last `spike_window` steps are
    skipped. `peak_flops` is what one device can do in a second; with it, the log has the share that is used ("mfu").

    Raises InputError for values below their least.
    """

    steps: int = 1000
    seed: int = 0
    bf16: bool = True
    ema_decay: float = 0.999
    accumulate: int = 1
    recompute: bool = False
    compile: bool = False
    log_every: int = 20
    save_every_minutes: float = 10.0
    save_every_steps: int = 0
    stop_after_minutes: float | None = None
    spike_factor: float = 0.0
    spike_window: int = 50
    peak_flops: float = 0.0
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise InputError(f"steps {self.steps} is negative: use 0 or more")
        if self.log_every < 1:
            raise InputError(f"log_every {self.log_every} is no number of steps: use 1 or more")
        for name in ("accumulate", "spike_window"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)} is too few: use 1 or more")
        for name in ("save_every_steps", "peak_flops"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} {getattr(self, name)} is negative: use 0 or more")
        if self.spike_factor and self.spike_factor <= 1:
            raise InputError(f"spike_factor {self.spike_factor} would skip usual steps: use more than 1, or 0 for off")

    def ending_after(self, minutes: float | None) -> "LoopConfig":
        """Return a copy that stops after `minutes`; None keeps `stop_after_minutes` as it is."""
        return self if minutes is None else replace(self, stop_after_minutes=minutes)


class Objective(Protocol):
    """What is trained: `module` holds every trainable weight; `loss` must depend on nothing but its arguments."""

    @property
    def module(self) -> nn.Module: ...

    def batch(self, seed: int, number: int, /) -> Any:
        """Return a batch of a run, the same for the same arguments; with one batch a step, `number` is the step."""
        ...

    def loss(self, batch: Any, step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the scalar to minimise, a mean, and figures for the log, the same ones for all batches of a step.

        Among them are "frames", how many the mean is over, and perhaps "flops", the operations of both passes.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Return the configuration that rebuilds `module`, for the checkpoint."""
        ...


def train(objective: Objective, config: LoopConfig, folder: Path) -> int:
    """Train from `folder`'s checkpoint, or from scratch if there is none; return the number of steps done in all.

    Ctrl-C and SIGTERM end the session after the current step, with a checkpoint: SIGTERM returns as a finished session
    does, Ctrl-C raises KeyboardInterrupt. Raises InputError when the folder holds a checkpoint of another
    configuration, and when the processes cannot share a step's batches equally.
    """
    ranks = join()
    state = TrainState(objective, config, ranks)
    if ranks.first:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.recover(folder / "checkpoint")
    ranks.any(here=True)  # the others wait for the first
    if (folder / "checkpoint").exists():
        state.load(folder / "checkpoint")
    with _stop_signals() as caught:
        _run(state, folder, caught)
    if signal.SIGINT in caught:
        raise KeyboardInterrupt
    return state.step


def _run(state: "TrainState", folder: Path, caught: list[int]) -> None:
    """Do the steps that are left, with log and checkpoints, until a signal or the time limit."""
    config, ranks = state.config, state.ranks
    started = saved = time.monotonic()
    peak = config.peak_flops * ranks.size
    log = TrainLog(folder, state.step, config.steps, config.log_every, peak) if ranks.first else None
    with nullcontext() if log is None else closing(log):
        ending = False
        while state.step < config.steps and not ending:
            begun = time.monotonic()
            figures = state.advance()
            now = time.monotonic()
            if log is not None:
                log.add(state.step, figures, now - begun)
            due = config.save_every_steps > 0 and state.step % config.save_every_steps == 0
            due = due or now - saved > 60 * config.save_every_minutes
            limit = config.stop_after_minutes
            over = bool(caught) or (limit is not None and now - started > 60 * limit)
            agreed = ranks.any(due=due, over=over)
            ending = agreed["over"]
            if agreed["due"] and not ending and state.step < config.steps:
                state.save(folder / "checkpoint")
                saved = time.monotonic()
        state.save(folder / "checkpoint")


class TrainState:
    """Everything that a step changes: weights, optimiser state, averages, the guard's window and the step count.

    Raises InputError when `ranks` cannot share a step's batches equally, or the objective is none for several.
    """

    def __init__(self, objective: Objective, config: LoopConfig, ranks: Ranks | None = None) -> None:
        self.objective, self.config, self.step = objective, config, 0
        self.ranks = ranks = ranks or Ranks()
        if config.accumulate % ranks.size:
            enough = f"use loop.accumulate={ranks.size} or a multiple of it"
            raise InputError(f"{ranks.size} processes cannot share {config.accumulate} batches a step: {enough}")
        objective.module.train()
        self.network = Network(
            objective, ranks, recompute=config.recompute, compiled=config.compile, complete=config.accumulate > 1
        )
        self.optimizers = build_optimizers(objective.module, config.optim)
        self.ema = Ema(objective.module, config.ema_decay)
        self.guard = SpikeGuard(config.spike_factor, config.spike_window)
        self.autocast = torch.autocast(ranks.device.type, torch.bfloat16, enabled=config.bf16)

    def advance(self) -> dict[str, float]:
        """Do one step; one whose gradient is not finite, or that the guard skips, changes no weight."""
        figures = self._gradients()
        norm = float(whole(nn.utils.clip_grad_norm_(self.objective.module.parameters(), self.config.optim.clip)))
        finite = math.isfinite(norm)
        good = finite and not self.guard.skips(figures["loss"], norm)
        scale = lr_scale(self.step, self.config.steps, self.config.optim)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * scale
            if good:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if good:
            self.ema.update(self.step)
        self.step += 1
        return {**figures, "gradient_norm": norm if finite else 0.0, "skipped": float(not good)}

    def _gradients(self) -> dict[str, float]:
        """Leave the gradient of the step's whole batch in the parameters; return the figures of the whole batch.

        A batch counts by its frames, so that a step is the same however many processes share it: the sums over all
        batches are divided by all frames at the end.
        """
        parts, ranks = self.config.accumulate, self.ranks
        sums: dict[str, float] = {}
        for part in range(ranks.rank, parts, ranks.size):
            number = self.step * parts + part
            seed = (self.config.seed * 1_000_003 + number) % 2**63
            torch.manual_seed(seed)
            random.seed(seed)
            batch = place(self.objective.batch(self.config.seed, number), ranks.device)
            self.network.sum_gradients(part + ranks.size >= parts)
            with self.autocast:
                loss, figures = self.network(batch, self.step)
            weight = figures["frames"] if parts > 1 else 1.0
            (loss * weight).backward()
            figures = {"loss": float(loss.detach()), **figures}
            weighted = {key: value if key in SUMMED else value * weight for key, value in figures.items()}
            for key, value in {**weighted, "weight": weight}.items():
                sums[key] = sums.get(key, 0.0) + value
        sums = ranks.total(sums)
        total = sums.pop("weight")
        if parts > 1:  # FSDP has divided the sum over the processes by their number
            for parameter in self.objective.module.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(ranks.size / total)
        return {key: value if key in SUMMED else value / total for key, value in sums.items()}

    def save(self, folder: Path) -> None:
        """Write the checkpoint atomically, the same whatever the number of processes; all of them must call it."""
        tensors = {f"model.{k}": v for k, v in self.objective.module.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.state().items()}
        tensors |= {f"optimizer.{k}": v for k, v in pack_state(self.optimizers).items()}
        held = gathered(tensors.items(), self.ranks)
        about = {"step": self.step, **self._identity()} | ({"guard": self.guard.seen} if self.guard.seen else {})
        if self.ranks.first:
            checkpoint.save(folder, held, about)

    def load(self, folder: Path) -> None:
        """Read a checkpoint written by `save`; raises InputError if it is of another configuration or damaged."""
        loaded = checkpoint.load(folder)
        if loaded.config.get("objective") != self._identity()["objective"]:
            raise InputError(f"{folder} was trained with another configuration; choose another run folder")
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "optimizer": {}}
        for key, value in loaded.tensors.items():
            part, _, name = key.partition(".")
            parts.setdefault(part, {})[name] = value
        step, names, seen = loaded.config.get("step"), set(self.ema.names), loaded.config.get("guard", [])
        whole_guard = isinstance(seen, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in seen)
        if len(parts) > 3 or parts["ema"].keys() != names or not isinstance(step, int) or step < 0 or not whole_guard:
            raise InputError(f"{folder} is damaged, it is no whole training checkpoint: choose another run folder")
        checkpoint.load_into(self.objective.module, cut(parts["model"], self.objective.module.state_dict()))
        self.ema.load(cut(parts["ema"], self.ema.state()))
        unpack_state(self.optimizers, parts["optimizer"])
        self.guard.seen = seen[-self.config.spike_window :] if self.config.spike_factor else []
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
