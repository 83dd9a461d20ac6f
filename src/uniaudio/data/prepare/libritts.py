"""LibriTTS and LibriTTS-R, by lhotse's recipe: PART/SPEAKER/CHAPTER/*.wav with two tables a chapter."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source, lhotse_pairs

if TYPE_CHECKING:
    from lhotse import MonoCut


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every utterance with its normalised text; the official parts are the splits."""
    from lhotse.recipes.libritts import LIBRITTS, prepare_libritts

    parts = source.parts(LIBRITTS)
    for part in parts:
        for chapter in sorted(path for path in (source.folder / part).glob("*/*") if path.is_dir()):
            name = f"{chapter.parent.name}_{chapter.name}"
            source.read(chapter / f"{name}.book.tsv")
            for line in source.lines(chapter / f"{name}.trans.tsv"):
                source.expect(chapter / f"{line.split()[0]}.wav")
    source.check()
    for part in parts:
        for recording, said in lhotse_pairs(prepare_libritts(source.folder, dataset_parts=part)[part]):
            yield source.clip(
                recording.id,
                recording,
                part.split("-")[0],
                text=said.text,
                speaker=said.speaker,
                language="en",
                gender=said.gender,
                snr_db=said.custom["snr"],
            )
