"""Styles of speech: what is measured in the audio agrees with the words of the style, and the words are many."""

import itertools
import random
import shutil
from dataclasses import replace

import numpy as np
import pytest

from uniaudio.data.synthesize import speech
from uniaudio.data.synthesize.instructions import instruction, instructions
from uniaudio.data.synthesize.sentences import split_of
from uniaudio.data.synthesize.speakers import Speaker, speakers, voice_words
from uniaudio.data.synthesize.speech import Utterance, render, speak, stretched
from uniaudio.data.synthesize.styles import (
    LEVELS,
    PITCHES,
    PLAIN,
    RANGES,
    RATES,
    Style,
    draw_style,
    emphasised,
    emphatic_words,
    levelled,
)
from uniaudio.data.synthesize.timbre import reshape

TEXT = "We are all away in May, and nobody knew where the old river ran."
flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


def natural(base: str) -> Speaker:
    """The first training speaker of a flite voice (its natural one) or an espeak-ng variant."""
    return next(s for s in speakers() if s.base == base and s.split == "train")


def said(base: str, style: Style = PLAIN, text: str = TEXT) -> Utterance:
    tempo = RATES[style.rate]
    return Utterance(
        id="speech-train-000000", text=text, split="train", speaker=natural(base), tempo=tempo, style=style
    )


def pitch_hz(samples: np.ndarray) -> np.ndarray:
    """The pitch of each voiced frame."""
    pyworld = pytest.importorskip("pyworld")
    hertz = pyworld.dio(samples.astype(np.float64), 16000, f0_floor=60.0, f0_ceil=400.0)[0]
    return hertz[hertz > 0]


def spread(samples: np.ndarray) -> float:
    """How far the pitch swings: the 10th to the 90th percentile, in semitones."""
    low, high = np.percentile(pitch_hz(samples), (10, 90))
    return float(12 * np.log2(high / low))


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))


# what is drawn


def test_half_is_plain_and_every_value_is_drawn() -> None:
    draws = [draw_style(random.Random(seed), TEXT) for seed in range(2000)]
    assert 0.45 < draws.count(PLAIN) / len(draws) < 0.55
    assert {d.rate for d in draws} == RATES.keys() and {d.pitch for d in draws} == PITCHES.keys()
    assert {d.range for d in draws} == RANGES.keys() and {d.energy for d in draws} == LEVELS.keys()
    words = {TEXT.split()[d.emphasis] for d in draws if d.emphasis is not None}
    assert words == {"all", "away", "nobody", "knew", "old", "river", "ran."}
    assert draw_style(random.Random(7), TEXT) == draw_style(random.Random(7), TEXT)
    never = [draw_style(random.Random(seed), "We go! He said so.", without=("range", "pitch")) for seed in range(300)]
    assert {(d.range, d.pitch, d.emphasis) for d in never} == {("normal", "normal", None)}


def test_only_content_words_of_an_unbroken_sentence_are_emphasised() -> None:
    assert emphatic_words("The old captain was there, and she saw him.") == [1, 2, 7]
    assert emphatic_words("Alas; the captain is gone.") == [] and emphatic_words("He is! The captain.") == []


def test_the_plan_draws_styles_that_speakers_can_vary() -> None:
    utterances = speech.plan(hours=2.0, seed=1)
    plain = sum(u.style == PLAIN for u in utterances) / len(utterances)
    assert 0.45 < plain < 0.55
    for u in utterances:
        assert u.tempo / RATES[u.style.rate] == pytest.approx(1.0, abs=0.081)
        assert u.style.range == "normal" or u.speaker.base != "rms"
        assert u.style.emphasis is None or u.style.emphasis < len(u.text.split())
    on_flite = sum(u.speaker.engine == "flite" for u in utterances) / len(utterances)
    assert on_flite > 0.75, "most hours are of the engine that is understood"


# what is written


@pytest.mark.parametrize("voice", [("male", "deep"), ("female", "bright", "light"), ("neutral",)])
def test_every_style_has_wordings_in_every_split(voice: tuple[str, ...]) -> None:
    for rate, pitch, energy, emphasis in itertools.product(RATES, PITCHES, LEVELS, (None, 12)):
        style = Style(rate=rate, pitch=pitch, energy=energy, emphasis=emphasis)
        found: dict[str, list[str]] = {}
        for split in ("train", "dev", "test"):
            found[split] = instructions(style, voice, random.Random(5), split, "river")
            assert len(found[split]) == len(set(found[split])) >= 8
            assert {split_of(text) for text in found[split]} == {split}
            assert all(("river" in text) == (emphasis is not None) for text in found[split])
        assert not set(found["train"]) & set(found["test"]) and not set(found["dev"]) & set(found["test"])
        assert found["test"] == instructions(style, voice, random.Random(5), "test", "river")


def test_a_wording_names_what_is_asked_for_and_never_its_contrary() -> None:
    slow = "slow|unhurried|taking your time|without any hurry"
    fast = "quick|fast|hurriedly|rush|rapid|high speed"
    for seed in range(200):
        text = instruction(Style(rate="slow", energy="loud"), ("male",), random.Random(seed), "train").lower()
        assert any(way in text for way in slow.split("|")) and not any(
            way in text for way in ("quick", "fast", "rapid")
        )
        assert any(way in text for way in ("loud", "powerful", "volume", "energy", "force"))
        assert any(noun in text for noun in ("male", "man", "masculine")) and "woman" not in text
        text = instruction(Style(rate="fast"), ("female",), random.Random(seed), "train").lower()
        assert any(way in text for way in fast.split("|")) and "slow" not in text


def test_there_are_hundreds_of_wordings_of_one_style() -> None:
    style = Style(pitch="high")
    texts = {instruction(style, ("female", "bright"), random.Random(seed), "train") for seed in range(400)}
    assert len(texts) > 350


def test_voices_are_named_by_what_is_heard() -> None:
    man = Speaker(name="a", engine="flite", base="rms", formant_ratio=0.92, pitch_hz=85.0, split="train", tilt_db=-2.0)
    woman = Speaker(
        name="b", engine="flite", base="slt", formant_ratio=1.08, pitch_hz=220.0, split="train", tilt_db=2.0
    )
    assert voice_words(man) == ("male", "deep", "dark") and voice_words(woman) == ("female", "light", "bright")
    assert {voice_words(speaker)[0] for speaker in speakers()} == {"male", "female", "neutral"}


# what is heard


def test_the_envelope_moves_and_tilts_without_the_pitch() -> None:
    seconds = np.arange(32000) / 16000
    partials = np.arange(1, 60)[:, None]  # a 120 Hz tone with one formant at 2200 Hz
    weights = np.exp(-(((120 * partials - 2200) / 350) ** 2)) + 0.01
    tone = 0.02 * (weights * np.cos(2 * np.pi * 120 * partials * seconds)).sum(0)

    def spectrum(samples: np.ndarray) -> np.ndarray:
        return np.abs(np.fft.rfft(samples[8000:24000] * np.hanning(16000)))  # one bin a hertz

    def formant(samples: np.ndarray) -> float:
        weight = spectrum(samples)[1200:3600] ** 2
        return float((weight * np.arange(1200, 3600)).sum() / weight.sum())

    moved = reshape(tone, ratio=1.15)
    assert len(moved) == len(tone) and formant(moved) / formant(tone) == pytest.approx(1.15, abs=0.03)
    peaks = spectrum(moved)[[2279, 2280, 2281, 2340]]
    assert peaks[1] > 10 * peaks[3], "the partials stay multiples of 120 Hz"
    tilted = 20 * np.log10(spectrum(reshape(tone, tilt_db=3.0)) / spectrum(tone))
    assert tilted[2400] - tilted[1200] == pytest.approx(3.0, abs=0.5)
    assert reshape(tone) is tone


def test_levels_follow_the_energy_and_never_clip() -> None:
    noise = np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.01
    for energy, level in LEVELS.items():
        assert rms(levelled(noise, energy)) == pytest.approx(level, rel=1e-3)
    noise[5] = 1.0
    assert np.abs(levelled(noise, "loud")).max() == pytest.approx(0.98)
    ones = np.ones(16000)
    louder = 20 * np.log10(emphasised(ones, 0.25, 0.75))
    assert louder[8000] == pytest.approx(4.0) and louder[:4000].max() == louder[12001:].max() == 0.0


def test_the_emphasised_word_is_found_by_what_lasts_longer() -> None:
    one = [["pau", 0.0, 0.1], ["dh", 0.1, 0.2], ["ax", 0.2, 0.3], ["pau", 0.3, 0.4], ["b", 0.4, 0.5], ["iy", 0.5, 0.7]]
    two = [["pau", 0.0, 0.1], ["dh", 0.1, 0.2], ["ax", 0.2, 0.3], ["b", 0.3, 0.46], ["iy", 0.46, 0.8]]
    assert stretched(one, two) == (0.3, 0.8)
    assert stretched(one, one) is None


@flite
@pytest.mark.parametrize("base", ["slt", "awb", "rms", "kal16"])
def test_flite_is_as_slow_and_as_high_as_asked(base: str) -> None:
    pace, height = {}, {}
    for rate, pitch in (("slow", "low"), ("normal", "normal"), ("fast", "high")):
        samples, segments = speak(said(base, Style(rate=rate, pitch=pitch)))
        assert segments is not None and segments[-1][2] == pytest.approx(len(samples) / 16000, abs=0.02)
        spoken = [(start, end) for phone, start, end in segments if phone != "pau"]
        pace[rate] = len(spoken) / sum(end - start for start, end in spoken)
        height[pitch] = np.median(pitch_hz(samples))
        assert rms(samples) == pytest.approx(0.06, rel=1e-3)
    assert pace["slow"] / pace["normal"] == pytest.approx(RATES["slow"], rel=0.08)
    assert pace["fast"] / pace["normal"] == pytest.approx(RATES["fast"], rel=0.08)
    assert height["low"] / height["normal"] == pytest.approx(PITCHES["low"], rel=0.06)
    assert height["high"] / height["normal"] == pytest.approx(PITCHES["high"], rel=0.06)


@flite
@pytest.mark.parametrize("base", ["slt", "awb", "kal16"])
def test_flite_is_as_lively_as_asked(base: str) -> None:
    flat, usual, lively = (spread(speak(said(base, Style(range=value)))[0]) for value in RANGES)
    assert flat < 0.75 * usual and lively > 1.4 * usual


@flite
def test_quiet_speech_is_darker_and_loud_speech_brighter() -> None:
    brightness = {}
    for energy, level in LEVELS.items():
        samples = speak(said("slt", Style(energy=energy)))[0]
        assert rms(samples) == pytest.approx(level, rel=0.05) and np.abs(samples).max() <= 0.981
        spectrum = np.abs(np.fft.rfft(samples)) ** 2
        hertz = np.fft.rfftfreq(len(samples), 1 / 16000)
        brightness[energy] = 10 * np.log10(spectrum[hertz > 2000].sum() / spectrum[hertz < 1000].sum())
    assert brightness["quiet"] + 1 < brightness["normal"] < brightness["loud"] - 1


@flite
@pytest.mark.parametrize("base", ["slt", "rms"])
def test_the_emphasised_word_is_longer_and_louder_and_the_others_stay(base: str) -> None:
    word = ["r", "ih", "v", "er"]
    measured = []
    for style in (PLAIN, Style(emphasis=12)):
        assert TEXT.split()[12] == "river"
        samples, segments = speak(said(base, style))
        assert segments is not None
        phones = [phone for phone, _, _ in segments]
        first = next(i for i in range(len(phones)) if phones[i : i + 4] == word)
        start, end = segments[first][1], segments[first + 3][2]
        inside = samples[int(start * 16000) : int(end * 16000)]
        others = samples[int(segments[1][1] * 16000) : int(start * 16000)]
        measured.append((end - start, rms(inside) / rms(others), start, phones))
    plain, marked = measured
    assert marked[0] / plain[0] == pytest.approx(1 / 0.6, rel=0.1) and marked[1] > 1.25 * plain[1]
    assert marked[2] == pytest.approx(plain[2], abs=0.01) and marked[3] == plain[3]


@espeak
def test_espeak_follows_the_style() -> None:
    base = next(s.base for s in speakers() if s.engine == "espeak" and s.gender == "male")
    plain, segments = speak(said(base))
    assert segments is None
    slow, _ = speak(said(base, Style(rate="slow", energy="quiet")))
    fast, _ = speak(said(base, Style(rate="fast", energy="loud")))
    assert len(slow) > 1.15 * len(plain) > 1.3 * len(fast)
    assert rms(slow) == pytest.approx(0.03, rel=0.05) and rms(plain) == pytest.approx(0.06, rel=0.01)
    assert rms(fast) > 0.09
    usual = np.median(pitch_hz(plain))
    for pitch, factor in PITCHES.items():
        heard = np.median(pitch_hz(speak(said(base, Style(pitch=pitch)))[0]))
        assert heard / usual == pytest.approx(factor, rel=0.07)
    flat, lively = (speak(said(base, Style(range=value)))[0] for value in ("monotone", "lively"))
    assert spread(flat) < 0.6 * spread(plain) and spread(lively) > 1.4 * spread(plain)
    for samples in (flat, lively):
        assert np.median(pitch_hz(samples)) / usual == pytest.approx(1.0, abs=0.1)
    assert len(speak(said(base, Style(emphasis=12)))[0]) > len(plain) + 0.05 * 16000


@flite
def test_a_recording_carries_its_style_and_wordings() -> None:
    utterance = replace(said("slt", Style(rate="slow", emphasis=12)), wording=5)
    one, two = render(utterance), render(utterance)
    assert np.array_equal(one.samples, two.samples) and one.custom == two.custom
    assert one.custom["style"] == {
        "rate": "slow",
        "pitch": "normal",
        "range": "normal",
        "energy": "normal",
        "emphasis": 12,
    }
    assert len(one.custom["instructions"]) == 8 and all('"river"' in text for text in one.custom["instructions"])
    assert one.custom["instruction"] == one.custom["instructions"][0] and one.custom["tempo"] == RATES["slow"]
    assert one.custom["voice"][0] == "female"
    assert render(replace(utterance, wording=6)).custom["instructions"] != one.custom["instructions"]
