"""WHAM! noise, by lhotse's recipe: tr/, cv/ and tt/ with wav files, and metadata/ that says where that was."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source, lhotse_pairs

if TYPE_CHECKING:
    from lhotse import MonoCut

_SPLITS = {"tr": "train", "cv": "dev", "tt": "test"}


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every recording (left channel); the official parts are the splits, the noise type is the place."""
    from lhotse.recipes.wham import prepare_wham

    places: dict[str, str] = {}
    for part in _SPLITS:
        for row in source.table(source.folder / "metadata" / f"noise_meta_{part}.csv", "utterance_id", "Location ID"):
            name = row["utterance_id"].removesuffix(".wav")
            places[name] = f"place {row['Location ID']}"
            source.expect(source.folder / part / f"{name}.wav")
    source.check()
    for part, sets in prepare_wham(source.folder).items():
        for recording, _ in lhotse_pairs(sets):
            yield source.clip(recording.id, recording, _SPLITS[part], noise_type=places.get(recording.id))
