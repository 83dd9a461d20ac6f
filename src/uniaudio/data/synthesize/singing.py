"""Make a corpus of singing with known text, notes, singer and phone times: flite's speech, sung by WORLD."""

import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from uniaudio.data.synthesize import vocoder
from uniaudio.data.synthesize.corpus import SAMPLE_RATE, SHARES, Rendered
from uniaudio.data.synthesize.melodies import MELODIES, melodies_of
from uniaudio.data.synthesize.sentences import all_sentences, split_of
from uniaudio.data.synthesize.singers import Singer, singers
from uniaudio.data.synthesize.songs import (
    MADE,
    VOWELS,
    Sung,
    Syllable,
    compose,
    count_syllables,
    song_seconds,
    syllables_of,
    words_of,
)
from uniaudio.data.synthesize.vocoder import FRAME_SECONDS, Stretch
from uniaudio.errors import InputError

_LEVEL = 0.06  # root-mean-square of every song
_PEAK = 0.97
_MEAN_SECONDS = 6.8  # of one song, to turn hours into a count
_SYLLABLES = (8, 15)  # about, of one song
_TUNES = 0.4  # share of the songs on public-domain melodies
_SPEAKER_OF_WORDS = "kal16"  # the fastest voice says which phones belong to which word
_UNVOICED = frozenset("p t k f th s sh ch hh".split())
_SONORANTS = VOWELS | frozenset("m n nx ng l r w y".split())
_CONSONANT_SECONDS = (0.035, 0.11)  # shortest and longest of one consonant
_ONSET_SECONDS = 0.2  # at most, of the consonants before a vowel

Line = tuple[str, int]  # a sentence and about how many syllables it has
Phone = tuple[str, float, float]  # flite's name, start and end in seconds


@dataclass(frozen=True, kw_only=True)
class Song:
    """One planned song: who sings which lines to which piece, at about which tempo (quarter notes a minute)."""

    id: str
    split: str
    lines: tuple[str, ...]
    singer: Singer
    piece: str
    tempo_bpm: float
    seed: int


def plan(hours: float, seed: int) -> list[Song]:
    """Return the songs of a corpus of about `hours`, in a fixed order for a seed.

    Each line, and the lines of a song together, belong to the song's split; so do its singer and its piece.
    """
    random_ = random.Random(seed)
    lines: dict[str, list[Line]] = {split: [] for split in SHARES}
    for sentence in all_sentences():
        size = count_syllables(sentence)
        if 3 < size <= _SYLLABLES[1]:
            lines[split_of(sentence)].append((sentence, size))
    groups = {split: singers(split) for split in SHARES}
    total = max(12, round(hours * 3600 / _MEAN_SECONDS))
    songs: list[Song] = []
    for split, share in SHARES.items():
        for index in range(max(4, round(total * share))):
            piece, tempo = f"{MADE}-{split}-{index:06d}", random_.uniform(60, 140)
            if random_.random() < _TUNES:
                piece = random_.choice(melodies_of(split))
                tempo = MELODIES[piece].bpm * random_.uniform(0.75, 1.0)
            song = Song(
                id=f"singing-{split}-{index:06d}",
                split=split,
                lines=_lyrics(lines[split], split, random_),
                singer=random_.choice(groups[split]),
                piece=piece,
                tempo_bpm=round(min(140.0, max(60.0, tempo)), 1),
                seed=random_.randrange(2**31),
            )
            songs.append(song)
    random_.shuffle(songs)
    return songs


def _lyrics(lines: Sequence[Line], split: str, random_: random.Random) -> tuple[str, ...]:
    """Draw one to three lines of a split whose words together belong to it too."""
    least, most = _SYLLABLES
    for _ in range(2000):
        chosen = [random_.choice(lines)]
        goal = random_.randint(least, most - 4)
        while sum(size for _, size in chosen) < goal and len(chosen) < 3:
            chosen.append(random_.choice(lines))
        texts = tuple(text for text, _ in chosen)
        if sum(size for _, size in chosen) <= most and split_of(" ".join(texts)) == split:
            return texts
    return (random_.choice(lines)[0],)


def needs() -> None:
    """Raise InputError when an engine is missing."""
    if shutil.which("flite") is None:
        raise InputError("flite is not installed; on Debian: apt-get install flite")
    if find_spec("pyworld") is None:
        raise InputError("pyworld is not installed: `pip install pyworld`")


def render(song: Song) -> Rendered:
    """Sing one song."""
    speech, phones, lines = speak(song)
    sung, tempo = compose(lines, song.piece, song.tempo_bpm, (song.singer.low, song.singer.high), song.seed)
    stretches = place_phones(sung, phones)
    samples = sing(speech, sung, stretches, song.singer, song.seed)
    notes = [note for one in sung for note in one.notes]
    return Rendered(
        samples=samples,
        text=" ".join(song.lines),
        speaker=song.singer.name,
        phones=_timed_phones(stretches, len(samples) / SAMPLE_RATE),
        custom={
            "score": [{"pitch": n.pitch, "start": n.start, "end": n.end, "lyric": n.lyric} for n in notes],
            "singer": song.singer.name,
            "piece": song.piece,
            "tempo_bpm": tempo,
        },
    )


def speak(song: Song) -> tuple[np.ndarray, list[Phone], list[list[list[Syllable]]]]:
    """Return flite's speech [N] of a song's words, its phones without pauses, and the syllables by line and word."""
    words = [words_of(line) for line in song.lines]
    every = [word for line in words for word in line]
    apart = ", ".join(every)  # a comma between words is a pause between their phones
    _, said = _flite(_SPEAKER_OF_WORDS, apart, song, 0.3)
    by_word = _between_pauses(said)
    speech, spoken = _flite(song.singer.base, ". ".join(map(" ".join, words)) + ".", song)
    phones = [phone for phone in spoken if phone[0] != "pau"]
    if _pattern(phones) != _pattern(phone for word in by_word for phone in word):
        speech, spoken = _flite(song.singer.base, apart, song)
        by_word = _between_pauses(spoken)
        phones = [phone for word in by_word for phone in word]
    if len(by_word) != len(every):
        raise InputError(
            f"flite reads the {len(every)} words of {song.id} ({apart!r}) as {len(by_word)}: spell them out"
        )
    lines: list[list[list[Syllable]]] = []
    first, numbers = 0, iter(by_word)
    for line in words:
        lines.append([])
        for word in line:
            names = [name for name, _, _ in next(numbers)]
            lines[-1].append(syllables_of(word, names, first))
            first += len(names)
    return speech, phones, lines


def _flite(voice: str, text: str, song: Song, stretch: float = 1.0) -> tuple[np.ndarray, list[Phone]]:
    """Return (samples [N] at SAMPLE_RATE, phones with pauses) of flite's monotone speech."""
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command = ["flite", "-voice", voice, "-psdur", "-o", str(path), "-t", text]
        for setting in ("int_f0_target_mean=150", "int_f0_target_stddev=0.01", f"duration_stretch={stretch}"):
            command += ["--setf", setting]
        try:
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            samples, rate = soundfile.read(path, dtype="float32")
        except (subprocess.CalledProcessError, OSError, soundfile.SoundFileError) as error:
            raise InputError(f"flite cannot speak {song.id} ({text!r}, {voice}): check its installation") from error
    if rate != SAMPLE_RATE:
        raise InputError(f"flite's voice {voice} is at {rate} Hz, not {SAMPLE_RATE}: install flite 2.2 with its voices")
    phones: list[Phone] = []
    for name, end in re.findall(r"(\S+):([\d.]+)", printed):
        phones.append((name, phones[-1][2] if phones else 0.0, float(end)))
    return samples, phones


def _between_pauses(phones: Sequence[Phone]) -> list[list[Phone]]:
    groups: list[list[Phone]] = [[]]
    for phone in phones:
        if phone[0] != "pau":
            groups[-1].append(phone)
        elif groups[-1]:
            groups.append([])
    return [group for group in groups if group]


def _pattern(phones: Any) -> str:
    """Return "v" for each vowel and "c" for each consonant: it tells whether two sequences have the same syllables."""
    return "".join("v" if phone[0] in VOWELS else "c" for phone in phones)


def place_phones(sung: Sequence[Sung], phones: Sequence[Phone]) -> list[Stretch]:
    """Return when each phone is sung: vowels begin with their note, consonants before them, a coda ends the last note.

    The consonants before a vowel take their time from the note before or from the rest.
    """
    onsets = [_consonants(phones[one.syllable.first : one.syllable.vowel]) for one in sung]
    codas = [_consonants(phones[one.syllable.vowel + 1 : one.syllable.stop]) for one in sung]
    found: list[Stretch] = []
    for number, one in enumerate(sung):
        start, end = one.notes[0].start, one.notes[-1].end
        room = end - one.notes[-1].start
        onset, coda = onsets[number], codas[number] * min(1.0, 0.3 * room / max(codas[number].sum(), 1e-9))
        if one.opens:
            onset *= min(1.0, _ONSET_SECONDS / max(onset.sum(), 1e-9))
        if not one.closes:
            following = onsets[number + 1]
            following *= min(1.0, min(_ONSET_SECONDS, 0.35 * room) / max(following.sum(), 1e-9))
            end -= following.sum()
        lengths = [*onset, end - coda.sum() - start, *coda]
        now = float(start - onset.sum())
        for offset, length in enumerate(map(float, lengths)):
            name, source, source_end = phones[one.syllable.first + offset]
            holds = one.syllable.first + offset == one.syllable.vowel
            found.append(
                Stretch(phone=name, source=source, source_end=source_end, start=now, end=now + length, holds=holds)
            )
            now += length
    return found


def _consonants(phones: Sequence[Phone]) -> np.ndarray:
    """Return the seconds that consonants take when sung, before they are shortened to fit."""
    return np.array([np.clip(end - start, *_CONSONANT_SECONDS) for _, start, end in phones], dtype=float)


def sing(
    speech: np.ndarray, sung: Sequence[Sung], stretches: Sequence[Stretch], singer: Singer, seed: int
) -> np.ndarray:
    """Return samples [N] float32 of what is sung, by a singer, from speech and the new times of its phones."""
    random_ = np.random.default_rng(seed)
    seconds = song_seconds(sung)
    num_frames = round(seconds / FRAME_SECONDS)
    spectra = vocoder.with_timbre(vocoder.analyse(speech), singer)
    spectra = vocoder.retimed(spectra, vocoder.source_frames(stretches, num_frames))
    notes = [note for one in sung for note in one.notes]
    pitch_hz = vocoder.pitch_curve(notes, singer, num_frames, random_)
    is_voiced, is_sonorant = np.zeros((2, num_frames), bool)
    for one in stretches:
        is_voiced[_frames(one.start, one.end)] = one.phone not in _UNVOICED
        is_sonorant[_frames(one.start, one.end)] = one.phone in _SONORANTS
    spectra = vocoder.with_tone(spectra, is_sonorant, singer)
    gain_db = _gain(spectra, sung, stretches, random_)
    samples = vocoder.synthesise(spectra, np.where(is_voiced, pitch_hz, 0.0), gain_db)
    samples = np.pad(samples, (0, max(0, round(seconds * SAMPLE_RATE) - len(samples))))
    samples = samples[: round(seconds * SAMPLE_RATE)]
    samples *= _LEVEL / (np.sqrt(np.mean(samples**2)) + 1e-9)
    _add_breaths(samples, sung, stretches, singer, random_)
    scale = min(_LEVEL / np.sqrt(np.mean(samples**2)), _PEAK / np.abs(samples).max())
    return (samples * scale).astype(np.float32)


def _frames(start: float, end: float) -> slice:
    return slice(max(0, round(start / FRAME_SECONDS)), max(0, round(end / FRAME_SECONDS)))


def _gain(
    spectra: vocoder.Spectra, sung: Sequence[Sung], stretches: Sequence[Stretch], random_: np.random.Generator
) -> np.ndarray:
    """Return the gain [T] in dB: vowels made more even, phrases that swell and fade, silence in the rests."""
    gain_db = np.zeros(len(spectra.log_power))
    audible = np.zeros(len(spectra.log_power))
    loudness = 10 * np.log10(np.exp(spectra.log_power).sum(axis=1))
    vowels = [one for one in stretches if one.holds]
    levels = np.array([np.mean(loudness[_frames(one.start, one.end)]) for one in vowels])
    first = stretches[0].start
    for one, level, vowel in zip(sung, levels, vowels, strict=True):
        last = vowel.end if not one.closes else one.notes[-1].end
        even = np.clip(0.6 * (np.median(levels) - level), -6, 6)
        gain_db[_frames(first, last)] = even + random_.uniform(-1, 1)
        first = last
    begin = 0.0
    for one, following in zip(stretches, [*stretches[1:], None], strict=True):
        begin = begin or one.start
        if following is None or following.start > one.end + FRAME_SECONDS:
            place = np.linspace(0, 1, len(audible[_frames(begin, one.end)]))
            length = one.end - begin
            audible[_frames(begin, one.end)] = np.minimum(place * length / 0.02, (1 - place) * length / 0.07).clip(0, 1)
            gain_db[_frames(begin, one.end)] += 2.5 * np.sin(np.pi * place) - 2.0 * place
            begin = 0.0
    window = np.hanning(11) / np.hanning(11).sum()
    return np.convolve(gain_db, window, "same") + 20 * np.log10(audible + 1e-5)


def _add_breaths(
    samples: np.ndarray,
    sung: Sequence[Sung],
    stretches: Sequence[Stretch],
    singer: Singer,
    random_: np.random.Generator,
) -> None:
    """Add a breath in before each phrase, in the rest, to samples [N] at _LEVEL."""
    ends = [0.0] + [one.notes[-1].end for one in sung if one.closes]
    vowels = [index for index, one in enumerate(stretches) if one.holds]
    for one, vowel in zip(sung, vowels, strict=True):
        if not one.opens:
            continue
        onset = one.syllable.vowel - one.syllable.first
        end = stretches[vowel - onset].start - 0.03
        seconds = min(random_.uniform(0.25, 0.45), end - ends.pop(0) - 0.03)
        if seconds > 0.1:
            air = vocoder.breath(seconds, singer, random_)
            level = _LEVEL * 10 ** (random_.uniform(-22, -15) / 20)
            start = round((end - seconds) * SAMPLE_RATE)
            samples[start : start + len(air)] += level * air


def _timed_phones(stretches: Sequence[Stretch], seconds: float) -> list[list[Any]]:
    """Return [phone, start s, end s] in order, "pau" where nothing is sung."""
    found: list[list[Any]] = []
    now = 0.0
    for one in stretches:
        start, end = round(one.start, 4), round(one.end, 4)
        if start - now > 0.001:
            found.append(["pau", now, start])
        elif found:
            start = now
        found.append([one.phone, start, end])
        now = end
    return [*found, ["pau", now, round(seconds, 4)]]
