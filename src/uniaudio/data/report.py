"""What the corpora and examples below a folder hold: hours, speakers, levels, and every bad row by its line."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uniaudio.data.examples import EXAMPLES, parse_example
from uniaudio.data.manifests import CUTS, SPLITS, Row, parse_row, read_lines
from uniaudio.errors import InputError

CLIPPED = 0.999  # of full scale
SILENCE_DB = -60.0
FRAME = 400  # samples of a frame whose level is measured
_SHORT = 0.05  # seconds by which a recording may differ from what its row says


@dataclass
class Figures:
    """What is known of one corpus, or of the examples of one task."""

    name: str
    hours: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0.0))
    clips: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    speakers: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    audio: dict[str, float] = field(default_factory=dict)
    duplicates: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list, repr=False)  # those that nothing is known against

    def to_json(self) -> dict[str, Any]:
        """Return everything but the rows."""
        return {name: value for name, value in vars(self).items() if name != "rows"}


def report(folder: Path, limit: int | None, workers: int = 1) -> tuple[list[Figures], list[Figures]]:
    """Return the figures of the corpora and of the tasks below a folder (at any depth).

    `limit` is how many recordings of a corpus are listened to, evenly chosen (None: all); every row is read.
    Raises InputError when there is neither a corpus nor an example.
    """
    manifests = sorted(path for path in folder.rglob(CUTS))
    examples = sorted(path for path in folder.rglob(EXAMPLES))
    if not manifests and not examples:
        raise InputError(f"{folder} holds neither a corpus ({CUTS}) nor examples ({EXAMPLES}): make some first")
    corpora = [_corpus(path, folder, limit, workers) for path in manifests]
    tasks = [_task(path, folder) for path in examples]
    return corpora, tasks


def table(figures: Sequence[Figures], what: str) -> str:
    """Return hours and clips of each split as lines of text."""
    lines = [f"{what:36} {'train h':>9} {'dev h':>7} {'test h':>7} {'clips':>8} {'speakers':>9} {'bad':>5}"]
    for one in figures:
        hours = f"{one.hours['train']:9.2f} {one.hours['dev']:7.2f} {one.hours['test']:7.2f}"
        counts = f"{sum(one.clips.values()):8d} {sum(one.speakers.values()):9d} {len(one.bad):5d}"
        lines.append(f"{one.name:36} {hours} {counts}")
    return "\n".join(lines)


def _corpus(manifest: Path, root: Path, limit: int | None, workers: int) -> Figures:
    figures = Figures(name=str(manifest.parent.relative_to(root)) or manifest.parent.name)
    lines: dict[str, int] = {}
    for number, line in read_lines(manifest):
        try:
            row = parse_row(line, manifest, number)
        except InputError as error:
            figures.bad.append(str(error))
            continue
        if row.id in lines:
            figures.bad.append(f"{manifest}:{number}: the id {row.id!r} is also that of line {lines[row.id]}")
        elif not row.audio.exists():
            figures.bad.append(f"{manifest}:{number}: there is no file {row.audio}")
        else:
            figures.rows.append(row)
        lines[row.id] = number
    _count(figures, figures.rows, lambda row: row.speaker)
    figures.duplicates = [f"{manifest}: {' = '.join(same)}" for same in _duplicates(figures.rows)]
    step = max(1, len(figures.rows) // limit) if limit else 1
    chosen = figures.rows[::step][: limit or None]
    measured = list(_measured(chosen, workers))
    for row, found in zip(chosen, measured, strict=True):
        if isinstance(found, str):
            figures.bad.append(f"{manifest}:{lines[row.id]}: {found}")
            figures.rows.remove(row)
    figures.audio = _mean([found for found in measured if not isinstance(found, str)])
    return figures


def _task(manifest: Path, root: Path) -> Figures:
    figures = Figures(name=str(manifest.parent.relative_to(root)) or manifest.parent.name)
    rows: list[Row] = []
    for number, line in read_lines(manifest):
        try:
            one = parse_example(line, manifest, number)
        except InputError as error:
            figures.bad.append(str(error))
            continue
        speaker = str(one.labels.get("speaker") or "")
        rows.append(Row(id=one.id, audio=manifest, split=one.split, seconds=one.seconds, speaker=speaker))
    _count(figures, rows, lambda row: row.speaker)
    return figures


def _count(figures: Figures, rows: Sequence[Row], speaker: Any) -> None:
    import numpy as np

    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        figures.hours[row.split] += row.seconds / 3600
        figures.clips[row.split] += 1
        found[row.split] |= {speaker(row)} - {""}
    figures.speakers = {split: len(found[split]) for split in SPLITS}
    if rows:
        lengths = np.array([row.seconds for row in rows])
        figures.seconds = {f"p{q}": round(float(np.percentile(lengths, q)), 2) for q in (0, 5, 50, 95, 100)}


def _duplicates(rows: Sequence[Row]) -> Iterator[list[str]]:
    """Yield the ids of recordings whose files are the same, byte for byte; only files of equal size are read."""
    import hashlib

    sizes = Counter(row.audio.stat().st_size for row in rows)
    same: dict[tuple[int, bytes], list[str]] = defaultdict(list)
    for row in rows:
        size = row.audio.stat().st_size
        if sizes[size] > 1:
            digest = hashlib.blake2b(row.audio.read_bytes(), digest_size=16).digest()
            same[size, digest].append(row.id)
    yield from (ids for ids in same.values() if len(ids) > 1)


def _measured(rows: Sequence[Row], workers: int) -> Iterator[dict[str, float] | str]:
    if workers < 2:
        yield from map(_measure, rows)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_measure, rows, chunksize=16)


def _measure(row: Row) -> dict[str, float] | str:
    """Return the levels of a recording, or what is wrong with it."""
    import numpy as np

    from uniaudio.audio.io import read_audio

    try:
        audio = read_audio(row.audio, mono=True)
    except InputError as error:
        return str(error)
    samples = audio.samples[0]
    if audio.seconds < row.seconds - _SHORT:
        return f"{row.audio} lasts {audio.seconds:.2f} s, its row says {row.seconds:.2f} s"
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    frames = frames if len(frames) else samples[None]
    levels = 10 * np.log10(np.mean(frames.astype(np.float64) ** 2, axis=1) + 1e-12)
    return {
        "peak": float(np.abs(samples).max()),
        "rms_db": float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2) + 1e-12)),
        "clipped_share": float(np.mean(np.abs(samples) >= CLIPPED)),
        "silent_share": float(np.mean(levels < SILENCE_DB)),
        "snr_db": float(np.percentile(levels, 95) - max(-90.0, np.percentile(levels, 5))),
    }


def _mean(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the means over recordings; "snr_db" is how far the loudest frames lie above the quietest."""
    if not found:
        return {}
    return {name: round(sum(one[name] for one in found) / len(found), 5) for name in found[0]} | {"heard": len(found)}


def write_json(path: Path, corpora: Sequence[Figures], tasks: Sequence[Figures]) -> None:
    """Write all figures, whole or not at all."""
    part = path.with_suffix(".part")
    data = {"corpora": [one.to_json() for one in corpora], "tasks": [one.to_json() for one in tasks]}
    part.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
    part.replace(path)
