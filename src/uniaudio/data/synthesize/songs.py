"""Songs to be sung: the syllables of a text, a melody for each phrase, and the notes that result; it knows no sound."""

import itertools
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uniaudio.data.synthesize.melodies import MELODIES, Melody

if TYPE_CHECKING:
    from uniaudio.tokenizers.midi import Note

VOWELS = frozenset("aa ae ah ao aw ax axr ay eh el em en er ey ih iy ow oy uh uw".split())  # of flite's phones
SLOWEST, FASTEST = 60.0, 140.0  # quarter notes a minute
MIN_SECONDS, MAX_SECONDS = 4.0, 10.0  # of a song
MADE = "made"  # a piece of this name and a number is a melody of our own
_HELD = -1  # the syllable number of a note on which the syllable before is held
_SHORTEST_SECONDS = 0.2  # of a note
_REST_SECONDS = 0.45  # for a breath, between phrases at least
_LEAD_SECONDS, _TAIL_SECONDS = 0.5, 0.3
_LONG_BEATS = 1.15  # where the mean note is longer, all are sung in half the length
_PHRASE_NOTES = 7.5  # of a melody of our own

_ONSETS = frozenset(
    "p r|t r|k r|b r|d r|g r|f r|th r|sh r|p l|k l|b l|g l|f l|s l|t w|k w|d w|s w|s p|s t|s k|s m|s n|"
    "k y|p y|b y|f y|m y|h y|v y|s p r|s t r|s k r|s p l|s k w".split("|")
)
_LETTER_ONSETS = frozenset(
    "bl br ch cl cr dl dr fl fr gl gr kl ph pl pr qu sh sk sl sm sn sp st sw th tl tr tw wh wr".split()
)

_MODES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10), "dorian": (0, 2, 3, 5, 7, 9, 10)}
_CELLS = {  # metre -> rhythms of one bar or half a bar, in quarter notes
    "4/4": ((1, 1), (1, 1), (0.5, 0.5, 1), (1, 0.5, 0.5), (1.5, 0.5), (2,), (0.5, 0.5, 0.5, 0.5)),
    "3/4": ((1, 1, 1), (2, 1), (1, 1, 0.5, 0.5), (1.5, 0.5, 1), (1, 0.5, 0.5, 1)),
}
_STEPS, _STEP_WEIGHTS = (-4, -3, -2, -1, 0, 1, 2, 3, 4), (1, 3, 10, 30, 12, 30, 10, 3, 1)

Beat = tuple[int, float]  # MIDI pitch, quarter notes
Phrase = list[tuple[int, float, int]]  # MIDI pitch, quarter notes, number of the syllable or _HELD


@dataclass(frozen=True, kw_only=True)
class Syllable:
    """The letters of a syllable, and its phones as places in the list of all: first, vowel, and after the last."""

    lyric: str
    first: int
    vowel: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Sung:
    """A syllable and the notes it is sung on; a breath precedes it where it opens a phrase."""

    syllable: Syllable
    notes: tuple["Note", ...]
    opens: bool
    closes: bool


def words_of(line: str) -> list[str]:
    """Return the words of a line, without punctuation."""
    return re.findall(r"[A-Za-z]+(?:'[A-Za-z]+)*", line)


def count_syllables(line: str) -> int:
    """Return about how many syllables a line has, from its letters."""
    found = 0
    for word in words_of(line.lower()):
        groups = len(re.findall(r"[aeiouy]+", word))
        silent = bool(re.search(r"[^aeiouyl]e$|[^aeioudt]ed$", word)) and groups > 1
        found += max(1, groups - silent)
    return found


def hyphenate(word: str, count: int) -> list[str]:
    """Return the letters of a word in at most `count` parts, one for each syllable; they join to the word."""
    groups = [match.span() for match in re.finditer(r"[aeiouy]+", word.lower())]
    while len(groups) > count:
        lone = [index for index, (start, end) in enumerate(groups) if index and word[start:end].lower() == "e"]
        groups.pop(lone[-1] if lone else -1)
    while len(groups) < count:
        index = max(range(len(groups)), key=lambda i: groups[i][1] - groups[i][0], default=-1)
        if index < 0 or groups[index][1] - groups[index][0] < 2:
            break
        start, end = groups[index]
        groups[index : index + 1] = [(start, start + 1), (start + 1, end)]
    cuts = [0]
    for (_, end), (start, _) in itertools.pairwise(groups):
        onset = min(1, start - end)
        if start - end >= 2 and word[start - 2 : start].lower() in _LETTER_ONSETS:
            onset = 2
        cuts.append(start - onset)
    return [word[start:end] for start, end in itertools.pairwise([*cuts, len(word)])]


def syllables_of(word: str, phones: Sequence[str], first: int) -> list[Syllable]:
    """Return the syllables of a word whose flite phones begin at place `first` of the list of all.

    Between two vowels, the longest usual onset of English belongs to the second. A word without a vowel is one
    syllable.
    """
    vowels = [index for index, phone in enumerate(phones) if phone in VOWELS] or [len(phones) - 1]
    cuts = [0]
    for left, right in itertools.pairwise(vowels):
        start = right
        while start - 1 > left and (" ".join(phones[start - 1 : right]) in _ONSETS or start == right):
            start -= 1
        cuts.append(start + 1 if phones[start] == "ng" else start)
    cuts.append(len(phones))
    parts = hyphenate(word, len(vowels))
    lyrics = [part + "-" for part in parts[:-1]] + parts[-1:] + ["-"] * (len(vowels) - len(parts))
    return [
        Syllable(lyric=lyric, first=first + start, vowel=first + vowel, stop=first + end)
        for lyric, vowel, (start, end) in zip(lyrics, vowels, itertools.pairwise(cuts), strict=True)
    ]


def break_line(sizes: Sequence[int], target: float) -> list[int]:
    """Return how many words each phrase of a line takes: equal shares of about `target` syllables, whole words."""
    total = sum(sizes)
    count = min(len(sizes), max(1, round(total / target)))
    ends = [0]
    sums = list(itertools.accumulate(sizes, initial=0))
    for index in range(1, count):
        low, high = ends[-1] + 1, len(sizes) - (count - index)
        ends.append(min(range(low, high + 1), key=lambda end: abs(sums[end] - total * index / count)))
    ends.append(len(sizes))
    return [end - start for start, end in itertools.pairwise(ends)]


def invent(counts: Sequence[int], slow: bool, random_: random.Random) -> list[list[Beat]]:
    """Make up a melody with a phrase of each count of notes: a scale, a metre, an arch, and a close on the tonic.

    A later phrase often begins like the first one. A slow one has notes of half the length.
    """
    scale = _MODES[random_.choices(("major", "minor", "dorian"), (6, 3, 1))[0]]
    cells = _CELLS[random_.choices(("4/4", "3/4"), (2, 1))[0]]
    unit = 0.5 if slow else 1.0
    phrases: list[list[Beat]] = []
    opening: list[tuple[int, float]] = []
    for number, count in enumerate(counts):
        rhythm: list[float] = []
        while len(rhythm) < count:
            rhythm += random_.choice(cells)
        rhythm = [*rhythm[: count - 1], max(2.0, rhythm[count - 1])]
        goal = 0 if number == len(counts) - 1 else random_.choice((4, 1, 2, 0))
        degrees = _contour(count, goal, random_)
        if number and random_.random() < 0.5:
            kept = min(len(opening), count) // 2
            degrees[:kept] = [degree for degree, _ in opening[:kept]]
            rhythm[:kept] = [beats for _, beats in opening[:kept]]
        line = list(zip(degrees, rhythm, strict=True))
        opening = opening or line
        phrases.append([(60 + 12 * (d // 7) + scale[d % 7], beats * unit) for d, beats in line])
    return phrases


def _contour(count: int, goal: int, random_: random.Random) -> list[int]:
    """Return `count` degrees of the scale (0 is the tonic), rising and falling in steps and small leaps to `goal`."""
    peak, top = random_.uniform(0.3, 0.7), random_.choice((3, 4, 5, 6))
    degrees = [random_.choice((0, 0, 2, 4))]
    for index in range(1, count):
        place = index / max(1, count - 1)
        arch = top * place / peak if place < peak else goal + (top - goal) * (1 - place) / (1 - peak)
        weights = [w * 0.75 ** abs(degrees[-1] + s - arch) for s, w in zip(_STEPS, _STEP_WEIGHTS, strict=True)]
        degrees.append(min(7, max(-3, degrees[-1] + random_.choices(_STEPS, weights)[0])))
    degrees[-1] = goal
    return degrees


def phrases_of(tune: Melody) -> list[list[Beat]]:
    """Return the phrases of a tune of 4 to 12 notes: they end at rests and at long notes."""
    lengths = [beats for pitch, beats in tune.notes if pitch is not None]
    is_long = max(1.5 * sum(lengths) / len(lengths), 1.0)
    phrases: list[list[Beat]] = [[]]
    for pitch, beats in tune.notes:
        if pitch is not None:
            phrases[-1].append((pitch, beats))
        count = len(phrases[-1])
        if (count >= 4 and (pitch is None or beats >= is_long)) or count == 12:
            phrases.append([])
    tail = phrases.pop()
    return phrases if len(tail) < 4 else [*phrases, tail]


def fit(phrase: Sequence[Beat], count: int) -> Phrase:
    """Give a phrase of a tune `count` syllables: long notes are sung twice, or notes joined, slurred or left out."""
    notes = list(phrase)
    while len(notes) < count:
        index = max(range(len(notes)), key=lambda i: (notes[i][1], -i))
        pitch, beats = notes[index]
        notes[index : index + 1] = [(pitch, beats / 2), (pitch, beats / 2)]
    for index in range(len(notes) - 1, 0, -1):
        if len(notes) > count and notes[index][0] == notes[index - 1][0]:
            notes[index - 1 : index + 1] = [(notes[index][0], notes[index - 1][1] + notes[index][1])]
    notes = notes[max(0, len(notes) - count - 2) :]
    # The shortest notes that follow another are slurred to it.
    slurred = sorted(range(1, len(notes)), key=lambda i: (notes[i][1], i))[: len(notes) - count]
    numbers = itertools.count()
    return [(p, beats, _HELD if i in slurred else next(numbers)) for i, (p, beats) in enumerate(notes)]


def compose(
    lines: Sequence[Sequence[Sequence[Syllable]]], piece: str, tempo_bpm: float, register: tuple[int, int], seed: int
) -> tuple[list[Sung], float]:
    """Set lines of words of syllables to the music of a piece; returns what is sung, and the tempo it got.

    The piece is the name of a melody of `MELODIES`, or `MADE` and a number. It is moved into the register (lowest and
    highest MIDI pitch). The tempo is changed where the song would last less than 4 s or more than 10 s.
    """
    random_ = random.Random(f"{piece} {seed}")
    tune = [] if piece.startswith(MADE) else phrases_of(MELODIES[piece])
    target = min(9.0, max(5.0, sum(map(len, tune)) / len(tune))) if tune else _PHRASE_NOTES
    texts: list[list[Syllable]] = []  # the syllables of each phrase
    for line in lines:
        words = iter(line)
        for size in break_line([len(word) for word in line], target):
            texts.append([syllable for word in itertools.islice(words, size) for syllable in word])
    counts = [len(text) for text in texts]
    if tune:
        begin = random_.randrange(len(tune))
        music = [tune[(begin + index) % len(tune)] for index in range(len(counts))]
    else:
        slurs = [count + (count > 3 and random_.random() < 0.35) for count in counts]
        music = invent(slurs, tempo_bpm < 90, random_)
    phrases = _into(register, [fit(beats, count) for beats, count in zip(music, counts, strict=True)], random_)
    return _at_tempo(texts, phrases, tempo_bpm)


def _at_tempo(texts: list[list[Syllable]], phrases: list[Phrase], tempo_bpm: float) -> tuple[list[Sung], float]:
    """Return what is sung near the tempo asked for, where no note is too short, the song 4-10 s or so."""
    beats = [beats for phrase in phrases for _, beats, _ in phrase]
    if sum(beats) / len(beats) > _LONG_BEATS:
        phrases = [[(pitch, length / 2, number) for pitch, length, number in phrase] for phrase in phrases]
        beats = [length / 2 for length in beats]
    fastest = min(FASTEST, 60 * min(beats) / _SHORTEST_SECONDS)
    sung: list[Sung] = []
    for goal in (MIN_SECONDS, MAX_SECONDS, 0.0):
        tempo_bpm = round(max(SLOWEST, min(fastest, tempo_bpm)), 1)
        sung = _timed(texts, phrases, 60 / tempo_bpm)
        seconds = song_seconds(sung)
        if (goal == MIN_SECONDS and seconds < goal) or (goal == MAX_SECONDS and seconds > goal):
            tempo_bpm *= seconds / goal * (0.95 if goal == MIN_SECONDS else 1.1)
    return sung, tempo_bpm


def song_seconds(sung: Sequence[Sung]) -> float:
    """Return the length of a song: its last note and a short silence."""
    return sung[-1].notes[-1].end + _TAIL_SECONDS


def _into(register: tuple[int, int], phrases: list[Phrase], random_: random.Random) -> list[Phrase]:
    """Transpose phrases into a register, anywhere in it that they fit, else around its middle."""
    pitches = [pitch for phrase in phrases for pitch, _, _ in phrase]
    low, high = register[0] - min(pitches), register[1] - max(pitches)
    shift = random_.randint(low, high) if low <= high else (low + high) // 2
    return [[(pitch + shift, beats, number) for pitch, beats, number in phrase] for phrase in phrases]


def _timed(texts: list[list[Syllable]], phrases: list[Phrase], beat_seconds: float) -> list[Sung]:
    """Place the phrases in time, with a rest to breathe in after each: the last note gives up to half of itself."""
    from uniaudio.tokenizers.midi import MELISMA, Note

    found: list[Sung] = []
    now = _LEAD_SECONDS
    for text, phrase in zip(texts, phrases, strict=True):
        notes: list[list[Note]] = []
        for index, (pitch, beats, number) in enumerate(phrase):
            end = now + beats * beat_seconds
            rest = _REST_SECONDS if index == len(phrase) - 1 else 0.0
            sung_to = max(end - rest, (now + end) / 2, min(end, now + _SHORTEST_SECONDS))
            lyric = MELISMA if number == _HELD else text[number].lyric
            note = Note(start=round(now, 4), end=round(sung_to, 4), pitch=pitch, lyric=lyric)
            notes += [[note]] if number != _HELD else []
            if number == _HELD:
                notes[-1].append(note)
            now = max(end, sung_to + rest)
        last = len(text) - 1
        for index, (syllable, sung) in enumerate(zip(text, notes, strict=True)):
            found.append(Sung(syllable=syllable, notes=tuple(sung), opens=index == 0, closes=index == last))
    return found
