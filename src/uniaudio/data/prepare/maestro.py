"""MAESTRO: maestro-vN.csv lists piano performances, each a wav and a MIDI file, with an official split."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source

if TYPE_CHECKING:
    from lhotse import MonoCut

_SPLITS = {"train": "train", "validation": "dev", "test": "test"}
_COLUMNS = ("canonical_composer", "canonical_title", "split", "year", "midi_filename", "audio_filename")


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every performance with the path of its MIDI file; the caption is made of the composer's name."""
    table = sorted(source.folder.glob("maestro-v*.csv"))[-1]
    for row in source.table(table, *_COLUMNS):
        recording, midi = source.recording(source.folder / row["audio_filename"]), source.folder / row["midi_filename"]
        if not source.expect(midi) or recording is None:
            continue
        yield source.clip(
            recording.id,
            recording,
            _SPLITS[row["split"]],
            captions=[f"solo piano music by {row['canonical_composer']}"],
            composer=row["canonical_composer"],
            title=row["canonical_title"],
            year=int(row["year"]),
            midi=str(midi),
        )
