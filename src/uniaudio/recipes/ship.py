"""Put trained parts together as a model folder: codec, duration and language-model runs, or a codec alone."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from uniaudio import checkpoint, config
from uniaudio.engines.bundle import load_engine, save_engine
from uniaudio.engines.items import ItemReader
from uniaudio.engines.tokenizers import holds_tokenizers, load_tokenizers, save_tokenizers
from uniaudio.engines.tokens import TokenEngine
from uniaudio.errors import InputError
from uniaudio.lm.duration import DurationConfig, DurationPredictor
from uniaudio.lm.sampling import Sampling
from uniaudio.recipes.codec import load_codec
from uniaudio.recipes.trained import averaged, read_lm
from uniaudio.sequence.layout import Layout
from uniaudio.tasks import TASKS
from uniaudio.tokenizers.semantic import SemanticTokenizer

# Chosen on the dev split by benchmarks/sampling.py.
SAMPLING = Sampling(temperature=0.4, top_k=30, guidance=2.0)
TASK_SAMPLING = {
    "text_to_sound": Sampling(temperature=0.9, top_k=30, guidance=3.5),
    "text_to_music": Sampling(temperature=0.9, top_k=30, guidance=2.0),
}


def assemble(
    codec: str | Path,
    duration_run: Path,
    lm_run: Path,
    name: str,
    tasks: Sequence[str] = ("tts",),
    semantic: SemanticTokenizer | None = None,
) -> TokenEngine:
    """Return the engine made of the averaged weights of three runs (`codec` may also be a model's name or folder).

    The codec is cut to the model's codebooks. Raises InputError for runs of another kind and an unknown task.
    """
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        raise InputError(f"unknown task {unknown[0]!r}; the tasks are: {', '.join(TASKS)}")
    trained = read_lm(lm_run)
    lm = trained.lm
    described, tensors = averaged(duration_run)
    durations = DurationPredictor(config.from_dict(DurationConfig, described["duration"]))
    checkpoint.load_into(durations, tensors)
    cut = load_codec(codec)[0].cut(lm.config.num_slots)
    for module in (lm, durations, cut):
        module.eval().requires_grad_(False)
    reader = ItemReader(cut, durations, semantic, None)
    chosen = {task: TASK_SAMPLING[task] for task in tasks if task in TASK_SAMPLING}
    return TokenEngine(name, tuple(tasks), cut, lm, Layout(trained.vocabulary), reader, SAMPLING, chosen)


def _semantic(name_or_folder: str | None) -> SemanticTokenizer | None:
    """Return the semantic tokens of a folder of their own, or of a model that has them."""
    if name_or_folder is None:
        return None
    if Path(name_or_folder).is_dir() and not holds_tokenizers(Path(name_or_folder)):
        return SemanticTokenizer.load(Path(name_or_folder))
    return load_tokenizers(name_or_folder)[1]


def with_lm(base: str, lm_run: Path, name: str) -> TokenEngine:
    """Return the model `base` with the language model of a run that was fine-tuned from it.

    Raises InputError for a run whose ids are not those of `base`, with more at the end.
    """
    engine, tuned = load_engine(base), read_lm(lm_run)
    old, new = engine.layout.vocabulary, tuned.vocabulary
    if new.marks[: len(old.marks)] != old.marks or new.sections[: len(old.sections)] != old.sections:
        raise InputError(f"{lm_run} was not fine-tuned from {base}: its ids mean something else")
    tuned.lm.eval().requires_grad_(False)
    samplings = engine.sampling, engine.task_sampling
    return TokenEngine(
        name, tuned.tasks or engine.tasks, engine.codec, tuned.lm, Layout(new), engine.reader, *samplings
    )


def count_values(engine: TokenEngine) -> dict[str, int]:
    """Return the number of parameters of each part of an engine."""
    parts = {"codec": engine.codec, "lm": engine.lm, "duration": engine.reader.durations}
    return {
        name: sum(p.numel() for p in part.parameters()) for name, part in parts.items() if isinstance(part, nn.Module)
    }


def main() -> int:
    """Assemble a model folder from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codec", default="uniaudio-codec", help="a codec run, or a model (uniaudio-codec)")
    parser.add_argument("--durations", type=Path, default=Path("runs/durations_mini"))
    parser.add_argument("--lm", type=Path, default=Path("runs/mini"))
    parser.add_argument("--base", help="take all but --lm from this model, from which that run was fine-tuned")
    parser.add_argument("--semantic", help="semantic tokens: their folder, or a model that has some")
    parser.add_argument("--tasks", default="tts", help="what the language model was trained on: A,B or all")
    parser.add_argument("--only-codec", action="store_true", help="leave durations and language model out")
    parser.add_argument("--name", default="uniaudio-mini")
    parser.add_argument("--card", type=Path, required=True, help="the model card (README.md of the model)")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    try:
        semantic = _semantic(options.semantic)
        card = options.card.read_text(encoding="utf-8")
        if options.only_codec:
            codec = load_codec(options.codec)[0]
            save_tokenizers(options.out, options.name, codec, semantic, card)
            values = {"codec": sum(p.numel() for p in codec.parameters())}
        else:
            tasks = tuple(TASKS) if options.tasks == "all" else options.tasks.replace("-", "_").split(",")
            if options.base is None:
                engine = assemble(options.codec, options.durations, options.lm, options.name, tasks, semantic)
            else:
                engine = with_lm(options.base, options.lm, options.name)
            save_engine(options.out, engine, card)
            values = count_values(engine)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    size = sum(path.stat().st_size for path in options.out.iterdir()) / 1e6
    print(f"{options.out}: {values} values, {size:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
