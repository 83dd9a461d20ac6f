"""Train AudioLM's stages on tokenised recordings, and put them together as a model folder."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from uniaudio import checkpoint, config, weights
from uniaudio.data.loader import Batches
from uniaudio.data.shards import Shards
from uniaudio.data.stages import StageReader
from uniaudio.engines.audiolm import ORDER, AudioLMEngine, StageConfig
from uniaudio.engines.audiolm_folder import save_audiolm
from uniaudio.engines.tokenizers import load_tokenizers
from uniaudio.errors import InputError
from uniaudio.lm import orders
from uniaudio.lm.multiscale import MultiScaleConfig
from uniaudio.lm.pattern_lm import PatternConfig
from uniaudio.lm.sampling import Sampling
from uniaudio.nn.transformer import TransformerConfig
from uniaudio.recipes import building
from uniaudio.recipes.lm import FRAME_RATE, token_folders
from uniaudio.recipes.trained import averaged
from uniaudio.sequence.layout import ROLES
from uniaudio.sequence.stages import Stage, Stages
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.train.loop import LoopConfig, train
from uniaudio.train.objectives.lm import LMObjective, LMObjectiveConfig
from uniaudio.train.optim import OptimConfig

# The paper's temperatures are 0.6, 0.8 and 0.6; ours were chosen with 3 s prompts of the dev split (docs/audiolm.md).
SAMPLING: dict[Stage, Sampling] = {
    "semantic": Sampling(temperature=0.6, top_k=0),
    "coarse": Sampling(temperature=0.6, top_k=30, guidance=3.0),
    "fine": Sampling(temperature=0.6, top_k=0),
}
_ALIKE = {"coarse_task": "voice_conversion_task", "audio_start": "speech_start"}  # marks of stages and of tasks
STUCK_SECONDS = 0.4  # where repeats are kept, no token lasts longer than this

_MUON = OptimConfig(
    name="muon", lr=2e-3, matrix_lr=0.02, warmup_steps=100, schedule="wsd", decay_share=0.3, weight_decay=0.01
)


@dataclass(frozen=True, kw_only=True)
class StageRecipe:
    """The run of one stage: how tokens become sequences, the code order and sizes, frames in a batch, the loop.

    `num_coarse` codebooks are predicted from the semantic tokens, the others in the fine stage (all: there is none).
    With `dedup` repeated semantic tokens are removed, as in the paper; without, they run in step with the codes.
    `window_seconds` is the longest crop; `join` fills it with further recordings of the same speaker.

    An `order` other than "multiscale" has one Transformer, `global_`, and takes `relative_buckets` (T5's positions).
    With `start` (a model's name or folder, or a run) the weights begin as those of a model of the same sizes.
    """

    num_codebooks: int = 6
    codebook_size: int = 1024
    num_coarse: int = 6
    num_semantic: int = 50
    dedup: bool = False
    window_seconds: float = 10.0
    join: bool = True
    order: str = "flatten"
    relative_buckets: int = 0
    relative_distance: int = 128
    global_: TransformerConfig = field(default_factory=lambda: TransformerConfig(width=256, layers=6, heads=4))
    local_: TransformerConfig = field(default_factory=lambda: TransformerConfig(width=256, layers=3, heads=4))
    vector_dim: int = 0
    frame_budget: int = 4000
    start: str | None = None
    objective: LMObjectiveConfig = field(default_factory=LMObjectiveConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=3000, ema_decay=0.998, optim=_MUON))

    def __post_init__(self) -> None:
        if self.order not in orders.ORDERS:
            raise InputError(f"unknown code order {self.order!r}: use one of {', '.join(orders.ORDERS)}")
        if self.frame_budget < 1 or self.window_seconds * FRAME_RATE < 1:
            raise InputError("frame_budget and window_seconds must leave room for a frame: use more")
        if self.order != "multiscale" and self.objective.local_share < 1:
            raise InputError(f"order={self.order} has no local Transformer: use objective.local_share=1")

    @property
    def window(self) -> int:
        """The longest crop in frames."""
        return round(self.window_seconds * FRAME_RATE)

    def stages(self) -> Stages:
        """Return the layouts; raises InputError for numbers that do not fit."""
        vocabulary = Vocabulary.new(self.num_codebooks, self.codebook_size)
        return Stages(vocabulary, self.num_coarse, self.num_semantic, self.dedup)


# The shipped sizes: repeats kept, and all codebooks in one multi-scale stage (docs/decisions/0016-audiolm.md).
# The steps are enough where it begins with the weights of uniaudio-mini (`start=uniaudio-mini`).
_CODES = StageRecipe(
    window_seconds=10.0,
    order="multiscale",
    global_=TransformerConfig(width=384, layers=6, heads=6),
    vector_dim=384,
    frame_budget=3000,
    objective=LMObjectiveConfig(
        slot_weights=(2.0, 1.5, 1.0, 1.0, 1.0, 1.0),
        history_dropout=0.1,
        history_blackout=0.25,
        prompt_frames=40,
        prompt_dropout=0.15,
        condition_dropout=0.1,
        local_share=0.3,
    ),
    loop=LoopConfig(steps=1100, ema_decay=0.99, optim=replace(_MUON, warmup_steps=30, decay_share=0.5)),
)
MINI: dict[Stage, StageRecipe] = {
    "semantic": StageRecipe(
        global_=TransformerConfig(width=192, layers=6, heads=4),
        loop=LoopConfig(steps=3000, ema_decay=0.99, optim=_MUON),
    ),
    "coarse": _CODES,
    "fine": replace(
        _CODES,
        num_coarse=3,
        window_seconds=3.0,
        join=False,
        objective=replace(_CODES.objective, slot_weights=()),
    ),
}
# The paper's: 12 codebooks of which 4 are coarse, 1024 semantic tokens without repeats, crops of 30, 10 and 3 s. A step
# has about 256 crops, in 16 parts.
_PAPER = StageRecipe(
    num_codebooks=12,
    num_coarse=4,
    num_semantic=1024,
    dedup=True,
    window_seconds=30.0,
    relative_buckets=64,
    global_=TransformerConfig(width=1024, layers=12, heads=16, dropout=0.1),
    frame_budget=12_000,
    loop=LoopConfig(steps=1_000_000, accumulate=16, optim=OptimConfig(lr=5e-4, warmup_steps=10_000)),
)
PAPER: dict[Stage, StageRecipe] = {
    "semantic": _PAPER,
    "coarse": replace(_PAPER, window_seconds=10.0, frame_budget=8_000),
    "fine": replace(_PAPER, window_seconds=3.0, frame_budget=2_400, join=False),
}


def lm_config(recipe: StageRecipe, stage: Stage) -> orders.LMConfig:
    """Return the sizes of a stage's language model."""
    stages = recipe.stages()
    if stage not in stages.layouts:
        raise InputError(f"all {recipe.num_coarse} codebooks are coarse, so there is no fine stage: lower num_coarse")
    ids, slots, roles = stages.vocabulary.num_ids, stages.layouts[stage].num_slots, len(ROLES)
    if recipe.order != "multiscale":
        return PatternConfig(
            num_ids=ids,
            num_slots=slots,
            pattern=recipe.order,
            num_roles=roles,
            relative_buckets=recipe.relative_buckets,
            relative_distance=recipe.relative_distance,
            transformer=recipe.global_,
        )
    return MultiScaleConfig(
        num_ids=ids,
        num_slots=slots,
        num_roles=roles,
        vector_dim=recipe.vector_dim,
        caption_mean=recipe.vector_dim > 0,  # as in uniaudio-mini, so that its weights fit
        in_step=stage == "fine" or not recipe.dedup,
        global_=recipe.global_,
        local_=recipe.local_,
    )


def train_stage(
    stage: Stage, recipe: StageRecipe, overrides: list[str], tokens: Path, folder: Path, minutes: float | None
) -> None:
    """Run a recipe with overrides on the recordings of one or more token folders (see `lm.token_folders`).

    Raises InputError for tokens without semantic ids, and for codes that do not fit.
    """
    recipe = config.override(recipe, overrides)
    stages, sizes = recipe.stages(), lm_config(recipe, stage)
    reader = StageReader(stages, stage, recipe.window, FRAME_RATE, recipe.join)
    sources = [Shards(path / "train") for path in token_folders(tokens)]
    kinds = ("recording", "voice_conversion")
    batches = Batches(sources, reader, kinds, recipe.frame_budget, max_seconds=float("inf"))
    batches.draw(recipe.loop.seed, 0)  # tokens that do not fit are told before anything is written
    torch.manual_seed(recipe.loop.seed)
    with building():
        model = orders.build(sizes)
    if recipe.start is not None:
        _start_from(model, recipe.start, stages.vocabulary)
    legal, fill = stages.legal(stage), stages.vocabulary.fill
    loss = replace(recipe.objective, slot_weights=recipe.objective.slot_weights[: sizes.num_slots])
    objective = _StageObjective(model, legal, batches.draw, loss, fill)
    objective.stage = {"name": stage, "window": recipe.window, **_tokens_of(recipe)}
    train(objective, recipe.loop.ending_after(minutes), folder)


class _StageObjective(LMObjective):
    """Next-frame prediction of one stage; its run also says how tokens became sequences."""

    stage: Mapping[str, Any]

    def describe(self) -> dict[str, Any]:
        """Return the model's configuration, the loss's and the stage's."""
        return {**super().describe(), "stage": dict(self.stage)}


def _tokens_of(recipe: StageRecipe) -> dict[str, Any]:
    """Return what the runs of all stages of a model have in common."""
    names = ("num_codebooks", "codebook_size", "num_coarse", "num_semantic", "dedup")
    return {name: getattr(recipe, name) for name in names}


def _start_from(model: orders.AnyLM, name_or_folder: str, vocabulary: Vocabulary) -> None:
    """Take over the weights of a run or of an engine's language model; raises InputError when its sizes differ.

    A model of tasks has never seen the marks of stages: they begin as those that mean nearly the same to it.
    """
    if (Path(name_or_folder) / "checkpoint").is_dir():
        tensors = averaged(Path(name_or_folder))[1]
    else:
        from uniaudio.engines.bundle import load_engine

        trained = load_engine(name_or_folder).lm
        tensors = trained.state_dict() if isinstance(trained, orders.AnyLM) else {}
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    tensors = {name: value for name, value in tensors.items() if name in shapes or not name.startswith("voice_")}
    if {name: value.shape for name, value in tensors.items()} != shapes:
        raise InputError(f"{name_or_folder} has other sizes than this recipe; leave out the changes of sizes")
    checkpoint.load_into(model, tensors)
    if (Path(name_or_folder) / "checkpoint").is_dir():
        return
    tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    for table in (table for table in tables if table.num_embeddings == vocabulary.num_ids):
        for mark, alike in _ALIKE.items():
            table.weight.data[vocabulary.mark(mark)] = table.weight.data[vocabulary.mark(alike)]


def assemble(
    tokenizers: str, runs: Mapping[str, Path], name: str, mean_run: float = 2.0, tokens: str | None = None
) -> AudioLMEngine:
    """Return the engine of a codec with semantic tokens and of a run per stage (their averaged weights).

    `tokens` is another model whose semantic tokens are used. Raises InputError for a codec without semantic tokens and
    for runs that do not fit it or one another.
    """
    codec, semantic = load_tokenizers(tokenizers)
    if tokens is not None:
        semantic = load_tokenizers(tokens)[1]
    if semantic is None:
        raise InputError(f"{tokenizers} has no semantic tokens, which AudioLM needs: choose another codec")
    models, configs, common = {}, {}, set()
    for stage, run in runs.items():
        described, tensors = averaged(run)
        about = dict(described.get("stage", {}))
        if about.pop("name", None) != stage:
            raise InputError(f"{run} is no run of the {stage} stage: give the folder of audiolm_{stage}")
        window = int(about.pop("window"))
        common.add(tuple(sorted(about.items())))
        sizes = _without_captions(orders.read_config(described["lm"]))
        models[stage] = orders.build(sizes)
        names = models[stage].state_dict().keys()
        checkpoint.load_into(models[stage], {name: value for name, value in tensors.items() if name in names})
        models[stage].eval().requires_grad_(False)
        stuck = 1 if about["dedup"] else round(STUCK_SECONDS * FRAME_RATE)
        sampling = replace(SAMPLING[stage], repetition_frames=stuck if stage == "semantic" else 0)
        configs[stage] = StageConfig(window=window, overlap=0 if stage == "fine" else window // 2, sampling=sampling)
    if len(common) != 1:
        raise InputError("the runs of the stages were trained on other tokens or codebooks than one another")
    shape = dict(common.pop())
    codec = codec.cut(shape["num_codebooks"])
    if (codec.config.codebook_size, semantic.num_ids) != (shape["codebook_size"], shape["num_semantic"]):
        raise InputError(f"{tokenizers} makes other tokens than the runs were trained on")
    vocabulary = Vocabulary.new(shape["num_codebooks"], shape["codebook_size"])
    stages = Stages(vocabulary, shape["num_coarse"], shape["num_semantic"], shape["dedup"])
    if set(models) != {"semantic", *stages.layouts}:
        raise InputError(f"these runs need the stages {', '.join(stages.layouts)}, not {', '.join(models)}")
    return AudioLMEngine(name, codec.eval().requires_grad_(False), semantic, stages, models, configs, mean_run)


def resample(engine: AudioLMEngine, changes: list[str]) -> None:
    """Change how an engine's coarse stage samples by "key=value"; raises InputError for an unknown key or value."""
    coarse = engine.configs["coarse"]
    engine.configs["coarse"] = replace(coarse, sampling=config.override(coarse.sampling, changes))


def _without_captions(sizes: orders.LMConfig) -> orders.LMConfig:
    """Return the sizes without what only captions need: a stage has none, whatever it began with."""
    if isinstance(sizes, MultiScaleConfig):
        return replace(sizes, vector_dim=0, caption_mean=False)
    return replace(sizes, vector_dim=0)


def main() -> int:
    """Assemble a model folder from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codec", default="uniaudio-codec", help="a codec with semantic tokens (uniaudio-codec)")
    parser.add_argument("--tokens", help="a model whose semantic tokens are used in place of the codec's")
    for stage in ORDER:
        parser.add_argument(f"--{stage}", type=Path, help=f"the run of the {stage} stage")
    about = "sampling of the coarse stage, where it is not the usual, e.g. guidance=3 candidates=4"
    parser.add_argument("--sampling", nargs="+", default=[], metavar="KEY=VALUE", help=about)
    parser.add_argument("--name", default="audiolm-mini")
    parser.add_argument("--card", type=Path, required=True, help="the model card (README.md of the model)")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    try:
        runs = {stage: run for stage in ORDER if (run := getattr(options, stage)) is not None}
        engine = assemble(options.codec, runs, options.name, tokens=options.tokens)
        resample(engine, options.sampling)
        shared = options.codec if options.codec in weights.names() else None
        save_audiolm(options.out, engine, options.card.read_text(encoding="utf-8"), shared)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    size = sum(path.stat().st_size for path in options.out.iterdir()) / 1e6
    print(f"{options.out}: {size:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
