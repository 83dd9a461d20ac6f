"""MusicCaps: musiccaps-public.csv beside ten-second clips of public videos, under any usual name."""

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source, split_by_hash

if TYPE_CHECKING:
    from lhotse import MonoCut

_COLUMNS = ("ytid", "start_s", "end_s", "aspect_list", "caption", "is_audioset_eval")


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every clip that is on disk; AudioSet's evaluation clips are the test split, the rest is hashed by video."""
    sounds = source.sounds()
    for row in source.table(source.folder / "musiccaps-public.csv", *_COLUMNS):
        video, start, end = row["ytid"], row["start_s"], row["end_s"]
        names = (video, f"[{video}]-[{start}-{end}]", f"{video}_{start}_{end}", f"{video}_{start}", f"{video}-{start}")
        path = next((sounds[name] for name in names if name in sounds), source.folder / f"{video}.wav")
        recording = source.recording(path)
        if recording is None:
            continue
        is_held_out = split_by_hash(video) != "train"
        split = "test" if row["is_audioset_eval"].lower() == "true" else "dev" if is_held_out else "train"
        yield source.clip(
            f"{video}-{start}",
            recording,
            split,
            captions=[row["caption"]],
            aspects=list(ast.literal_eval(row["aspect_list"])),
            start_seconds=float(start),
        )
