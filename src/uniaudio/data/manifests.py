"""Manifests: `cuts.jsonl`, one lhotse MonoCut a line, audio paths relative to the manifest's folder.

A cut carries its split in `custom["split"]` and its timed phones in the supervision's alignment "phone".
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniaudio.errors import InputError

if TYPE_CHECKING:
    from lhotse import MonoCut

CUTS = "cuts.jsonl"
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One recording, read without lhotse: where it is, who speaks, what is said, when each phone sounds (or None)."""

    id: str
    audio: Path
    split: str
    seconds: float
    text: str = ""
    speaker: str = ""
    segments: list[list[Any]] | None = field(default=None, repr=False)
    custom: Mapping[str, Any] = field(default_factory=dict, repr=False)


def recording_cut(
    id: str,
    audio: str,
    num_samples: int,
    sample_rate: int,
    split: str,
    *,
    text: str = "",
    speaker: str = "",
    phones: Sequence[Sequence[Any]] | None = None,
    custom: Mapping[str, Any] | None = None,
) -> "MonoCut":
    """Return the cut of a whole mono recording; `phones` are [phone, start s, end s], `audio` its path.

    `custom` holds further facts as JSON values (caption, style, score, rt60, ...).
    """
    from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment
    from lhotse.supervision import AlignmentItem

    seconds = num_samples / sample_rate
    source = AudioSource(type="file", channels=[0], source=audio)
    recording = Recording(id, [source], sample_rate, num_samples, seconds)
    aligned = None
    if phones is not None:
        aligned = {"phone": [AlignmentItem(p, round(start, 4), round(end - start, 4)) for p, start, end in phones]}
    said = SupervisionSegment(
        id, id, 0.0, seconds, channel=0, text=text or None, speaker=speaker or None, alignment=aligned
    )
    return MonoCut(
        id=id,
        start=0.0,
        duration=seconds,
        channel=0,
        supervisions=[said],
        recording=recording,
        custom={"split": split, **(custom or {})},
    )


def cut_line(cut: "MonoCut") -> str:
    """Return the line of a cut for a manifest, with its newline."""
    return json.dumps(cut.to_dict(), ensure_ascii=False) + "\n"


def read_manifest(path: Path, split: str | None = None) -> list[Row]:
    """Return the rows of a manifest (of one split), sorted by id.

    Raises InputError, naming the file, for a missing manifest or one that is not UTF-8, and the line for a bad row.
    """
    rows: list[Row] = []
    path = manifest_path(path)
    for number, line in read_lines(path):
        row = parse_row(line, path, number)
        if split is None or row.split == split:
            rows.append(row)
    if not rows:
        raise InputError(f"{path} has no rows{f' of split {split!r}' if split else ''}")
    return sorted(rows, key=lambda row: row.id)


def parse_row(line: str, path: Path, number: int) -> Row:
    """Return the row of a manifest's line; raises InputError that names the file and line of a bad one."""
    try:
        return _row(json.loads(line), path.parent)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        what = " ".join(str(error).split())
        raise InputError(f"{path}:{number}: not a manifest row ({type(error).__name__}: {what})") from error


def read_cuts(path: Path, split: str | None = None) -> "Iterator[MonoCut]":
    """Yield the cuts of a manifest (of one split) in its order, lazily, with the paths of their audio made whole.

    Raises InputError as `read_manifest` does.
    """
    from lhotse.serialization import deserialize_item

    path = manifest_path(path)
    for number, line in read_lines(path):
        try:
            data = json.loads(line)
            if split is not None and data["custom"]["split"] != split:
                continue
            cut = deserialize_item(data).with_recording_path_prefix(path.parent)
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
            what = " ".join(str(error).split())
            raise InputError(f"{path}:{number}: not a lhotse cut ({type(error).__name__}: {what})") from error
        yield cut


def manifest_path(path: Path) -> Path:
    """Return the manifest file of a corpus folder (or the file itself); raises InputError when there is none."""
    path = path / CUTS if path.is_dir() else path
    if not path.exists():
        raise InputError(f"no manifest at {path}; make one with: uniaudio synthesize speech --out {path.parent}")
    return path


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line) of a text file; raises InputError where it is not UTF-8."""
    try:
        with path.open(encoding="utf-8") as file:
            yield from enumerate(file, 1)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error


def _row(data: dict[str, Any], folder: Path) -> Row:
    custom = data["custom"]
    if custom["split"] not in SPLITS:
        raise ValueError(f"split {custom['split']!r} is none of {', '.join(SPLITS)}")
    said = data["supervisions"][0] if data.get("supervisions") else {}
    aligned = (said.get("alignment") or {}).get("phone")
    return Row(
        id=data["id"],
        audio=folder / data["recording"]["sources"][0]["source"],
        split=custom["split"],
        seconds=float(data["duration"]),
        text=said.get("text") or "",
        speaker=said.get("speaker") or "",
        segments=None if aligned is None else [[item[0], item[1], round(item[1] + item[2], 4)] for item in aligned],
        custom={name: value for name, value in custom.items() if name != "split"},
    )
