"""Opencpop: segments/train.txt and test.txt (id|text|phones|notes|note s|phone s|slur) and segments/wavs/ID.wav."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source, split_by_rank
from uniaudio.data.prepare.scores import note_number, sung_score, timed_phones

if TYPE_CHECKING:
    from lhotse import MonoCut


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every sung phrase with its score; the official test songs are kept, a few training songs are dev."""
    folder = source.folder / "segments"
    rows = {split: [line.split("|") for line in source.lines(folder / f"{split}.txt")] for split in ("train", "test")}
    songs = split_by_rank(row[0][:4] for row in rows["train"])
    for split, row in ((split, row) for split, part in rows.items() for row in part):
        id, text, phones, notes, _, seconds, slurs = row
        recording = source.recording(folder / "wavs" / f"{id}.wav")
        if recording is None:
            continue
        timed = timed_phones(phones.split(), [float(value) for value in seconds.split()])
        pitches = [note_number(note) for note in notes.split()]
        yield source.clip(
            id,
            recording,
            "dev" if split == "train" and songs[id[:4]] == "dev" else split,
            text=text,
            speaker="opencpop",
            phones=timed,
            score=sung_score(timed, pitches, [slur == "1" for slur in slurs.split()]),
            piece=id[:4],
            language="zh",
        )
