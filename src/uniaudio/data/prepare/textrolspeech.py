"""TextrolSpeech: caption/*.csv describe how the utterances of LibriTTS, VCTK and emotional corpora are spoken."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source, split_by_hash

if TYPE_CHECKING:
    from lhotse import MonoCut

_STYLE = ("gender", "pitch", "tempo", "energy", "emotion")
_COLUMNS = ("wav_fp", "item_name", *_STYLE, "style_prompt", "content_prompt")
_RAVDESS = re.compile(r"\d\d(-\d\d){6}")


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every described utterance that is on disk.

    The official test split shares its speakers with training, so speakers are split anew: those of LibriTTS as there,
    the others by a hash of their id, as for VCTK.
    """
    rows: dict[str, list[dict[str, str]]] = {}
    for table in sorted(source.folder.glob("caption/*.csv")):
        for row in source.table(table, *_COLUMNS):
            rows.setdefault(row["wav_fp"].lstrip("/"), []).append(row)
    for where, same in sorted(rows.items()):
        path = Path(where)
        recording = source.recording(source.folder / path)
        if recording is None:
            continue
        speaker = path.stem.rsplit("-", 1)[1] if _RAVDESS.fullmatch(path.stem) else path.stem.split("_")[0]
        part = next(
            (part.split("-")[0] for part in path.parts if re.match(r"(train|dev|test)-(clean|other)", part)), ""
        )
        yield source.clip(
            path.with_suffix("").as_posix(),
            recording,
            part or split_by_hash(speaker),
            text=same[0]["content_prompt"],
            speaker=f"{path.parts[0]}-{speaker}",
            instructions=list(dict.fromkeys(row["style_prompt"] for row in same)),
            style={key: same[0][key] for key in _STYLE if same[0][key]},
            language="en",
        )
