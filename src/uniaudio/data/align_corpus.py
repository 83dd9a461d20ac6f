"""Phone times for the recordings of a corpus that have a text but no times, speaker by speaker."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from uniaudio.data.align import align, learn_models
from uniaudio.data.manifests import Row, manifest_path, read_lines, read_manifest
from uniaudio.errors import InputError

LEARN_FROM = 24  # recordings of a speaker whose sounds are learnt before its boundaries are set
_RATE = 16000

Timed = tuple[str, list[list[Any]]]  # id of a recording, its [phone, start s, end s]; no phones: it cannot be aligned


def align_corpus(corpus: Path, workers: int = 1) -> tuple[int, int]:
    """Add the missing phone times to a corpus' manifest; return how many were added, and how many could not be.

    What is found is kept in `.phones.jsonl` until all is done, so that a killed run goes on. The manifest is replaced
    at the end, whole. Raises InputError for a missing or bad manifest.
    """
    from tqdm import tqdm

    path = manifest_path(corpus)
    found = dict(_kept(path.parent / ".phones.jsonl"))
    by_speaker: dict[str, list[Row]] = defaultdict(list)
    for row in read_manifest(path):
        if row.text and row.segments is None and row.id not in found:
            by_speaker[row.speaker].append(row)
    groups = [by_speaker[name] for name in sorted(by_speaker)]
    progress = tqdm(total=sum(map(len, groups)), desc="align", unit="clip")
    with progress, (path.parent / ".phones.jsonl").open("a", encoding="utf-8") as file:
        for timed in _aligned(groups, workers):
            found |= dict(timed)
            file.write("".join(json.dumps(one) + "\n" for one in timed))
            file.flush()
            progress.update(len(timed))
    _merge(path, found)
    (path.parent / ".phones.jsonl").unlink()
    added = sum(bool(phones) for phones in found.values())
    return added, len(found) - added


def _aligned(groups: Sequence[list[Row]], workers: int) -> Iterator[list[Timed]]:
    if workers < 2:
        yield from map(_align_speaker, groups)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_align_speaker, groups)


def _align_speaker(rows: list[Row]) -> list[Timed]:
    """Learn how one speaker sounds from some recordings, then align all of them."""
    from uniaudio.audio.io import read_audio

    def samples(row: Row) -> Any:
        return read_audio(row.audio, sample_rate=_RATE, mono=True).samples[0]

    try:
        models = learn_models([(samples(row), row.text) for row in rows[:LEARN_FROM]])
    except InputError:
        models = None
    timed: list[Timed] = []
    for row in rows:
        try:
            phones = [
                [phone, round(start, 4), round(end, 4)] for phone, start, end in align(samples(row), row.text, models)
            ]
        except InputError:
            phones = []
        timed.append((row.id, phones))
    return timed


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
