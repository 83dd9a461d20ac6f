"""Multilingual LibriSpeech: mls_LANGUAGE[_opus]/PART/audio/SPEAKER/BOOK/*.flac or *.opus, one transcript a part.

lhotse's recipe holds the ten million English recordings in memory; this one reads line by line.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source

if TYPE_CHECKING:
    from lhotse import MonoCut

_LANGUAGES = {
    "english": "en",
    "german": "de",
    "dutch": "nl",
    "french": "fr",
    "spanish": "es",
    "italian": "it",
    "portuguese": "pt",
    "polish": "pl",
}


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every utterance of every language on disk; the official parts are the splits."""
    for folder in sorted(path for path in source.folder.glob("mls_*") if path.is_dir() and "_lm_" not in path.name):
        rows = [line.split("|") for line in source.lines(folder / "metainfo.txt")]
        genders = {row[0].strip(): row[1].strip() for row in rows[1:]}
        for split in ("train", "dev", "test"):
            if (folder / split).is_dir():
                yield from _part(source, folder, split, genders)


def _part(source: Source, folder: Path, split: str, genders: dict[str, str]) -> "Iterator[MonoCut]":
    language = folder.name.split("_")[1]
    extension = "opus" if folder.name.endswith("_opus") else "flac"
    for line in source.lines(folder / split / "transcripts.txt"):
        id, text = line.split("\t")
        speaker, book, _ = id.split("_")
        recording = source.recording(folder / split / "audio" / speaker / book / f"{id}.{extension}")
        if recording is not None:
            yield source.clip(
                f"{language}-{id}",
                recording,
                split,
                text=text,
                speaker=speaker,
                language=_LANGUAGES[language],
                gender=genders.get(speaker),
            )
