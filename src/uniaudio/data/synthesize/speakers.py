"""The made speakers: flite voices, the ones derived from them, and espeak-ng variants, in fixed splits.

A derived speaker is rendered with a pitch target and a stretched duration, played at another speed, and reshaped
(`timbre`) until formants, lowest formant, pitch, tilt and tempo are what was asked for.
"""

import math
from dataclasses import dataclass

PITCHLESS = frozenset(
    {"rms"}
)  # flite's voices that ignore a pitch target and its spread: the speed of playing sets their pitch
_NATURAL_HZ = {"slt": 172.0, "awb": 122.0, "rms": 101.0, "kal16": 105.0}
_FEMALE_TRACT = 1.16  # formants of a woman's voice over those of a man's
_MALE_HZ, _FEMALE_HZ = 112.0, 200.0
_FLITE = {  # split -> base, formant ratio, pitch in Hz, low ratio, tilt in dB per octave; the natural voices come first
    "train": (
        ("slt", 1.00, 172, 1.00, 0.0),
        ("slt", 0.86, 235, 0.96, 1.0),
        ("slt", 0.87, 204, 0.94, -1.1),
        ("slt", 0.89, 140, 0.93, -1.6),
        ("slt", 0.89, 184, 1.03, 0.5),
        ("slt", 0.90, 150, 0.97, 1.5),
        ("slt", 0.92, 142, 1.01, 0.7),
        ("slt", 0.98, 139, 1.04, -1.2),
        ("slt", 1.00, 154, 0.94, -2.8),
        ("slt", 1.03, 180, 1.05, 1.6),
        ("slt", 1.03, 254, 0.90, -2.5),
        ("slt", 1.06, 151, 1.05, 1.1),
        ("awb", 1.00, 122, 1.00, 0.0),
        ("awb", 0.94, 103, 1.13, -0.1),
        ("awb", 0.94, 173, 1.05, -2.2),
        ("awb", 0.99, 131, 1.10, 2.8),
        ("awb", 1.03, 162, 1.11, -2.9),
        ("awb", 1.06, 98, 1.05, 1.9),
        ("awb", 1.10, 94, 0.99, -2.8),
        ("awb", 1.14, 147, 0.97, 0.6),
        ("awb", 1.16, 129, 1.00, -3.1),
        ("awb", 1.17, 92, 1.11, 1.1),
        ("awb", 1.17, 167, 1.08, -1.0),
        ("awb", 1.19, 119, 0.96, 0.1),
        ("rms", 1.00, 101, 1.00, 0.0),
        ("rms", 0.93, 111, 0.98, -1.1),
        ("rms", 0.94, 105, 0.94, 2.0),
        ("rms", 0.96, 80, 0.97, -1.6),
        ("rms", 0.99, 82, 1.07, 0.7),
        ("rms", 1.06, 90, 1.05, 1.9),
        ("rms", 1.10, 104, 1.06, 2.4),
        ("rms", 1.13, 134, 0.93, -2.5),
        ("rms", 1.14, 119, 0.97, 0.6),
        ("rms", 1.15, 79, 1.00, 2.7),
        ("rms", 1.16, 109, 1.00, -3.1),
        ("rms", 1.17, 130, 1.08, -1.0),
        ("rms", 1.18, 91, 0.93, -2.0),
        ("kal16", 1.00, 105, 1.00, 0.0),
        ("kal16", 0.94, 127, 0.98, -1.1),
        ("kal16", 0.94, 164, 1.05, -2.2),
        ("kal16", 0.95, 98, 1.13, -0.1),
        ("kal16", 0.96, 79, 0.97, -1.6),
        ("kal16", 1.07, 78, 1.10, -1.2),
        ("kal16", 1.09, 149, 0.92, 1.4),
        ("kal16", 1.11, 115, 1.06, 2.4),
        ("kal16", 1.13, 165, 0.93, -2.5),
        ("kal16", 1.14, 139, 0.97, 0.6),
        ("kal16", 1.17, 87, 1.11, 1.1),
        ("kal16", 1.17, 158, 1.08, -1.0),
        ("kal16", 1.18, 95, 0.93, -2.0),
    ),
    "dev": (
        ("slt", 0.91, 172, 0.99, -2.7),
        ("slt", 1.07, 245, 1.02, -1.0),
        ("awb", 0.96, 152, 0.94, 2.5),
        ("awb", 1.02, 97, 0.96, 2.3),
        ("rms", 0.98, 96, 1.04, -2.7),
        ("kal16", 0.97, 144, 0.94, 2.5),
    ),
    "test": (
        ("slt", 1.04, 221, 0.93, 0.6),
        ("slt", 1.06, 199, 0.96, -3.1),
        ("awb", 0.96, 83, 0.97, -1.6),
        ("awb", 1.06, 178, 1.02, -0.2),
        ("rms", 0.99, 110, 1.10, 2.8),
        ("rms", 1.01, 139, 0.95, 1.8),
        ("kal16", 1.00, 124, 1.10, 2.8),
        ("kal16", 1.02, 174, 0.95, 1.8),
    ),
}
_ESPEAK = {  # split -> voice and variant, gender, pitch in Hz as measured
    "train": (
        ("en-029", "male", 101),
        ("en-us+Alicia", "female", 245),
        ("en-us+Andy", "male", 96),
        ("en-us+Annie", "female", 237),
        ("en-us+AnxiousAndy", "male", 102),
        ("en-us+Gene2", "male", 115),
        ("en-us+Hugo", "male", 109),
        ("en-us+Jacky", "male", 112),
        ("en-us+Lee", "male", 96),
        ("en-us+Marco", "male", 130),
        ("en-us+Storm", "male", 82),
        ("en-us+Tweaky", "male", 101),
        ("en-us+anika", "female", 267),
        ("en-us+aunty", "female", 173),
        ("en-us+belinda", "female", 229),
        ("en-us+david", "male", 75),
        ("en-us+ed", "male", 126),
        ("en-us+grandma", "female", 200),
        ("en-us+iven", "male", 101),
        ("en-us+kaukovalta", "male", 102),
        ("en-us+klatt2", "male", 102),
        ("en-us+klatt5", "male", 102),
        ("en-us+m5", "male", 101),
        ("en-us+m8", "male", 86),
        ("en-us+marcelo", "male", 97),
        ("en-us+norbert", "male", 101),
        ("en-us+pedro", "male", 101),
        ("en-us+robert", "male", 100),
        ("en-us+sandro", "male", 99),
        ("en-us+travis", "male", 102),
    ),
    "dev": (
        ("en-us+Andrea", "female", 240),
        ("en-us+Mario", "male", 108),
    ),
    "test": (
        ("en-us+Nguyen", "male", 151),
        ("en-us+edward2", "male", 102),
        ("en-us+f5", "female", 205),
        ("en-us+steph3", "female", 184),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """One made speaker; `engine` is "flite" or "espeak", `base` its voice, `split` the only one that it speaks in.

    Relative to the base, formants are at `formant_ratio` (the lowest at `low_ratio` times that) and the spectrum is
    tilted by `tilt_db` per octave; the pitch is `pitch_hz`. espeak-ng's variants are taken as they are.
    """

    name: str
    engine: str
    base: str
    formant_ratio: float
    pitch_hz: float
    split: str
    low_ratio: float = 1.0
    tilt_db: float = 0.0
    gender: str = ""

    @property
    def can_vary_range(self) -> bool:
        """Can its engine make the pitch swing more or less?"""
        return self.base not in PITCHLESS

    def speed(self, pitch: float = 1.0) -> float:
        """Return how much faster the base's speech is played, for `pitch` times the speaker's own pitch."""
        return self.pitch_hz * pitch / _NATURAL_HZ[self.base] if self.base in PITCHLESS else self.formant_ratio


def voice_words(speaker: Speaker) -> tuple[str, ...]:
    """Return what is heard of a speaker: "male", "female" or "neutral", then classes of voice such as "deep"."""
    if speaker.engine == "espeak":
        pitched = ("deep",) if speaker.pitch_hz < 90 else ()
        return speaker.gender, *pitched, "robotic"
    tract = speaker.formant_ratio * (_FEMALE_TRACT if speaker.base == "slt" else 1.0)
    by_pitch = math.log(speaker.pitch_hz / _MALE_HZ) / math.log(_FEMALE_HZ / _MALE_HZ)
    by_tract = math.log(tract) / math.log(_FEMALE_TRACT)
    score = (by_pitch + by_tract) / 2  # 0 a typical man, 1 a typical woman
    gender = "male" if score < 0.4 else "female" if score > 0.65 else "neutral"
    typical = _FEMALE_TRACT if gender == "female" else 1.0 if gender == "male" else 1.08
    words = [gender]
    if tract / typical < 0.95:
        words.append("deep")
    elif tract / typical > 1.06:
        words.append("light")
    if abs(speaker.tilt_db) >= 1.2:
        words.append("bright" if speaker.tilt_db > 0 else "dark")
    return tuple(words)


def timbre_distance(one: Speaker, two: Speaker) -> float:
    """Return how far two speakers of one base are apart whatever their pitch, which a style may change: 1 is audible.

    One unit is 4 % of the formants, 7 % of the lowest formant or 2 dB per octave; infinite for different bases.
    """
    if one.base != two.base:
        return math.inf
    formants = math.log(one.formant_ratio / two.formant_ratio) / math.log(1.04)
    lowest = math.log(one.low_ratio / two.low_ratio) / math.log(1.07)
    return math.hypot(formants, lowest, (one.tilt_db - two.tilt_db) / 2)


def speakers() -> list[Speaker]:
    """Return all speakers, the natural flite voices first.

    Of 245 candidates (points of a Halton sequence within ranges that a recogniser understands, and espeak-ng variants)
    they were taken one by one, each time the one most unlike all before by resemblyzer's embedding. A held-out speaker
    is at a timbre distance of 1 or more from every training speaker.
    """
    found = [_flite(split, *row) for split, rows in _FLITE.items() for row in rows]
    return found + [_espeak(split, *row) for split, rows in _ESPEAK.items() for row in rows]


def _flite(split: str, base: str, ratio: float, pitch: float, low_ratio: float, tilt_db: float) -> Speaker:
    return Speaker(
        name=f"{base}-{round(ratio * 1000):04d}-{round(pitch):03d}",
        engine="flite",
        base=base,
        formant_ratio=ratio,
        pitch_hz=pitch,
        split=split,
        low_ratio=low_ratio,
        tilt_db=tilt_db,
    )


def _espeak(split: str, voice: str, gender: str, pitch: float) -> Speaker:
    return Speaker(
        name=f"espeak-{voice}",
        engine="espeak",
        base=voice,
        formant_ratio=1.0,
        pitch_hz=pitch,
        split=split,
        gender=gender,
    )
