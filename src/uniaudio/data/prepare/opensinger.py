"""OpenSinger: ManRaw/ and WomanRaw/ with SINGER_SONG/SINGER_SONG_N.wav and its lyrics in .txt; it has no scores."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source, split_by_rank

if TYPE_CHECKING:
    from lhotse import MonoCut

_SEX = {"ManRaw": "man", "WomanRaw": "woman"}


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every sung phrase with its lyrics; singers are split, at least one each for dev and test."""
    audio = [path for part in source.parts(_SEX) for path in sorted((source.folder / part).glob("*/*.wav"))]
    singers = [f"{_SEX[path.parent.parent.name]}-{path.stem.split('_')[0]}" for path in audio]
    splits = split_by_rank(singers)
    for path, singer in zip(audio, singers, strict=True):
        text, recording = path.with_suffix(".txt"), source.recording(path)
        if source.expect(text) and recording is not None:
            yield source.clip(
                f"{path.parent.parent.name}-{path.stem}",
                recording,
                splits[singer],
                text=source.read(text).strip(),
                speaker=singer,
                piece=path.stem.split("_")[1],
                language="zh",
            )
