"""Carry the times of one engine's phones over to the phones of our front end, by a monotonic alignment of symbols."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from uniaudio.errors import InputError
from uniaudio.tokenizers.phoneme import PHONEME_IDS, STRESSES, TimedPhone, is_vowel, phonemes

_MARKS = frozenset(",.?!")
# flite's phones (the Radio set) -> the symbols of ours that may stand for them, without stress.
_FLITE = {
    "aa": "ɑː ɑːɹ ɔ ɔː a aɪ", "ae": "æ a", "ah": "ʌ ə ɐ", "ao": "ɔː ɔ ɔːɹ oːɹ ɑː", "aw": "aʊ",
    "ax": "ə ɐ ᵻ ɪ ʌ əl n̩", "ay": "aɪ aɪə aɪɚ", "b": "b", "ch": "tʃ", "d": "d ɾ", "dh": "ð", "eh": "ɛ ɛɹ æ",
    "er": "ɜː ɚ aɪɚ", "ey": "eɪ", "f": "f", "g": "ɡ", "hh": "h", "ih": "ɪ ᵻ ɪɹ i ə", "iy": "iː i iə ɪɹ",
    "jh": "dʒ", "k": "k", "l": "l əl", "m": "m", "n": "n n̩", "ng": "ŋ n", "ow": "oʊ oːɹ", "oy": "ɔɪ", "p": "p",
    "r": "ɹ r ɪɹ ɛɹ ɑːɹ ɔːɹ oːɹ ʊɹ ɚ", "s": "s", "sh": "ʃ", "t": "t ɾ ʔ", "th": "θ", "uh": "ʊ ʊɹ", "uw": "uː",
    "v": "v", "w": "w", "y": "j", "z": "z s", "zh": "ʒ", "pau": "sil",
}  # fmt: skip
_FITS = {phone: frozenset(symbols.split()) for phone, symbols in _FLITE.items()}
_VOWELS = frozenset("aa ae ah ao aw ax ay eh er ey ih iy ow oy uh uw".split())
_MERGE, _SHARE = 0.4, 0.6  # cost of a phone that takes one more segment, and of two phones in one segment


def transfer_times(phones: Sequence[str], segments: Sequence[Sequence[Any]]) -> list[TimedPhone]:
    """Return our phones with times, given [engine phone, start s, end s] segments of the same words.

    Every segment goes to one phone or is shared equally by neighbours that fell on it; the silences at both ends stay
    "sil". A mark of punctuation that met no pause is left out. The result has no gaps and covers all segments.
    """
    symbols = ["sil", *phones]
    cost = np.array([[_mismatch(symbol, str(segment[0])) for segment in segments] for symbol in symbols])
    path = _best_path(cost)
    owners: dict[int, list[int]] = {}  # segment -> the symbols that fell on it
    for row, column in path:
        owners.setdefault(column, []).append(row)
    timed: list[TimedPhone] = []
    for column, (phone, start, end) in enumerate(segments):
        rows = [row for row in owners[column] if (symbols[row] in _MARKS or symbols[row] == "sil") == (phone == "pau")]
        rows = rows or owners[column]
        step = (end - start) / len(rows)
        for index, row in enumerate(rows):
            begin = start + index * step
            if timed and index == 0 and column and path_row_continues(owners, column, row):
                timed[-1] = (symbols[row], timed[-1][1], begin + step)
            else:
                timed.append((symbols[row], begin, begin + step))
    return timed


def path_row_continues(owners: dict[int, list[int]], column: int, row: int) -> bool:
    """Did the same symbol own the end of the segment before?"""
    return owners[column - 1][-1] == row


def _best_path(cost: np.ndarray) -> list[tuple[int, int]]:
    """Return the cheapest monotonic path [(symbol, segment), ...] from corner to corner of cost [symbols, segments]."""
    rows, columns = cost.shape
    total = np.full((rows, columns), np.inf)
    came = np.zeros((rows, columns), dtype=np.int8)
    total[0, 0] = cost[0, 0]
    for i in range(rows):
        for j in range(columns):
            if i == j == 0:
                continue
            options = (
                total[i - 1, j - 1] if i and j else np.inf,
                total[i, j - 1] + _MERGE if j else np.inf,
                total[i - 1, j] + _SHARE if i else np.inf,
            )
            came[i, j] = int(np.argmin(options))
            total[i, j] = cost[i, j] + options[came[i, j]]
    i, j = rows - 1, columns - 1
    path = [(i, j)]
    while i or j:
        move = came[i, j]
        i, j = i - (move != 1), j - (move != 2)
        path.append((i, j))
    return path[::-1]


def _mismatch(symbol: str, phone: str) -> float:
    """Return how badly our symbol fits an engine's phone: 0 (the same sound) to 1.5."""
    bare = symbol.lstrip("".join(STRESSES))
    if symbol == "sil" or symbol in _MARKS:
        return 0.0 if phone == "pau" else 1.0 if symbol == "," else 1.5
    if phone == "pau":
        return 1.5
    if bare in _FITS.get(phone, frozenset()):
        return 0.0
    return 0.5 if is_vowel(symbol) == (phone in _VOWELS) else 1.2


def timed_phones(text: str, segments: Sequence[Sequence[Any]]) -> list[TimedPhone]:
    """Return our phones of a text with times, from segments that name flite's phones or already ours.

    Raises InputError for a text that cannot be spoken.
    """
    if all(segment[0] in PHONEME_IDS for segment in segments):
        return [(str(phone), float(start), float(end)) for phone, start, end in segments]
    return transfer_times(phonemes(text), segments)


def word_times(text: str, segments: Sequence[Sequence[Any]]) -> list[tuple[float, float]]:
    """Return (start s, end s) of every blank-separated word of a text, from the segments of its phones.

    Raises InputError where the phones of the whole text are not those of its words one after another.
    """
    spoken = [phone for phone in timed_phones(text, segments) if phone[0] != "sil" and phone[0] not in _MARKS]
    counts = [sum(phone not in _MARKS for phone in phonemes(word)) for word in text.split()]
    if sum(counts) != len(spoken) or not all(counts):
        raise InputError(f"the words of {text!r} cannot be told apart in its phones")
    ends = np.cumsum(counts)
    return [(spoken[end - count][1], spoken[end - 1][2]) for count, end in zip(counts, ends, strict=True)]
