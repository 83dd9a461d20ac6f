"""Training on several processes: who they are, what they sum, how a network is cut over them; it knows no objective.

Started by `torchrun`, each process holds a shard of every weight, gradient, average and optimiser state (2304.11277, as
torch's `fully_shard`) and computes its own part of a step's batch. One process alone has plain tensors, and everything
here is then the identity.
"""

import atexit
import dataclasses
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed import PrefixStore, Store  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils.checkpoint import checkpoint

from uniaudio.errors import InputError
from uniaudio.nn.transformer import Block

TIMEOUT = timedelta(minutes=30)  # for one exchange; the slowest wait is that for a checkpoint being written


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process among those that train together: `rank` of `size`, and the device that it computes on."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this process writes what the others only help to gather."""
        return self.rank == 0

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the sums of named numbers over the processes, which must all give the same names."""
        if self.size == 1:
            return dict(values)
        names = sorted(values)
        summed = torch.tensor([values[name] for name in names], dtype=torch.float64)
        distributed.all_reduce(summed)
        return dict(zip(names, summed.tolist(), strict=True))

    def any(self, **flags: bool) -> dict[str, bool]:
        """Return for each flag whether a process has set it: what one decides by its clock, all must do."""
        return {name: value > 0 for name, value in self.total({k: float(v) for k, v in flags.items()}).items()}


def world_size() -> int:
    """Return how many processes `torchrun` has started together, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def join() -> Ranks:
    """Join the processes that `torchrun` started, for the rest of this one's life; each takes a CUDA device if any.

    Raises InputError for more processes than devices.
    """
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            raise InputError(f"{torch.cuda.device_count()} CUDA devices are too few: lower --nproc-per-node")
        torch.cuda.set_device(device)
    if world_size() == 1:
        return Ranks(device=device)
    if not distributed.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        store, rank, size = next(rendezvous("env://", timeout=TIMEOUT))
        store = PrefixStore(_meet(store, rank, size), store)
        distributed.init_process_group(backend, timeout=TIMEOUT, store=store, rank=rank, world_size=size)
        atexit.register(distributed.destroy_process_group)
    return Ranks(distributed.get_rank(), distributed.get_world_size(), device)


def _meet(store: Store, rank: int, size: int) -> str:
    """Return a name that exactly the processes that are there now agree on.

    torchrun keeps its store when it starts the processes again, and in it the addresses of those that have died, which
    makes gloo wait for ever. Here every process draws a name, the first one answers to each name that it finds with its
    own, until all have said under this name that they heard it; no old entry can be taken for one of these.
    """
    own = secrets.token_hex(8)
    store.set(f"name/{rank}", own)
    if rank:
        first = store.get(f"answer/{own}").decode()  # waits for it
        store.set(f"heard/{first}/{rank}", "")
        return first
    missing = list(range(1, size))
    while missing:
        for other in missing:
            if store.check([f"name/{other}"]):
                store.set(f"answer/{store.get(f'name/{other}').decode()}", own)
        missing = [other for other in missing if not store.check([f"heard/{own}/{other}"])]
        time.sleep(0.01)
    return own


def place(value: Any, device: torch.device) -> Any:
    """Return a batch (tensors, in tuples, lists and dataclasses) on a device."""
    if device.type == "cpu":
        return value
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, tuple | list):
        return type(value)(place(one, device) for one in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **{name: place(one, device) for name, one in fields.items()})
    return value


class Network(nn.Module):
    """The loss of an objective as a network's output, which is what FSDP2 cuts over the processes.

    `module` and the networks that the objective keeps beside it (spectral losses) move to the device; its Transformer
    blocks are recomputed in the backward pass and compiled if asked, before they are cut, one by one. With `complete`
    weights that a batch does not use (those of captions) get a gradient of zero, because the processes exchange the
    gradients of the same weights, whatever their batches are.

    Raises InputError for a module with buffers on several processes: what it learns outside its gradients would differ.
    """

    def __init__(
        self, objective: Any, ranks: Ranks, *, recompute: bool = False, compiled: bool = False, complete: bool = False
    ) -> None:
        super().__init__()
        self.module: nn.Module = objective.module
        self.objective = objective
        for part in vars(objective).values():
            if isinstance(part, nn.Module):
                part.to(ranks.device)
        blocks = [block for block in self.module.modules() if isinstance(block, Block)]
        inside = {part for block in blocks for part in block.modules()}
        self._loose = [part for part in self.module.modules() if complete and part not in inside]
        for block in blocks:
            if compiled:
                block.forward = torch.compile(block.forward)
            if recompute:
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        if ranks.size > 1:
            if any(True for _ in self.module.buffers()):
                raise InputError("this recipe learns from statistics of whole batches: train it on one process")
            mesh = _mesh(ranks)
            for block in blocks:
                fully_shard(block, mesh=mesh)
            fully_shard(self, mesh=mesh)

    def forward(self, batch: Any, step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the objective's loss and figures."""
        loss, figures = self.objective.loss(batch, step)
        for part in self._loose:
            for parameter in part.parameters(recurse=False):
                loss = loss + 0.0 * parameter.sum()
        return loss, figures

    def sum_gradients(self, on: bool) -> None:
        """Say whether the next backward pass ends with the exchange of the gradients: the last of a step does."""
        if isinstance(self, FSDPModule):
            self.set_requires_gradient_sync(on)


def _mesh(ranks: Ranks) -> DeviceMesh:
    """Cut over the processes of a machine and repeat over machines: between machines only gradients then travel."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", ranks.size))
    kind = ranks.device.type
    if 1 < local < ranks.size and ranks.size % local == 0:
        return init_device_mesh(kind, (ranks.size // local, local), mesh_dim_names=("machine", "shard"))
    return init_device_mesh(kind, (ranks.size,))


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor that may be cut as a whole one; every process must ask for it at the same time."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def cut_like(value: Tensor, target: Tensor) -> Tensor:
    """Return a whole tensor, which every process has, on the device of `target` and cut as it is."""
    value = value.to(target.device)
    if not isinstance(target, DTensor):
        return value
    return distribute_tensor(value, target.device_mesh, target.placements, src_data_rank=None)


def cut(values: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return named whole tensors, each cut like its namesake; those without one, or of another shape, stay whole."""
    fitting = {name for name, value in values.items() if name in targets and value.shape == targets[name].shape}
    return {name: cut_like(value, targets[name]) if name in fitting else value for name, value in values.items()}


def gathered(tensors: Iterable[tuple[str, Tensor]], ranks: Ranks) -> dict[str, Tensor]:
    """Return named tensors whole and on the CPU in the first process, nothing in the others."""
    held: dict[str, Tensor] = {}
    for name, tensor in tensors:
        value = whole(tensor.detach())
        if ranks.first:
            held[name] = value.cpu()
    return held
