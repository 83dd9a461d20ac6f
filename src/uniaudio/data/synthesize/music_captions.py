"""Captions of music in many wordings, from measurable facts alone: instruments, tempo, mode, loudness, register."""

import random
import re
from dataclasses import dataclass

from uniaudio.data.synthesize.composition import KEYS, Piece
from uniaudio.data.synthesize.music_patterns import BRIGHT, DRUMS_FROM, INSTRUMENTS, QUARTETS
from uniaudio.data.synthesize.music_styles import STYLES
from uniaudio.data.synthesize.sentences import split_of

# Felt beats a minute below which the words fit.
TEMPOS: tuple[tuple[float, tuple[str, ...]], ...] = (
    (60, ("very slow", "largo", "extremely slow")),
    (80, ("slow", "adagio", "unhurried")),
    (108, ("moderate", "medium-paced", "andante")),
    (132, ("lively", "allegro", "brisk")),
    (160, ("fast", "vivace", "quick")),
    (1000, ("very fast", "presto", "rapid")),
)
# (bright mode, energy -1 0 1): the first word is the name of the mood.
MOODS: dict[tuple[bool, int], tuple[str, ...]] = {
    (True, 1): ("joyful", "cheerful", "exuberant", "playful", "happy", "sunny"),
    (True, 0): ("warm", "pleasant", "hopeful", "good-natured", "contented"),
    (True, -1): ("peaceful", "tender", "serene", "dreamy", "calm"),
    (False, 1): ("dramatic", "tense", "fierce", "restless", "stormy", "agitated"),
    (False, 0): ("pensive", "moody", "wistful", "brooding", "mysterious"),
    (False, -1): ("sad", "melancholy", "mournful", "sombre", "lonely"),
}
LOUDNESS = {"soft": ("soft", "quiet", "hushed"), "medium": (), "loud": ("loud", "powerful", "forceful")}
REGISTERS = {"low": ("low-pitched", "deep-voiced"), "middle": (), "high": ("high-pitched", "airy")}
DENSITIES = {"sparse": ("sparse", "spacious"), "middle": (), "dense": ("busy", "note-filled")}
METRES = {
    "4/4": ("four-four time", "common time", "a four-beat metre"),
    "3/4": ("three-four time", "triple time", "a three-beat metre"),
    "6/8": ("six-eight time", "compound duple time", "a lilting six-eight metre"),
}
_WORDINGS = (
    "A {mood} {style} piece for {players}, {tempo} in tempo.",
    "A {tempo} {style} piece played by {players}, {mood} in mood.",
    "{players} playing a {tempo}, {mood} {style} tune {key}.",
    "This is {mood} {style} music with a {tempo} tempo, played by {players}.",
    "{style} music with {players}, {tempo} and {mood}.",
    "A {tempo} {style} recording of {players}; the mood is {mood}.",
    "{players} in a {mood} {style} performance at a {tempo} tempo.",
    "Instrumental {style} music in {metre}, {mood} and {tempo}, with {players}.",
    "The music is {mood}, the tempo {tempo}, the style {style}; one hears {players}.",
    "{mood} {style} music {key}, {tempo}, for {players}.",
    "Play a {tempo} {style} instrumental with {players} that sounds {mood}.",
    "A short {style} instrumental {key}: {players}, {tempo}, {mood}.",
    "Something {mood} and {tempo}: {style} music for {players}.",
    "{players} performing {style} music in {metre} with a {mood} character and a {tempo} tempo.",
    "A {mood} melody in {style} style, {tempo}, played on {players}.",
    "In {metre}, {players} play {mood}, {tempo} {style} music.",
    "A recording of {tempo}, {mood} {style} music. One hears {players}.",
    "The {style} piece features {players}. Its tempo is {tempo} and its feeling {mood}.",
    "{tempo} {style} music {key} that feels {mood}, with {players}.",
    "Background music: {mood}, {tempo} {style} with {players}.",
)
_EXTRAS = (" It sounds {extra}.", " The playing is {extra}.", " Overall {extra}.")
_UNSUNG = (" No vocals.", " There is no singing.")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a caption may say; `register` is low, middle or high, `density` of the melody sparse, middle or dense."""

    tempo: tuple[str, ...]
    mood: tuple[str, ...]
    register: str
    density: str
    loudness: str
    key: str


def facts(piece: Piece) -> Facts:
    """Measure a piece: tempo class, register and density of its melody, and the mood that follows from them.

    Energy is (bpm - 96) / 40 + (melody notes a second - 2.5) / 4, 0.6 more when loud and less when soft; above 0.5 it
    counts as high, below -0.5 as low.
    """
    frame = piece.frame
    lead = [note for note in piece.notes if note.part == "lead"]
    mean = sum(note.pitch for note in lead) / len(lead)
    rate = len(lead) / (frame.bars * frame.bar_seconds)
    energy = (frame.bpm - 96) / 40 + (rate - 2.5) / 4 + {"soft": -0.6, "medium": 0.0, "loud": 0.6}[frame.loudness]
    level = 1 if energy > 0.5 else -1 if energy < -0.5 else 0
    return Facts(
        tempo=tempo_words(frame.bpm),
        mood=MOODS[frame.mode in BRIGHT, level],
        register="high" if mean >= 77 else "low" if mean < 57 else "middle",
        density="dense" if rate >= 4.5 else "sparse" if rate < 1.4 else "middle",
        loudness=frame.loudness,
        key=f"{spoken_key(frame.tonic)} {frame.mode}",
    )


def tempo_words(bpm: float) -> tuple[str, ...]:
    """Return the words that fit a tempo in felt beats a minute."""
    return next(words for below, words in TEMPOS if bpm < below)


def spoken_key(tonic: int) -> str:
    """Return the name of a pitch class in words: "E flat" for 3."""
    return KEYS[tonic].replace("#", " sharp").replace("b", " flat")


def captions(piece: Piece, split: str, count: int, random_: random.Random) -> list[str]:
    """Return `count` captions of different wordings whose words belong to the split (see `split_of`)."""
    known = facts(piece)
    found: list[str] = []
    sung = "choir" in piece.instruments
    wordings = [text for text in _WORDINGS if not (sung and "nstrumental" in text)]
    random_.shuffle(wordings)
    for attempt in range(60 * len(wordings) * count):
        wording = wordings[attempt % len(wordings)]
        caption = _caption(wording, piece, known, random_)
        if split_of(caption) == split:
            found.append(caption)
            wordings.remove(wording)
        if len(found) == count or not wordings:
            break
    assert len(found) == count, f"only {len(found)} captions for {split}"
    return found


def _caption(wording: str, piece: Piece, known: Facts, random_: random.Random) -> str:
    """Return one caption: a wording with its words drawn, and sometimes a closing sentence."""
    extras = (*LOUDNESS[known.loudness], *REGISTERS[known.register], *DENSITIES[known.density])
    closings = ["", *(_UNSUNG if "choir" not in piece.instruments else ()), *(_EXTRAS if extras else ())]
    mode = piece.frame.mode
    keys = [f"in {known.key}", f"in a {mode} key" if mode in ("major", "minor") else f"in a {mode} scale"]
    text = (wording + random_.choice(closings)).format(
        mood=random_.choice(known.mood),
        tempo=random_.choice(known.tempo),
        style=random_.choice(STYLES[piece.frame.style].words),
        players=random_.choice(_players(piece)),
        metre=random_.choice(METRES[piece.frame.metre]),
        key=random_.choice(keys),
        extra=random_.choice(extras or ("",)),
    )
    text = re.sub(r"\b([Aa]) (?=[aeiouAEIOU])", r"\1n ", text)
    return text[0].upper() + text[1:]


def _players(piece: Piece) -> list[str]:
    """Return ways to say who plays."""
    lead, *others = piece.instruments
    ensemble = piece.frame.ensemble
    if ensemble in QUARTETS:
        names = _listed(list(piece.instruments))
        return (
            ["choir", "a choir", "choir voices", "a mixed choir"]
            if ensemble == "choir"
            else [f"a {ensemble}", ensemble, f"a {ensemble} ({names})", names]
        )
    if not others:
        return [f"solo {lead}", f"{lead} alone", f"{lead} solo", f"a single {lead}", f"an unaccompanied {lead}"]
    rest = _listed(others)
    ways = [f"{lead} with {rest}", f"{lead} accompanied by {rest}", f"{lead} over {rest}", _listed([lead, *others])]
    if len(others) == 1:
        ways.append(f"a duo of {lead} and {rest}")
    return ways


def _listed(names: list[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def instrument_of(program: int) -> str:
    """Return the name of a General MIDI program of INSTRUMENTS, "drums" from 128 on."""
    if program >= DRUMS_FROM:
        return "drums"
    return next(name for name, (number, _, _) in INSTRUMENTS.items() if number == program)
