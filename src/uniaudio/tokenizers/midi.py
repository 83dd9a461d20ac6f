"""Scores with lyrics: read from JSON, turned into a pitch per frame and into timed phones; it knows no audio.

T frames
"""

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from uniaudio.errors import InputError
from uniaudio.tokenizers.base import Item, count_frames
from uniaudio.tokenizers.phoneme import TimedPhone, is_vowel, phonemes

MAX_SECONDS = 60.0
MIN_NOTE_SECONDS = 0.05
MAX_CONSONANT_SECONDS = 0.08
MELISMA = "-"  # the lyric of a note on which the syllable before is held

_NOTE_KEYS = ("pitch", "start", "end", "lyric")
_EXAMPLE = '{"notes": [{"pitch": 60, "start": 0.0, "end": 0.5, "lyric": "la"}]}'
_TOLERANCE = 1e-6  # seconds


@dataclass(frozen=True, kw_only=True)
class Note:
    """One note: times in seconds, `pitch` as a MIDI number (60 is middle C).

    `lyric` is a word ("star"), a part of one that goes on at the next note ("twin-" then "kle"), or "-" (the syllable
    before is held).
    """

    start: float
    end: float
    pitch: int
    lyric: str = MELISMA


Score = list[Note]


def read_score(path: str | Path) -> Score:
    """Read a score from a JSON file (see `parse_score`). Raises InputError for a file that is not one."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the score {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"the score {path} is not JSON: write it as {_EXAMPLE}") from error
    return parse_score(data)


def parse_score(data: Any) -> Score:
    """Return the notes, in time order, of {"notes": [{"pitch", "start", "end", "lyric"}, ...]} or of the bare list.

    Raises InputError for a missing or unknown key, a pitch outside 0..127, notes that overlap or are shorter than
    `MIN_NOTE_SECONDS`, a score longer than `MAX_SECONDS`, or a first note without a lyric.
    """
    if isinstance(data, dict):
        data = data.get("notes")
    if not isinstance(data, list) or not data:
        raise InputError(f"the score has no notes: write it as {_EXAMPLE}")
    score = sorted((_parse_note(note, number) for number, note in enumerate(data, 1)), key=lambda note: note.start)
    for previous, note in itertools.pairwise(score):
        if note.start < previous.end - _TOLERANCE:
            raise InputError(f"notes overlap at {note.start:g} s: only one note may sound at a time")
    if score[-1].end > MAX_SECONDS:
        raise InputError(f"the score lasts {score[-1].end:g} s, at most {MAX_SECONDS:g} s are allowed: shorten it")
    if score[0].lyric == MELISMA:
        raise InputError("the first note has no lyric: there is no syllable before it to hold")
    return score


def _parse_note(data: Any, number: int) -> Note:
    """Return note `number` (from 1, for messages)."""
    if not isinstance(data, dict):
        raise InputError(f"note {number} is not an object: write the score as {_EXAMPLE}")
    unknown = sorted(set(map(str, data)) - set(_NOTE_KEYS))
    if unknown:
        raise InputError(f"note {number} has an unknown key {unknown[0]!r}: the keys are {', '.join(_NOTE_KEYS)}")
    pitch, start, end, lyric = (data.get(key) for key in _NOTE_KEYS)
    if isinstance(pitch, bool) or not isinstance(pitch, int) or not 0 <= pitch <= 127:
        raise InputError(f"note {number} has pitch {pitch!r}: it must be a whole MIDI number from 0 to 127")
    start, end = _seconds(start, number, "start"), _seconds(end, number, "end")
    if end - start < MIN_NOTE_SECONDS - _TOLERANCE:
        raise InputError(f"note {number} lasts {end - start:g} s: a note must last at least {MIN_NOTE_SECONDS} s")
    lyric = MELISMA if lyric is None else lyric
    if not isinstance(lyric, str):
        raise InputError(f"note {number} has lyric {lyric!r}: it must be a text")
    lyric = lyric.strip() if lyric.strip("-_ ") else MELISMA
    return Note(start=start, end=end, pitch=pitch, lyric=lyric)


def _seconds(value: Any, number: int, key: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise InputError(f"note {number} has {key} {value!r}: it must be a time in seconds, from 0")
    return float(value)


class MidiTokenizer:
    """A score -> the pitch that sounds at the centre of each frame.

    Ids: 0 is a rest, 1..128 the MIDI numbers 0..127; 129..137 are reserved, so that the section has UniAudio's 138.
    """

    name = "midi"
    num_ids = 138

    def __init__(self, frame_rate: float = 25.0) -> None:
        self.frame_rate = frame_rate

    def encode(self, value: Sequence[Note]) -> Item:
        """Return ids [T, 1]; T covers the end of the last note. Raises InputError for a score without notes."""
        if len(value) == 0:
            raise InputError(f"the score has no notes: write it as {_EXAMPLE}")
        ids = torch.zeros(count_frames(value[-1].end, self.frame_rate), 1, dtype=torch.int64)  # [T, 1]
        for note in value:
            # Frame t has its centre at (t + 1/2) / frame_rate: the frames with start <= centre < end.
            first, stop = (
                count_frames(time - 0.5 / self.frame_rate, self.frame_rate) for time in (note.start, note.end)
            )
            ids[first:stop] = note.pitch + 1
        return Item(ids=ids)

    def decode(self, ids: torch.Tensor) -> Score:
        """Return the runs of equal pitch in ids [T, 1] as notes without a lyric; rests and reserved ids are silent."""
        score: Score = []
        start = 0
        for index, run in itertools.groupby(ids[:, 0].tolist()):
            end = start + len(list(run))
            if 1 <= index <= 128:
                score.append(Note(start=start / self.frame_rate, end=end / self.frame_rate, pitch=index - 1))
            start = end
        return score


def score_phonemes(score: Sequence[Note]) -> list[TimedPhone]:
    """Return the phones of a score's lyrics as (phone, start seconds, end seconds), from its first note to its last.

    The syllables of a word go to its notes one by one; where notes are left over, the last syllable is held, where
    syllables are left over, they share the last note. A consonant lasts at most `MAX_CONSONANT_SECONDS`, the vowel
    gets the rest. Between notes there are no phones. Raises InputError for a lyric that cannot be spoken.
    """
    timed: list[TimedPhone] = []
    for lyric, notes in _words(score):
        syllables = split_syllables([phone for phone in phonemes(lyric) if phone not in (",", ".", "?", "!")])
        for syllable, spans in _share(syllables, [(note.start, note.end) for note in notes]):
            timed += _sing(syllable, spans)
    return timed


def _words(score: Sequence[Note]) -> list[tuple[str, list[Note]]]:
    """Group the notes by word: "twin-", "kle" and the held notes after it are one word, "twinkle"."""
    words: list[tuple[str, list[Note]]] = []
    is_open = False  # whether the last lyric announced that its word goes on
    for note in score:
        if note.lyric == MELISMA or is_open:
            text, notes = words[-1]
            words[-1] = (text if note.lyric == MELISMA else text + note.lyric.strip("-"), [*notes, note])
        else:
            words.append((note.lyric.strip("-"), [note]))
        is_open = note.lyric.endswith("-") if note.lyric != MELISMA else is_open
    return words


def split_syllables(phones: Sequence[str]) -> list[list[str]]:
    """Split phones into syllables of one vowel each; without a vowel ("hmm"), the whole is one syllable.

    Of the consonants between two vowels the last belongs to the second, with the one before it where they form a
    usual onset such as "t ɹ" or "s p".
    """
    vowels = [index for index, phone in enumerate(phones) if is_vowel(phone)]
    cuts = [0]
    for left, right in itertools.pairwise(vowels):
        between = list(phones[left + 1 : right])
        onset = min(1, len(between))
        if len(between) >= 2 and _is_onset(between[-2], between[-1]):
            onset = 2
        cuts.append(right - onset)
    cuts.append(len(phones))
    return [list(phones[start:end]) for start, end in itertools.pairwise(cuts)]


def _is_onset(first: str, second: str) -> bool:
    if second in ("ɹ", "l", "w", "j"):
        return first in ("p", "b", "t", "d", "k", "ɡ", "f", "θ", "ʃ", "s", "v")
    return first == "s" and second in ("p", "t", "k", "m", "n")


Span = tuple[float, float]


def _share(syllables: list[list[str]], spans: list[Span]) -> list[tuple[list[str], list[Span]]]:
    """Give each syllable its spans of time (see `score_phonemes`)."""
    if len(syllables) <= len(spans):
        last = len(syllables) - 1
        return [(syllable, spans[i:] if i == last else [spans[i]]) for i, syllable in enumerate(syllables)]
    alone, together = syllables[: len(spans) - 1], syllables[len(spans) - 1 :]
    shares: list[tuple[list[str], list[Span]]] = [(syllable, [spans[i]]) for i, syllable in enumerate(alone)]
    start, end = spans[-1]
    step = (end - start) / len(together)
    return shares + [(syllable, [(start + i * step, start + (i + 1) * step)]) for i, syllable in enumerate(together)]


def _sing(syllable: list[str], spans: list[Span]) -> list[TimedPhone]:
    """Spread one syllable over its spans: consonants at the two ends, the vowel held in between, over every span."""
    nucleus = next((index for index, phone in enumerate(syllable) if is_vowel(phone)), len(syllable) - 1)
    onset, coda = syllable[:nucleus], syllable[nucleus + 1 :]
    (first_start, first_end), (last_start, last_end) = spans[0], spans[-1]
    shortest = min(first_end - first_start, last_end - last_start)
    # Consonants never take more than half of the note that they are sung on.
    step = min(MAX_CONSONANT_SECONDS, shortest / 2 / max(1, len(onset) + len(coda)))
    timed = [(phone, first_start + i * step, first_start + (i + 1) * step) for i, phone in enumerate(onset)]
    vowel_start, vowel_end = first_start + len(onset) * step, last_end - len(coda) * step
    timed += [(syllable[nucleus], max(start, vowel_start), min(end, vowel_end)) for start, end in spans]
    timed += [(phone, vowel_end + i * step, vowel_end + (i + 1) * step) for i, phone in enumerate(coda)]
    return timed
