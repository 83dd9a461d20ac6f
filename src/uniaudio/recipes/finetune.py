"""Fine-tune a trained language model, whole or by LoRA, on tasks that it knows and on new ones.

UniAudio (2310.00704), section 3.4: new tasks join the old ones, which are replayed with shares ~ size^0.05.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from uniaudio import config
from uniaudio.data.loader import Ahead, Batches
from uniaudio.data.sequences import SequenceReader
from uniaudio.data.shards import Shards, kinds
from uniaudio.errors import InputError
from uniaudio.lm.interface import Legal
from uniaudio.lm.lora import LoraConfig, adapt
from uniaudio.lm.multiscale import MultiScaleLM
from uniaudio.lm.orders import AnyLM, build
from uniaudio.recipes.lm import token_folders
from uniaudio.recipes.trained import TrainedLM, read_lm
from uniaudio.sequence.layout import ROLES, Layout
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS
from uniaudio.train.distributed import world_size
from uniaudio.train.loop import LoopConfig, train
from uniaudio.train.objectives.lm import LMObjective, LMObjectiveConfig
from uniaudio.train.optim import OptimConfig


@dataclass(frozen=True, kw_only=True)
class FinetuneRecipe:
    """A run from the weights of `start`, a model or the run of one, which gives sizes and vocabulary.

    `tasks` (none: all that the tokens hold) are drawn with shares ~ size^alpha. `lora.rank` 0 trains every weight.

    Raises InputError for an unknown task and a `frame_budget` below 1.
    """

    start: str = "uniaudio-mini"
    tasks: tuple[str, ...] = ()
    alpha: float = 0.05
    lora: LoraConfig = field(default_factory=LoraConfig)
    loader_workers: int = 0
    frame_budget: int = 2000
    max_seconds: float = 12.0
    objective: LMObjectiveConfig = field(
        default_factory=lambda: LMObjectiveConfig(
            history_dropout=0.1, history_blackout=0.15, condition_dropout=0.1, local_share=0.3
        )
    )
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=400,
            ema_decay=0.99,
            optim=OptimConfig(lr=1e-3, warmup_steps=20, schedule="wsd", decay_share=0.4, weight_decay=0.0),
        )
    )

    def __post_init__(self) -> None:
        unknown = [task for task in self.tasks if task not in TASKS]
        if unknown:
            raise InputError(f"unknown task {unknown[0]!r}: use some of {', '.join(TASKS)}")
        if self.frame_budget < 1:
            raise InputError(f"frame_budget {self.frame_budget} is no size of a batch: use 1 or more")


class FinetuneObjective(LMObjective):
    """Next-frame prediction; its description tells what the model was made from, and what its ids mean now."""

    made_from: dict[str, Any]

    def describe(self) -> dict[str, Any]:
        """Return the model's configuration, the loss's, and the vocabulary, tasks and adapter."""
        return {**super().describe(), "finetune": self.made_from}


def train_finetune(overrides: list[str], tokens: Path, folder: Path, minutes: float | None) -> None:
    """Run `FinetuneRecipe` with overrides on the train split of one or more token folders.

    Raises InputError for a `start` that is no model, and for tokens that do not fit it or hold none of the tasks.
    """
    recipe = config.override(FinetuneRecipe(), overrides)
    sources = [Shards(path / "train") for path in token_folders(tokens)]
    tasks = recipe.tasks or tuple(task for task in TASKS if any(len(source.of_kinds([task])) for source in sources))
    torch.manual_seed(recipe.loop.seed)  # for the new weights
    base = read_lm(recipe.start)
    vocabulary = base.vocabulary.extended()
    model = grown(base.lm, vocabulary)
    start_marks(model, base, vocabulary, tasks)
    model.requires_grad_(True)
    if recipe.lora.rank:
        adapt(model, recipe.lora, vocabulary.section("marks").size)
    objective = _objective(recipe, tasks, sources, model, vocabulary, base)
    objective.batch(recipe.loop.seed, 0)  # tokens that do not fit are told before anything is written
    train(objective, recipe.loop.ending_after(minutes), folder)


def _objective(
    recipe: FinetuneRecipe,
    tasks: tuple[str, ...],
    sources: list[Shards],
    model: AnyLM,
    vocabulary: Vocabulary,
    base: TrainedLM,
) -> FinetuneObjective:
    layout = Layout(vocabulary)
    weights = len(recipe.objective.slot_weights)
    if weights not in (0, vocabulary.num_codebooks):
        raise InputError(
            f"objective.slot_weights has {weights} values: the model has {vocabulary.num_codebooks} codebooks"
        )
    if recipe.objective.local_share < 1 and not isinstance(model, MultiScaleLM):
        raise InputError(f"{recipe.start} has no local Transformer: use objective.local_share=1")
    missing = [task for task in tasks if not any(len(source.of_kinds([task])) for source in sources)]
    if missing or not tasks:
        raise InputError(f"the tokens hold no example of {missing[0] if missing else kinds()[1]}: tokenize some first")
    batches = Batches(
        sources,
        SequenceReader(layout, base.frame_rate),
        tasks,
        recipe.frame_budget,
        alpha=recipe.alpha,
        max_seconds=recipe.max_seconds,
        vector_dim=model.config.vector_dim,
    )
    legal = Legal(tuple(layout.allowed(TASKS[tasks[0]])), vocabulary.mark("end"))
    draw = Ahead(batches.draw, recipe.loader_workers, stride=world_size())
    objective = FinetuneObjective(model, legal, draw, recipe.objective, fill=vocabulary.fill)
    objective.made_from = {
        "start": recipe.start,
        "tasks": [task for task in TASKS if task in (*base.tasks, *tasks)],
        "lora": asdict(recipe.lora),
        "vocabulary": json.loads(vocabulary.to_json()),
    }
    return objective


@torch.no_grad()
def grown(model: AnyLM, vocabulary: Vocabulary) -> AnyLM:
    """Return the model with rows for every id of a vocabulary that extends its own, and every role, at the end."""
    sizes = model.config
    roles = max(sizes.num_roles, len(ROLES)) if sizes.num_roles else 0
    if (sizes.num_ids, sizes.num_roles) == (vocabulary.num_ids, roles):
        return model
    larger = build(replace(sizes, num_ids=vocabulary.num_ids, num_roles=roles))
    tensors = larger.state_dict()
    for name, old in model.state_dict().items():
        tensors[name][: len(old)] = old
    return larger


@torch.no_grad()
def start_marks(model: AnyLM, base: TrainedLM, vocabulary: Vocabulary, tasks: tuple[str, ...]) -> None:
    """Let the mark of every task that the model does not know begin as the mean of those that it knows."""
    known = [vocabulary.mark(f"{task}_task") for task in base.tasks if f"{task}_task" in base.vocabulary.marks]
    new = [vocabulary.mark(f"{task}_task") for task in tasks if task not in base.tasks]
    if known and new:
        table = model.embedding.weight
        table[new] = table[known].mean(0)
