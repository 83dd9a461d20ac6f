"""VCTK, by lhotse's recipe: txt/SPEAKER/*.txt, and wav48_silence_trimmed (0.92) or wav48 (0.80) beside it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source, lhotse_pairs, split_by_hash

if TYPE_CHECKING:
    from lhotse import MonoCut

_INCOMPLETE = frozenset({"p280", "p362"})  # speakers whose second microphone is missing in the published archive


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every read sentence (second microphone); speakers are split by a hash of their id."""
    from lhotse.recipes.vctk import prepare_vctk

    is_new = (source.folder / "wav48_silence_trimmed").is_dir()
    for text in sorted((source.folder / "txt").glob("*/*.txt")):
        speaker = text.parent.name
        where = (
            f"wav48_silence_trimmed/{speaker}/{text.stem}_mic2.flac" if is_new else f"wav48/{speaker}/{text.stem}.wav"
        )
        if speaker not in _INCOMPLETE:
            source.expect(source.folder / where)
    source.check()
    for recording, said in lhotse_pairs(prepare_vctk(source.folder, use_edinburgh_vctk_url=is_new)):
        facts = {"gender": said.gender, **{key: said.custom[key] for key in ("accent", "age", "region")}}
        split = split_by_hash(said.speaker)
        yield source.clip(recording.id, recording, split, text=said.text, speaker=said.speaker, language="en", **facts)
