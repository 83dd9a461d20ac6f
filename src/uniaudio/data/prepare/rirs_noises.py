"""RIRS_NOISES: impulse responses listed in rir_list files, and point-source and isotropic noises beside them.

lhotse's recipe overlooks the measured responses of the AIR database and knows no rooms; the lists have both.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source, split_by_hash

if TYPE_CHECKING:
    from lhotse import MonoCut

_REAL = "real_rirs_isotropic_noises"


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield the impulse responses for the kind "rooms", the noises for the kind "noise"."""
    return _responses(source) if source.corpus.kind == "rooms" else _noises(source)


def _responses(source: Source) -> "Iterator[MonoCut]":
    """Yield every impulse response (first channel); rooms are split by a hash of their id."""
    for listing in sorted(source.folder.glob("**/rir_list")):
        for line in source.lines(listing):
            path = source.folder / line.split()[-1].removeprefix("RIRS_NOISES/")
            group = path.parents[1].name.removesuffix("room") if _REAL not in path.parts else ""
            found = re.search(r"--room-id\s+(\S+)", line)
            room = found[1] if found else f"{group}-{path.parent.name}"
            recording = source.recording(path, id=f"{group or 'real'}-{path.stem}")
            if recording is not None:
                facts = {"room": room, "size": group, "simulated": bool(group)}
                yield source.clip(recording.id, recording, split_by_hash(room), **facts)


def _noises(source: Source) -> "Iterator[MonoCut]":
    """Yield every noise (first channel), split by a hash of its file, isotropic noise by that of its room."""
    point = [(path, "point source", path.stem) for path in source.folder.glob("pointsource_noises/*.wav")]
    isotropic = [
        (path, "isotropic", re.sub(r"_\d+$", "", path.stem)) for path in source.folder.glob(f"{_REAL}/*noise*.wav")
    ]
    for path, noise_type, group in sorted(point + isotropic):
        recording = source.recording(path)
        if recording is not None:
            yield source.clip(recording.id, recording, split_by_hash(group), noise_type=noise_type)
