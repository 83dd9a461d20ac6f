"""WavCaps: json_files/SUBSET/*_final.json, and flac files below folders named after the four subsets."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source, split_by_hash

if TYPE_CHECKING:
    from lhotse import MonoCut

_SUBSETS = ("AudioSet_SL", "BBC_Sound_Effects", "FreeSound", "SoundBible")
_HELD_OUT = "json_files/blacklist/blacklist_exclude_test_ac.json"


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every clip that is on disk; uploaders are split by a hash of their name, clips without one by their id.

    Clips of the test sets of AudioCaps and Clotho are left out where the authors' list of them is on disk.
    """
    sounds = {(_subset(path), path.stem): path for path in sorted(source.folder.rglob("*.flac"))}
    listed = source.json(source.folder / _HELD_OUT) if (source.folder / _HELD_OUT).is_file() else {}
    held_out = {Path(name).stem for names in listed.values() for name in names}
    for table in sorted(source.folder.glob("json_files/*/*_final.json")):
        subset = table.parent.name
        for row in source.json(table)["data"]:
            id = row["id"].removesuffix(".wav")
            if id in held_out:
                continue
            recording = source.recording(sounds.get((subset, id), source.folder / subset / f"{id}.flac"))
            if recording is not None:
                split = split_by_hash(row.get("author") or id)
                yield source.clip(f"{subset}-{id}", recording, split, captions=[row["caption"]], subset=subset)


def _subset(path: Path) -> str:
    """Return the subset that a folder of the path is named after, or ""."""
    return next((name for part in reversed(path.parts[:-1]) for name in _SUBSETS if part.startswith(name)), "")
