"""Free Music Archive: fma_metadata/tracks.csv (a header of three lines) and fma_SIZE/000/000002.mp3."""

import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source

if TYPE_CHECKING:
    from lhotse import MonoCut

_SPLITS = {"training": "train", "validation": "dev", "test": "test"}


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every track on disk; the official split is kept. A caption is made of the genre, which is all there is."""
    tracks = _tracks(source)
    for audio in sorted(source.folder.glob("fma_*/*/*.mp3")):
        facts, recording = tracks.get(audio.stem), source.recording(audio)
        if facts is None or recording is None:
            continue
        genre = facts["track.genre_top"]
        yield source.clip(
            audio.stem,
            recording,
            _SPLITS[facts["set.split"]],
            captions=[f"{genre.lower()} music"] if genre else None,
            genre=genre,
            title=facts["track.title"],
            artist=facts["artist.name"],
            licence=facts["track.license"],
        )


def _tracks(source: Source) -> dict[str, dict[str, str]]:
    """Return "000002" -> {"set.split": ..., "track.title": ..., ...}."""
    path = source.folder / "fma_metadata" / "tracks.csv"
    rows = csv.reader(io.StringIO(source.read(path)))
    groups, names, _ = next(rows), next(rows), next(rows)
    columns = [f"{group}.{name}" for group, name in zip(groups, names, strict=True)]
    return {f"{int(row[0]):06d}": dict(zip(columns, row, strict=True)) for row in rows}
