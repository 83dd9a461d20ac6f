"""What the processes of a distributed test do: a tiny run whose batches all differ, in rows, lengths and content."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from uniaudio.lm.interface import Legal
from uniaudio.recipes.debug import CODEC, debug_lm
from uniaudio.sequence.batch import Batch, collate
from uniaudio.sequence.layout import Layout
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS
from uniaudio.tokenizers.base import Item
from uniaudio.train.loop import LoopConfig, train
from uniaudio.train.objectives.lm import LMObjective, LMObjectiveConfig
from uniaudio.train.optim import OptimConfig

LOOP = LoopConfig(
    steps=4, accumulate=4, bf16=False, log_every=1, ema_decay=0.9, optim=OptimConfig(lr=3e-3, warmup_steps=2)
)


def objective() -> LMObjective:
    """Return a language-model objective whose batch `number` has 1 to 3 rows of 4 to 16 target frames.

    Every third batch is of another task, and the only one that uses the weights for captions.
    """
    layout = Layout(Vocabulary.new(CODEC.num_codebooks, CODEC.codebook_size))

    def draw(seed: int, number: int) -> Batch:
        generator = torch.Generator().manual_seed(1000 * seed + number)

        def pick(high: int, *shape: int) -> torch.Tensor:
            return torch.randint(high, shape, generator=generator)

        sequences = []
        for _ in range(1 + int(pick(3, 1))):
            size = 4 + int(pick(13, 1))
            codes = pick(CODEC.codebook_size, CODEC.num_codebooks, size)
            if number % 3 == 1:
                caption = Item(vectors=torch.randn(5, 384, generator=generator))
                sequences.append(layout.example(TASKS["text_to_sound"], {("caption", "caption"): caption}, codes))
                continue
            text = Item(ids=pick(50, size, 1), aligned=True)
            voice = Item(ids=pick(CODEC.codebook_size, 6, CODEC.num_codebooks))
            items = {("text", "phoneme"): text, ("speaker", "voice"): voice}
            sequences.append(layout.example(TASKS["tts"], items, codes))
        return collate(sequences, 384)

    torch.manual_seed(0)
    legal = Legal(tuple(layout.allowed(TASKS["tts"])), layout.vocabulary.mark("end"))
    settings = LMObjectiveConfig(slot_weights=(2.0, 1.0, 1.0), history_dropout=0.2)
    return LMObjective(debug_lm(layout.vocabulary), legal, draw, settings, layout.vocabulary.fill)


def run(loops: dict[Path, LoopConfig]) -> None:
    """Train each folder's run, one after the other."""
    for folder, loop in loops.items():
        train(objective(), loop, folder)


def on_ranks(size: int, function: Callable[..., None], *arguments: Any, local_size: int | None = None) -> None:
    """Call a function of this module in `size` processes with the environment that torchrun gives."""
    from torch import multiprocessing

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": local_size or size, "MASTER_PORT": port}
    given = ({name: str(value) for name, value in names.items()}, function, arguments)
    multiprocessing.start_processes(_enter, given, size, start_method="forkserver")


def _enter(rank: int, environment: dict[str, str], function: Callable[..., None], arguments: tuple) -> None:
    local = rank % int(environment["LOCAL_WORLD_SIZE"])
    os.environ |= environment | {"RANK": str(rank), "LOCAL_RANK": str(local), "MASTER_ADDR": "127.0.0.1"}
    torch.set_num_threads(1)
    function(*arguments)
