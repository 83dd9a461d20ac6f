"""Libri-Light: SIZE/SPEAKER/BOOK/*.flac, each with a JSON file that says who speaks and when; no text.

lhotse's recipe holds every segment of 60,000 hours in memory; this one reads file by file.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source, split_by_hash

if TYPE_CHECKING:
    from lhotse import MonoCut


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every stretch of voice activity, a part of its long file; speakers are split by a hash of their id."""
    for part in source.parts(("small", "medium", "large")):
        for audio in sorted((source.folder / part).glob("*/*/*.flac")):
            about = audio.with_suffix(".json")
            recording = source.recording(
                audio, id=f"{part}-{audio.parent.parent.name}-{audio.parent.name}-{audio.stem}"
            )
            if not source.expect(about) or recording is None:
                continue
            facts = source.json(about)
            speaker = str(facts["speaker"])
            spans = [span for span in facts["voice_activity"] if span[0] < min(span[1], recording.duration)]
            for index, span in enumerate(spans):
                yield source.clip(
                    f"{recording.id}-{index:04d}",
                    recording,
                    split_by_hash(speaker),
                    (span[0], span[1]),
                    speaker=speaker,
                    language="en",
                    book=(facts.get("book_meta") or {}).get("title"),
                    snr_db=facts.get("snr"),
                )
