"""Compose short pieces, or arrange public-domain tunes, from a seed: notes and the facts about them; it makes no sound.

Beats are quarter notes. A piece is a frame (metre, mode, key, tempo, instruments), a chord a bar, a melody, and parts
that follow the chords by the patterns of music_patterns.
"""

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from uniaudio.data.synthesize.melodies import MELODIES, Melody, bar_beats, transposed
from uniaudio.data.synthesize.music_patterns import (
    BASSES,
    COMPS,
    DRUMS,
    DRUMS_FROM,
    INSTRUMENTS,
    MODES,
    PARENTS,
    POLYPHONIC,
    PROGRESSIONS,
    QUARTETS,
    RHYTHMS,
)
from uniaudio.data.synthesize.music_styles import STYLES

TAIL_SECONDS = 1.1  # left to ring after the last bar
KEYS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
VELOCITY = {"soft": 50, "medium": 78, "loud": 106}
_SECONDS, _PIANO_SECONDS = (8.0, 12.0), (10.0, 20.0)
_QUIET, _STRONG = ("lullaby", "ambient", "romantic"), ("hard rock", "march", "rock", "electronic")
_PEDALLED = ("arpeggio", "rolling", "waltz")
_CRASH, _KICK, _FILL = 49, 36, (38, 38, 50, 47, 47, 45, 45, 41)

Tones = list[tuple[int, float, float]]  # (MIDI pitch, start beat, length in beats)


class Note(NamedTuple):
    """One note: part ("lead", "chords", "bass", ...), General MIDI program, pitch, start and end s, velocity 1-127."""

    part: str
    program: int
    pitch: int
    start: float
    end: float
    velocity: int


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What is decided before the first note; `tonic` is a pitch class, `bpm` counts felt beats (dotted in 6/8)."""

    style: str
    tune: str
    metre: str
    mode: str
    tonic: int
    bpm: int
    bars: int
    loudness: str
    density: str
    ensemble: str
    lead: str
    chords: str
    bass: str

    @property
    def beats(self) -> float:
        """Quarter notes of a bar."""
        return bar_beats(self.metre)

    @property
    def bar_seconds(self) -> float:
        return self.beats / (1.5 if self.metre == "6/8" else 1.0) * 60 / self.bpm


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A frame, its notes by start, the names of its instruments (lead first) and its length with the last ringing."""

    frame: Frame
    notes: tuple[Note, ...]
    instruments: tuple[str, ...]
    seconds: float


def compose(seed: int, style: str, tune: str = "") -> Piece:
    """Return the piece of a seed in a style of STYLES, new or (with `tune`, a name of MELODIES) arranged."""
    random_ = random.Random(seed)
    frame = _frame(random_, style, tune)
    if frame.tune:
        bars = _tune_bars(MELODIES[frame.tune], frame, random_)
        chords = [_harmony(bar, frame) for bar in bars[:-1]] + [_chord(1, frame)]
        melody = [
            (pitch, beat + index * frame.beats, length) for index, bar in enumerate(bars) for pitch, beat, length in bar
        ]
    else:
        chords = _changes(frame, random_)
        melody = _melody(frame, chords, random_)
    parts = _parts(frame, chords, melody, random_)
    notes = _played(frame, parts, random_)
    names = dict.fromkeys(name for name, _, _ in parts)
    seconds = max(frame.bars * frame.bar_seconds, max(note.end for note in notes)) + TAIL_SECONDS
    return Piece(frame=frame, notes=tuple(notes), instruments=tuple(names), seconds=seconds)


def _frame(random_: random.Random, name: str, tune: str) -> Frame:
    """Decide on everything but the notes."""
    style = STYLES[name]
    melody = MELODIES[tune] if tune else None
    metre = melody.metre if melody else random_.choice(style.metres)
    bpm = random_.uniform(*style.bpm)
    if melody:
        usual = melody.bpm / (1.5 if metre == "6/8" else 1.0)
        bpm = min(max(usual * random_.uniform(0.85, 1.2), style.bpm[0]), style.bpm[1])
    shortest, longest = _PIANO_SECONDS if style.solo_piano else _SECONDS
    bar = bar_beats(metre) / (1.5 if metre == "6/8" else 1.0) * 60 / round(bpm)
    fewest = math.ceil((shortest - TAIL_SECONDS) / bar)
    bars = random_.randint(fewest, max(fewest, math.floor((longest - TAIL_SECONDS) / bar)))
    loudness = ["soft", "medium", "loud"]
    loudness = loudness[:2] if name in _QUIET else loudness[1:] if name in _STRONG else loudness
    ensemble = random_.choice(style.ensembles)
    lead = QUARTETS[ensemble][0] if ensemble in QUARTETS else random_.choice(style.leads)
    others = [chords for chords in style.chords if chords != lead]
    return Frame(
        style=name,
        tune=tune,
        metre=metre,
        mode=melody.mode if melody else random_.choice(style.modes),
        tonic=random_.randrange(12),
        bpm=round(bpm),
        bars=bars,
        loudness=random_.choice(loudness),
        density=random_.choice([density for density in style.densities if density in RHYTHMS[metre]]),
        ensemble=ensemble,
        lead=lead,
        chords=random_.choice(others or style.chords),
        bass=random_.choice(style.basses),
    )


def _chord(degree: int, frame: Frame) -> tuple[int, ...]:
    """Return the pitch classes of the chord on a degree (1-7), root first; V in minor has its leading note."""
    parent = PARENTS.get(frame.mode, frame.mode)
    size = 4 if STYLES[frame.style].sevenths else 3
    chord = [(frame.tonic + MODES[parent][(degree - 1 + 2 * step) % 7]) % 12 for step in range(size)]
    if parent == "minor" and degree == 5:
        chord[1] = (chord[1] + 1) % 12
    return tuple(chord)


def _changes(frame: Frame, random_: random.Random) -> list[tuple[int, ...]]:
    """Return a chord a bar: two progressions of four bars by turns, the last bar on the tonic."""
    known = STYLES[frame.style].changes or PROGRESSIONS[PARENTS.get(frame.mode, frame.mode)]
    first, second = random_.choice(known), random_.choice(known)
    degrees = [int(degree) for degree in (first + second) * (frame.bars // 8 + 1)][: frame.bars]
    if frame.bars > 2 and random_.random() < 0.6:
        degrees[-2] = 5 if PARENTS.get(frame.mode, frame.mode) in ("major", "minor") else 7
    return [_chord(degree, frame) for degree in [*degrees[:-1], 1]]


def _harmony(bar: Tones, frame: Frame) -> tuple[int, ...]:
    """Return the chord that holds most of a bar's melody."""
    degrees = {"major": "14562", "minor": "145637", "dorian": "17435"}[frame.mode]

    def fit(degree: str) -> float:
        chord = _chord(int(degree), frame)
        inside = sum((length + (0.5 if beat == 0 else 0)) * (pitch % 12 in chord) for pitch, beat, length in bar)
        return inside - 0.1 * degrees.index(degree)

    return _chord(int(max(degrees, key=fit)), frame)


def _tune_bars(melody: Melody, frame: Frame, random_: random.Random) -> list[Tones]:
    """Return `frame.bars` bars of a tune from the start of one of its phrases, in the key and the lead's register."""
    low, high = INSTRUMENTS[frame.lead][1:]
    pitches = [pitch for pitch, _ in melody.notes if pitch is not None]
    middle = (low + high) / 2 + random_.uniform(-4, 4) - (sum(pitches) / len(pitches) - 60)
    tonic = _near(frame.tonic, middle)
    bars: list[Tones] = [[] for _ in range(200)]
    beat = frame.beats - melody.pickup if melody.pickup else frame.beats  # bar 0 holds the upbeat
    for pitch, length in transposed(melody, tonic):
        if pitch is not None:
            bars[int(beat // frame.beats)].append((pitch, beat % frame.beats, length))
        beat += length
    count = math.ceil(beat / frame.beats - 1e-6) - 1
    upbeat, whole = bars[0], bars[1 : count + 1]
    if upbeat and beat % frame.beats and beat % frame.beats <= upbeat[0][1] + 1e-6:
        whole[-1] = whole[-1] + upbeat  # the round closes: the upbeat fills the last bar
    first = random_.choice([start for start in range(0, len(whole), 4) if len(whole) - start >= 4] or [0])
    return list(itertools.islice(itertools.cycle(whole[first:] + whole[:first]), frame.bars))


def _near(pitch_class: int, pitch: float) -> int:
    """Return the MIDI pitch of a class that is nearest to `pitch`."""
    return pitch_class % 12 + 12 * round((pitch - pitch_class % 12) / 12)


def _events(pattern: str, bar: int = 0) -> Iterator[tuple[float, float, str]]:
    """Yield (start, length, sign), in beats, of a bar's pattern in eighths."""
    shapes = pattern.split(";")
    shape = shapes[bar % len(shapes)]
    for index, sign in enumerate(shape):
        if sign not in "-.":
            held = len(shape[index + 1 :]) - len(shape[index + 1 :].lstrip("-"))
            yield index / 2, (1 + held) / 2, sign


def _melody(frame: Frame, chords: Sequence[tuple[int, ...]], random_: random.Random) -> Tones:
    """Return a melody of motifs (a b a c): chord tones on strong beats, mostly steps between, home at last."""
    low, high = INSTRUMENTS[frame.lead][1:]
    if frame.lead in POLYPHONIC and frame.ensemble == "solo":
        low = max(low, 60)
    middle = random_.uniform(low + 7, max(low + 7, high - 7))
    scale = {(frame.tonic + step) % 12 for step in MODES[frame.mode]}
    ladder = [
        pitch for pitch in range(max(low, int(middle) - 10), min(high, int(middle) + 10) + 1) if pitch % 12 in scale
    ]
    motifs = {letter: random_.choice(RHYTHMS[frame.metre][frame.density]) for letter in "abc"}
    steps: dict[tuple[str, int], int] = {}
    place = min(range(len(ladder)), key=lambda index: abs(ladder[index] - middle))
    tones: Tones = []
    for bar, chord in enumerate(chords[:-1]):
        letter = "abac"[bar % 4]
        for number, (start, length, _) in enumerate(_events(motifs[letter])):
            step = random_.choices((-3, -2, -1, 0, 1, 2, 3), (0.6, 2, 5, 1.2, 5, 2, 0.6))[0]
            place += steps.setdefault((letter, number), step)
            place = -place if place < 0 else 2 * (len(ladder) - 1) - place if place >= len(ladder) else place
            if start in (0, frame.beats / 2):
                place = min(range(len(ladder)), key=lambda i: (ladder[i] % 12 not in chord, abs(i - place), i))
            raised = (ladder[place] - frame.tonic) % 12 == 10 and (frame.tonic + 11) % 12 in chord
            tones.append((ladder[place] + raised, bar * frame.beats + start, length))
    home = min((pitch for pitch in ladder if pitch % 12 == frame.tonic), key=lambda pitch: abs(pitch - ladder[place]))
    return [*tones, (home, (len(chords) - 1) * frame.beats, frame.beats)]


Part = tuple[str, str, Tones]  # instrument, part, tones


def _parts(frame: Frame, chords: list[tuple[int, ...]], melody: Tones, random_: random.Random) -> list[Part]:
    """Return the parts of the ensemble, the melody first."""
    style = STYLES[frame.style]
    parts: list[Part] = [(frame.lead, "lead", melody)]
    comp = random_.choice([name for name in style.comps if frame.metre in COMPS[name]] or ["block"])
    line = random_.choice([name for name in style.bass_lines if frame.metre in BASSES[name]] or ["hold"])
    ensemble = frame.ensemble
    if ensemble in QUARTETS:
        return parts + _lower_parts(frame, chords, random_)
    if ensemble == "solo" and frame.lead in POLYPHONIC:
        lowest = min(pitch for pitch, _, _ in melody)
        centre = max(INSTRUMENTS[frame.lead][1] + 9, min(52, lowest - 9))
        parts.append((frame.lead, "chords", _accompaniment(frame, chords, comp, centre)))
    if ensemble != "solo":
        low, high = INSTRUMENTS[frame.chords][1:]
        centre = min(max(58 + random_.randrange(6), low + 12), high - 6)
        parts.append((frame.chords, "chords", _accompaniment(frame, chords, comp, centre)))
    if ensemble in ("trio", "band", "full band", "orchestra"):
        parts.append((frame.bass, "bass", _bass(frame, chords, line)))
    if ensemble == "full band":
        pad = random_.choice(
            [name for name in ("strings", "synth pad", "choir") if name not in (frame.lead, frame.chords)]
        )
        parts.append((pad, "pad", _accompaniment(frame, chords, "pad", 64)))
    if ensemble == "orchestra":
        rolls = [(_near(chord[0], 43), bar * frame.beats, 1.0) for bar, chord in enumerate(chords)]
        parts.append(("timpani", "drums", rolls))
    if ensemble in ("band", "full band") and style.drums:
        parts.append(("drums", "drums", _drums(frame, random_)))
    return parts


def _lower_parts(frame: Frame, chords: list[tuple[int, ...]], random_: random.Random) -> list[Part]:
    """Return the lower parts of a quartet: two that move within the chord and the lowest on its roots."""
    names = QUARTETS[frame.ensemble]
    rhythm = random_.choice(("x---x---", "x-x-x-x-", "x-------") if frame.metre == "4/4" else ("x-----", "x-x-x-"))
    rhythm = "x--x--" if frame.metre == "6/8" else rhythm
    parts: list[Part] = []
    for number, name in enumerate(names[1:3], 1):
        low, high = INSTRUMENTS[name][1:]
        centre = min(max(64 - 5 * number, low + 4), high - 4)
        tones: Tones = []
        for bar, chord in enumerate(chords):
            near = sorted((_near(tone, centre) for tone in chord), key=lambda pitch: abs(pitch - centre))
            for index, (start, length, _) in enumerate(_events(rhythm if bar < len(chords) - 1 else "x" + "-" * 7)):
                tones.append((near[(index + number) % 2], bar * frame.beats + start, min(length, frame.beats)))
        parts.append((name, f"part {number + 1}", tones))
    lowest: Part = (names[3], "bass", _bass(frame, chords, random_.choice(("hold", "root_fifth")), names[3]))
    return [*parts, lowest]


def _accompaniment(frame: Frame, chords: list[tuple[int, ...]], comp: str, centre: int) -> Tones:
    """Return the chords played by a pattern of COMPS around a MIDI pitch; the last one is held."""
    tones: Tones = []
    fuzzy = frame.chords in ("overdriven guitar", "distorted guitar")  # which make mud of thirds
    for bar, full in enumerate(chords):
        chord = (full[0], full[2]) if fuzzy else full
        root = _near(chord[0], centre - 10)
        upper = sorted({_near(tone, centre) for tone in chord})
        ladder = [root + 12 * octave + (tone - chord[0]) % 12 for octave in range(3) for tone in chord[:3]]
        pattern = COMPS[comp][frame.metre] if bar < len(chords) - 1 else "C-------"
        for start, length, sign in _events(pattern, bar):
            struck = {"C": [root, *upper], "U": upper, "B": [root]}.get(sign) or [ladder[int(sign)]]
            length = min(length, frame.beats)
            if STYLES[frame.style].solo_piano and comp in _PEDALLED:
                length = frame.beats - start  # the pedal holds it
            tones += [(pitch, bar * frame.beats + start, length) for pitch in struck]
    return tones


def _bass(frame: Frame, chords: list[tuple[int, ...]], line: str, name: str = "") -> Tones:
    """Return a bass line of BASSES on the chords; the last root is held."""
    low = INSTRUMENTS[name or frame.bass][1]
    roots = [_near(chord[0], low + 9) for chord in chords]
    tones: Tones = []
    for bar, (chord, root) in enumerate(zip(chords, roots, strict=True)):
        after = roots[min(bar + 1, len(roots) - 1)]
        steps = {"R": 0, "3": (chord[1] - chord[0]) % 12, "5": (chord[2] - chord[0]) % 12, "8": 12}
        steps["A"] = after - root + (-1 if STYLES[frame.style].swing else -5)
        pattern = BASSES[line][frame.metre] if bar < len(chords) - 1 else "R-------"
        for start, length, sign in _events(pattern, bar):
            pitch = root + steps[sign]
            tones.append((pitch + 12 * (pitch < low - 3), bar * frame.beats + start, min(length, frame.beats)))
    return tones


def _drums(frame: Frame, random_: random.Random) -> Tones:
    """Return the drums of the style, with a fill now and then and one stroke in the last bar."""
    patterns = DRUMS[STYLES[frame.style].drums][frame.metre]
    crashes = STYLES[frame.style].drums in ("rock", "hard rock", "funk", "electronic")
    tones: Tones = []
    for bar in range(frame.bars - 1):
        last = frame.metre == "4/4" and (bar % 4 == 3 or bar == frame.bars - 2) and random_.random() < 0.6
        for drum, hits in patterns.items():
            kept = hits[:8] if last and crashes else hits
            tones += [(drum, bar * frame.beats + step / 4, 0.2) for step, hit in enumerate(kept) if hit == "x"]
        if last and crashes:
            tones += [(drum, bar * frame.beats + 2 + step / 4, 0.2) for step, drum in enumerate(_FILL)]
    strokes = [0.0, (frame.bars - 1) * frame.beats]
    tones += [(_CRASH, beat, 0.2) for beat in strokes if crashes]
    return [*tones, (_KICK, strokes[1], 0.2)]


def _clock(frame: Frame, random_: random.Random) -> Callable[[float], float]:
    """Return the seconds of a beat: even or swung, and for the solo piano pushed, held back and slowed at the end.

    The whole lasts as long as at an even tempo, so `bpm` stays the mean.
    """
    style, total = STYLES[frame.style], frame.bars * frame.beats
    seconds = frame.bars * frame.bar_seconds
    depth = random_.uniform(0.03, 0.09) if style.solo_piano else 0.0
    phase, steps = random_.uniform(0, 2 * math.pi), round(total * 8)
    passed = [0.0]
    for step in range(steps):
        phrase = math.sin(2 * math.pi * step / 8 / (4 * frame.beats) + phase)
        late = max(0.0, step / 8 - (total - 2 * frame.beats)) / (2 * frame.beats)
        passed.append(passed[-1] + 1 / (1 + depth * phrase - 2.5 * depth * late**2))

    def clock(beat: float) -> float:
        if style.swing:
            part = beat % 1
            beat += (part / 3 if part <= 0.5 else (1 - part) / 3) if part else 0.0
        place = min(max(beat * 8, 0.0), float(steps))
        index = min(int(place), steps - 1)
        return (passed[index] + (place - index) * (passed[index + 1] - passed[index])) / passed[-1] * seconds

    return clock


def _played(frame: Frame, parts: Sequence[Part], random_: random.Random) -> list[Note]:
    """Return the parts as played: in seconds, with velocities and small human deviations, by start."""
    style, clock = STYLES[frame.style], _clock(frame, random_)
    kit = DRUMS_FROM + random_.choice(style.kits)
    deviation = 0.009 if style.solo_piano else 0.004
    notes: list[Note] = []
    for name, part, tones in parts:
        program = kit if name == "drums" else INSTRUMENTS[name][0]
        offset = {"lead": 8, "chords": -14, "pad": -16, "bass": -4}.get(part, -6)
        for pitch, beat, length in tones:
            arch = 8 * math.sin(math.pi * (beat % (4 * frame.beats)) / (4 * frame.beats)) - 4
            accent = 6 if beat % frame.beats == 0 else 0
            velocity = VELOCITY[frame.loudness] + offset + accent + round(arch + random_.gauss(0, 3))
            start = max(0.0, clock(beat) + random_.gauss(0, deviation))
            end = max(start + 0.06, clock(beat + length) - 0.02)
            notes.append(Note(part, program, pitch, round(start, 3), round(end, 3), min(max(velocity, 15), 127)))
    return _apart(sorted(notes, key=lambda note: (note.start, note.part, note.pitch)))


def _apart(notes: list[Note]) -> list[Note]:
    """End every note where its part strikes the same pitch again; drop one struck twice within 30 ms."""
    following: dict[tuple[str, int, int], float] = {}
    kept: list[Note] = []
    for note in reversed(notes):
        again = following.get((note.part, note.program, note.pitch), math.inf)
        if again - note.start >= 0.03:
            kept.append(note._replace(end=min(note.end, again)))
            following[note.part, note.program, note.pitch] = note.start
    return kept[::-1]
