"""Manifests: one JSON object a line, audio paths relative to the manifest's folder."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uniaudio.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Row:
    """One recording: where it is, who speaks, what is said, and when each phone sounds (None if unknown)."""

    id: str
    audio: Path
    split: str
    seconds: float
    text: str = ""
    speaker: str = ""
    segments: list[list[Any]] | None = field(default=None, repr=False)


def read_manifest(path: Path, split: str | None = None) -> list[Row]:
    """Return the rows of a manifest (of one split), sorted by id.

    Raises InputError, naming the file, for a missing manifest or one that is not UTF-8, and the line for a bad row.
    """
    if path.is_dir():
        path = path / "manifest.jsonl"
    if not path.exists():
        raise InputError(f"no manifest at {path}; make one with: uniaudio synthesize speech --out {path.parent}")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    rows: list[Row] = []
    for number, line in enumerate(lines, 1):
        try:
            data = json.loads(line)
            if split is not None and data["split"] != split:
                continue
            known = {key: data[key] for key in ("id", "split", "seconds", "text", "speaker", "segments") if key in data}
            rows.append(Row(audio=path.parent / data["audio"], **known))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError(f"{path}:{number}: not a manifest row ({error})") from error
    if not rows:
        raise InputError(f"{path} has no rows{f' of split {split!r}' if split else ''}")
    return sorted(rows, key=lambda row: row.id)
