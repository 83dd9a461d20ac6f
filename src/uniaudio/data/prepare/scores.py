"""From sung Mandarin phones with notes to timed phones and a score, as the singing corpora annotate them."""

from collections.abc import Sequence
from typing import Any

from uniaudio.tokenizers.midi import MELISMA, MIN_NOTE_SECONDS

_INITIALS = frozenset("b p m f d t n l g k h j q x zh ch sh r z c s y w".split())
_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}

TimedPhones = list[list[Any]]


def timed_phones(phones: Sequence[str], seconds: Sequence[float]) -> TimedPhones:
    """Return [phone, start s, end s] of phones that follow one another without a gap."""
    timed: TimedPhones = []
    start = 0.0
    for phone, length in zip(phones, seconds, strict=True):
        end = start + length
        timed.append([phone, round(start, 4), round(end, 4)])
        start = end
    return timed


def sung_score(timed: TimedPhones, pitches: Sequence[int | None], slurs: Sequence[bool]) -> list[dict[str, Any]]:
    """Return the notes as sung, {"pitch", "start", "end", "lyric"}; a pitch of None is a rest.

    An initial and the final after it are one syllable, whose lyric is its pinyin; a slurred phone holds the syllable
    before on a new note. A note too short for a score becomes part of the one before.
    """
    notes: list[dict[str, Any]] = []
    is_open = False  # whether the last phone was an initial, whose final is still to come
    for (phone, start, end), pitch, slur in zip(timed, pitches, slurs, strict=True):
        if pitch is None:
            is_open = False
            continue
        holds = bool(notes) and notes[-1]["end"] == start and _seconds(notes[-1]) >= MIN_NOTE_SECONDS
        if is_open and phone not in _INITIALS:
            notes[-1] |= {"pitch": pitch, "end": end, "lyric": notes[-1]["lyric"] + phone}
        elif holds and end - start < MIN_NOTE_SECONDS and phone not in _INITIALS:
            notes[-1]["end"] = end
        else:
            notes.append({"pitch": pitch, "start": start, "end": end, "lyric": MELISMA if slur and holds else phone})
        is_open = phone in _INITIALS and not slur
    return [note for note in notes if _seconds(note) >= MIN_NOTE_SECONDS]


def _seconds(note: dict[str, Any]) -> float:
    return note["end"] - note["start"]


def note_number(name: str) -> int | None:
    """Return the MIDI number of a note such as "C#4/Db4" (C4 is 60), None for "rest"."""
    if name == "rest":
        return None
    note = name.split("/")[0]
    letter, octave = note[0], note.lstrip("ABCDEFG#b")
    return 12 * (int(octave) + 1) + _SEMITONES[letter] + note.count("#") - note[1:].count("b")
