"""The best of several candidates, by what the language model itself thinks of them.

T frames, K codebooks
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from uniaudio.sequence.batch import collate, hide_conditions
from uniaudio.sequence.layout import Items
from uniaudio.tasks import Task

if TYPE_CHECKING:
    from uniaudio.engines.tokens import TokenEngine


@torch.no_grad()
def evidence(engine: "TokenEngine", task: Task, items: Items, codes: Tensor) -> float:
    """Return how much likelier the conditions make the codes [K, T]: log p(codes | items) - log p(codes), nats a frame.

    It is what guidance (2207.12598) raises frame by frame, of the whole: high where a result belongs to these
    conditions and would hardly be heard without them.
    """
    sequence = engine.layout.example(task, items, codes)
    batch = collate([sequence], max((vectors.shape[1] for _, vectors in sequence.vectors), default=0))
    given = sum(engine.lm.losses(batch, engine.legal(task)))
    batch.frames = hide_conditions(batch, torch.tensor([True]), engine.layout.vocabulary.fill)
    return float(sum(engine.lm.losses(batch, engine.legal(task))) - given)


def best(engine: "TokenEngine", task: Task, items: Items, candidates: Sequence[Tensor]) -> Tensor:
    """Return the candidate [K, T] with the most evidence; an empty one is chosen only where there is no other."""
    return max(candidates, key=lambda codes: evidence(engine, task, items, codes) if codes.shape[1] else float("-inf"))
