"""Phone times of recordings: espeak's own speech, pauses, learnt models, flite's own times, and what fails."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("espeakng_loader")
from uniaudio.data import align as align_module
from uniaudio.data.align import align, boundary_errors, learn_models
from uniaudio.data.timed_espeak import MARKS, TimedSpeech, _carry, timed_speech
from uniaudio.errors import InputError
from uniaudio.tokenizers.phoneme import PHONEME_IDS, TimedPhone, espeak, phonemes, timed_phonemes

HORSE = "The old horse runs along the river."
SENTENCES = [
    HORSE,
    "She keeps seven yellow boats near the harbour.",
    "Nobody told him where the money came from.",
    "Bring a clean cup of water to the garden.",
]


def spoken(timed: list[TimedPhone]) -> list[TimedPhone]:
    return [entry for entry in timed if entry[0] not in MARKS and entry[0] != "sil"]


def errors(timed: list[TimedPhone], truth: TimedSpeech, shift: float = 0.0) -> np.ndarray:
    assert [phone for phone, _, _ in spoken(timed)] == truth.phones
    return np.abs(np.array([start for _, start, _ in spoken(timed)]) - truth.starts - shift)


def check_gapless(timed: list[TimedPhone], seconds: float) -> None:
    assert timed[0][1] == 0.0 and timed[-1][2] == pytest.approx(seconds)
    assert all(start == previous[2] for previous, (_, start, _) in zip(timed, timed[1:], strict=False))
    assert all(end > start and phone in PHONEME_IDS for phone, start, end in timed)


@pytest.mark.parametrize("variant", ["m3", "f2"])
def test_espeaks_own_speech_keeps_its_times(variant: str):
    truth = timed_speech(HORSE, variant)
    timed = align(truth.samples, HORSE)
    check_gapless(timed, len(truth.samples) / 16000)
    assert np.median(errors(timed, truth)) < 0.01 and errors(timed, truth).max() < 0.04


def test_another_voice_at_another_tempo_is_followed():
    truth = timed_speech(HORSE, "m7", 120)
    assert np.median(errors(align(truth.samples, HORSE), truth)) < 0.02


def test_silence_around_and_a_pause_without_a_mark_are_found():
    truth = timed_speech(HORSE, "m3")
    cut = round(truth.starts[truth.phones.index("ɹ")] * 16000)  # "horse | runs"
    parts = [np.zeros(8000), truth.samples[:cut], np.zeros(6400), truth.samples[cut:], np.zeros(4800)]
    samples = np.concatenate(parts).astype(np.float32)
    samples += 1e-4 * np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32)
    timed = align(samples, HORSE)
    check_gapless(timed, len(samples) / 16000)
    assert timed[0][0] == "sil" and 0.45 < timed[0][2] < 0.56
    assert timed[-1][0] == "." and timed[-1][2] - timed[-1][1] > 0.28
    inside = [entry for entry in timed[1:-1] if entry[0] == "sil"]
    assert len(inside) == 1 and inside[0][1:] == pytest.approx((0.5 + cut / 16000, 0.9 + cut / 16000), abs=0.03)
    after = timed[timed.index(inside[0]) + 1]
    assert after[0] == "ɹ"


def test_a_click_before_and_half_a_minute_of_silence_after_change_nothing():
    truth = timed_speech(HORSE, "m3")
    samples = np.concatenate([np.zeros(16000, np.float32), truth.samples, np.zeros(480000, np.float32)])
    samples[3000:3040] = 0.3
    assert np.median(errors(align(samples, HORSE), truth, shift=1.0)) < 0.01


@pytest.mark.parametrize(
    ("loud", "rows", "pauses"),
    [
        ("5. 20# 9. 20# 5.", 49, 0),  # a closure is no pause
        ("5. 20# 40. 20# 5.", 41, 1),
        ("5. 3# 40. 20# 50. 30# 60. 4#", 51, 1),  # clicks at both ends
        ("4#", 4, 0),
        ("20# 40. 3# 40. 20#", 45, 2),
    ],
)
def test_long_pauses_become_one_row(loud: str, rows: int, pauses: int):
    runs = [np.full(int(run[:-1]), run[-1] == "#") for run in loud.split()]
    found, pause = align_module._spoken_rows(np.concatenate(runs))
    assert len(found) == len(pause) == rows and pause.sum() == pauses
    assert (np.diff(found) > 0).all() and not pause[-1]


def test_a_pause_at_a_comma_is_the_comma():
    text = "In the morning, we walk to the lake."
    truth = timed_speech(text, "m1", 110)
    timed = align(truth.samples, text)
    comma = next(entry for entry in timed if entry[0] == ",")
    before = truth.phones.index("ŋ")
    assert comma[1:] == pytest.approx((truth.ends[before], truth.starts[before + 1]), abs=0.04)
    assert "sil" not in [phone for phone, _, _ in timed[1:-1]]


def test_learnt_models_align_other_voices_and_skip_what_cannot_be_aligned():
    recordings = [(timed_speech(text, voice).samples, text) for text in SENTENCES[1:] for voice in ("m1", "f4")]
    models = learn_models([*recordings, (np.zeros(16000, np.float32), HORSE)])
    truth = timed_speech(HORSE, "m3")
    timed = align(truth.samples, HORSE, models)
    check_gapless(timed, len(truth.samples) / 16000)
    assert np.median(errors(timed, truth)) < 0.02
    with pytest.raises(InputError, match="no recording could be aligned"):
        learn_models([(np.zeros(16000, np.float32), HORSE)])


@pytest.mark.skipif(shutil.which("flite") is None, reason="needs flite")
def test_flites_own_times_are_met(tmp_path: Path):
    import soundfile

    found: list[np.ndarray] = []
    for number, text in enumerate(SENTENCES):
        path = tmp_path / f"{number}.wav"
        command = ["flite", "-voice", "rms", "-psdur", "-o", str(path), "-t", text]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        samples, rate = soundfile.read(path, dtype="float32")
        assert rate == 16000
        segments, start = [], 0.0
        for phone, end in re.findall(r"(\S+):([\d.]+)", printed):
            segments.append([phone, start, float(end)])
            start = float(end)
        found.append(boundary_errors(align(samples, text), text, segments))
    assert all(len(errors) > 10 for errors in found)
    assert np.median(np.abs(np.concatenate(found))) <= 0.025


def test_phones_that_share_a_segment_do_not_count_as_errors():
    segments = [["pau", 0.0, 0.1], ["hh", 0.1, 0.2], ["ao", 0.2, 0.5], ["s", 0.5, 0.6], ["pau", 0.6, 0.7]]
    timed = [("sil", 0.0, 0.1), ("h", 0.1, 0.2), ("ˈoːɹ", 0.2, 0.45), ("s", 0.45, 0.6), (".", 0.6, 0.7)]
    assert phonemes("Horse.") == ["h", "ˈɔːɹ", "s", "."]
    assert len(boundary_errors(timed, "Horse.", segments)) == 0  # another vowel: nothing to compare
    timed[2] = ("ˈɔːɹ", 0.2, 0.45)
    assert boundary_errors(timed, "Horse.", segments) == pytest.approx([0.0, 0.0, -0.05])
    shared = [["pau", 0.0, 0.1], ["hh", 0.1, 0.4], ["s", 0.4, 0.6], ["pau", 0.6, 0.7]]  # "h" and the vowel in one
    assert boundary_errors(timed, "Horse.", shared) == pytest.approx([0.05])


def test_the_reference_leaves_the_engine_as_it_was():
    before, times = phonemes(HORSE), timed_phonemes(HORSE)
    fast = timed_speech(HORSE, "f2", 300)
    assert len(fast.samples) < 0.75 * len(timed_speech(HORSE, "f2", 175).samples)
    assert phonemes(HORSE) == before
    again = timed_phonemes(HORSE)
    assert again[0] == times[0] and np.array_equal(again[1][0], times[1][0])
    assert espeak().sample_rate == times[1][1]


def test_other_phones_of_the_engine_share_its_time():
    times = np.array([[0.0, 0.1], [0.1, 0.3], [0.3, 0.4]])
    starts, ends = _carry(["a", "b", "c", "d"], ["a", "x", "d"], times)
    assert starts.tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3]) and ends.tolist() == pytest.approx(
        [0.1, 0.2, 0.3, 0.4]
    )
    starts, ends = _carry(["a", "d"], ["a", "x", "d"], times)
    assert starts.tolist() == pytest.approx([0.0, 0.3]) and ends[-1] == pytest.approx(0.4)


def test_warping_recovers_a_known_path():
    random = np.random.default_rng(0)
    theirs = random.standard_normal((40, 5)).astype(np.float32)
    path = np.sort(np.concatenate([np.arange(40), random.integers(0, 40, 20)]))
    none = np.zeros(60, bool)
    found, cost = align_module._warp(theirs[path], theirs, none, np.full(40, np.inf, dtype=np.float32))
    assert np.array_equal(found, path) and cost < 0.3


def test_a_long_text_is_aligned_within_the_band(monkeypatch: pytest.MonkeyPatch):
    text = " ".join(SENTENCES[:2])
    truth = timed_speech(text, "m1", 150)
    whole = align(truth.samples, text)
    monkeypatch.setattr(align_module, "_BAND", 60)  # 0.3 of 5 seconds
    check_gapless(align(truth.samples, text), len(truth.samples) / 16000)
    assert np.median(errors(align(truth.samples, text), truth)) < 0.02 and np.median(errors(whole, truth)) < 0.02


@pytest.mark.parametrize(
    ("starts", "rows", "bounds"),
    [([0, 5, 9], 12, [0, 5, 9, 12]), ([0, 5, 5, 5], 12, [0, 5, 6, 7, 12]), ([3, 11, 11], 12, [0, 10, 11, 12])],
)
def test_every_phone_gets_at_least_one_row(starts: list[int], rows: int, bounds: list[int]):
    assert align_module._bounds(np.array(starts), rows).tolist() == bounds


@pytest.mark.parametrize(
    ("samples", "text", "message"),
    [
        (np.zeros(16000, np.float32), HORSE, "silent"),
        (np.zeros(0, np.float32), HORSE, "silent"),
        (0.1 * np.sin(np.arange(48000, dtype=np.float32)), HORSE, "steady sound"),
        (np.full(16000, 0.5, np.float32), "", "text is empty"),
        (np.full((2, 16000), 0.5, np.float32), HORSE, "one channel"),
        (np.full(16000, np.nan, np.float32), HORSE, "finite"),
    ],
)
def test_what_cannot_be_aligned_is_named(samples: np.ndarray, text: str, message: str):
    with pytest.raises(InputError, match=message) as caught:
        align(samples, text)
    assert "\n" not in str(caught.value)


def test_a_recording_far_shorter_than_its_text_is_named():
    samples = timed_speech("Go!", "m3").samples
    with pytest.raises(InputError, match="too short for the .* phones"):
        align(samples, HORSE)
