"""The loader against what training takes, its memory over a long epoch, and what two ranks share.

    python benchmarks/loader.py TOKENS [--cuts 1000000]

First, `--cuts` made-up cuts are written as shards into a temporary folder and read once, by two ranks in turn: resident
memory after each tenth, and the number of cuts that both ranks saw. Then batches of real tokens (a token folder, or a
folder of such) are drawn and trained on in turn: target frames per second of each. Prints one line of JSON a part.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from uniaudio.data.loader import Batches
from uniaudio.data.sequences import SequenceReader
from uniaudio.data.shards import Shards, Tokenized, kinds, write_shard
from uniaudio.lm.interface import Legal
from uniaudio.lm.orders import build
from uniaudio.recipes.lm import CAPTION_DIM, FRAME_RATE, LMRecipe, lm_config, token_folders
from uniaudio.sequence.layout import Layout
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS
from uniaudio.train.loop import TrainState
from uniaudio.train.objectives.lm import LMObjective

STEPS = 6
SHARD = 1000


def resident_mb() -> float:
    """Return this process's resident memory."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def against_training(tokens: Path, layout: Layout, recipe: LMRecipe) -> dict[str, float]:
    """Return target frames per second of the loader alone and of training steps, in the same run."""
    sources = [Shards(folder / "train") for folder in token_folders(tokens)]
    tasks = sorted({kinds()[kind] for shards in sources for kind in np.unique(shards.kind)} & set(TASKS))
    reader = SequenceReader(layout, FRAME_RATE)
    batches = Batches(sources, reader, tasks, recipe.frame_budget, max_seconds=12.0, vector_dim=CAPTION_DIM)
    legal = Legal(tuple(layout.allowed(TASKS["tts"])), layout.vocabulary.mark("end"))
    model = build(lm_config(recipe, layout.vocabulary))
    objective = LMObjective(model, legal, batches.draw, recipe.objective, fill=layout.vocabulary.fill)
    state = TrainState(objective, recipe.loop)
    state.advance()
    drawn = trained = loading = training = 0.0
    for step in range(1, STEPS + 1):
        begun = time.perf_counter()
        drawn += float(batches.draw(recipe.loop.seed, step).target.sum())
        loading += time.perf_counter() - begun
        begun = time.perf_counter()
        trained += state.advance()["frames"]
        training += time.perf_counter() - begun
    load, train = drawn / loading, trained / training
    return {"tasks": len(tasks), "loader": round(load), "training": round(train), "ratio": round(load / train, 1)}


def write_cuts(folder: Path, count: int, codebooks: int = 4, lengths: tuple[int, int] = (4, 24)) -> None:
    """Write `count` made-up tts examples of one phone as shards; by default short ones, which cost most a frame."""
    random = np.random.default_rng(0)
    for first in range(0, count, SHARD):
        examples = []
        for number in range(first, min(count, first + SHARD)):
            length = int(random.integers(*lengths))
            tensors = {
                "target": torch.full((codebooks, length), number % 1024, dtype=torch.int16),
                "text.phoneme": torch.tensor([1], dtype=torch.uint8),
                "text.ends": torch.tensor([length / FRAME_RATE]),
                "speaker.voice": torch.zeros(codebooks, 4, dtype=torch.int16),
            }
            examples.append(Tokenized(id=f"{number:09d}", kind="tts", num_frames=length, tensors=tensors))
        write_shard(folder / f"shard-{first // SHARD:06d}.tar", examples)


def long_epoch(folder: Path, layout: Layout) -> dict:
    """Return memory after each tenth of an epoch read by two ranks, and what they have in common."""
    shards = Shards(folder)
    ranks = [Batches([shards], SequenceReader(layout, FRAME_RATE), ["tts"], 6000) for _ in range(2)]
    steps = len(ranks[0].plan.epoch(0, 0))
    seen = [np.concatenate(rank.plan.epoch(0, 0)[number::2]) for number, rank in enumerate(ranks)]
    memory, frames, begun = [], 0.0, time.perf_counter()
    for step in range(steps):
        frames += float(ranks[step % 2].draw(0, step).target.sum())
        if step % max(1, steps // 10) == 0:
            memory.append(round(resident_mb()))
    return {
        "cuts": len(shards),
        "read": int(sum(map(len, seen))),
        "seen_by_both": len(np.intersect1d(*seen)),
        "resident_mb": memory,
        "cuts_per_second": round(sum(map(len, seen)) / (time.perf_counter() - begun)),
    }


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokens", type=Path)
    parser.add_argument("--cuts", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = LMRecipe()
    layout = Layout(Vocabulary.new(recipe.num_codebooks, recipe.codebook_size))
    with tempfile.TemporaryDirectory() as folder:
        write_cuts(Path(folder), options.cuts)
        print(json.dumps({"part": "long epoch", **long_epoch(Path(folder), layout)}), flush=True)
    print(json.dumps({"part": "against training", **against_training(options.tokens, layout, recipe)}), flush=True)


if __name__ == "__main__":
    main()
