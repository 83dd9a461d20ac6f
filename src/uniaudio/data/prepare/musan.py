"""MUSAN, by lhotse's recipe: music/, speech/ and noise/, each with folders of wav files; all of it is noise here."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source, lhotse_pairs, split_by_hash

if TYPE_CHECKING:
    from lhotse import MonoCut


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every recording with `noise_type` music, noise or speech; musicians are split by hash, the rest by file."""
    from lhotse.recipes.musan import prepare_musan

    for listing in sorted(source.folder.glob("music/*/ANNOTATIONS")):
        for line in source.lines(listing):
            source.expect(listing.parent / f"{line.split()[0]}.wav")
    source.check()
    for part, sets in prepare_musan(source.folder).items():
        for recording, said in lhotse_pairs(sets):
            facts = said.custom if said else {}
            split = split_by_hash(said.speaker if said else recording.id)
            yield source.clip(recording.id, recording, split, noise_type=part, genres=facts.get("genres"))
