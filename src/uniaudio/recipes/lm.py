"""Train language models of three sizes, and the duration predictor, on token folders."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uniaudio import config
from uniaudio.codec.model import Codec
from uniaudio.data.loader import Ahead, Batches
from uniaudio.data.sequences import SequenceReader, duration_batch, with_durations
from uniaudio.data.shards import ABOUT, Shards
from uniaudio.errors import InputError
from uniaudio.lm.duration import DurationConfig, DurationPredictor, duration_loss
from uniaudio.lm.interface import Legal
from uniaudio.lm.multiscale import MultiScaleConfig, MultiScaleLM
from uniaudio.lm.orders import ORDERS, AnyLM, LMConfig, build
from uniaudio.lm.pattern_lm import PatternConfig
from uniaudio.nn.transformer import TransformerConfig
from uniaudio.recipes import building
from uniaudio.recipes.codec import load_codec
from uniaudio.sequence.layout import ROLES, Layout
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS
from uniaudio.train.distributed import world_size
from uniaudio.train.loop import LoopConfig, train
from uniaudio.train.objectives.lm import LMObjective, LMObjectiveConfig
from uniaudio.train.optim import OptimConfig

FRAME_RATE = 25.0
CAPTION_DIM = 384


@dataclass(frozen=True, kw_only=True)
class LMRecipe:
    """The run of a language model, by default `uniaudio-mini`: tasks, code order, sizes, frames in a batch, the loop.

    Tasks (and token folders) are drawn with shares ~ size^alpha, times a task's `emphasis` (1 where none is given);
    `loader_workers` processes make batches ahead.

    The orders other than "multiscale" have one Transformer, of the sizes `global_`, and none of `caption_mean`,
    `in_step`, `voice_mean` and `objective.local_share`.

    With `codes_of` (a model's name or folder, or a codec run) the embeddings of the codes begin as pictures of its
    codebooks, see `place_codes`. With `start` (a model's name or folder) the weights begin as that model's, which must
    have the same sizes, but may lack the part of `voice_mean`.

    Raises InputError for an unknown order or task, an `emphasis` of 0 or less, a `frame_budget` below 1, and slot
    weights that are not one per codebook.
    """

    tasks: tuple[str, ...] = tuple(TASKS)
    alpha: float = 0.3
    emphasis: dict[str, float] = field(default_factory=dict)
    loader_workers: int = 0
    order: str = "multiscale"
    num_codebooks: int = 6
    codebook_size: int = 1024
    caption_mean: bool = True
    in_step: bool = True
    voice_mean: bool = True
    global_: TransformerConfig = field(default_factory=lambda: TransformerConfig(width=384, layers=6, heads=6))
    local_: TransformerConfig = field(default_factory=lambda: TransformerConfig(width=256, layers=3, heads=4))
    frame_budget: int = 4000
    max_seconds: float = 12.0
    start: str | None = None
    codes_of: str | None = None
    objective: LMObjectiveConfig = field(
        default_factory=lambda: LMObjectiveConfig(
            slot_weights=(2.0, 1.5, 1.0, 1.0, 1.0, 1.0),
            history_dropout=0.1,
            history_blackout=0.15,
            condition_dropout=0.1,
            local_share=0.3,
        )
    )
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=3000,
            ema_decay=0.998,
            optim=OptimConfig(
                name="muon",
                lr=2e-3,
                matrix_lr=0.02,
                warmup_steps=100,
                schedule="wsd",
                decay_share=0.3,
                weight_decay=0.01,
            ),
        )
    )

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise InputError(f"unknown code order {self.order!r}: use one of {', '.join(ORDERS)}")
        unknown = [task for task in (*self.tasks, *self.emphasis) if task not in TASKS]
        if unknown or not self.tasks:
            raise InputError(f"unknown task {unknown[0] if unknown else ''!r}: use some of {', '.join(TASKS)}")
        if not all(factor > 0 for factor in self.emphasis.values()):
            raise InputError("an emphasis is a factor above 0; leave a task out with tasks=[...]")
        if self.frame_budget < 1:
            raise InputError(f"frame_budget {self.frame_budget} is no size of a batch: use 1 or more")
        if self.order != "multiscale" and (self.objective.local_share < 1):
            raise InputError(f"order={self.order} has no local Transformer: use objective.local_share=1")
        weights = len(self.objective.slot_weights)
        if weights not in (0, self.num_codebooks):
            much = f"{weights} values for {self.num_codebooks} codebooks"
            raise InputError(f"objective.slot_weights has {much}: give one for each, or none ([])")


_ADAMW = OptimConfig(lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1, warmup_steps=2000)
_BASE = LMRecipe(
    global_=TransformerConfig(width=768, layers=16, heads=12),
    local_=TransformerConfig(width=768, layers=8, heads=12),
    frame_budget=16_000,
    max_seconds=30.0,
    loader_workers=4,
    objective=dataclasses.replace(LMRecipe().objective, local_share=1.0),
    loop=LoopConfig(steps=100_000, accumulate=16, ema_decay=0.9995, spike_factor=3.0, optim=_ADAMW),
)
_LARGE = dataclasses.replace(
    _BASE,
    global_=TransformerConfig(width=1536, layers=24, heads=12),
    local_=TransformerConfig(width=1536, layers=8, heads=12),
    loop=dataclasses.replace(_BASE.loop, accumulate=64, recompute=True, optim=dataclasses.replace(_ADAMW, lr=3e-4)),
)
SIZES: dict[str, LMRecipe] = {"mini": LMRecipe(), "base": _BASE, "large": _LARGE}


def train_lm(size: str, overrides: list[str], tokens: Path, folder: Path, minutes: float | None) -> None:
    """Run the recipe of a size with overrides on the train split of one or more token folders (see `token_folders`).

    Raises InputError for tokens with fewer codebooks, or larger codes, than the recipe's.
    """
    recipe = config.override(SIZES[size], overrides)
    layout = Layout(Vocabulary.new(recipe.num_codebooks, recipe.codebook_size))
    sources = [Shards(path / "train") for path in token_folders(tokens)]
    batches = Batches(
        sources,
        SequenceReader(layout, FRAME_RATE),
        recipe.tasks,
        recipe.frame_budget,
        alpha=recipe.alpha,
        emphasis=recipe.emphasis,
        max_seconds=recipe.max_seconds,
        vector_dim=CAPTION_DIM,
    )
    batches.draw(recipe.loop.seed, 0)  # tokens that do not fit are told before anything is written
    torch.manual_seed(recipe.loop.seed)
    with building():
        model = build(lm_config(recipe, layout.vocabulary))
    if recipe.codes_of is not None and isinstance(model, MultiScaleLM):
        place_codes(model, load_codec(recipe.codes_of)[0], layout.vocabulary, recipe.loop.seed)
    if recipe.start is not None:
        _start_from(model, recipe.start)
    allowed = {tuple(layout.allowed(TASKS[task])) for task in recipe.tasks}
    assert len(allowed) == 1, "all tasks of a run predict the same codes"
    legal = Legal(allowed.pop(), layout.vocabulary.mark("end"))
    draw = Ahead(batches.draw, recipe.loader_workers, stride=world_size())
    objective = LMObjective(model, legal, draw, recipe.objective, fill=layout.vocabulary.fill)
    train(objective, recipe.loop.ending_after(minutes), folder)


@torch.no_grad()
def place_codes(model: MultiScaleLM, codec: Codec, vocabulary: Vocabulary, seed: int = 0) -> None:
    """Add to the embeddings of the codes what their codebook vectors are, through a random matrix for each table.

    The codes of a frame then begin as a picture of the codec's latent, of which a residual quantiser's vectors are the
    parts: codes that sound alike are near one another before anything is learnt. The greatest values, those of the
    first codebook, get the deviation of the table's own. Raises InputError for a codec with other codebooks.
    """
    books = [book.get_buffer("vectors").float() for book in codec.quantizer.codebooks[: vocabulary.num_codebooks]]
    if [len(book) for book in books] != [vocabulary.codebook_size] * vocabulary.num_codebooks:
        found = f"{len(codec.quantizer.codebooks)} codebooks of {len(books[0])}"
        raise InputError(
            f"the codec has {found}, the model needs {vocabulary.num_codebooks} of {vocabulary.codebook_size}"
        )
    generator = torch.Generator().manual_seed(seed)
    deviation = (books[0] - books[0].mean(0)).std() * books[0].shape[1] ** 0.5
    for table in (model.embedding.weight, model.local_embedding.weight):
        first, last = vocabulary.level(0)
        size = table[first:last].std()
        matrix = torch.randn(books[0].shape[1], table.shape[1], generator=generator) * (size / deviation)
        for level, book in enumerate(books):
            start, stop = vocabulary.level(level)
            table[start:stop] += (book - book.mean(0)) @ matrix


def token_folders(path: Path) -> list[Path]:
    """Return `path` if it is a token folder, or the token folders directly below it; raises InputError for neither."""
    if (path / ABOUT).exists():
        return [path]
    found = sorted(one.parent for one in path.glob(f"*/{ABOUT}"))
    if not found:
        raise InputError(f"{path} is no token folder, nor is one below it: make one with uniaudio tokenize")
    return found


def _start_from(model: AnyLM, name_or_folder: str) -> None:
    """Take over the weights of a trained model; raises InputError when its sizes differ."""
    from uniaudio.engines.bundle import load_engine

    trained = load_engine(name_or_folder).lm
    if not isinstance(trained, AnyLM) or _sizes(trained) != _sizes(model):
        raise InputError(f"{name_or_folder} has other sizes than this recipe; leave out the changes of sizes")
    own = model.state_dict()
    model.load_state_dict(own | {name: value for name, value in trained.state_dict().items() if name in own})


def _sizes(model: AnyLM) -> LMConfig:
    """Return the sizes that a model must share with the one it starts from: those of its voice part it need not."""
    sizes = model.config
    return dataclasses.replace(sizes, voice_role=0) if isinstance(sizes, MultiScaleConfig) else sizes


def lm_config(recipe: LMRecipe, vocabulary: Vocabulary) -> LMConfig:
    """Return the model's sizes for a vocabulary."""
    if recipe.order != "multiscale":
        return PatternConfig(
            num_ids=vocabulary.num_ids,
            num_slots=recipe.num_codebooks,
            pattern=recipe.order,
            num_roles=len(ROLES),
            vector_dim=CAPTION_DIM,
            transformer=recipe.global_,
        )
    return MultiScaleConfig(
        num_ids=vocabulary.num_ids,
        num_slots=recipe.num_codebooks,
        num_roles=len(ROLES),
        vector_dim=CAPTION_DIM,
        caption_mean=recipe.caption_mean,
        in_step=recipe.in_step,
        voice_role=ROLES.index("voice") if recipe.voice_mean else 0,
        global_=recipe.global_,
        local_=recipe.local_,
    )


@dataclass(frozen=True, kw_only=True)
class DurationRecipe:
    """The duration predictor's run. Raises InputError for a `batch_size` below 1."""

    model: DurationConfig = field(default_factory=lambda: DurationConfig(caption_dim=CAPTION_DIM))
    batch_size: int = 64
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=1000, bf16=False, ema_decay=0.99, optim=OptimConfig(lr=2e-3, warmup_steps=50)
        )
    )

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size {self.batch_size} is no size of a batch: use 1 or more")


class DurationObjective:
    """Predict the phone durations of random utterances; raises InputError when none has phone times."""

    def __init__(self, model: DurationPredictor, sources: Sequence[Shards], batch_size: int) -> None:
        self.module, self.sources, self.batch_size = model, sources, batch_size
        self.usable = with_durations(sources)

    def batch(self, seed: int, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return phone ids, seconds and mask, [B, P] each, and caption means [B, D]."""
        return duration_batch(self.sources, self.usable, self.batch_size, seed, step, self.module.config.caption_dim)

    def loss(self, batch: tuple[Tensor, ...], step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the error of the log durations."""
        return duration_loss(self.module, *batch), {"frames": float(batch[2].sum())}

    def describe(self) -> dict[str, Any]:
        """Return the model's configuration."""
        return {"duration": dataclasses.asdict(self.module.config), "batch_size": self.batch_size}


def train_durations(overrides: list[str], tokens: Path, folder: Path, minutes: float | None) -> None:
    """Run `DurationRecipe` with overrides on the train split of one or more token folders (see `token_folders`)."""
    recipe = config.override(DurationRecipe(), overrides)
    torch.manual_seed(recipe.loop.seed)
    with building():
        model = DurationPredictor(recipe.model)
    objective = DurationObjective(model, [Shards(path / "train") for path in token_folders(tokens)], recipe.batch_size)
    train(objective, recipe.loop.ending_after(minutes), folder)
