"""Score the clips of every column, in several processes, and put them together into figures."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from uniaudio.audio.io import read_audio
from uniaudio.errors import InputError
from uniaudio.evaluate.cases import Case
from uniaudio.evaluate.columns import REFERENCE, Column
from uniaudio.evaluate.heard import Heard
from uniaudio.evaluate.judges import METRICS, SET_METRICS, Score
from uniaudio.evaluate.metrics import left_out
from uniaudio.evaluate.report import ratio_with_interval
from uniaudio.tasks import TASKS


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One clip: its score by metric, why it has no other, and its vectors [n, D] for metrics of whole sets."""

    scores: Mapping[str, Score]
    marked: Mapping[str, str]
    vectors: np.ndarray | None


def score_clip(job: tuple[Case, Path], names: Sequence[str], with_vectors: bool, memory: Path) -> Scored:
    """Return what the judges `names` say of a clip; a ValueError of a judge is the reason why there is no score."""
    case, path = job
    made = Heard(read_audio(path), memory)
    scores: dict[str, Score] = {}
    marked: dict[str, str] = {}
    for name in names:
        try:
            scores[name] = METRICS[name].judge(case, made)
        except InputError:
            raise
        except ValueError as error:
            marked[name] = " ".join(str(error).split())
    vectors = None
    if with_vectors:
        with suppress(ValueError):  # silence has none; the figures of clips say so
            vectors = made.events.seconds
    return Scored(scores=scores, marked=marked, vectors=vectors)


def score_columns(
    cases: Sequence[Case], columns: Sequence[Column], workers: int, memory: Path
) -> dict[str, dict[str, Scored]]:
    """Return column -> id of a case -> scores; `workers` processes judge (0: this one does).

    What the recogniser heard is kept in the folder `memory`.
    """
    from tqdm import tqdm

    task = TASKS[cases[0].example.task]
    voices = speakers_voices(cases)
    places, jobs = [], []
    for column in columns:
        for case in cases:
            if case.id in column.clips:
                places.append((column.name, case.id))
                jobs.append((replace(case, voices=voices), column.clips[case.id]))
    names = [name for name in task.metrics if name in METRICS and missing_package(name) is None]
    with_vectors = any(name in SET_METRICS for name in task.metrics)
    work = partial(score_clip, names=names, with_vectors=with_vectors, memory=memory)
    found: dict[str, dict[str, Scored]] = {column.name: {} for column in columns}
    progress = tqdm(_each(work, jobs, workers), total=len(jobs), desc=f"{task.name}, judged", unit="clip")
    for (name, case_id), scored in zip(places, progress, strict=True):
        found[name][case_id] = scored
    return found


def _each(work: Callable[[Any], Scored], jobs: Sequence[Any], workers: int) -> Iterator[Scored]:
    if workers < 2 or len(jobs) < 8:
        yield from map(work, jobs)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(workers, get_context("spawn"), _one_thread) as pool:
        yield from pool.map(work, jobs, chunksize=2)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def speakers_voices(cases: Sequence[Case]) -> dict[str, np.ndarray]:
    """Return the voice [256] of every speaker who gives a prompt in some cases; of the first prompt of each."""
    voices: dict[str, np.ndarray] = {}
    for case in cases:
        if "speaker" in case.recordings and case.speaker and case.speaker not in voices:
            voices[case.speaker] = Heard(case.given("speaker")).voice
    return voices


def missing_package(name: str) -> str | None:
    """Return why a metric is left out here, None when it is not."""
    package = (METRICS[name] if name in METRICS else SET_METRICS[name]).package
    return None if package is None else left_out(package)


def figures(task: str, column: Column, scored: Mapping[str, Mapping[str, Scored]]) -> dict[str, Any]:
    """Return metric -> {"mean", "low", "high", "clips"} of a column, or the reason why there is no figure."""
    if column.why is not None:
        return dict.fromkeys(TASKS[task].metrics, column.why)
    own, reference = scored[column.name], scored[REFERENCE]
    found: dict[str, Any] = {}
    for name in TASKS[task].metrics:
        if (why := missing_package(name)) is not None:
            found[name] = why
        elif name in METRICS:
            found[name] = _clip_figure(name, own.values(), column.missing)
        else:
            found[name] = _set_figure(name, own, reference)
    return found


def _clip_figure(name: str, clips: Iterable[Scored], missing: Mapping[str, str]) -> Any:
    clips = list(clips)
    scores = [clip.scores[name] for clip in clips if name in clip.scores]
    if not scores:
        reasons = [clip.marked[name] for clip in clips if name in clip.marked]
        reasons += list(missing.values())
        return f"no clip can be judged: {reasons[0]}" if reasons else "there is no clip"
    return {**ratio_with_interval(scores), "clips": len(scores)}


def _set_figure(name: str, own: Mapping[str, Scored], reference: Mapping[str, Scored]) -> Any:
    sides = [[clip.vectors for clip in side.values() if clip.vectors is not None] for side in (own, reference)]
    if not all(sides):
        return "there is no clip"
    try:
        return {"mean": round(SET_METRICS[name].judge(*map(np.concatenate, sides)), 4), "clips": len(sides[0])}
    except ValueError as error:
        return f"the set cannot be judged: {error}"
