"""Clotho 2.1: development/, validation/ and evaluation/ with wav files, a table of five captions a clip for each."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source

if TYPE_CHECKING:
    from lhotse import MonoCut

_SPLITS = {"development": "train", "validation": "dev", "evaluation": "test"}
_CAPTIONS = tuple(f"caption_{number}" for number in range(1, 6))


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every clip with its five captions; the official parts are the splits."""
    for part in source.parts(_SPLITS):
        for row in source.table(source.folder / f"clotho_captions_{part}.csv", "file_name", *_CAPTIONS):
            recording = source.recording(source.folder / part / row["file_name"])
            if recording is not None:
                captions = [row[column] for column in _CAPTIONS if row[column]]
                yield source.clip(f"{part}-{recording.id}", recording, _SPLITS[part], captions=captions)
