"""LibriSpeech (and mini LibriSpeech), by lhotse's recipe: PART/SPEAKER/CHAPTER/*.flac with one transcript a chapter."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source, lhotse_pairs

if TYPE_CHECKING:
    from lhotse import MonoCut


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every utterance with its text in lower case; the official parts are the splits."""
    from lhotse.recipes.librispeech import LIBRISPEECH, MINI_LIBRISPEECH, prepare_librispeech

    parts = source.parts((*LIBRISPEECH, *MINI_LIBRISPEECH))
    for part in parts:
        for chapter in sorted(path for path in (source.folder / part).glob("*/*") if path.is_dir()):
            for line in source.lines(chapter / f"{chapter.parent.name}-{chapter.name}.trans.txt"):
                source.expect(chapter / f"{line.split()[0]}.flac")
    source.check()
    for part in parts:
        sets = prepare_librispeech(source.folder, dataset_parts=part, normalize_text="lower")[part]
        for recording, said in lhotse_pairs(sets):
            split = part.split("-")[0]
            yield source.clip(recording.id, recording, split, text=said.text, speaker=said.speaker, language="en")
