"""The judges give known answers, and get worse when the audio does."""

import sys
from pathlib import Path

import numpy as np
import pytest

from uniaudio.audio.io import Audio, read_audio
from uniaudio.errors import InputError
from uniaudio.evaluate.metrics import PACKAGES
from uniaudio.evaluate.metrics.speaker_similarity import similarity, speaker_embedding
from uniaudio.evaluate.metrics.stoi import stoi
from uniaudio.evaluate.metrics.wer import plain_words, recognise, word_error_rate
from uniaudio.evaluate.report import mean_with_interval, table
from uniaudio.evaluate.run import evaluate_tasks
from uniaudio.weights import FOLDER

VOICES = sorted((FOLDER / "voices").glob("*.flac"))


def with_noise(audio: Audio, snr_db: float) -> Audio:
    noise = np.random.default_rng(0).standard_normal(audio.samples.shape)
    scale = np.sqrt(np.mean(audio.samples**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)
    return Audio((audio.samples + scale * noise).clip(-1, 1).astype(np.float32), audio.sample_rate)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_missing_judge_is_named_with_the_way_to_install_it(package: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"needs the package {package}.*pip install") as caught:
        evaluate_tasks(["codec"], "no-such-model", Path("data"), Path("out"), None, 0)
    assert "\n" not in str(caught.value)


def test_word_error_rate_counts_edits():
    assert word_error_rate(["one two three four"], ["one two three four"]) == 0
    assert word_error_rate(["one two three four"], ["one too three"]) == pytest.approx(0.5)
    assert word_error_rate(["one two", "three four"], ["one two", ""]) == pytest.approx(0.5)
    assert word_error_rate(["Don't stop!"], ["don't  STOP"]) == 0
    assert plain_words("Well-known, isn't it?") == "well known isn't it"


def test_the_recogniser_hears_words_in_speech_and_none_in_silence():
    assert recognise(Audio(np.zeros((1, 16000), np.float32), 16000)) == ""
    heard = [recognise(read_audio(path)) for path in VOICES]
    assert sum(len(words.split()) >= 4 for words in heard) >= len(VOICES) - 1


def test_stoi_is_one_for_the_original_and_falls_with_noise():
    original = read_audio(VOICES[0])
    assert stoi(original, original) == pytest.approx(1.0, abs=1e-6)
    scores = [stoi(original, with_noise(original, snr)) for snr in (20, 10, 0, -10)]
    assert scores == sorted(scores, reverse=True) and scores[-1] < 0.7
    with pytest.raises(ValueError, match="at least 0.5 s"):
        stoi(Audio(original.samples[:, :100], 16000), original)


def test_the_speaker_judge_tells_voices_apart():
    whole = [read_audio(path) for path in VOICES]
    halves = [
        [Audio(np.ascontiguousarray(part), 16000) for part in np.array_split(audio.samples, 2, axis=1)]
        for audio in whole
    ]
    first, second = ([speaker_embedding(half[i]) for half in halves] for i in (0, 1))
    scores = np.array([[similarity(a, b) for b in second] for a in first])
    assert np.mean(scores.argmax(axis=1) == np.arange(len(VOICES))) >= 0.8
    assert np.diag(scores).mean() > scores[~np.eye(len(VOICES), dtype=bool)].mean() + 0.1
    with pytest.raises(ValueError, match="no voice"):
        speaker_embedding(Audio(np.zeros((1, 16000), np.float32), 16000))


def test_intervals_hold_the_mean_and_shrink_with_more_values():
    random = np.random.default_rng(1)
    few, many = (mean_with_interval(random.standard_normal(n).tolist()) for n in (20, 2000))
    assert few["low"] <= few["mean"] <= few["high"]
    assert many["high"] - many["low"] < few["high"] - few["low"]
    assert mean_with_interval([2.0, 2.0]) == {"mean": 2.0, "low": 2.0, "high": 2.0}
    with pytest.raises(ValueError, match="no values"):
        mean_with_interval([])
    assert "stoi" in table({"codec": {"stoi": mean_with_interval([0.5])}})
