"""What stands side by side in an evaluation: reference, codec, model and baselines, each a folder of clips."""

import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from uniaudio.audio.io import Audio
from uniaudio.data.examples import load
from uniaudio.engines.base import Engine
from uniaudio.engines.tokens import TokenEngine
from uniaudio.errors import InputError
from uniaudio.evaluate.baselines import Baseline
from uniaudio.evaluate.baselines.retrieval import Training
from uniaudio.evaluate.cases import Case
from uniaudio.evaluate.heard import RATE
from uniaudio.tasks import TASKS

REFERENCE, CODEC, MODEL, UNPROCESSED = "reference", "codec", "model", "unprocessed"
NEAREST = "nearest_training_clip"  # label of an example
BATCH = 8  # requests that are generated together; always the same ones, so that a resumed run makes the same clips


@dataclass(kw_only=True)
class Column:
    """Clips of one system: case -> file, and why some are missing. `why` is set when there are none at all."""

    name: str
    about: str
    clips: dict[str, Path] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    why: str | None = None
    real_time_factor: float | None = None


def kept_column(name: str, about: str, cases: Sequence[Case], folder: Path, make: Callable[[Case], Audio]) -> Column:
    """Make the clips of a column that are not in its folder yet; a ValueError marks a clip as missing."""
    from tqdm import tqdm

    column = Column(name=name, about=about)
    folder.mkdir(parents=True, exist_ok=True)
    for case in tqdm(cases, desc=f"{folder.parent.name}, {name}", unit="clip"):
        path = folder / f"{case.id}.wav"
        try:
            if not path.exists():
                make(case).write(path)
            column.clips[case.id] = path
        except ValueError as error:  # InputError too: this example cannot be done, others can
            column.missing[case.id] = " ".join(str(error).split())
    return column


def reference_column(cases: Sequence[Case], folder: Path) -> Column:
    """Return the column of what a perfect model would make."""
    about = "the source, as voice_conversion has no reference" if _is_converted(cases) else "what was really recorded"
    return kept_column(REFERENCE, about, cases, folder / REFERENCE, lambda case: case.reference.audio)


def codec_column(cases: Sequence[Case], folder: Path, engine: Engine) -> Column:
    """Return the column of the reference after the codec, or after autoencoder and vocoder: no model of its codes or
    latents can sound better."""
    name = "codec" if isinstance(engine, TokenEngine) else "autoencoder and vocoder"
    about = f"the reference after the {name}: the ceiling"
    return kept_column(CODEC, about, cases, folder / CODEC, lambda case: engine.round_trip(case.reference.audio))


def unprocessed_column(cases: Sequence[Case], folder: Path) -> Column | None:
    """Return the column of the recordings as they were given.

    None for tasks that change no recording, and where another column is just that: the reference of voice_conversion,
    the baseline of target_speaker_extraction.
    """
    if cases[0].unprocessed is None or cases[0].example.task in ("voice_conversion", "target_speaker_extraction"):
        return None

    def given(case: Case) -> Audio:
        assert case.unprocessed is not None
        return case.unprocessed

    return kept_column(UNPROCESSED, "the recording as it was given", cases, folder / UNPROCESSED, given)


def model_column(cases: Sequence[Case], folder: Path, engine: Engine, seed: int) -> Column:
    """Return the column of the model: batches that are not whole in the folder are generated."""
    task = TASKS[cases[0].example.task]
    column = Column(name=MODEL, about=engine.name)
    if task.name not in engine.tasks:
        column.why = f"{engine.name} was not trained on {task.name}"
        return column
    folder = folder / MODEL
    folder.mkdir(parents=True, exist_ok=True)
    spent = made_seconds = 0.0
    for batch in _progress(list(_batches(cases)), f"{task.name}, {MODEL}"):
        paths = {case.id: folder / f"{case.id}.wav" for case in batch}
        reasons = folder / f"{batch[0].id}.missing.json"
        if not all(path.exists() for path in paths.values()) and not reasons.exists():
            begun = time.perf_counter()
            made, missing = _generate(engine, batch, seed)
            spent += time.perf_counter() - begun
            made_seconds += sum(audio.seconds for audio in made.values())
            for name, audio in made.items():
                audio.write(paths[name])
            if missing:
                _write(reasons, missing)
        column.missing |= json.loads(reasons.read_text(encoding="utf-8")) if reasons.exists() else {}
        column.clips |= {name: path for name, path in paths.items() if name not in column.missing}
    column.real_time_factor = spent / made_seconds if made_seconds else None
    return column


def baseline_column(cases: Sequence[Case], folder: Path, baseline: Baseline, training: Training) -> Column:
    """Return the column of a baseline; without what it needs, it has no clips but the reason.

    A retrieved clip that comes with the examples (`nearest_training_clip`) stands in for the search.
    """
    if (why := baseline.missing()) is not None:
        return Column(name=baseline.name, about=baseline.about, why=why)

    def make(case: Case) -> Audio:
        if baseline.learns and NEAREST in case.labels:
            return load(case.labels[NEAREST], RATE)
        return baseline.run(case.request, training)

    return kept_column(baseline.name, baseline.about, cases, folder / baseline.name.replace(" ", "-"), make)


def _generate(engine: Engine, batch: Sequence[Case], seed: int) -> tuple[dict[str, Audio], dict[str, str]]:
    """Return the clips of a batch, and why there is none of some: then each is generated alone."""
    task = TASKS[batch[0].example.task]
    samplings = [replace(engine.sampling_for(task.name), seed=seed + zlib.crc32(case.id.encode())) for case in batch]
    seconds = batch[0].reference.audio.seconds if task.length == "seconds" else None
    try:
        made = engine.generate_batch(task.name, [case.request for case in batch], samplings, seconds=seconds)
        return {case.id: audio for case, audio in zip(batch, made, strict=True)}, {}
    except InputError as error:
        if len(batch) == 1:
            return {}, {batch[0].id: str(error)}
    alone = [_generate(engine, [case], seed) for case in batch]
    return {k: v for made, _ in alone for k, v in made.items()}, {k: v for _, why in alone for k, v in why.items()}


def _batches(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Yield the cases in groups of `BATCH`; where the length is asked for, cases of one length."""
    groups: dict[float, list[Case]] = {}
    free = TASKS[cases[0].example.task].length == "seconds"
    for case in cases:
        groups.setdefault(round(case.example.seconds, 2) if free else 0.0, []).append(case)
    for group in groups.values():
        for start in range(0, len(group), BATCH):
            yield group[start : start + BATCH]


def _is_converted(cases: Sequence[Case]) -> bool:
    return cases[0].example.task == "voice_conversion"


def _progress(batches: list[list[Case]], name: str) -> Iterator[list[Case]]:
    from tqdm import tqdm

    with tqdm(total=sum(map(len, batches)), desc=name, unit="clip") as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))


def _write(path: Path, value: Mapping[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1), encoding="utf-8")
    os.replace(part, path)
