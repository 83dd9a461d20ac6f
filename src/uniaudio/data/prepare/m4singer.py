"""M4Singer: meta.json lists SINGER#SONG#NUMBER with phones and notes; the audio is SINGER#SONG/NUMBER.wav."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source, split_by_rank
from uniaudio.data.prepare.scores import sung_score, timed_phones

if TYPE_CHECKING:
    from lhotse import MonoCut


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every sung phrase with its score; singers are split, at least one each for dev and test."""
    rows = source.json(source.folder / "meta.json")
    splits = split_by_rank(row["item_name"].split("#")[0] for row in rows)
    for row in rows:
        singer, song, number = row["item_name"].split("#")
        recording = source.recording(_folder(source.folder, f"{singer}#{song}") / f"{number}.wav", id=row["item_name"])
        if recording is None:
            continue
        timed = timed_phones(row["phs"], row["ph_dur"])
        score = sung_score(timed, [note or None for note in row["notes"]], [bool(slur) for slur in row["is_slur"]])
        yield source.clip(
            row["item_name"],
            recording,
            splits[singer],
            text=row["txt"],
            speaker=singer,
            phones=timed,
            score=score,
            piece=song,
            language="zh",
        )


def _folder(root: Path, name: str) -> Path:
    """Return the folder of a song; some unzip programs write its Chinese letters as #Uxxxx."""
    escaped = root / name.encode("unicode_escape").decode().replace("\\u", "#U")
    return escaped if escaped.is_dir() else root / name
