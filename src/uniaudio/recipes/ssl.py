"""Train the semantic network in iterations, choose a layer of it, and turn it into a tokenizer."""

import argparse
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from uniaudio import checkpoint, config
from uniaudio.audio.io import Audio, read_audio
from uniaudio.data.manifests import CUTS, Row, read_manifest
from uniaudio.data.pairs.corpora import find_corpora
from uniaudio.errors import InputError
from uniaudio.evaluate.semantic import evaluate_semantic
from uniaudio.recipes import building
from uniaudio.recipes.codec import load_codec
from uniaudio.ssl.hubert import Hubert, HubertConfig, HubertFrames
from uniaudio.tokenizers.pitch_features import PitchFeatures
from uniaudio.tokenizers.semantic import MelFeatures, ProjectedFeatures, SemanticFeatures, SemanticTokenizer
from uniaudio.train.loop import LoopConfig, train
from uniaudio.train.objectives.ssl import HubertObjective, HubertObjectiveConfig, LabelledSpeech
from uniaudio.train.optim import OptimConfig

_PLAYED_TWICE = 500  # recordings that show what another vocal tract changes


@dataclass(frozen=True, kw_only=True)
class HubertRecipe:
    """The run of a semantic network. Its labels are `clusters` k-means clusters of `teach_recordings` recordings.

    Without `teacher` they are clusters of scaled mel-cepstra (the first iteration); with it, the folder of an earlier
    run, of that network's `layer` (the second). `start` is a run whose weights this one begins with. Only `directions`
    of the features are clustered, those that a change of the vocal tract disturbs least.

    Raises InputError for one of these numbers below 1.
    """

    hubert: HubertConfig = field(default_factory=HubertConfig)
    objective: HubertObjectiveConfig = field(default_factory=HubertObjectiveConfig)
    teacher: str | None = None
    layer: int = 4
    clusters: int = 100
    directions: int = 13
    teach_recordings: int = 2000
    start: str | None = None
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=1200,
            ema_decay=0.998,
            optim=OptimConfig(name="muon", lr=2e-3, matrix_lr=0.02, warmup_steps=50, schedule="wsd", decay_share=0.3),
        )
    )

    def __post_init__(self) -> None:
        for name in ("layer", "clusters", "directions", "teach_recordings"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)} is not possible: use 1 or more")


def train_hubert(overrides: list[str], corpus: Path, folder: Path, minutes: float | None) -> None:
    """Run `HubertRecipe` with overrides on a corpus of speech, or on all speech and singing directly below a folder.

    The labels' tokenizer is kept in `folder`/teacher, so that a resumed run has the same labels. Raises InputError for
    a `start` of other sizes, and as `fit_semantic` does.
    """
    recipe = config.override(HubertRecipe(), overrides)
    rows = speech_rows(corpus)
    torch.manual_seed(recipe.loop.seed)
    with building():
        network = Hubert(recipe.hubert)
    if recipe.start is not None:
        started = load_hubert(recipe.start)
        if started.config != network.config:
            raise InputError(f"the network of start={recipe.start} has other sizes: leave out the hubert.* changes")
        network = started
    speech = LabelledSpeech(rows, _teacher(recipe, rows, folder), recipe.hubert)
    names = ("teacher", "layer", "clusters", "directions", "teach_recordings", "start")
    about = {name: getattr(recipe, name) for name in names}
    objective = HubertObjective(network.train(), speech, recipe.objective, about)
    train(objective, recipe.loop.ending_after(minutes), folder)


def _teacher(recipe: HubertRecipe, rows: list[Row], folder: Path) -> SemanticTokenizer:
    """Return the tokenizer that labels the speech: that of a run that is resumed, or a new one."""
    kept = folder / "teacher"
    if not (folder / "checkpoint").exists():
        features: SemanticFeatures = MelFeatures(num_coefficients=13, scaled=True)
        if recipe.teacher is not None:
            features = layer_features(recipe.teacher, recipe.layer)
        limits = recipe.teach_recordings, recipe.directions
        _fit(features, rows, recipe.clusters, limits, recipe.hubert.frame_rate, recipe.loop.seed).save(kept)
    teacher = SemanticTokenizer.load(kept)
    assert isinstance(teacher.features, ProjectedFeatures)
    if isinstance(teacher.features.inner, HubertFrames):
        teacher.features.inner.bf16 = True
    return teacher


def _fit(
    features: SemanticFeatures,
    rows: list[Row],
    num_ids: int,
    limits: tuple[int, int],
    frame_rate: float,
    seed: int,
    centred: bool = False,
) -> SemanticTokenizer:
    """Return a tokenizer of `limits`: the recordings that the clusters see, and the directions that are kept."""
    few = recordings(rows, min(limits[0], _PLAYED_TWICE), seed + 1)
    projected = ProjectedFeatures.fit(features, few, limits[1], seed, centred)
    return SemanticTokenizer.fit(projected, recordings(rows, limits[0], seed), num_ids, seed, frame_rate)


def speech_rows(corpus: Path, split: str = "train") -> list[Row]:
    """Return the recordings of a corpus, or of the speech and singing among the corpora directly below a folder."""
    if (corpus / CUTS).exists() or corpus.is_file():
        return read_manifest(corpus, split)
    found = find_corpora(corpus)
    folders = found["speech"] + found["singing"]
    if not folders:
        raise InputError(f"{corpus} has neither speech nor singing below it: give a corpus of speech")
    return [row for path in folders for row in read_manifest(path, split)]


def recordings(rows: list[Row], limit: int, seed: int) -> Iterator[Audio]:
    """Yield up to `limit` random recordings."""
    for row in random.Random(seed).sample(rows, min(limit, len(rows))):
        yield read_audio(row.audio, mono=True)


def load_hubert(run: str | Path) -> Hubert:
    """Return the network of a run (its averaged weights), in evaluation mode; raises InputError for another run."""
    loaded = checkpoint.load(Path(run) / "checkpoint")
    described = loaded.config.get("objective", {})
    if "hubert" not in described:
        raise InputError(f"{run} is no run of a semantic network: give the run folder of the recipe hubert_mini")
    network = Hubert(config.from_dict(HubertConfig, described["hubert"]))
    checkpoint.load_into(network, loaded.tensors, "ema.hubert.")
    return network.eval().requires_grad_(False)


def layer_features(run: str | Path, layer: int) -> HubertFrames:
    """Return the features of a layer of a run's network; raises InputError for a layer that it does not have."""
    network = load_hubert(run)
    last = network.config.transformer.layers
    if not 1 <= layer <= last:
        raise InputError(f"the network of {run} has no layer {layer}: choose one from 1 to {last}")
    return HubertFrames.of_layer(network, layer)


@dataclass(frozen=True, kw_only=True)
class SemanticFit:
    """What of a network becomes tokens: a `layer`, its `directions` least disturbed by the vocal tract, `num_ids`
    clusters, fitted to `num_recordings` random training recordings."""

    layer: int = 6
    num_ids: int = 50
    directions: int = 24
    num_recordings: int = 3000
    seed: int = 0


def fit_semantic(run: str | Path, corpus: Path, out: Path, fit: SemanticFit | None = None) -> SemanticTokenizer:
    """Write the tokenizer folder `out`: the run's network up to a layer, matrix, standardiser and clusters.

    Raises InputError as `layer_features` does, for more directions than the network is wide, and for too few
    recordings.
    """
    fit = fit or SemanticFit()
    features = layer_features(run, fit.layer)
    limits = fit.num_recordings, fit.directions
    tokenizer = _fit(features, speech_rows(corpus), fit.num_ids, limits, features.frame_rate, fit.seed, centred=True)
    tokenizer.save(out)
    return tokenizer


def fit_pitch(corpus: Path, out: Path, num_ids: int, num_recordings: int = 300, seed: int = 0) -> SemanticTokenizer:
    """Write the tokenizer folder `out`: clusters of `PitchFeatures` of random training recordings of a corpus of music.

    Raises InputError for too few recordings.
    """
    rows = read_manifest(corpus, "train")
    chosen = random.Random(seed).sample(rows, min(num_recordings, len(rows)))
    recordings = (read_audio(row.audio, mono=True) for row in chosen)
    tokenizer = SemanticTokenizer.fit(PitchFeatures(), recordings, num_ids, seed)
    tokenizer.save(out)
    return tokenizer


def main() -> int:
    """Fit a tokenizer to a layer of a run, or judge one, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--run", help="fit a tokenizer to this run's network")
    parser.add_argument("--pitch", action="store_true", help="fit tokens of music to what is played, without a network")
    parser.add_argument("--layer", type=int, default=SemanticFit.layer)
    parser.add_argument("--ids", type=int, default=SemanticFit.num_ids)
    parser.add_argument("--directions", type=int, default=SemanticFit.directions)
    parser.add_argument("--out", type=Path, required=True, help="the tokenizer's folder")
    parser.add_argument("--judge", metavar="MODEL", help="compare with the codec of this codec run or engine")
    parser.add_argument("--data", type=Path, help="the corpus whose test speech is judged (default: --corpus)")
    parser.add_argument("--limit", type=int, default=800, help="test recordings that are judged")
    options = parser.parse_args()
    try:
        if options.run is not None:
            fit = SemanticFit(layer=options.layer, num_ids=options.ids, directions=options.directions)
            fit_semantic(options.run, options.corpus, options.out, fit)
        if options.pitch:
            fit_pitch(options.corpus, options.out, options.ids)
        if options.judge is not None:
            codec = load_codec(options.judge)[0]
            tokenizer = SemanticTokenizer.load(options.out)
            figures = evaluate_semantic(tokenizer, codec, options.data or options.corpus, options.limit)
            print(json.dumps(figures, indent=1))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
