"""Judge a model on held-out examples of its tasks, beside the truth, its codec's round trip and what else there is."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from uniaudio.engines import load
from uniaudio.engines.base import Engine
from uniaudio.engines.tokens import TokenEngine
from uniaudio.errors import InputError
from uniaudio.evaluate.baselines import BASELINES
from uniaudio.evaluate.baselines.retrieval import Training
from uniaudio.evaluate.cases import Case, find_examples, read_cases
from uniaudio.evaluate.codecs import evaluate_codec
from uniaudio.evaluate.columns import (
    CODEC,
    MODEL,
    Column,
    baseline_column,
    codec_column,
    model_column,
    reference_column,
    unprocessed_column,
)
from uniaudio.evaluate.held_out import Clip, held_out, is_corpus
from uniaudio.evaluate.judges import METRICS, SET_METRICS
from uniaudio.evaluate.metrics import PACKAGES, judge_package
from uniaudio.evaluate.report import write_results
from uniaudio.evaluate.scoring import Scored, figures, score_columns
from uniaudio.tasks import TASKS
from uniaudio.tokenizers.codec import AudioCodec

FORMAT = 2  # of results.json
DEFAULT_LIMIT = 48
PAGE_CLIPS = 10
ALL_METRICS = (*METRICS, *SET_METRICS)


def evaluate_tasks(
    tasks: Sequence[str],
    model: str,
    data: Path | None,
    out: Path,
    limit: int | None,
    seed: int,
    codec: AudioCodec | None = None,
    workers: int = 0,
    precision: str = "float32",
) -> tuple[dict[str, Any], list[Clip]]:
    """Judge `tasks`, and "codec", on the test split of `data`; return what `results.json` holds, and clips to hear.

    Tasks need examples (`data`/TASK or `data`/examples/TASK), "codec" a corpus or a folder of corpora, each judged by
    its audio type. `codec` is judged in place of the model's own; when nothing else is asked for, `model` is only its
    name. Clips that are already in `out`, of the same weights, precision and seed, are kept, so that an interrupted run
    goes on. Raises InputError for an unknown task, missing data or judges, and clips of another model in `out`.
    """
    if data is None:
        raise InputError("evaluation needs held-out examples: make some with `make corpus`, then --data corpora")
    for package in PACKAGES:
        judge_package(package)
    for task in tasks:
        if task != "codec" and task not in TASKS:
            raise InputError(f"{task} is no task; choose from: codec, {', '.join(TASKS)}")
        unknown = [name for name in (TASKS[task].metrics if task != "codec" else ()) if name not in ALL_METRICS]
        if unknown:
            raise InputError(f"{task} names a metric {unknown[0]!r}; there are: {', '.join(ALL_METRICS)}")
    only_codec = codec is not None and set(tasks) <= {"codec"}
    engine = None if only_codec else load(model, precision=precision)
    count = DEFAULT_LIMIT if limit is None else limit
    cases = {task: read_cases(data, task, count) for task in tasks if task != "codec"}
    out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"format": FORMAT, "model": model if engine is None else engine.name, "seed": seed}
    results["tasks"] = {}
    clips: list[Clip] = []
    if "codec" in tasks:
        judged = codec if codec is not None else _codec(engine)
        by_type, made = evaluate_codec(judged, held_out(data, count), out / CODEC)
        results["codec"] = next(iter(by_type.values())) if is_corpus(data) else by_type
        clips += made
    for task, chosen in cases.items():
        training = Training(find_examples(data, task), task)
        results["tasks"][task], made = _evaluate_task(_engine(engine), chosen, training, out / task, seed, workers)
        clips += made
        write_results(out / "results.json", results)  # what is done is not lost when a later task is interrupted
    write_results(out / "results.json", results)
    return results, clips


def _engine(engine: Engine | None) -> Engine:
    assert engine is not None
    return engine


def _codec(engine: Engine | None) -> AudioCodec:
    if not isinstance(engine, TokenEngine):
        raise InputError(f"{_engine(engine).name} has no codec: judge its tasks, or give --codec")
    return engine.codec


def _evaluate_task(
    engine: Engine, cases: list[Case], training: Training, out: Path, seed: int, workers: int
) -> tuple[dict[str, Any], list[Clip]]:
    task = cases[0].example.task
    _same_settings(out / "settings.json", engine, cases, seed)
    columns = [reference_column(cases, out), codec_column(cases, out, engine), model_column(cases, out, engine, seed)]
    unprocessed = unprocessed_column(cases, out)
    columns += [unprocessed] if unprocessed else []
    columns += [baseline_column(cases, out, baseline, training) for baseline in BASELINES.get(task, ())]
    scored = score_columns(cases, columns, workers, out.parent / "heard")
    result = {
        "clips": len(cases),
        "ids": [case.id for case in cases],
        "columns": {column.name: _column_result(task, column, scored) for column in columns},
    }
    return result, _page_clips(cases, columns, scored)


def _column_result(task: str, column: Column, scored: dict[str, dict[str, Scored]]) -> dict[str, Any]:
    """Return what results.json holds of a column: figures, each clip's scores, and what is marked."""
    own = scored[column.name]
    result: dict[str, Any] = {"about": column.about, "figures": figures(task, column, scored)}
    if column.real_time_factor is not None:
        result["real_time_factor"] = round(column.real_time_factor, 4)
    result["scores"] = {name: {k: list(v) for k, v in clip.scores.items()} for name, clip in own.items()}
    result["marked"] = {**column.missing, **{name: dict(clip.marked) for name, clip in own.items() if clip.marked}}
    return result


def _page_clips(cases: list[Case], columns: list[Column], scored: dict[str, dict[str, Scored]]) -> list[Clip]:
    """Return the clips of the model (of the codec, where it has none) that are shown, the worst first."""
    task = cases[0].example.task
    shown = next(column for column in columns if column.name == MODEL)
    shown = shown if shown.clips else next(column for column in columns if column.name == CODEC)
    first = next((name for name in TASKS[task].metrics if name in METRICS), None)

    def badness(case: Case) -> float:
        score = scored[shown.name][case.id].scores.get(first or "")
        value = score[0] / max(score[1], 1e-9) if score else 0.0
        return -value if first and METRICS[first].better == "higher" else value

    heard = sorted((case for case in cases if case.id in shown.clips), key=badness, reverse=True)
    kept = heard[:PAGE_CLIPS] + [case for case in cases if case in heard[PAGE_CLIPS:]][:PAGE_CLIPS]
    return [
        Clip(
            title=case.text or str(case.example.given.get("caption") or case.id),
            task=task,
            path=shown.clips[case.id],
            inputs={c.name: c.clips[case.id] for c in columns if c is not shown and case.id in c.clips},
        )
        for case in kept
    ]


def _same_settings(path: Path, engine: Engine, cases: list[Case], seed: int) -> None:
    """Keep what was generated only if it came from the same weights, precision, sampling, seed and examples."""
    digest = hashlib.sha256()
    for part in engine.networks():
        for value in part.state_dict().values():
            digest.update(value.numpy().tobytes())
    ids = [case.id for case in cases]
    sampling = asdict(engine.sampling_for(cases[0].example.task))
    settings = {"weights": digest.hexdigest(), "sampling": sampling, "seed": seed, "examples": ids}
    settings["precision"] = engine.precision
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != settings:
        raise InputError(
            f"{path.parent} holds clips of another model, precision, seed or set of examples; give another --out"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=1), encoding="utf-8")
