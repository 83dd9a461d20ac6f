"""Made music: captions say what is true, splits share nothing, the sound follows the score."""

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uniaudio.data.manifests import read_manifest
from uniaudio.data.synthesize import music
from uniaudio.data.synthesize.composition import Note, Piece, compose
from uniaudio.data.synthesize.corpus import SAMPLE_RATE, make_corpus
from uniaudio.data.synthesize.melodies import (
    _TUNES,
    MELODIES,
    bar_beats,
    melodies_of,
    parse_bars,
    span,
    transposed,
)
from uniaudio.data.synthesize.music_captions import MOODS, TEMPOS, captions, facts, instrument_of, tempo_words
from uniaudio.data.synthesize.music_patterns import BASSES, COMPS, DRUMS, INSTRUMENTS, MODES, RHYTHMS
from uniaudio.data.synthesize.music_styles import STYLES
from uniaudio.data.synthesize.sentences import split_of
from uniaudio.errors import InputError

STEPS = {"4/4": 8, "3/4": 6, "6/8": 6}  # eighths of a bar
DRUMMED = ("electronic", "rock", "march", "swing", "reggae", "hip-hop")
KEYS = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")


@pytest.fixture(scope="module")
def font() -> Iterator[str]:
    """The small soundfont of pretty_midi, which loads in a moment."""
    pytest.importorskip("tinysoundfont")
    pytest.importorskip("soxr")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(music, "FLUID", Path("/nowhere.sf2"))
        music.fonts.cache_clear()
        try:
            yield next(iter(music.fonts()))
        except InputError:
            pytest.skip("no soundfont in pretty_midi")
    music.fonts.cache_clear()
    music._player.cache_clear()


@pytest.fixture(scope="module")
def pieces() -> list[Piece]:
    """Two pieces of every style and an arrangement of every tune."""
    made = [compose(seed, style) for style in STYLES for seed in (1, 2)]
    for name, melody in MELODIES.items():
        made.append(compose(3, next(style for style in STYLES if melody.metre in STYLES[style].metres), name))
        made.append(compose(4, [style for style in STYLES if melody.metre in STYLES[style].metres][-1], name))
    return made


def test_tunes_have_whole_bars_and_transpose() -> None:
    assert len(MELODIES) >= 24 and {melody.metre for melody in MELODIES.values()} == set(STEPS)
    for tune in _TUNES.strip().split("\n\n"):
        head, text = tune.split("\n", 1)
        name, _, _, metre, mode, _ = (part.strip() for part in head.split("|"))
        lengths = [sum(beats for _, beats in bar) for bar in parse_bars(text, metre, mode)]
        assert lengths[1:-1] == [bar_beats(metre)] * (len(lengths) - 2), name
        assert max(lengths[0], lengths[-1]) <= bar_beats(metre), name
        melody = MELODIES[name]
        assert melody.pickup in (0, lengths[0]) and sum(beats for _, beats in melody.notes) == sum(lengths)
        low, high = span(melody)
        assert high - low <= 24 and 48 <= low and high <= 84
        moved = [pitch for pitch, _ in transposed(melody, 57) if pitch is not None]
        assert (min(moved), max(moved)) == (low - 3, high - 3)
    assert [pitch for pitch, _ in MELODIES["ode_to_joy"].notes[:8]] == [64, 64, 65, 67, 67, 65, 64, 62]
    assert MELODIES["greensleeves"].notes[:3] == ((60, 0.5), (63, 1.0), (65, 0.5))


def test_patterns_fill_their_bars() -> None:
    for table in (COMPS, BASSES):
        for name, by_metre in table.items():
            for metre, pattern in by_metre.items():
                assert all(len(bar) <= STEPS[metre] for bar in pattern.split(";")), (name, metre)
    for name, by_metre in DRUMS.items():
        for metre, drums in by_metre.items():
            assert all(len(hits) == 2 * STEPS[metre] for hits in drums.values()), (name, metre)
    for metre, densities in RHYTHMS.items():
        assert all(len(bar) == STEPS[metre] for bars in densities.values() for bar in bars)
    for name, style in STYLES.items():
        assert not style.drums or all(metre in DRUMS[style.drums] for metre in style.metres), name
        assert set(style.leads + style.chords + style.basses) <= set(INSTRUMENTS), name
        assert set(style.modes) <= set(MODES), name


def test_the_plan_is_even_and_its_splits_share_nothing() -> None:
    plan = music.jobs(1.0, 0, "font")
    assert plan == music.jobs(1.0, 0, "font") and plan != music.jobs(1.0, 1, "font")
    assert len({job.id for job in plan}) == len(plan) and {job.style for job in plan} == set(STYLES)
    seconds: dict[bool, float] = defaultdict(float)
    pieces: dict[str, set[str]] = defaultdict(set)
    melodies: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for job in plan:
        piece = compose(job.seed, job.style, job.tune)
        seconds[STYLES[job.style].solo_piano] += piece.seconds
        pieces[job.split].add(job.piece)
        lead = [note for note in piece.notes if note.part == "lead"]
        melodies[job.split].add(tuple(b.pitch - a.pitch for a, b in zip(lead[:9], lead[1:9], strict=False)))
    total = sum(seconds.values())
    assert total / 3600 == pytest.approx(1, abs=0.05) and seconds[True] / total == pytest.approx(1 / 3, abs=0.05)
    for job in music.jobs(1.0, 5, "font"):  # another corpus holds out the same
        pieces[job.split].add(job.piece)
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        assert not pieces[one] & pieces[other]
        assert not {m for m in melodies[one] if len(m) == 8} & melodies[other]
        assert not set(melodies_of(one)) & set(melodies_of(other)) and melodies_of(other)
    tiny = music.jobs(0.001, 0, "font")
    assert {job.split for job in tiny} == {"train", "dev", "test"} and len(tiny) == 18


def test_scores_agree_with_the_facts(pieces: list[Piece]) -> None:
    used: set[str] = set()
    for piece in pieces:
        frame = piece.frame
        used |= set(piece.instruments)
        shortest, longest = (10, 20) if STYLES[frame.style].solo_piano else (8, 12)
        assert shortest <= piece.seconds <= longest
        assert {instrument_of(note.program) for note in piece.notes} == set(piece.instruments)
        starts = [note.start for note in piece.notes]
        assert starts == sorted(starts) and all(note.start < note.end < piece.seconds for note in piece.notes)
        lead = [note for note in piece.notes if note.part == "lead"]
        low, high = INSTRUMENTS[piece.instruments[0]][1:]
        assert all(low - 12 <= note.pitch <= high + 12 for note in lead)
        if frame.tune:
            continue
        assert all(low <= note.pitch <= high + 1 for note in lead) and lead[-1].pitch % 12 == frame.tonic
        scale = {(frame.tonic + step) % 12 for step in MODES[frame.mode]} | {(frame.tonic + 11) % 12}
        assert {note.pitch % 12 for note in lead} <= scale
    assert len(used) >= 30


def test_an_arranged_tune_is_the_tune(pieces: list[Piece]) -> None:
    tune = MELODIES["korobeiniki"]
    piece = compose(3, "folk", "korobeiniki")
    lead = [note for note in piece.notes if note.part == "lead"]
    steps = [b.pitch - a.pitch for a, b in zip(lead, lead[1:], strict=False)]
    pitches = [pitch for pitch, _ in tune.notes if pitch is not None] * 2
    known = [b - a for a, b in zip(pitches, pitches[1:], strict=False)]
    assert any(known[start : start + len(steps)] == steps for start in range(len(known)))
    assert piece.frame.mode == "minor" and piece.frame.metre == "4/4"


def test_solo_piano_has_expressive_timing() -> None:
    """Bars leave an even grid by more than those of a band do, and the last begins where the mean tempo says."""

    def off_grid(style: str) -> list[float]:
        found = []
        for piece in (compose(seed, style) for seed in range(8)):
            starts = np.array([note.start for note in piece.notes])
            grid = piece.frame.bar_seconds * np.arange(1, piece.frame.bars)
            found += [float(np.abs(starts - time).min()) for time in grid]
        return found

    piano, band = off_grid("romantic"), off_grid("electronic")
    assert np.max(band) < 0.02 < 0.04 < np.mean(piano) and np.max(piano) < 0.5


def said_wrongly(caption: str, piece: Piece) -> list[str]:
    """Words of a caption that contradict the score."""
    frame, words = piece.frame, f" {re.sub('[^a-z0-9 -]', ' ', caption.lower())} "
    fitting = tempo_words(frame.bpm)
    wrong = [word for _, group in TEMPOS if group != fitting for word in group if f" {word} " in words]
    wrong = [word for word in wrong if not any(word in right and f" {right} " in words for right in fitting)]
    bright = {"major": "minor", "minor": "major"}.get(frame.mode)
    if bright and re.search(rf"\b{bright}\b", words):
        wrong.append(bright)
    dark = frame.mode in ("minor", "dorian", "minor pentatonic")
    wrong += [word for (is_bright, _), group in MOODS.items() for word in group if is_bright == dark and word in words]
    loud = {"soft": "loud", "loud": "soft"}.get(frame.loudness)
    wrong += [loud] if loud and f" {loud} " in words else []
    wrong += [name for name in ("drums", "violin", "trumpet") if f" {name} " in words and name not in piece.instruments]
    keys = [key for key in KEYS if f" in {key} {frame.mode}".lower() in words and key != "A"]
    return wrong + [key for key in keys if key != KEYS[frame.tonic]]


def test_captions_say_what_is_true(pieces: list[Piece]) -> None:
    tempos, moods = set(), set()
    for number, piece in enumerate(pieces):
        split = ("train", "dev", "test")[number % 3]
        said = captions(piece, split, 8, random.Random(number))
        assert len(set(said)) == 8 and {split_of(caption) for caption in said} == {split}
        fitting, known = tempo_words(piece.frame.bpm), facts(piece)
        tempos.add(fitting)
        moods.add(known.mood)
        for caption in said:
            assert not said_wrongly(caption, piece), (caption, piece.frame)
            assert any(word in caption.lower() for word in fitting), caption
            assert any(word in caption.lower() for word in known.mood), caption
            quartet = piece.frame.ensemble in caption.lower() and piece.frame.ensemble != "solo"
            assert quartet or all(name in caption.lower() for name in piece.instruments), caption
            assert "{" not in caption and not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiouAEIOU]|  ", caption), caption
            assert "choir" not in piece.instruments or not re.search("vocals|singing|nstrumental", caption)
    assert len(tempos) >= 5 and len(moods) == len(MOODS)
    wrong = captions(compose(1, "swing"), "train", 1, random.Random(0))[0].replace("dorian", "C major") + " Largo."
    assert "largo" in said_wrongly(wrong, compose(1, "swing"))


def test_the_same_job_gives_the_same_sound_whatever_came_before(font: str) -> None:
    jobs = [job for job in music.jobs(0.01, 0, font) if not STYLES[job.style].solo_piano][:3]
    first = [music.render(job) for job in jobs]
    for job, made in zip(jobs[::-1], first[::-1], strict=True):
        again = music.render(job)
        assert np.array_equal(again.samples, made.samples) and again.custom == made.custom
        assert again.samples.dtype == np.float32 and 8 <= len(again.samples) / SAMPLE_RATE <= 12
        mean, peak = np.sqrt(np.mean(again.samples**2)), np.abs(again.samples).max()
        level = {"soft": 0.035, "medium": 0.06, "loud": 0.1}[made.custom["loudness"]]
        assert peak <= 0.95 and (mean == pytest.approx(level, rel=0.01) or peak == pytest.approx(0.95, rel=0.01))
        assert made.custom["piece"] == job.piece and len(made.custom["captions"]) >= 8
        assert all(len(note) == 5 for note in made.custom["score_notes"])


def pitch_hz(samples: np.ndarray, near: float) -> float:
    """The pitch within four semitones of `near` by autocorrelation with an interpolated peak."""
    size = 2 * len(samples)
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), size)) ** 2
    scores = np.fft.irfft(power)
    low, high = int(SAMPLE_RATE / near / 1.26), int(SAMPLE_RATE / near * 1.26) + 2
    lag = low + int(np.argmax(scores[low:high]))
    before, here, after = scores[lag - 1 : lag + 2]
    return SAMPLE_RATE / (lag + 0.5 * (before - after) / (before - 2 * here + after))


def test_a_solo_instrument_plays_the_pitches_of_its_score(font: str) -> None:
    found = [compose(seed, style) for style in ("classical", "eastern", "baroque") for seed in range(60)]
    solos = [piece for piece in found if piece.instruments in (("clarinet",), ("ocarina",), ("oboe",), ("recorder",))]
    cents = []
    for piece in solos[:4]:
        samples = music.play(piece.notes, piece.seconds, font, 0.06)
        for note in piece.notes:
            if note.end - note.start > 0.25:
                near = 440 * 2 ** ((note.pitch - 69) / 12)
                start = int((note.start + 0.1) * SAMPLE_RATE)
                cents.append(1200 * np.log2(pitch_hz(samples[start : int(note.end * SAMPLE_RATE)], near) / near))
    assert len(cents) > 30 and np.mean(np.abs(cents) < 50) >= 0.95


def onset_flux(samples: np.ndarray) -> np.ndarray:
    """Rise of the log spectrum every 10 ms, from frames of 32 ms."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, (256, 512)), 512)[::160]
    spectra = np.log1p(200 * np.abs(np.fft.rfft(frames * np.hanning(512), axis=1)))
    return np.maximum(np.diff(spectra, axis=0, prepend=spectra[:1]), 0).sum(axis=1)


def test_onsets_and_tempo_of_the_sound_are_those_of_the_score(font: str) -> None:
    piece = compose(2, "sonatina")
    flux = onset_flux(music.play(piece.notes, piece.seconds, font, 0.06))
    peaks = [i for i in range(3, len(flux) - 3) if flux[i] == flux[i - 3 : i + 4].max() > np.mean(flux)]
    starts = sorted({round(note.start, 2) for note in piece.notes})
    heard = [min(abs(start - 0.01 * peak) for peak in peaks) < 0.05 for start in starts]
    assert len(starts) > 25 and np.mean(heard) > 0.9
    bands = [next(p for seed in range(9) if "drums" in (p := compose(seed, s)).instruments) for s in DRUMMED]
    for piece in bands:
        flux = onset_flux(music.play(piece.notes, piece.seconds, font, 0.06))
        flux = flux[: int(100 * piece.frame.bars * piece.frame.bar_seconds)] - flux.mean()
        bpms = np.arange(0.75 * piece.frame.bpm, 1.3 * piece.frame.bpm, 0.5)
        waves = [np.exp(-2j * np.pi * bpms[:, None] * parts / 6000 * np.arange(len(flux))) for parts in (1, 2, 4)]
        scores = sum(np.abs(wave @ flux) for wave in waves)  # the beat, its half and its quarter
        assert bpms[int(np.argmax(scores))] == pytest.approx(piece.frame.bpm, rel=0.02), piece.frame


def timbre(samples: np.ndarray, pitch: int) -> np.ndarray:
    """Levels of the first ten harmonics and of what lies between them in dB / 10, and the decay of the second half."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    step = 440 * 2 ** ((pitch - 69) / 12) * len(samples) / SAMPLE_RATE
    peaks = [power[int(number * step * 0.98) : int(number * step * 1.02) + 1].sum() for number in range(1, 11)]
    between = power.sum() - sum(peaks)
    half = len(samples) // 2
    decay = np.mean(samples[half:] ** 2) / np.mean(samples[:half] ** 2)
    return np.log10(np.array([*peaks, between, decay * power.sum()]) / power.sum() + 1e-5)


def test_instruments_are_told_apart_by_their_harmonics(font: str) -> None:
    names = ("piano", "flute", "trumpet", "clarinet", "violin", "classical guitar", "church organ", "vibraphone")

    def heard(name: str, pitch: int) -> np.ndarray:
        note = Note("lead", INSTRUMENTS[name][0], pitch, 0.0, 0.9, 90)
        return timbre(music.play([note], 0.9, font, 0.06), pitch)

    known = {name: [heard(name, pitch) for pitch in (62, 65, 68, 71)] for name in names}
    right = 0
    for name, pitch in [(name, pitch) for name in names for pitch in (64, 67, 70)]:
        new = heard(name, pitch)
        right += name == min(names, key=lambda other: min(np.linalg.norm(new - old) for old in known[other]))
    assert right >= 0.85 * 3 * len(names)


def test_a_corpus_is_not_finished_with_another_soundfont(tmp_path: Path, font: str) -> None:
    def some(soundfont: str) -> Sequence[music.Music]:
        return sorted(music.jobs(0.001, 0, soundfont), key=lambda job: STYLES[job.style].solo_piano)[:2]

    make_corpus(tmp_path, "music", some(font), music.render, {"hours": 0.001, "seed": 0}, 0)
    rows = read_manifest(tmp_path)
    assert len(rows) == 2 and all(row.custom["caption"] and row.custom["score_notes"] for row in rows)
    with pytest.raises(InputError, match="holds a corpus of other content"):
        make_corpus(tmp_path, "music", some("Other 123"), music.render, {"hours": 0.001, "seed": 0}, 0)
    with pytest.raises(InputError, match="soundfont Other 123 is not here: install the one"):
        music.render(some("Other 123")[0])


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(music, "FLUID", Path("/nowhere.sf2"))
    monkeypatch.setattr(music.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="tinysoundfont is not installed: pip install"):
        music.needs()
    music.fonts.cache_clear()
    with pytest.raises(InputError, match="install the Debian package fluid-soundfont-gm"):
        music.plan(0.1, 0)
