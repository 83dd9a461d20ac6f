"""Speaking styles: what can be asked of an utterance, how it is drawn, and what it does to level and accent.

Rate, pitch and range are carried out by the engines (`speech`); energy and the loudness of an emphasised word here.
"""

import random
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from uniaudio.data.synthesize.corpus import SAMPLE_RATE

RATES = {"slow": 0.76, "normal": 1.0, "fast": 1.32}  # of the natural tempo
PITCHES = {"low": 0.85, "normal": 1.0, "high": 1.18}  # of the speaker's pitch
RANGES = {"monotone": 0.25, "normal": 1.0, "lively": 2.0}  # of the natural standard deviation of the pitch
LEVELS = {"quiet": 0.03, "normal": 0.06, "loud": 0.12}  # root-mean-square of the utterance, by energy
TILTS = {"quiet": -1.5, "normal": 0.0, "loud": 1.0}  # dB per octave on top of the speaker's own, by energy
EMPHASIS_TEMPO = 0.6  # of the emphasised word, relative to the words around it
EMPHASIS_DB = 4.0
PEAK = 0.98
_ATTRIBUTES = {"rate": RATES, "pitch": PITCHES, "range": RANGES, "energy": LEVELS}
_STYLED, _ASKED = 0.5, 0.4  # share of utterances with a style; of attributes asked for in one
_RAMP_SECONDS = 0.02
_SMALL_WORDS = frozenset(
    "a an the and or but nor of in on at to for from by with as is am are was were be been he she it we you they i me "
    "him her us them his its our your their my this that these those there not no so if do did has had have will would "
    "shall should can could may might must unto upon into than then who whom which what when where up out".split()
)


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a sentence is said; `emphasis` is the index of a word of `text.split()`."""

    rate: str = "normal"
    pitch: str = "normal"
    range: str = "normal"
    energy: str = "normal"
    emphasis: int | None = None


PLAIN = Style()


def draw_style(random_: random.Random, text: str, without: Collection[str] = ()) -> Style:
    """Return the plain style for half of the draws, else one with at least one attribute asked for.

    `without` names attributes that the speaker cannot vary. A word is emphasised only where every engine reads the
    marked sentence as the unmarked one.
    """
    if random_.random() >= _STYLED:
        return PLAIN
    words = emphatic_words(text)
    able = [name for name in _ATTRIBUTES if name not in without] + (["emphasis"] if words else [])
    asked = [name for name in able if random_.random() < _ASKED] or [random_.choice(able)]
    values: dict[str, Any] = {}
    for name in asked:
        if name == "emphasis":
            values[name] = random_.choice(words)
        else:
            values[name] = random_.choice([value for value in _ATTRIBUTES[name] if value != "normal"])
    return Style(**values)


def emphatic_words(text: str) -> list[int]:
    """Return the indices of the words that can be emphasised: content words of a sentence without inner stops."""
    words = text.split()
    if any(re.search(r"[.;:!?-]", word) for word in words[:-1]):
        return []
    plain = [plain_word(word) for word in words]
    return [index for index, word in enumerate(plain) if len(word) > 2 and word not in _SMALL_WORDS]


def plain_word(word: str) -> str:
    """Return a word in lower case without the marks around it."""
    return word.strip(" ,;:.!?'-").lower()


def emphasised(samples: Any, start: float, end: float) -> Any:
    """Return samples [N] with the word from `start` to `end` (seconds) louder by EMPHASIS_DB, faded in and out."""
    import numpy as np

    seconds = np.arange(len(samples)) / SAMPLE_RATE
    inside = np.minimum(seconds - start, end - seconds) / _RAMP_SECONDS
    return samples * 10 ** (EMPHASIS_DB / 20 * np.clip(inside, 0.0, 1.0))


def levelled(samples: Any, energy: str) -> Any:
    """Return samples float32 [N] at the level of an energy, which gives way where a peak would pass PEAK."""
    import numpy as np

    rms = float(np.sqrt(np.mean(samples**2))) + 1e-9
    peak = float(np.abs(samples).max()) + 1e-9
    return (samples * min(LEVELS[energy] / rms, PEAK / peak)).astype("float32")
