"""DEMAND: one folder an environment with ch01.wav to ch16.wav, sixteen microphones of which the first is taken."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source

if TYPE_CHECKING:
    from lhotse import MonoCut

_ENVIRONMENTS = {  # folder -> (noise type, split); test as in the Voicebank-DEMAND corpus
    "DKITCHEN": ("kitchen", "train"),
    "DLIVING": ("living room", "test"),
    "DWASHING": ("washing room", "train"),
    "NFIELD": ("sports field", "train"),
    "NPARK": ("park", "dev"),
    "NRIVER": ("river", "train"),
    "OHALLWAY": ("hallway", "dev"),
    "OMEETING": ("meeting", "train"),
    "OOFFICE": ("office", "test"),
    "PCAFETER": ("cafeteria", "train"),
    "PRESTO": ("restaurant", "train"),
    "PSTATION": ("station", "train"),
    "SCAFE": ("street cafe", "test"),
    "SPSQUARE": ("public square", "test"),
    "STRAFFIC": ("traffic", "train"),
    "TBUS": ("bus", "test"),
    "TCAR": ("car", "train"),
    "TMETRO": ("metro", "train"),
}


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield the first channel of every environment; noise types are split by a fixed list."""
    folders = sorted(path for path in source.folder.rglob("*") if path.is_dir() and path.name in _ENVIRONMENTS)
    for name, folder in {path.name: path for path in folders}.items():  # of 16 and 48 kHz, the latter
        recording = source.recording(folder / "ch01.wav", id=name)
        if recording is not None:
            noise_type, split = _ENVIRONMENTS[name]
            yield source.clip(name, recording, split, noise_type=noise_type)
