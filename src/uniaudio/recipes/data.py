"""Pair, align, inspect and judge data: what `uniaudio data` does."""

import json
from pathlib import Path
from typing import Any

from uniaudio.data.manifests import Row


def pair(corpora: Path, out: Path, tasks: list[str], seed: int, most: int | None = None) -> None:
    """Write the examples of the tasks and print how many."""
    from uniaudio.data.pairs import pair as make

    for task, count in make(corpora, out, tasks, seed, most).items():
        print(f"{task}: {count} examples")


def report(folder: Path, out: Path, limit: int | None, workers: int) -> None:
    """Print the tables of corpora and tasks; write report.json and a page with players and pictures."""
    from uniaudio import ui
    from uniaudio.data.report import report as inspect
    from uniaudio.data.report import table, write_json

    corpora, tasks = inspect(folder, limit, workers)
    tables = [table(figures, what) for figures, what in ((corpora, "corpus"), (tasks, "task")) if figures]
    levels = [f"{one.name}: {', '.join(f'{k} {v:g}' for k, v in one.audio.items())}" for one in corpora]
    problems = [line for one in (*corpora, *tasks) for line in (*one.bad, *one.duplicates)]
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "report.json", corpora, tasks)
    clips = [_clip(row, one.name) for one in corpora for row in _one_of_each_split(one.rows)]
    notes = [line for text in tables for line in text.splitlines()]
    ui.write_page(out, f"Data in {folder.name}", clips, [*notes, *levels, *problems[:100]])
    print("\n\n".join([*tables, "\n".join(levels)]))
    for line in problems:
        print(f"bad: {line}")
    print(out / "index.html")


def judge(folder: Path, examples: Path, limit: int, seed: int) -> None:
    """Print what the judges say as JSON."""
    from uniaudio.evaluate.corpora import judge as ask

    made = folder / "made" if (folder / "made").is_dir() else folder
    print(json.dumps(ask(made, examples, limit, seed), indent=1))


def align(corpus: Path, workers: int) -> None:
    """Add phone times to the recordings of a corpus that have a text but none; print how many."""
    from uniaudio.data.align_corpus import align_corpus

    added, failed = align_corpus(corpus, workers)
    print(f"{added} recordings aligned" + (f", {failed} could not be" if failed else ""))


def _one_of_each_split(rows: list[Row]) -> list[Row]:
    """Return up to two recordings of every split."""
    chosen: list[Row] = []
    for split in ("train", "dev", "test"):
        chosen += [row for row in rows if row.split == split][:2]
    return chosen


def _clip(row: Row, corpus: str) -> Any:
    from uniaudio import ui

    facts = {name: str(value)[:200] for name, value in row.custom.items() if isinstance(value, str | int | float)}
    title = row.text or str(row.custom.get("caption") or row.custom.get("noise_type") or row.id)
    shown = {"speaker": row.speaker, "split": row.split, **facts}
    return ui.Clip(title=title, task=corpus, path=row.audio, request={k: v for k, v in shown.items() if v})
