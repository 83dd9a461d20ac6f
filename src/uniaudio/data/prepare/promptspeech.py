"""PromptSpeech (real version): tables of style prompts for LibriTTS utterances, whose audio is LibriTTS's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source

if TYPE_CHECKING:
    from lhotse import MonoCut

_STYLE = ("gender", "pitch", "speaking_speed", "energy", "emotion")


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every described utterance that is on disk; the splits are those of LibriTTS, so speakers keep theirs."""
    rows: dict[str, list[dict[str, str]]] = {}
    for table in sorted(source.folder.glob("*.csv")):
        for row in source.table(table, "item_name", "style_prompt"):
            rows.setdefault(Path(row["item_name"]).stem, []).append(row)
    chapters = {
        (path.parent.name, path.name): path for path in source.folder.glob("LibriTTS*/*-*/*/*") if path.is_dir()
    }
    for id, same in sorted(rows.items()):
        speaker, chapter, *_ = id.split("_")
        folder = chapters.get((speaker, chapter), source.folder / "LibriTTS")
        recording = source.recording(folder / f"{id}.wav")
        if recording is None:
            continue
        text = same[0].get("content_prompt") or source.read(folder / f"{id}.normalized.txt").strip()
        yield source.clip(
            id,
            recording,
            folder.parents[1].name.split("-")[0],
            text=text,
            speaker=speaker,
            instructions=list(dict.fromkeys(row["style_prompt"] for row in same)),
            style={key: same[0][key] for key in _STYLE if same[0].get(key)},
            language="en",
        )
