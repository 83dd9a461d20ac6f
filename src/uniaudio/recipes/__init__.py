"""Whole runs as functions: what `uniaudio train`, `tokenize` and `evaluate` do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uniaudio.errors import InputError
from uniaudio.recipes.data import align, judge, pair, report

__all__ = ["RECIPES", "align", "building", "compare", "evaluate", "judge", "pair", "report", "run", "tokenize"]

RECIPES: dict[str, str] = {
    "codec_mini": "the shipped codec, on made speech (corpus: a folder of recordings)",
    "durations_mini": "the duration predictor (corpus: a token folder)",
    "mini": "the shipped language model, all tasks (corpus: token folders)",
    "base": "a language model of 186 million weights, all tasks (corpus: token folders)",
    "large": "a language model of 0.94 billion weights, all tasks, for many devices (corpus: token folders)",
    "finetune": "a trained language model on new tasks, whole or by LoRA (corpus: token folders)",
    "audiolm_semantic": "AudioLM's first stage (corpus: tokens of recordings)",
    "audiolm_coarse": "its second stage: codes from semantic tokens, by default of all codebooks",
    "audiolm_fine": "its third stage: the other codebooks, where the second has only the first ones",
    "audiolm_semantic_paper": "the first stage in the paper's sizes",
    "audiolm_coarse_paper": "the second stage in the paper's sizes",
    "audiolm_fine_paper": "the third stage in the paper's sizes",
    "audiolm_detector": "the detector of what an AudioLM model made (corpus: its clips)",
    "hubert_mini": "the network behind semantic tokens, on made speech and singing (corpus: a folder of recordings)",
    "event_judge": "the offline judge of sound and music (corpus: a folder of made sound and music of its own)",
    "latent_autoencoder": "AudioLDM 2's autoencoder of log-mels (corpus: a folder of recordings)",
    "latent_vocoder": "its vocoder (corpus: a folder of recordings)",
    "latent_audiomae": "its AudioMAE, whose features are the language of audio (corpus: a folder of recordings)",
    "latent_diffusion": "its latent diffusion on the true language of audio (corpus: a folder of latents)",
    "latent_bridge": "its bridge from conditions to the language of audio (corpus: a folder of latents)",
    "latent_joint": "both together, from runs of the two (corpus: a folder of latents)",
    "codec_debug": "a tiny codec that overfits one batch in seconds (no corpus)",
    "tts_debug": "a tiny language model that overfits one batch in seconds (no corpus)",
}


def run(
    name: str,
    overrides: list[str],
    *,
    corpus: Path | None = None,
    run: Path | None = None,
    minutes: float | None = None,
) -> None:
    """Train a recipe in the folder `run` (default runs/NAME), resuming what is there; stop after `minutes`.

    Raises InputError for an unknown recipe or override key, and for a recipe that needs a corpus and has none.
    """
    if name not in RECIPES:
        raise InputError(f"unknown recipe {name!r}; the recipes are: {', '.join(RECIPES)}")
    folder = Path("runs") / name if run is None else run
    if name == "codec_mini":
        from uniaudio.recipes.codec import train_codec

        train_codec(overrides, _needed(corpus, name), folder, minutes)
    elif name == "durations_mini":
        from uniaudio.recipes.lm import train_durations

        train_durations(overrides, _needed(corpus, name), folder, minutes)
    elif name == "hubert_mini":
        from uniaudio.recipes.ssl import train_hubert

        train_hubert(overrides, _needed(corpus, name), folder, minutes)
    elif name == "event_judge":
        from uniaudio.recipes.event_judge import train_event_judge

        train_event_judge(overrides, _needed(corpus, name), folder, minutes)
    elif name in ("mini", "base", "large"):
        from uniaudio.recipes.lm import train_lm

        train_lm(name, overrides, _needed(corpus, name), folder, minutes)
    elif name == "finetune":
        from uniaudio.recipes.finetune import train_finetune

        train_finetune(overrides, _needed(corpus, name), folder, minutes)
    elif name == "audiolm_detector":
        from uniaudio.recipes.audiolm_detector import train_detector

        train_detector(overrides, _needed(corpus, name), folder, minutes)
    elif name.startswith("audiolm_"):
        from uniaudio.recipes import audiolm

        _, stage, *size = name.split("_")
        recipe = (audiolm.PAPER if size else audiolm.MINI)[stage]
        audiolm.train_stage(stage, recipe, overrides, _needed(corpus, name), folder, minutes)
    elif name.startswith("latent_"):
        from uniaudio.recipes.audioldm2_stages import train_latent

        train_latent(name, overrides, _needed(corpus, name), folder, minutes)
    else:
        from uniaudio.recipes import debug

        trainer = debug.train_codec_debug if name == "codec_debug" else debug.train_tts_debug
        trainer(overrides, folder, minutes)


def tokenize(
    manifest: Path,
    out: Path,
    model: str,
    workers: int = 0,
    ray: str | None = None,
    bfloat16: bool = False,
    only_semantic: bool = False,
) -> None:
    """Write the token shards `out`/train, dev and test of a corpus or of examples; `model` is a run folder or engine.

    `workers` processes do it here (0: this one), or the Ray cluster at the address `ray`; `bfloat16` is faster and less
    exact; `only_semantic` makes semantic tokens of recordings and no codes.
    """
    from uniaudio.recipes.codec import tokenize_corpus

    tokenize_corpus(manifest, out, model, workers, ray, bfloat16, only_semantic)


def evaluate(
    tasks: list[str],
    model: str,
    data: Path | None,
    out: Path,
    limit: int | None,
    seed: int,
    workers: int = 0,
    precision: str = "float32",
) -> None:
    """Judge tasks of a model, and "codec", on held-out data; print the table, write `results.json` and a page.

    For `codec` alone, `model` may also be the folder of a codec run, or a public codec (a folder or a hub name).
    """
    from uniaudio import ui
    from uniaudio.evaluate.report import table, task_table
    from uniaudio.evaluate.run import evaluate_tasks
    from uniaudio.recipes.codec import load_any_codec

    codec = load_any_codec(model)[0] if tasks == ["codec"] else None
    results, clips = evaluate_tasks(tasks, model, data, out, limit, seed, codec, workers, precision)
    shown = [ui.Clip(title=c.title, task=c.task, path=c.path, inputs=c.inputs, seed=seed, model=model) for c in clips]
    tables = [task_table(results["tasks"])] if results["tasks"] else []
    tables += [table({"codec": results["codec"]})] if "codec" in results else []
    print("\n".join(tables), flush=True)
    ui.write_page(out, f"Evaluation of {model}", shown, "\n".join(tables).splitlines())


def compare(first: Path, second: Path, column: str) -> list[str]:
    """Print how the figures of a column differ between two `results.json`; return those that are worse."""
    from uniaudio.evaluate.compare import compare as differences
    from uniaudio.evaluate.compare import read_results, table

    found = differences(read_results(first), read_results(second), column)
    print(table(found))
    return [f"{one.metric} of {one.task}" for one in found if one.verdict == "worse"]


@contextmanager
def building() -> Iterator[None]:
    """Turn what a network says about its own sizes (a ValueError while it is built) into an InputError."""
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"the network cannot be built: {error}") from error


def _needed(corpus: Path | None, name: str) -> Path:
    if corpus is None:
        raise InputError(f"the recipe {name} needs --corpus DIR")
    return corpus
