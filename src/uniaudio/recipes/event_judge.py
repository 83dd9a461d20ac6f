"""Train the offline judge of sound and music on a made corpus of its own, export it, and measure it on another corpus.

python -m uniaudio.recipes.event_judge --run runs/event_judge --out FOLDER --data corpora/made
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from uniaudio import checkpoint, config
from uniaudio.audio.io import Audio, read_audio
from uniaudio.data.manifests import Row, read_manifest
from uniaudio.data.pairs.corpora import find_corpora
from uniaudio.errors import InputError
from uniaudio.evaluate import classifier
from uniaudio.evaluate.classifier import SAMPLE_RATE, Classifier, ClassifierConfig, labels_of, listen
from uniaudio.evaluate.metrics.class_accuracy import average_precision, class_accuracy
from uniaudio.recipes import building
from uniaudio.recipes.codec import load_codec
from uniaudio.tokenizers.codec import round_trip
from uniaudio.train.loop import LoopConfig, train
from uniaudio.train.objectives.classifier import ClassifierObjective, ClassifierObjectiveConfig, LabelledClip
from uniaudio.train.optim import OptimConfig

_GROUPS = ("sound", "music")
_CARD = """# The offline judge of sound and music

A classifier of {values} values that hears the {labels} labels of made sound and music: {kinds}. It was trained by
`uniaudio train event_judge` on made audio of its own seeds, which no model of uniaudio is trained on: {corpora}. It
knows these synthesised events and this soundfont, and says nothing reliable of recordings of the world. How well it
hears: docs/evaluation-judges.md. Licence: MIT.
"""


@dataclass(frozen=True, kw_only=True)
class EventJudgeRecipe:
    """The run of the judge of sound and music."""

    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    objective: ClassifierObjectiveConfig = field(default_factory=ClassifierObjectiveConfig)
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=2500,
            ema_decay=0.998,
            optim=OptimConfig(name="muon", lr=2e-3, matrix_lr=0.01, warmup_steps=50, schedule="wsd", decay_share=0.4),
        )
    )


def train_event_judge(overrides: list[str], corpus: Path, folder: Path, minutes: float | None) -> None:
    """Run `EventJudgeRecipe` with overrides on the made sound and music directly below `corpus`."""
    recipe = config.override(EventJudgeRecipe(), overrides)
    clips = [_clip(row, group) for group, row in _rows(corpus, "train")]
    torch.manual_seed(recipe.loop.seed)
    with building():
        network = Classifier(recipe.classifier)
    about = {"corpora": _corpora(corpus)}
    objective = ClassifierObjective(network, clips, recipe.objective, SAMPLE_RATE, about)
    train(objective, recipe.loop.ending_after(minutes), folder)


def _rows(corpora: Path, split: str) -> list[tuple[str, Row]]:
    """Return (group, row) of a split of the sound and music directly below a folder."""
    found = find_corpora(corpora)
    rows = [(group, row) for group in _GROUPS for path in found[group] for row in read_manifest(path, split)]
    if not rows:
        raise InputError(f"{corpora} has neither sound nor music below it: uniaudio synthesize sound --out DIR/sound")
    return rows


def _corpora(corpora: Path) -> list[str]:
    """Return what of a folder the judge is trained on: "sound, 8 h, seed 3", so that seeds can be compared."""
    found = find_corpora(corpora)
    texts = [(path / "corpus.json").read_text(encoding="utf-8") for group in _GROUPS for path in found[group]]
    return [f"{made['kind']}, {made.get('hours', 0):g} h, seed {made.get('seed')}" for made in map(json.loads, texts)]


def _clip(row: Row, group: str) -> LabelledClip:
    """Return a row as the objective wants it: events with their times, everything else as long as the recording."""
    spans = [("event", e["class"], float(e["start"]), float(e["end"])) for e in row.custom.get("events") or ()]
    if not spans:
        named = labels_of(row.custom)
        spans = [(kind, label, 0.0, row.seconds) for kind, labels in named.items() for label in labels]
    return LabelledClip(audio=row.audio, seconds=row.seconds, group=group, labels=tuple(spans))


def export(run: Path, out: Path) -> Classifier:
    """Write the averaged weights of a run as the judge `out`; raises InputError for another run."""
    loaded = checkpoint.load(run / "checkpoint")
    described = loaded.config.get("objective", {})
    if "classifier" not in described:
        raise InputError(f"{run} is no run of the recipe event_judge: give the folder of one")
    judge = Classifier(config.from_dict(ClassifierConfig, described["classifier"]))
    checkpoint.load_into(judge, loaded.tensors, "ema.classifier.")
    kinds = {kind: len(labels) for kind, labels in judge.config.labels.items()}
    card = _CARD.format(
        values=sum(p.numel() for p in judge.parameters()),
        labels=sum(kinds.values()),
        kinds=", ".join(f"{count} of kind {kind}" for kind, count in kinds.items()),
        corpora="; ".join(described["corpora"]),
    )
    classifier.save(out, judge, card)
    return classifier.load(out)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How well labels of one kind are heard in `clips` recordings that have such labels."""

    kind: str
    clips: int
    top1: float
    accuracy: float
    average_precision: float


def _codec(model: str | None) -> Callable[[Audio], Audio]:
    """Return the round trip of the codec of a run or an engine; without one, nothing is changed."""
    if model is None:
        return lambda audio: audio
    codec = load_codec(model)[0]
    return lambda audio: round_trip(codec, audio)


def measure(judge: Classifier, corpora: Path, split: str, heard_as: Callable[[Audio], Audio]) -> list[Figures]:
    """Return how well a judge hears each kind of label in a split of the sound and music below a folder.

    `top1` is the share of clips whose most probable label is one of theirs, `accuracy` that of `class_accuracy`,
    `average_precision` the mean over the labels that occur. `heard_as` changes the clips first.
    """
    rows = [row for _, row in _rows(corpora, split)]
    named = [labels_of(row.custom) for row in rows]
    heard = [listen(heard_as(read_audio(row.audio, mono=True)), judge).probabilities for row in rows]
    figures: list[Figures] = []
    for kind, labels in judge.config.labels.items():
        pairs = [
            (shares[kind], labelled[kind]) for shares, labelled in zip(heard, named, strict=True) if kind in labelled
        ]
        if not pairs:
            continue
        scores = np.array([[shares[label] for label in labels] for shares, _ in pairs])
        truth = np.array([[label in asked for label in labels] for _, asked in pairs])
        figures.append(
            Figures(
                kind=kind,
                clips=len(pairs),
                top1=float(truth[np.arange(len(pairs)), scores.argmax(1)].mean()),
                accuracy=float(np.mean([class_accuracy(shares, asked) for shares, asked in pairs])),
                average_precision=average_precision(scores, truth),
            )
        )
    return figures


def table(figures: Iterable[Figures]) -> str:
    """Return the figures as a table in Markdown."""
    lines = ["| kind | clips | top-1 | class accuracy | mean average precision |", "|---|---|---|---|---|"]
    lines += [
        f"| {f.kind} | {f.clips} | {f.top1:.3f} | {f.accuracy:.3f} | {f.average_precision:.3f} |" for f in figures
    ]
    return "\n".join(lines)


def main() -> int:
    """Export the judge of a run, or measure one, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="export the averaged weights of this run")
    parser.add_argument("--out", type=Path, help="the judge's folder (default: the one inside the package)")
    parser.add_argument("--data", type=Path, help="measure on the sound and music below this folder")
    parser.add_argument("--split", default="test")
    parser.add_argument("--through", metavar="MODEL", help="measure on what the codec of a run or model makes of it")
    options = parser.parse_args()
    try:
        folder = options.out or classifier.FOLDER
        judge = classifier.load(folder) if options.run is None else export(options.run, folder)
        if options.data is not None:
            print(table(measure(judge, options.data, options.split, _codec(options.through))))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
