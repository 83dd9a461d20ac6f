"""Train the detector of an AudioLM model on clips of its own making, put it beside the model, and measure it.

python -m uniaudio.recipes.audiolm_detector --model MODEL --data corpora/made/speech --clips corpora/detector
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from uniaudio import checkpoint, config, weights
from uniaudio.audio.io import Audio, read_audio
from uniaudio.data.manifests import Row, read_manifest
from uniaudio.engines.audiolm import AudioLMEngine, Part
from uniaudio.engines.audiolm_folder import load_audiolm
from uniaudio.errors import InputError
from uniaudio.evaluate import classifier, detector
from uniaudio.evaluate.classifier import SAMPLE_RATE, Classifier, ClassifierConfig
from uniaudio.evaluate.detector import CONFIG, FOLDER, KIND, MADE, RECORDED, load_detector
from uniaudio.recipes import building
from uniaudio.tokenizers.codec import round_trip
from uniaudio.train.loop import LoopConfig, train
from uniaudio.train.objectives.classifier import ClassifierObjective, ClassifierObjectiveConfig, LabelledClip
from uniaudio.train.optim import OptimConfig

CLIPS, BATCH = "clips.jsonl", 16
_PROMPT_SECONDS, _MAX_SECONDS = 3.0, 6.0
_CARD = """# Detector of what {model} makes

A network of {values} values that hears log-mels of one second and says whether the acoustic stage of {model} made
them, or whether they are a recording. Its scope: speech that has passed through the codec of {model} (`uniaudio detect`
passes every file through it). It was trained on speech of the made corpus and on what the model said, both through the
codec; it says nothing reliable of other models, of other codecs' output, of recordings of the world, or of music.
Licence: MIT.
"""


@dataclass(frozen=True, kw_only=True)
class DetectorRecipe:
    """The run of the detector: crops of one second, hardly varied, since what gives the model away is subtle."""

    classifier: ClassifierConfig = CONFIG
    objective: ClassifierObjectiveConfig = field(
        default_factory=lambda: ClassifierObjectiveConfig(
            batch_size=48,
            crop_seconds=(detector.CROP_SECONDS, detector.CROP_SECONDS),
            mix_share=0.0,
            tilt_db=6.0,
            noise_db=(40.0, 120.0),
            lowpass_share=0.0,
        )
    )
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=1000,
            ema_decay=0.99,
            optim=OptimConfig(name="muon", lr=2e-3, matrix_lr=0.01, warmup_steps=50, schedule="wsd", decay_share=0.4),
        )
    )


def make_clips(
    engine: AudioLMEngine,
    corpus: Path,
    out: Path,
    count: int,
    seed: int = 0,
    more_recordings: int = 0,
    held_out: int | None = None,
) -> None:
    """Write `count` recordings of a corpus and as many clips that the model made, train and test apart, into `out`.

    Training gets `more_recordings` besides, which cost little. `held_out` of the others, a fifth by default, are of the
    test split, from other speakers and sentences. A recording passes through the codec once or twice, a made clip once
    more after it was made.
    The model says what another recording says, in any voice or after a prompt of another's, or what its semantic stage
    goes on with. Raises InputError for too few recordings.
    """
    entries: list[dict[str, object]] = []
    tested = count // 5 if held_out is None else held_out
    plan = [_chosen(corpus, "train", count - tested, seed, more_recordings), _chosen(corpus, "test", tested, seed)]
    for split, (kept, said) in zip(("train", "test"), plan, strict=True):
        made = ((RECORDED, audio) for audio in _recorded(engine, kept))
        again = ((MADE, audio) for audio in _said(engine, said, kept, seed))
        for number, (origin, audio) in enumerate(chain(made, again)):
            name = f"{split}/{origin}-{number:05d}.flac"
            (out / split).mkdir(parents=True, exist_ok=True)
            audio.write(out / name)
            entries.append({"file": name, "split": split, "origin": origin, "seconds": audio.seconds})
    lines = [json.dumps(one) + "\n" for one in [{"model": engine.name}, *entries]]
    (out / CLIPS).write_text("".join(lines), encoding="utf-8")


def _chosen(corpus: Path, split: str, share: int, seed: int, more: int = 0) -> tuple[list[Row], list[Row]]:
    """Return `share` recordings of a split to keep, and `more`, and as many others for the model to say."""
    rows = [row for row in read_manifest(corpus, split) if 1.5 <= row.seconds <= _MAX_SECONDS]
    if len(rows) < 2 * share:
        raise InputError(f"{corpus} has {len(rows)} {split} recordings of 1.5 to 6 s: {2 * share} are needed")
    order = np.random.default_rng(seed).permutation(len(rows))
    kept, said = [rows[i] for i in order[:share]], [rows[i] for i in order[share : 2 * share]]
    return kept + [rows[i] for i in order[2 * share :][:more]], said


def _recorded(engine: AudioLMEngine, rows: list[Row]) -> Iterator[Audio]:
    for index, row in enumerate(rows):
        once = round_trip(engine.codec, read_audio(row.audio, mono=True))
        yield round_trip(engine.codec, once) if index % 2 else once


def _said(engine: AudioLMEngine, rows: list[Row], prompts: list[Row], seed: int) -> Iterator[Audio]:
    """Yield what the model makes of recordings: a third each said again, said after a prompt, and gone on with."""
    none = torch.zeros(engine.stages.vocabulary.num_codebooks, 0, dtype=torch.long)
    for first in range(0, len(rows), BATCH):
        parts: list[Part] = []
        for index, row in enumerate(rows[first : first + BATCH], first):
            _, tokens, _ = engine.read(read_audio(row.audio, mono=True))
            before, codes, count = tokens[:0], none, len(tokens)
            if index % 3:
                audio = read_audio(prompts[index % len(prompts)].audio, mono=True)
                _, before, codes = engine.read(_first(audio, _PROMPT_SECONDS))
            if index % 3 == 2:
                tokens = engine.go_on(before, len(before) + count, seed + index)[0][len(before) :]
            prefix = codes[: engine.stages.num_coarse]
            parts.append(Part(torch.cat((before, tokens)), prefix, count, prefix.shape[1]))
        seeds = [seed + first + row for row in range(len(parts))]
        for part, made in zip(parts, engine.generate_many("coarse", parts, seeds), strict=True):
            whole = torch.cat((part.prefix, made), dim=1)
            size = part.count * engine.codec.config.hop_length
            audio = Audio(np.ascontiguousarray(engine.decode(whole)[None, -size:]), engine.sample_rate)
            yield round_trip(engine.codec, audio)


def _first(audio: Audio, seconds: float) -> Audio:
    return dataclasses.replace(audio, samples=audio.samples[:, : round(seconds * audio.sample_rate)])


def _read(folder: Path, split: str) -> tuple[str, list[tuple[str, Path, float]]]:
    """Return the model's name and (origin, file, seconds) of a split; raises InputError where there are no clips."""
    try:
        lines = [json.loads(line) for line in (folder / CLIPS).read_text(encoding="utf-8").splitlines()]
        found = [(one["origin"], folder / one["file"], one["seconds"]) for one in lines[1:] if one["split"] == split]
        return str(lines[0]["model"]), found
    except (OSError, ValueError, KeyError, IndexError) as error:
        make = "python -m uniaudio.recipes.audiolm_detector --clips"
        raise InputError(f"{folder} holds no clips of a detector ({error}): make them with {make}") from error


def train_detector(overrides: list[str], clips: Path, folder: Path, minutes: float | None) -> None:
    """Run `DetectorRecipe` with overrides on the clips that `make_clips` wrote."""
    recipe = config.override(DetectorRecipe(), overrides)
    model, found = _read(clips, "train")
    labelled = [
        LabelledClip(audio=path, seconds=seconds, group=origin, labels=((KIND, origin, 0.0, seconds),))
        for origin, path, seconds in found
    ]
    torch.manual_seed(recipe.loop.seed)
    with building():
        network = Classifier(recipe.classifier)
    objective = ClassifierObjective(network, labelled, recipe.objective, SAMPLE_RATE, {"model": model})
    train(objective, recipe.loop.ending_after(minutes), folder)


def export(run: Path, model: str) -> None:
    """Write the averaged weights of a run as the detector of a model; raises InputError for another run."""
    loaded = checkpoint.load(run / "checkpoint")
    described = loaded.config.get("objective", {})
    if "classifier" not in described or KIND not in described["classifier"]["labels"]:
        raise InputError(f"{run} is no run of the recipe audiolm_detector: give the folder of one")
    network = Classifier(config.from_dict(ClassifierConfig, described["classifier"]))
    checkpoint.load_into(network, loaded.tensors, "ema.classifier.")
    card = _CARD.format(model=described["model"], values=sum(p.numel() for p in network.parameters()))
    classifier.save(weights.find(model) / FOLDER, network, card)


def measure(model: str, clips: Path, split: str = "test") -> dict[str, float]:
    """Return the share of the clips of a split that the detector of a model takes for what they are, by origin and in
    all ("accuracy"), and the share of their single seconds ("seconds"). The clips have passed through the codec."""
    network, right, seconds = load_detector(model), {RECORDED: [], MADE: []}, []
    for origin, path, _ in _read(clips, split)[1]:
        verdict = network.listen(read_audio(path, mono=True))
        right[origin].append(verdict.made == (origin == MADE))
        seconds += ((verdict.seconds > 0.5) == (origin == MADE)).tolist()
    by_origin = {origin: float(np.mean(values)) for origin, values in right.items()}
    return {**by_origin, "accuracy": float(np.mean(sum(right.values(), []))), "seconds": float(np.mean(seconds))}


def main() -> int:
    """Make clips, export a run, or measure a detector, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="an AudioLM model; its detector is put into its folder")
    parser.add_argument("--clips", type=Path, required=True, help="the folder of the clips")
    parser.add_argument("--data", type=Path, help="make the clips from this corpus of speech")
    parser.add_argument("--count", type=int, default=500, help="how many recordings, and clips made by the model (500)")
    parser.add_argument("--more", type=int, default=0, help="further recordings to train on (0)")
    parser.add_argument("--held-out", type=int, help="how many of them are of the test split (a fifth)")
    parser.add_argument("--run", type=Path, help="put the averaged weights of this run beside the model")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        if options.data is not None:
            engine = load_audiolm(options.model)
            settings = options.count, options.seed, options.more, options.held_out
            make_clips(engine, options.data, options.clips, *settings)
            return 0
        if options.run is not None:
            export(options.run, options.model)
        figures = measure(options.model, options.clips)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(", ".join(f"{name} {100 * value:.1f} %" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
