"""Train the duration predictor and the language model of `uniaudio-mini` on a token folder."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uniaudio import config
from uniaudio.data.speech import SpeechExamples, duration_batch
from uniaudio.data.tokens import TokenStore
from uniaudio.errors import InputError
from uniaudio.lm.duration import DurationConfig, DurationPredictor, duration_loss
from uniaudio.lm.interface import Legal
from uniaudio.lm.multiscale import MultiScaleConfig
from uniaudio.lm.orders import ORDERS, AnyLM, LMConfig, build
from uniaudio.lm.pattern_lm import PatternConfig
from uniaudio.nn.transformer import TransformerConfig
from uniaudio.recipes import building
from uniaudio.sequence.layout import ROLES, Layout
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS
from uniaudio.train.loop import LoopConfig, train
from uniaudio.train.objectives.lm import LMObjective, LMObjectiveConfig
from uniaudio.train.optim import OptimConfig

FRAME_RATE = 25.0
CAPTION_DIM = 384


@dataclass(frozen=True, kw_only=True)
class TtsRecipe:
    """The language model run: code order, sizes, the frame budget of a batch, the loop.

    The orders other than "multiscale" have one Transformer, of the sizes `global_`.

    With `start` (a model's name or folder) the weights begin as that model's, which must have the same sizes.

    Raises InputError for an unknown order, a `frame_budget` below 1, and slot weights that are not one per codebook.
    """

    order: str = "multiscale"
    num_codebooks: int = 4
    codebook_size: int = 1024
    global_: TransformerConfig = field(default_factory=lambda: TransformerConfig(width=384, layers=6, heads=6))
    local_: TransformerConfig = field(default_factory=lambda: TransformerConfig(width=256, layers=3, heads=4))
    frame_budget: int = 6000
    start: str | None = None
    objective: LMObjectiveConfig = field(
        default_factory=lambda: LMObjectiveConfig(slot_weights=(2.0, 1.5, 1.0, 1.0), history_dropout=0.1)
    )
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=1000,
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
        if self.frame_budget < 1:
            raise InputError(f"frame_budget {self.frame_budget} is no size of a batch: use 1 or more")
        weights = len(self.objective.slot_weights)
        if weights not in (0, self.num_codebooks):
            much = f"{weights} values for {self.num_codebooks} codebooks"
            raise InputError(f"objective.slot_weights has {much}: give one for each, or none ([])")


def train_tts(overrides: list[str], tokens: Path, folder: Path, minutes: float | None) -> None:
    """Run `TtsRecipe` with overrides on `tokens`/train.

    Raises InputError for tokens with fewer codebooks, or larger codes, than the recipe's.
    """
    recipe = config.override(TtsRecipe(), overrides)
    store = TokenStore.load(tokens / "train")
    _check_fits(recipe, store)
    layout = Layout(Vocabulary.new(recipe.num_codebooks, recipe.codebook_size))
    examples = SpeechExamples(store, layout, FRAME_RATE, recipe.frame_budget)
    torch.manual_seed(recipe.loop.seed)
    with building():
        model = build(lm_config(recipe, layout.vocabulary))
    if recipe.start is not None:
        _start_from(model, recipe.start)
    legal = Legal(tuple(layout.allowed(TASKS["tts"])), layout.vocabulary.mark("end"))
    objective = LMObjective(model, legal, examples.draw, recipe.objective, fill=layout.vocabulary.fill)
    train(objective, recipe.loop.ending_after(minutes), folder)


def _check_fits(recipe: TtsRecipe, store: TokenStore) -> None:
    """Raise InputError when the codes of a store do not fit into the recipe's vocabulary."""
    codes = store.tensors["codes"]  # [K, T of all utterances]
    if not 1 <= recipe.num_codebooks <= codes.shape[0]:
        raise InputError(f"num_codebooks={recipe.num_codebooks}, but the tokens have {codes.shape[0]}: use 1 to that")
    used = codes[: recipe.num_codebooks]
    largest = int(used.max()) if used.numel() else 0
    if largest >= recipe.codebook_size:
        raise InputError(
            f"codebook_size={recipe.codebook_size}, but the tokens hold the code {largest}: use their size"
        )


def _start_from(model: AnyLM, name_or_folder: str) -> None:
    """Take over the weights of a trained model; raises InputError when its sizes differ."""
    from uniaudio.engines import load

    trained = load(name_or_folder).lm
    if not isinstance(trained, AnyLM) or trained.config != model.config:
        raise InputError(f"{name_or_folder} has other sizes than this recipe; leave out the changes of sizes")
    model.load_state_dict(trained.state_dict())


def lm_config(recipe: TtsRecipe, vocabulary: Vocabulary) -> LMConfig:
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
        global_=recipe.global_,
        local_=recipe.local_,
    )


@dataclass(frozen=True, kw_only=True)
class DurationRecipe:
    """The duration predictor's run. Raises InputError for a `batch_size` below 1."""

    model: DurationConfig = field(default_factory=DurationConfig)
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

    def __init__(self, model: DurationPredictor, store: TokenStore, batch_size: int) -> None:
        self.module, self.store, self.batch_size = model, store, batch_size
        self.usable = [index for index in range(len(store)) if store.has_phones(index)]
        if not self.usable:
            raise InputError("no utterance has phone times: tokenise a corpus whose manifest has segments")

    def batch(self, seed: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return phone ids, seconds and mask, [B, P] each."""
        return duration_batch(self.store, self.usable, self.batch_size, seed, step)

    def loss(self, batch: tuple[Tensor, Tensor, Tensor], step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the error of the log durations."""
        return duration_loss(self.module, *batch), {"frames": float(batch[2].sum())}

    def describe(self) -> dict[str, Any]:
        """Return the model's configuration."""
        return {"duration": dataclasses.asdict(self.module.config), "batch_size": self.batch_size}


def train_durations(overrides: list[str], tokens: Path, folder: Path, minutes: float | None) -> None:
    """Run `DurationRecipe` with overrides on `tokens`/train."""
    recipe = config.override(DurationRecipe(), overrides)
    torch.manual_seed(recipe.loop.seed)
    with building():
        model = DurationPredictor(recipe.model)
    objective = DurationObjective(model, TokenStore.load(tokens / "train"), recipe.batch_size)
    train(objective, recipe.loop.ending_after(minutes), folder)
