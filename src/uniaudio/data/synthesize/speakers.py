"""The made speakers: four flite voices and the ones derived from them, with fixed train, dev and test sets.

A derived speaker is rendered with a pitch target and a stretched duration, then resampled by `formant_ratio`, which
moves the formants (the apparent length of the vocal tract) while pitch and tempo land where they were asked to be.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """One made speaker; `engine` is "flite" or "espeak", `base` its voice, `pitch_hz` the pitch asked for.

    Voices in `PITCHLESS` ignore it: their pitch follows from the formant ratio alone.
    """

    name: str
    engine: str
    base: str
    formant_ratio: float
    pitch_hz: float
    split: str


_RANGES = {  # base -> (formant ratio low, high, pitch low, high in Hz); the first speaker of each is the natural one
    "slt": (0.90, 1.20, 140.0, 270.0),
    "awb": (0.86, 1.22, 80.0, 200.0),
    "rms": (0.86, 1.22, 72.0, 190.0),
    "kal16": (0.88, 1.20, 75.0, 190.0),
}
PITCHLESS = frozenset({"rms"})
_NATURAL_HZ = {"slt": 172.0, "awb": 122.0, "rms": 97.0, "kal16": 105.0}
_HELD_OUT = (  # base, formant ratio, pitch, split: chosen apart from one another and from every training speaker
    ("slt", 0.97, 158.0, "test"),
    ("slt", 1.12, 232.0, "test"),
    ("awb", 0.92, 98.0, "test"),
    ("awb", 1.13, 166.0, "test"),
    ("rms", 1.04, 82.0, "test"),
    ("rms", 1.17, 142.0, "test"),
    ("kal16", 0.94, 88.0, "test"),
    ("kal16", 1.10, 150.0, "test"),
    ("slt", 1.04, 200.0, "dev"),
    ("awb", 1.02, 140.0, "dev"),
    ("rms", 0.92, 110.0, "dev"),
    ("kal16", 1.02, 118.0, "dev"),
)
_ESPEAK = ("en-us+f2", "en-us+m3", "en-gb+f4", "en-us+m7", "en-gb-x-rp+m1", "en-us+klatt2")


def speakers(per_base: int = 11) -> list[Speaker]:
    """Return all speakers: `per_base` training speakers for each flite voice, espeak-ng variants, and the held-out."""
    found: list[Speaker] = []
    for base, ratio, pitch, split in _HELD_OUT:
        found.append(_flite(base, ratio, pitch, split))
    for base, (low, high, low_hz, high_hz) in _RANGES.items():
        found.append(_flite(base, 1.0, _NATURAL_HZ[base], "train"))
        count, index = 1, 1
        while count < per_base:
            ratio = round(low * (high / low) ** _halton(index, 2), 3)
            pitch = round(low_hz * (high_hz / low_hz) ** _halton(index, 3), 1)
            index += 1
            if not _near_held_out(base, ratio, pitch):
                found.append(_flite(base, ratio, pitch, "train"))
                count += 1
    for voice in _ESPEAK:
        found.append(
            Speaker(name=f"espeak-{voice}", engine="espeak", base=voice, formant_ratio=1.0, pitch_hz=0.0, split="train")
        )
    return found


def twins() -> frozenset[str]:
    """Return the held-out speakers that sound like a training speaker: they must not be judged as held out.

    These are the held-out ones of a voice that ignores the pitch asked for, where their formants are within 3 %.
    """
    everyone = speakers()
    return frozenset(
        one.name
        for one in everyone
        for two in everyone
        if one.split != "train" and two.split == "train" and one.base == two.base and one.base in PITCHLESS
        if abs(math.log(one.formant_ratio / two.formant_ratio)) < 0.03
    )


def _flite(base: str, ratio: float, pitch: float, split: str) -> Speaker:
    name = f"{base}-{round(ratio * 1000):04d}-{round(pitch):03d}"
    return Speaker(name=name, engine="flite", base=base, formant_ratio=ratio, pitch_hz=pitch, split=split)


def _near_held_out(base: str, ratio: float, pitch: float) -> bool:
    """Is a training candidate as good as a held-out speaker (within 3 % of formants and 8 % of pitch)?"""
    return any(
        base == other and abs(math.log(ratio / r)) < 0.03 and abs(math.log(pitch / hz)) < 0.08
        for other, r, hz, _ in _HELD_OUT
    )


def _halton(index: int, base: int) -> float:
    """Return the `index`-th point of the Halton sequence, in (0, 1): evenly spread, no seed needed."""
    result, fraction = 0.0, 1.0
    while index > 0:
        fraction /= base
        result += fraction * (index % base)
        index //= base
    return result
