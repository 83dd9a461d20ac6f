"""Speech from text by flite or espeak-ng: in a voice as high as the prompt's, or as an instruction's keywords say."""

import re
from collections.abc import Callable

from uniaudio.audio.io import Audio
from uniaudio.evaluate.baselines.spoken import Manner, Spoken, espeak, flite, like, usual_pitch

Engine = Callable[[str, Manner], Spoken]

# Attribute -> its two ends: (what the instruction says, the setting). Where both or none are said, nothing changes.
_FEMALE, _MALE = r"\b(female|woman|feminine|girl|lady)\b", r"\b(male|man|masculine|boy|gentleman)\b"
_KEYWORDS: dict[str, tuple[tuple[str, float], tuple[str, float]]] = {
    "tempo": (
        (r"\bslow|unhurried|without (any |much )?hurry|taking (your|his|her) time|leisure", 0.75),
        (r"\bfast|\bquick|\brapid|\bhurried|\brush|\bswift|high speed", 1.35),
    ),
    "pitch": (
        (r"\blow(er|ered)?\b(?! (volume|energy))|\bdeep", 0.8),
        (r"\bhigh(er)?\b(?! (volume|energy|speed))|\braised|\bshrill", 1.25),
    ),
    "range": (
        (r"monoton|\bflat\b|level tone|without (any )?melody", 0.2),
        (r"\blively|expressive|animated|lots? of intonation|swings of pitch|excited", 1.8),
    ),
    "gain_db": (
        (r"\bquiet|\bsoft|low volume|little energy|\bgentl|hushed|whisper", -8.0),
        (r"\bloudl?y?\b|powerful|high volume|lots? of energy|\bforce|\bshout", 6.0),
    ),
}


def spoken_by_flite(text: str, speaker: Audio) -> Audio:
    """Speak a text with the flite voice of the speaker's sex at the speaker's mean pitch."""
    return flite(text, like(speaker)).audio


def spoken_by_espeak(text: str, speaker: Audio) -> Audio:
    """Speak a text with the espeak-ng voice of the speaker's sex at the speaker's mean pitch."""
    return espeak(text, like(speaker)).audio


def instructed_flite(text: str, instruction: str) -> Audio:
    """Speak a text with flite, set by the keywords of the instruction."""
    return flite(text, instructed(instruction, "flite")).audio


def instructed_espeak(text: str, instruction: str) -> Audio:
    """Speak a text with espeak-ng, set by the keywords of the instruction."""
    return espeak(text, instructed(instruction, "espeak-ng")).audio


def instructed(instruction: str, engine: str) -> Manner:
    """Return the manner that the keywords of an instruction ask for; other words say nothing."""
    said = instruction.lower()
    found = {name: _setting(said, low, high) for name, (low, high) in _KEYWORDS.items()}
    female = bool(re.search(_FEMALE, said)) and not re.search(_MALE, said)
    return Manner(
        female=female,
        pitch_hz=usual_pitch(female, engine) * (found["pitch"] or 1.0),
        tempo=found["tempo"] or 1.0,
        range=found["range"] or 1.0,
        gain_db=found["gain_db"] or 0.0,
    )


def _setting(said: str, low: tuple[str, float], high: tuple[str, float]) -> float | None:
    hits = [value for pattern, value in (low, high) if re.search(pattern, said)]
    return hits[0] if len(hits) == 1 else None
