"""Phone times for the recordings of a corpus that have a text but no times."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from uniaudio.data.align import PhoneModels, align, learn_models
from uniaudio.data.manifests import Row, manifest_path, read_lines, read_manifest
from uniaudio.errors import InputError

LEARN_FROM, LEARN_AT_LEAST = 150, 20  # recordings to learn phones from; fewer do harm
_RATE = 16000
_CHUNK = 32

Timed = tuple[str, list[list[Any]]]  # id of a recording, its [phone, start s, end s]; no phones: it cannot be aligned


def align_corpus(corpus: Path, workers: int = 1) -> tuple[int, int]:
    """Add the missing phone times to a corpus' manifest; return how many were added, and how many could not be.

    What is found is kept in `.phones.jsonl` until all is done, so that a killed run goes on. The manifest is replaced
    at the end, whole. Raises InputError for a missing or bad manifest.
    """
    from tqdm import tqdm

    path = manifest_path(corpus)
    found = dict(_kept(path.parent / ".phones.jsonl"))
    every = [row for row in read_manifest(path) if row.text and row.segments is None]
    left = [row for row in every if row.id not in found]
    models = _models(every) if left else None
    work = [(left[first : first + _CHUNK], models) for first in range(0, len(left), _CHUNK)]
    progress = tqdm(total=len(left), desc="align", unit="clip")
    with progress, (path.parent / ".phones.jsonl").open("a", encoding="utf-8") as file:
        for timed in _aligned(work, workers):
            found |= dict(timed)
            file.write("".join(json.dumps(one) + "\n" for one in timed))
            file.flush()
            progress.update(len(timed))
    _merge(path, found)
    (path.parent / ".phones.jsonl").unlink()
    added = sum(bool(phones) for phones in found.values())
    return added, len(found) - added


def _models(rows: Sequence[Row]) -> PhoneModels | None:
    """Learn how phones sound from recordings evenly chosen over a corpus; None where there are too few."""
    if len(rows) < LEARN_AT_LEAST:
        return None
    chosen = rows[:: max(1, len(rows) // LEARN_FROM)][:LEARN_FROM]
    try:
        return learn_models((_samples(row), row.text) for row in chosen)
    except InputError:
        return None


def _aligned(work: Sequence[tuple[list[Row], PhoneModels | None]], workers: int) -> Iterator[list[Timed]]:
    if workers < 2:
        yield from map(_align_rows, work)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_align_rows, work)


def _align_rows(work: tuple[list[Row], PhoneModels | None]) -> list[Timed]:
    rows, models = work
    timed: list[Timed] = []
    for row in rows:
        try:
            found = align(_samples(row), row.text, models)
        except InputError:
            found = []
        timed.append((row.id, [[phone, round(start, 4), round(end, 4)] for phone, start, end in found]))
    return timed


def _samples(row: Row) -> Any:
    from uniaudio.audio.io import read_audio

    return read_audio(row.audio, sample_rate=_RATE, mono=True).samples[0]


def _kept(path: Path) -> Iterator[Timed]:
    """Yield what a killed run had found; a last line that was cut is left out."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                id, phones = json.loads(line)
                yield id, phones


def _merge(path: Path, found: dict[str, list[list[Any]]]) -> None:
    """Write the manifest again with the phones that were found."""
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        for _, line in read_lines(path):
            cut = json.loads(line)
            phones = found.get(cut["id"])
            if phones:
                items = [[phone, start, round(end - start, 4), None] for phone, start, end in phones]
                cut["supervisions"][0].setdefault("alignment", {})["phone"] = items
                line = json.dumps(cut, ensure_ascii=False) + "\n"
            file.write(line)
    part.replace(path)
