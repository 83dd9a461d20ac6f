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
from uniaudio.lm.multiscale import MultiScaleConfig, MultiScaleLM
from uniaudio.nn.transformer import TransformerConfig
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
    """The language model run: sizes, the frame budget of a batch, the loop.

    With `start` (a model's name or folder) the weights begin as that model's, which must have the same sizes.
    """

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


def train_tts(overrides: list[str], tokens: Path, folder: Path, minutes: float | None) -> None:
    """Run `TtsRecipe` with overrides on `tokens`/train."""
    recipe = config.override(TtsRecipe(), overrides)
    store = TokenStore.load(tokens / "train")
    layout = Layout(Vocabulary.new(recipe.num_codebooks, recipe.codebook_size))
    examples = SpeechExamples(store, layout, FRAME_RATE, recipe.frame_budget)
    torch.manual_seed(recipe.loop.seed)
    model = MultiScaleLM(lm_config(recipe, layout.vocabulary))
    if recipe.start is not None:
        _start_from(model, recipe.start)
    legal = Legal(tuple(layout.allowed(TASKS["tts"])), layout.vocabulary.mark("end"))
    objective = LMObjective(model, legal, examples.draw, recipe.objective, fill=layout.vocabulary.fill)
    train(objective, dataclasses.replace(recipe.loop, stop_after_minutes=minutes), folder)


def _start_from(model: MultiScaleLM, name_or_folder: str) -> None:
    """Take over the weights of a trained model; raises InputError when its sizes differ."""
    from uniaudio.engines import load

    trained = load(name_or_folder).lm
    if not isinstance(trained, MultiScaleLM) or trained.config != model.config:
        raise InputError(f"{name_or_folder} has other sizes than this recipe; leave out the changes of sizes")
    model.load_state_dict(trained.state_dict())


def lm_config(recipe: TtsRecipe, vocabulary: Vocabulary) -> MultiScaleConfig:
    """Return the model's sizes for a vocabulary."""
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
    """The duration predictor's run."""

    model: DurationConfig = field(default_factory=DurationConfig)
    batch_size: int = 64
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=1000, bf16=False, ema_decay=0.99, optim=OptimConfig(lr=2e-3, warmup_steps=50)
        )
    )


class DurationObjective:
    """Predict the phone durations of random utterances."""

    def __init__(self, model: DurationPredictor, store: TokenStore, batch_size: int) -> None:
        self.module, self.store, self.batch_size = model, store, batch_size
        self.usable = [index for index in range(len(store)) if store.has_phones(index)]

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
    objective = DurationObjective(DurationPredictor(recipe.model), TokenStore.load(tokens / "train"), recipe.batch_size)
    train(objective, dataclasses.replace(recipe.loop, stop_after_minutes=minutes), folder)
