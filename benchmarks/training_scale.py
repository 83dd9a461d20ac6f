"""What training takes at scale: operations, memory, exchange, days and cost of the language-model recipes.

    python benchmarks/training_scale.py [--sizes base large] [--hours 165000] [--devices 16 64 256]

First, `--measure` (base) is trained on one tiny batch on one core of this processor: seconds of a step, its operations
by our count and by torch's, the best rate of matrix products, and what is kept for the backward pass. Made-up tokens
are drawn as in training, for the rate of a loader process. All in processor time: a busy machine gives the same.
Then follows arithmetic for devices that are not here, marked so: their peak, the share of it that is used, bandwidths
and price are assumptions, given as options. One line of JSON a part.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from loader import write_cuts
from torch.utils.flop_counter import FlopCounterMode

from uniaudio.data.loader import Batches
from uniaudio.data.sequences import SequenceReader
from uniaudio.data.shards import Shards
from uniaudio.lm.interface import Legal
from uniaudio.lm.orders import build, training_flops
from uniaudio.recipes.lm import FRAME_RATE, SIZES, lm_config
from uniaudio.sequence.batch import Batch
from uniaudio.sequence.layout import Layout
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS
from uniaudio.train.loop import LoopConfig, TrainState
from uniaudio.train.objectives.lm import LMObjective

FIELDS = ("frames", "positions", "roles", "lengths", "target")
TARGETS = 4096  # target frames of the made batch that stands for a recipe's operations
PER_MACHINE = 8
STATE_BYTES = {"weights": 4, "gradients": 4, "adamw": 8, "average": 4}  # of each weight, shared by the devices


def tiny_batch(layout: Layout, legal: Legal, rows: int, targets: int, positions: float) -> Batch:
    """Return a batch of equally long sequences with `positions` frames for every target frame."""
    length = round(targets * positions)
    places = torch.arange(length).expand(rows, length)
    frames = torch.stack([torch.randint(*span, (rows, length)) for span in legal.ranges], dim=-1)
    lengths = torch.full((rows,), length)
    return Batch(frames, places, torch.zeros_like(places), lengths, places >= length - targets)


def legal_ids(layout: Layout) -> Legal:
    """Return the ids that the codes of any task may have."""
    return Legal(tuple(layout.allowed(TASKS["tts"])), layout.vocabulary.mark("end"))


def best_rate(dtype: torch.dtype, size: int = 1536) -> float:
    """Return the operations per second of a large matrix product, the best of some."""
    one, two = (torch.randn(size, size).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(6):
        begun = time.process_time()
        one @ two
        seconds.append(time.process_time() - begun)
    return 2 * size**3 / min(seconds)


def measured(size: str, positions: float, targets: int = 32, rows: int = 2) -> dict[str, Any]:
    """Return what one step of a recipe takes here, on a batch of `rows` x `targets` target frames."""
    recipe = SIZES[size]
    layout = Layout(Vocabulary.new(recipe.num_codebooks, recipe.codebook_size))
    legal = legal_ids(layout)
    model = build(lm_config(recipe, layout.vocabulary))
    batch = tiny_batch(layout, legal, rows, targets, positions)
    objective = LMObjective(model, legal, lambda seed, step: batch, recipe.objective, layout.vocabulary.fill)
    state = TrainState(objective, replace(recipe.loop, accumulate=1, recompute=False))
    with FlopCounterMode(display=False) as counter:
        first = state.advance()
    seconds = []
    for _ in range(3):
        begun = time.process_time()
        state.advance()
        seconds.append(time.process_time() - begun)
    rates = {str(dtype).removeprefix("torch."): best_rate(dtype) for dtype in (torch.bfloat16, torch.float32)}
    return {
        "size": size,
        "positions": int(batch.lengths.sum()),
        "target_frames": int(first["frames"]),
        "step_seconds": round(min(seconds), 2),
        "gigaflops_of_a_step": round(first["flops"] / 1e9, 1),
        "counted_by_torch": round(counter.get_total_flops() / 1e9, 1),
        "best_gigaflops_per_second": {name: round(rate / 1e9, 1) for name, rate in rates.items()},
        "mfu": round(first["flops"] / min(seconds) / max(rates.values()), 3),
        "bytes_kept_per_position": {
            name: kept_bytes(objective, batch, replace(recipe.loop, recompute=recompute))
            for name, recompute in (("all", False), ("recompute", True))
        },
    }


def kept_bytes(objective: LMObjective, batch: Batch, loop: LoopConfig) -> int:
    """Return the bytes that the backward pass needs for a position more: of the batch, less half of it."""
    state = TrainState(objective, replace(loop, accumulate=1))
    half = Batch(*(part[: len(part) // 2] for part in (vars(batch)[name] for name in FIELDS)))
    found = []
    for part in (half, batch):
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), state.autocast:
            loss = state.network(part, 0)  # held: what is kept is freed with it, and its addresses used again
        found.append(sum(kept.values()))
        del loss
    return round((found[1] - found[0]) / (int(batch.lengths.sum()) - int(half.lengths.sum())))


def loader_rate() -> float:
    """Return the positions per second that one process draws from made-up tokens."""
    layout = Layout(Vocabulary.new(6, 1024))
    with tempfile.TemporaryDirectory() as folder:
        write_cuts(Path(folder), 2000, codebooks=6, lengths=(100, 300))
        batches = Batches([Shards(Path(folder))], SequenceReader(layout, FRAME_RATE), ["tts"], 6000)
        steps = len(batches.plan.epoch(0, 0))
        begun = time.process_time()
        drawn = sum(int(batches.draw(0, step).lengths.sum()) for step in range(steps))
        return drawn / (time.process_time() - begun)


def model_part(size: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the weights of a recipe and its operations for a target frame."""
    recipe = SIZES[size]
    layout = Layout(Vocabulary.new(recipe.num_codebooks, recipe.codebook_size))
    with torch.device("meta"):
        model = build(lm_config(recipe, layout.vocabulary))
    legal = legal_ids(layout)
    flops = training_flops(model, tiny_batch(layout, legal, 1, TARGETS, options.positions), legal)
    return {
        "size": size,
        "weights": sum(parameter.numel() for parameter in model.parameters()),
        "largest_block": max(sum(p.numel() for p in block.parameters()) for block in model.global_.blocks),
        "gigaflops_per_target_frame": round(flops / TARGETS / 1e9, 3),
        "positions_per_step": recipe.frame_budget * recipe.loop.accumulate,
    }


def cluster_part(model: dict[str, Any], devices: int, kept: dict[str, int], options: argparse.Namespace) -> dict:
    """Return memory, time and cost of one epoch; weights are cut over a machine and repeated over machines."""
    recipe, weights = SIZES[model["size"]], model["weights"]
    frames = options.hours * 3600 * FRAME_RATE
    flops = frames * model["gigaflops_per_target_frame"] * 1e9
    steps = frames * options.positions / model["positions_per_step"]
    own = model["positions_per_step"] / devices  # positions of a step on a device
    passes = max(1.0, own / recipe.frame_budget)
    seconds = {
        "compute": flops / steps / devices / options.peak / options.mfu,
        # weights are gathered for either pass, gradients exchanged once: float32, 7 of 8 parts come from elsewhere
        "exchange_in_machine": (2 * passes + 1) * 4 * weights * (PER_MACHINE - 1) / PER_MACHINE / options.inside,
        "exchange_between": 2 * 4 * weights / PER_MACHINE / options.between if devices > PER_MACHINE else 0.0,
        "loading": own / (options.loaders * options.loader_rate),
    }
    slowest = max(seconds, key=lambda name: seconds[name])
    hours = steps * seconds[slowest] / 3600
    cut = min(devices, PER_MACHINE)
    memory = {name: size * weights / cut for name, size in STATE_BYTES.items()}
    memory["gathered"] = 4 * (weights + model["largest_block"])  # gradients of a step's earlier batches are whole
    memory["kept"] = min(own, recipe.frame_budget) * kept["recompute" if recipe.loop.recompute else "all"]
    return {
        "size": model["size"],
        "arithmetic": True,
        "devices": devices,
        "settings": f"loop.accumulate={round(devices * passes)} frame_budget={round(own / passes)}",
        "memory_gb": {name: round(size / 1e9, 2) for name, size in memory.items()}
        | {"sum": round(sum(memory.values()) / 1e9, 1)},
        "milliseconds_of_a_step": {name: round(1000 * value, 1) for name, value in seconds.items()},
        "bottleneck": slowest,
        "hours": round(hours, 2),
        "usd": round(hours * devices * options.price),
    }


def main() -> None:
    """Measure, then calculate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", default=["base", "large"], choices=list(SIZES))
    parser.add_argument("--measure", default="base", choices=list(SIZES))
    parser.add_argument("--hours", type=float, default=165_000)
    parser.add_argument("--devices", type=int, nargs="*", default=[16, 64, 256])
    parser.add_argument("--positions", type=float, default=2.7, help="frames of a sequence for each target frame")
    parser.add_argument("--peak", type=float, default=989e12, help="operations per second of a device in bfloat16")
    parser.add_argument("--mfu", type=float, default=0.4, help="share of the peak that is used")
    parser.add_argument("--inside", type=float, default=300e9, help="bytes per second of a device inside a machine")
    parser.add_argument("--between", type=float, default=40e9, help="bytes per second of a device between machines")
    parser.add_argument("--price", type=float, default=2.5, help="USD for a device and hour")
    parser.add_argument("--loaders", type=int, default=4, help="loader processes of a device")
    options = parser.parse_args()
    torch.set_num_threads(1)  # then processor time is time
    torch.manual_seed(0)
    here = measured(options.measure, options.positions)
    options.loader_rate = loader_rate()
    print(json.dumps({"part": "measured", **here, "loader_positions_per_second": round(options.loader_rate)}))
    base = SIZES[options.measure]
    for size in options.sizes:
        model = model_part(size, options)
        print(json.dumps({"part": "model", **model}))
        # what is kept grows with width x layers of the global Transformer
        scale = SIZES[size].global_.width * SIZES[size].global_.layers / (base.global_.width * base.global_.layers)
        kept = {name: round(value * scale) for name, value in here["bytes_kept_per_position"].items()}
        for devices in options.devices:
            print(json.dumps({"part": "cluster", **cluster_part(model, devices, kept, options)}), flush=True)


if __name__ == "__main__":
    main()
