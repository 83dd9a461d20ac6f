"""Descriptions in words of how a sentence is to be spoken, in many wordings, each held to one split; no sound here."""

import random
import re
from collections.abc import Sequence

from uniaudio.data.synthesize.sentences import split_of
from uniaudio.data.synthesize.styles import Style

WORDINGS = 8  # of each utterance
_TRIES = 20000  # one wording in fifty falls into dev, and into test

_WAYS = {  # attribute -> value -> how it is said after a verb
    "rate": {
        "slow": "slowly|at a slow pace|unhurriedly|taking your time|in a slow tempo|without any hurry|rather slowly",
        "fast": "quickly|at a fast pace|hurriedly|in a rush|in a fast tempo|rapidly|at high speed",
        "normal": "at a normal pace|at an ordinary speed|neither fast nor slow|in a moderate tempo",
    },
    "pitch": {
        "low": "at a low pitch|lower than usual|with the pitch lowered|in a low register|pitched low",
        "high": "at a high pitch|higher than usual|with the pitch raised|in a high register|pitched high",
        "normal": "at a normal pitch|in the usual register|at a medium pitch",
    },
    "range": {
        "monotone": "in a monotone|with a flat melody|without any melody|monotonously|in a level tone",
        "lively": "in a lively way|with a lot of intonation|expressively|with wide swings of pitch|animatedly",
        "normal": "with ordinary intonation|with a natural melody|with the usual intonation",
    },
    "energy": {
        "quiet": "quietly|softly|in a low volume|with little energy|gently|in a hushed manner",
        "loud": "loudly|powerfully|at high volume|with a lot of energy|forcefully|with force",
        "normal": "at a normal volume|at an ordinary loudness|with medium energy",
    },
}
_PLAIN = (
    "naturally|plainly|in a normal way|in a neutral manner|without any special style|in an ordinary tone|evenly|"
    "in an everyday manner|neutrally|in a matter-of-fact way"
)
_STRESS = (
    'stressing the word "{}"|with emphasis on "{}"|emphasising "{}"|putting the accent on "{}"|'
    'making "{}" stand out|with a strong "{}"|leaning on the word "{}"'
)
_OPENINGS = (
    "Say it|Say this|Speak|Speak this|Read it|Read this|Read the sentence|Say the sentence|Read the text|"
    "Speak the line|Please say this|Please speak|Please read it|Say the line|Deliver the line|Pronounce the sentence|"
    "Read this aloud"
)
_SUBJECTS = "{} speaking|{} that speaks|{} reading|{} talking|I want {} speaking|Use {} speaking|Give me {} speaking"
_ADJECTIVES = {  # class of voice -> words for it
    "deep": "deep|full|big|resonant",
    "light": "light|small|slender|thin",
    "bright": "bright|clear|crisp",
    "dark": "dark|mellow|warm",
    "robotic": "robotic|synthetic|machine-like|mechanical",
}
_NOUNS = {
    "male": "male voice|man's voice|masculine voice|voice of a man",
    "female": "female voice|woman's voice|feminine voice|voice of a woman",
    "neutral": "voice|androgynous voice|speaking voice|ambiguous voice|voice that could be of a man or a woman",
}


def instructions(
    style: Style, voice_words: Sequence[str], rng: random.Random, split: str, word: str = "", count: int = WORDINGS
) -> list[str]:
    """Return `count` different wordings of one style and voice, all of them in `split` by `split_of`.

    `voice_words` are a gender (a key of _NOUNS) and classes of voice (keys of _ADJECTIVES); `word` is the emphasised
    word. Every attribute that is not normal is named in every wording.
    """
    found: dict[str, str] = {}
    for _ in range(_TRIES):
        text = _wording(style, voice_words, rng, word)
        if split_of(text) == split:
            found.setdefault(re.sub(r"[^a-z]", "", text.lower()), text)  # other marks are no other wording
        if len(found) == count:
            return list(found.values())
    raise AssertionError(f"only {len(found)} wordings of {style} for {voice_words} in {split}")


def instruction(style: Style, voice_words: Sequence[str], rng: random.Random, split: str, word: str = "") -> str:
    """Return one wording of a style and voice, of a split (as `instructions`)."""
    return instructions(style, voice_words, rng, split, word, count=1)[0]


def _wording(style: Style, voice_words: Sequence[str], rng: random.Random, word: str) -> str:
    ways = _ways(style, rng, word)
    voice = _voice(voice_words, rng)
    form = rng.randrange(3)
    if form == 0:  # "Read it slowly and softly in a deep male voice."
        by = rng.choice(("in", "with"))
        ways.insert(rng.choice((0, len(ways))), f"{by} {voice}")
        text = f"{_pick(_OPENINGS, rng)} {_joined(ways, rng)}"
    elif form == 1:  # "A deep male voice speaking slowly and softly."
        text = f"{_pick(_SUBJECTS, rng).format(voice)} {_joined(ways, rng)}"
    else:  # "Slowly and softly, in a deep male voice."
        text = f"{_joined(ways, rng)}{rng.choice((', ', ': '))}{rng.choice(('', 'in ', 'by ', 'with '))}{voice}"
    return text[0].upper() + text[1:] + rng.choice((".", "", "!"))


def _ways(style: Style, rng: random.Random, word: str) -> list[str]:
    """Return a phrase for each attribute asked for, now and then for a normal one, in random order."""
    asked = {name: getattr(style, name) for name in _WAYS}
    ways = [_pick(_WAYS[name][value], rng) for name, value in asked.items() if value != "normal"]
    if style.emphasis is not None:
        ways.append(_pick(_STRESS, rng).format(word))
    normal = [name for name, value in asked.items() if value == "normal"]
    if not ways:
        ways.append(_pick(_PLAIN, rng))
    for name in normal:
        if rng.random() < 0.15:
            ways.append(_pick(_WAYS[name]["normal"], rng))
    rng.shuffle(ways)
    return ways


def _voice(voice_words: Sequence[str], rng: random.Random) -> str:
    """Return the voice with its article, named by its gender and up to two of its classes: "a deep male voice"."""
    gender, *classes = voice_words
    named = rng.sample(classes, rng.randint(0, min(2, len(classes))))
    phrase = " ".join([_pick(_ADJECTIVES[name], rng) for name in named] + [_pick(_NOUNS[gender], rng)])
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _joined(ways: Sequence[str], rng: random.Random) -> str:
    *first, last = ways
    return f"{', '.join(first)}{rng.choice((' and ', ', '))}{last}" if first else last


def _pick(choices: str, rng: random.Random) -> str:
    return rng.choice(choices.split("|"))
