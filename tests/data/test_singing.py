"""Made singing: scores that hold, splits apart, and audio whose pitch and vowels are where the score says."""

import itertools
import math
import shutil
from collections.abc import Callable

import numpy as np
import pytest

from uniaudio.data.synthesize import singing, vocoder
from uniaudio.data.synthesize.melodies import MELODIES
from uniaudio.data.synthesize.sentences import grammar_sentences, split_of
from uniaudio.data.synthesize.singers import singers
from uniaudio.data.synthesize.songs import (
    MADE,
    Syllable,
    break_line,
    compose,
    fit,
    hyphenate,
    phrases_of,
    song_seconds,
    syllables_of,
)
from uniaudio.data.synthesize.vocoder import FRAME_SECONDS, Stretch
from uniaudio.errors import InputError
from uniaudio.tokenizers.midi import MELISMA, Note, parse_score

SINGER = singers("train")[0]
HAS_ENGINES = shutil.which("flite") is not None


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[singing.Song]]:
    sentences = [*grammar_sentences(600, seed=0), "Come home now.", "Away with the wind."]
    monkeypatch.setattr(singing, "all_sentences", lambda: sentences)
    return singing.plan


def test_splits_share_no_line_text_singer_or_piece(planned: Callable[..., list[singing.Song]]) -> None:
    songs = planned(2.0, 5)
    assert songs == planned(2.0, 5) != planned(2.0, 6)
    assert len({song.id for song in songs}) == len(songs)
    for song in songs:
        assert {split_of(line) for line in song.lines} == {song.split} == {split_of(" ".join(song.lines))}
        assert song.singer.split == song.split and 60 <= song.tempo_bpm <= 140
        assert MELODIES[song.piece].split == song.split if song.piece in MELODIES else song.split in song.piece
    for one, two in itertools.combinations(("train", "dev", "test"), 2):
        left, right = ([song for song in songs if song.split == split] for split in (one, two))
        assert left and right
        assert not {song.piece for song in left} & {song.piece for song in right}
        assert not {song.singer.name for song in left} & {song.singer.name for song in right}
    assert {song.split for song in planned(0.001, 0)} == {"train", "dev", "test"}


def test_singers_are_many_and_apart() -> None:
    everyone = [singer for split in ("train", "dev", "test") for singer in singers(split)]
    assert len(singers("train")) >= 10 and len(singers("dev")) >= 2 and len(singers("test")) >= 3
    assert len({singer.name for singer in everyone}) == len(everyone)
    for one, two in itertools.combinations(everyone, 2):
        if one.base == two.base:
            assert abs(math.log(one.formant_ratio / two.formant_ratio)) > 0.03, (one.name, two.name)
    for singer in everyone:
        assert singer.high - singer.low >= 17 and singer.vibrato_cents <= 45


@pytest.mark.parametrize(
    ("word", "count", "parts"),
    [
        ("twinkle", 2, ["twin", "kle"]),
        ("wanted", 2, ["wan", "ted"]),
        ("walked", 1, ["walked"]),
        ("idea", 3, ["i", "de", "a"]),
        ("calculation", 4, ["cal", "cu", "la", "tion"]),
        ("something", 2, ["some", "thing"]),
        ("mm", 3, ["mm"]),
    ],
)
def test_words_are_hyphenated(word: str, count: int, parts: list[str]) -> None:
    assert hyphenate(word, count) == parts


def test_syllables_hold_every_phone_once() -> None:
    found = syllables_of("extra", "eh k s t r ax".split(), 10)
    assert found == [
        Syllable(lyric="ex-", first=10, vowel=10, stop=12),
        Syllable(lyric="tra", first=12, vowel=15, stop=16),
    ]
    singer = syllables_of("singer", "s ih ng er".split(), 0)
    assert [(s.first, s.vowel, s.stop) for s in singer] == [(0, 1, 3), (3, 3, 4)]  # no syllable begins with ng
    assert [s.lyric for s in syllables_of("mm", ["m", "m"], 0)] == ["mm"]


def test_lines_break_evenly_between_words() -> None:
    assert break_line([1, 1, 1, 1, 1, 1], 3.0) == [3, 3]
    assert break_line([4, 1, 1, 2], 4.0) == [1, 3]
    assert break_line([2], 0.5) == [1]


@pytest.mark.parametrize("count", [1, 3, 6, 8, 11])
@pytest.mark.parametrize("name", sorted(MELODIES))
def test_a_phrase_of_a_tune_takes_any_number_of_syllables(name: str, count: int) -> None:
    for phrase in phrases_of(MELODIES[name]):
        fitted = fit(phrase, count)
        assert [number for _, _, number in fitted if number >= 0] == list(range(count)) and fitted[0][2] == 0
        assert {pitch for pitch, _, _ in fitted} <= {pitch for pitch, _ in phrase}


def words(sizes: str) -> list[list[list[Syllable]]]:
    """Lines such as "21 3" of words of that many syllables, each syllable "t aa n"."""
    places = itertools.count(0, 3)
    lines: list[list[list[Syllable]]] = []
    for line in sizes.split():
        lines.append([])
        for size in map(int, line):
            lyrics = ["la-"] * (size - 1) + ["la"]
            starts = [(lyric, next(places)) for lyric in lyrics]
            lines[-1].append([Syllable(lyric=lyric, first=at, vowel=at + 1, stop=at + 3) for lyric, at in starts])
    return lines


@pytest.mark.parametrize(
    "piece", [f"{MADE}-train-{n:06d}" for n in range(12)] + ["twinkle", "silent_night", "my_bonnie"]
)
def test_a_composed_song_is_a_score_in_the_register(piece: str) -> None:
    lines = words("12112 2131")
    sung, tempo = compose(lines, piece, 100.0, (57, 76), seed=3)
    again, _ = compose(lines, piece, 100.0, (57, 76), seed=3)
    notes = [note for one in sung for note in one.notes]
    assert sung == again and 60 <= tempo <= 140
    assert parse_score([vars(note) for note in notes]) == notes
    assert [one.syllable for one in sung] == [syllable for line in lines for word in line for syllable in word]
    assert all(57 <= note.pitch <= 76 for note in notes) and 3.5 < song_seconds(sung) < 12.5
    assert [one.notes[0].lyric for one in sung] == [one.syllable.lyric for one in sung]
    assert all(note.lyric == MELISMA for one in sung for note in one.notes[1:])
    for one, two in itertools.pairwise(sung):
        gap = two.notes[0].start - one.notes[-1].end
        assert two.opens == one.closes and (gap >= 0.4 if two.opens else abs(gap) < 1e-3)


def test_vowels_begin_with_their_notes_and_phones_do_not_overlap() -> None:
    sung, _ = compose(words("121121"), "twinkle", 120.0, (57, 76), seed=0)
    phones = [(name, 0.1 * i, 0.1 * i + 0.1) for i, name in enumerate(["t", "aa", "n"] * 8)]
    placed = singing.place_phones(sung, phones)
    assert [one.phone for one in placed] == [name for name, _, _ in phones]
    assert [one.start for one in placed if one.holds] == [one.notes[0].start for one in sung]
    for one, two in itertools.pairwise(placed):
        assert one.start < one.end <= two.start + 1e-9
    assert placed[-1].end == pytest.approx(sung[-1].notes[-1].end) and placed[0].start > 0


def test_a_held_vowel_is_stretched_in_its_middle_only() -> None:
    held = Stretch(phone="aa", source=1.0, source_end=1.1, start=0.0, end=0.5, holds=True)
    frames = vocoder.source_frames([held], 100)
    assert np.allclose(np.diff(frames[:8]), 1.0) and np.allclose(np.diff(frames[93:]), 1.0, atol=0.01)
    assert frames[0] == pytest.approx(200.0) and frames[-1] == pytest.approx(219.0, abs=0.1)
    assert np.all(np.diff(frames[10:90]) < 0.1)


def test_the_pitch_curve_keeps_to_the_score() -> None:
    pitches = (60, 64, 67, 67, 55, 57)
    notes = [Note(start=0.5 * i + 0.2, end=0.5 * i + 0.7, pitch=p, lyric="la") for i, p in enumerate(pitches)]
    curve = vocoder.pitch_curve(notes, SINGER, 700, np.random.default_rng(0))
    seconds = np.arange(700) * FRAME_SECONDS
    off = np.concatenate(
        [1200 * np.log2(curve[(seconds >= n.start) & (seconds < n.end)] / 440) - 100 * (n.pitch - 69) for n in notes]
    )
    assert np.mean(np.abs(off) <= 50) > 0.95
    long = vocoder.pitch_curve([Note(start=0.0, end=3.0, pitch=60, lyric="la")], SINGER, 600, np.random.default_rng(0))
    cents = 1200 * np.log2(long[100:500] / long[100:500].mean())
    assert np.argmax(np.abs(np.fft.rfft(cents))) / 2.0 == pytest.approx(SINGER.vibrato_hz, rel=0.12)
    assert 30 < np.ptp(cents) < 100 and np.ptp(1200 * np.log2(long[10:24] / long[24])) < 50


@pytest.mark.skipif(not HAS_ENGINES, reason="flite is not installed")
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_the_song_is_sung_as_written(split: str) -> None:
    pytest.importorskip("pyworld")
    pytest.importorskip("parselmouth")
    piece = {"train": "twinkle", "dev": "frere_jacques", "test": "made-test-000001"}[split]
    song = singing.Song(
        id=f"singing-{split}-000000",
        split=split,
        lines=("Over the hills the river runs.", "Come home."),
        singer=singers(split)[0],
        piece=piece,
        tempo_bpm=100.0,
        seed=7,
    )
    made = singing.render(song)
    samples, score = made.samples, parse_score(made.custom["score"])
    assert samples.dtype == np.float32 and np.abs(samples).max() <= 0.98
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.06, rel=0.01)
    assert vocoder.pitch_agreement(samples, score, 0.04) >= 0.95 and vocoder.pitch_agreement(samples, score) >= 0.9
    wrong = [Note(start=n.start, end=n.end, pitch=n.pitch + 1, lyric=n.lyric) for n in score]
    assert vocoder.pitch_agreement(samples, wrong) < 0.2
    assert "".join(n.lyric.strip("-") for n in score) == "OverthehillstheriverrunsComehome"
    assert made.phones is not None and made.phones[0][0] == made.phones[-1][0] == "pau"
    assert all(one[2] == two[1] and one[1] < one[2] for one, two in itertools.pairwise(made.phones))
    assert made.phones[-1][2] == pytest.approx(len(samples) / 16000, abs=0.01)
    vowels = [start for phone, start, _ in made.phones if phone in singing.VOWELS]
    starts = [note.start for note in score if note.lyric != MELISMA]
    assert vowels == pytest.approx(starts, abs=1e-3)
    if split == "train":
        assert np.array_equal(singing.render(song).samples, samples)


@pytest.mark.skipif(not HAS_ENGINES, reason="flite is not installed")
def test_a_breath_is_heard_before_a_phrase() -> None:
    pytest.importorskip("pyworld")
    song = singing.Song(
        id="x", split="train", lines=("Go far away.",), singer=SINGER, piece="made-x", tempo_bpm=90.0, seed=1
    )
    made = singing.render(song)
    first = next(start for phone, start, _ in made.phones or [] if phone != "pau")
    before = made.samples[: round(first * 16000)]
    assert 0.002 < np.sqrt(np.mean(before[len(before) // 2 :] ** 2)) < 0.03


def test_a_missing_engine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(InputError, match="apt-get install flite"):
        singing.needs()
    monkeypatch.setattr(shutil, "which", lambda program: "/usr/bin/flite")
    monkeypatch.setattr(singing, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install pyworld"):
        singing.needs()
