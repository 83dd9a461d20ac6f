"""Texts as they are written: what can be spoken, where a reader pauses, what is too long (standard library only)."""

import re
import unicodedata
from collections.abc import Iterator

from uniaudio.errors import InputError

MAX_CHARACTERS = 1000
NOTHING_TO_SPEAK = "the text has nothing to speak: give an English sentence"

# A period after one of these does not end a sentence.
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr st prof sr jr gen col capt lt sgt rev hon gov sen rep vs etc e.g i.e a.m p.m vol fig dept".split()
)

_PUNCTUATION = re.compile(
    r"[.!?]+(?=[\"')\]}]*(?:\s|$))"  # the end of a sentence (or an abbreviation)
    r"|\.{2,}|…|[()\[\]{}]|—|--+|(?<=\s)[-–](?=\s)"  # pauses; a dash between digits or letters is no pause
    r"|(?<!\d)[,;:]|[,;:](?!\d)"  # 1,000 and 12:30 are numbers
)
_TO_ASCII = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‐": "-", "‑": "-"})


def check_caption(caption: str) -> None:
    """Raise InputError for a caption that is empty or longer than `MAX_CHARACTERS`."""
    if not caption.strip():
        raise InputError("the caption is empty: describe the sound in a few words")
    if len(caption) > MAX_CHARACTERS:
        raise InputError(f"the caption has {len(caption)} characters, at most {MAX_CHARACTERS} are allowed: shorten it")


def clauses(text: str) -> list[tuple[str, str]]:
    """Return the (words, mark) of a text's clauses, where mark is the pause after the words: "," "." "?" or "!".

    Raises InputError for a text that cannot be spoken: see `clean_text`, or without words.
    """
    found = list(split_clauses(clean_text(text)))
    if not any(words for words, _ in found):
        raise InputError(NOTHING_TO_SPEAK)
    return found


def clean_text(text: str) -> str:
    """Return the speakable characters of an English text on one line.

    Emoji and letters of other scripts are dropped. Raises InputError when the text is empty, longer than
    `MAX_CHARACTERS`, or when fewer than half of its letters are Latin.
    """
    if not text.strip():
        raise InputError("the text is empty: give an English sentence")
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"the text has {len(text)} characters, at most {MAX_CHARACTERS} are allowed: split it")
    text = unicodedata.normalize("NFC", text).translate(_TO_ASCII)
    letters = [character for character in text if character.isalpha()]
    latin = sum(_is_latin(letter) for letter in letters)
    if letters and latin < len(letters) / 2:
        raise InputError("only English text is supported: most letters of this text belong to another script")
    return " ".join("".join(character if _is_speakable(character) else " " for character in text).split())


def _is_latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("LATIN ")


def _is_speakable(character: str) -> bool:
    if character.isascii():
        return character.isprintable() and character not in '"*_~^|\\<>`'
    if character.isalpha():
        return _is_latin(character)
    return character in "…—–°" or unicodedata.category(character) in ("Sc", "Sm", "No")  # currency, ×, ½


def split_clauses(text: str) -> Iterator[tuple[str, str]]:
    """Yield (words, mark) of a cleaned text, where mark is the pause after the words: "," "." "?" or "!"."""
    start = 0
    for match in _PUNCTUATION.finditer(text):
        mark = _mark(match.group(), text[start : match.start()], text[match.end() :])
        if mark:
            yield text[start : match.start()].strip(), mark
            start = match.end()
    if text[start:].strip():
        yield text[start:].strip(), "."  # the end of the text ends a sentence


def _mark(punctuation: str, before: str, after: str) -> str:
    """Return the mark that a piece of punctuation stands for, "" for the period of an abbreviation."""
    if "?" in punctuation:
        return "?"
    if "!" in punctuation:
        return "!"
    if punctuation != ".":
        return "," if set(punctuation) != {"."} or after.strip() else "."
    word = before.split()[-1].lower() if before.split() else ""
    is_initials = re.fullmatch(r"[(\"']*[a-z](\.[a-z])*", word) is not None and word != "i"
    return "" if after.strip() and (is_initials or word in _ABBREVIATIONS) else "."
