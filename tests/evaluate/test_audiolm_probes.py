"""The probes of AudioLM: pairs, likelihoods, voices, seams."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.audiolm import TOKENS, engine_of
from tests.corpora import speech_rows, write_corpus
from tests.requests import noise

from uniaudio.audio.io import Audio
from uniaudio.data.manifests import read_manifest
from uniaudio.errors import InputError
from uniaudio.evaluate.audiolm import (
    Voices,
    continued,
    flux_at,
    grammar_pairs,
    kept,
    level_change,
    order_pairs,
    surprise,
    word_pairs,
)
from uniaudio.evaluate.phone_gram import PhoneGram, PhoneJudge
from uniaudio.evaluate.piano import agreement, key_scores, piano_continued, pitch_classes, scale_of
from uniaudio.recipes.audiolm import resample


def test_non_words_are_said_like_words_and_are_none():
    pairs = word_pairs(50)
    assert pairs == word_pairs(50) and pairs != word_pairs(50, seed=1)
    words = {word for word, _ in word_pairs(500)}
    for word, made in pairs:
        assert made not in words and made.isalpha() and made[-2:] == word[-2:] and made != word


def test_sentences_are_mixed_word_by_word():
    pairs = order_pairs(20)
    assert len(pairs) == 20
    for good, bad in pairs:
        assert good != bad and sorted(good.strip(".").split()) == sorted(bad.strip(".").split())


def test_an_error_of_grammar_changes_one_place():
    pairs = grammar_pairs(60)
    assert len(pairs) == 60 and pairs == grammar_pairs(60)
    for good, bad in pairs:
        words, wrong = good.strip(".").split(), bad.strip(".").split()
        changed = [at for at, (a, b) in enumerate(zip(words, wrong, strict=True)) if a != b]
        assert len(changed) == 1 or (len(changed) == 2 and changed[1] == changed[0] + 1)
        if len(changed) == 2:
            assert sorted(words) == sorted(wrong)


def test_a_trigram_of_phones_prefers_what_it_learnt():
    language = [[0, 1, 2, 0, 1, 2, 0, 1, 2]] * 5
    gram = PhoneGram(language)
    assert gram.probability(1, (2, 0)) > 0.8 > 0.1 > gram.probability(2, (2, 0))
    for before in ((), (0,), (2, 0), (7, 7)):
        assert sum(gram.probability(phone, before) for phone in range(4)) == pytest.approx(1, abs=1e-6)
    assert gram.bits([[0, 1, 2, 0, 1, 2]]) < 1 < gram.bits([[1, 0, 0, 2, 1, 1]])
    with pytest.raises(InputError, match="too little"):
        PhoneGram([[1, 1]])
    with pytest.raises(ValueError, match="no phone"):
        gram.bits([])


def test_what_was_learnt_surprises_less():
    engine = engine_of("paper", window=40)
    model, stages = engine.models["semantic"], engine.stages
    recording = noise(1.2, seed=8)
    before = surprise(engine, recording)
    assert before == pytest.approx(np.log(TOKENS), abs=1.0), "an untrained model guesses among the tokens"
    ids = engine.semantic.encode(recording).ids
    assert ids is not None
    from uniaudio.sequence.batch import collate

    batch = collate([stages.sequence("semantic", None, stages.tokens(ids[:, 0])[0][None], ended=False)])
    assert isinstance(model, torch.nn.Module)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(25):
        optimizer.zero_grad()
        model.losses(batch, stages.legal("semantic"))[0].backward()
        optimizer.step()
    assert surprise(engine, recording) < before / 2 < surprise(engine, noise(1.2, seed=9))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [row for row in speech_rows(42) if row["split"] == "test"]
    return write_corpus(tmp_path_factory.mktemp("probes") / "speech", rows, "speech")


def test_figures_come_from_held_out_recordings(corpus: Path, monkeypatch: pytest.MonkeyPatch):
    """With a judge that hears the words of every recording, and voices by their level, the figures are known."""
    monkeypatch.setattr("uniaudio.evaluate.heard.recognise", lambda audio: "hello")
    vectors = iter(np.eye(256)[[0] * 4 + [1] * 4])
    monkeypatch.setattr("uniaudio.evaluate.heard.speaker_embedding", lambda audio: next(vectors, np.eye(256)[0]))
    monkeypatch.setattr("uniaudio.evaluate.audiolm.left_out", lambda name: None)
    alike = lambda first, other: float(np.corrcoef(first.samples[0], other.samples[0])[0, 1])  # noqa: E731
    monkeypatch.setattr("uniaudio.evaluate.audiolm.visqol", alike)
    engine = engine_of("mini", window=40, overlap=20)
    voices = Voices(corpus, engine.codec, limit=2)
    assert voices.names == ["test0", "test1"]
    assert all(prompt.seconds == 3.0 for _, prompt in voices.cases())
    ways = kept(engine, voices)
    assert set(ways) == {"original", "codec", "unprompted", "prompted"}
    assert all(figures["speaker"] == 0.5 and 0 <= figures["wer"] < 1 for figures in ways.values())
    assert ways["original"]["visqol"] == pytest.approx(1) and 1 > ways["codec"]["visqol"]
    phones = PhoneJudge(engine.semantic, read_manifest(corpus, "test")[:8])
    figures = continued(engine, voices, phones, seconds=1.0)
    assert 0 < figures["bits_recorded"] and 0 < figures["bits"]
    assert figures["speaker"] == 0.5 and figures["words"] == 1.0
    assert all(0 <= figures[name] <= 1 for name in ("click", "level", "flux"))


def test_sampling_is_changed_by_key():
    engine = engine_of("mini")
    before = engine.configs["coarse"]
    resample(engine, ["guidance=7", "candidates=2"])
    changed = engine.configs["coarse"]
    assert (changed.sampling.guidance, changed.sampling.candidates, changed.window) == (7.0, 2, before.window)
    with pytest.raises(InputError):
        resample(engine, ["loudness=7"])


def test_the_speakers_are_those_of_the_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("uniaudio.evaluate.heard.speaker_embedding", lambda audio: np.eye(256)[0])
    corpus = write_corpus(tmp_path / "speech", speech_rows(42), "speech")
    codec = engine_of("mini").codec
    assert [Voices(corpus, codec, limit=2, split=split).names[0] for split in ("dev", "test")] == ["dev0", "test0"]


def test_a_corpus_without_enough_speakers_is_refused(corpus: Path, tmp_path: Path):
    rows = [row for row in speech_rows(6) if row["split"] == "test"]
    with pytest.raises(InputError, match="fewer than two speakers"):
        Voices(write_corpus(tmp_path / "few", rows), engine_of("mini").codec, limit=2)


def chord(pitches: tuple[int, ...], seconds: float = 3.0) -> Audio:
    """Return tones that begin together every half second, 120 beats a minute."""
    time = np.arange(round(seconds * 16000)) / 16000
    tones = sum(np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time) for pitch in pitches)
    return Audio((0.1 * tones * np.exp(-6 * (time % 0.5)))[None].astype(np.float32), 16000)


def test_the_key_and_tempo_that_a_continuation_keeps():
    c_major, a_minor, f_sharp = chord((60, 64, 67)), chord((57, 60, 64)), chord((66, 70, 73))
    keys = [int(key_scores(pitch_classes(audio)).argmax()) for audio in (c_major, a_minor, f_sharp)]
    assert keys == [0, 12 + 9, 6] and scale_of(keys[1]) == scale_of(keys[0]) == 0
    rest = chord((60, 64, 67), 7.0)
    assert agreement(c_major, rest, 120.0) == {"key": 1.0, "chroma": pytest.approx(1, abs=0.02), "tempo": 1.0}
    assert agreement(f_sharp, rest, 100.0)["key"] == agreement(f_sharp, rest, 100.0)["tempo"] == 0.0
    silence = Audio(np.zeros((1, 48000), np.float32), 16000)
    assert agreement(c_major, silence, 120.0) == {"key": 0.0, "chroma": 0.0, "tempo": 0.0}


def test_piano_is_judged_beside_what_really_follows(corpus: Path):
    rows = read_manifest(corpus, "test")[:1]
    rows[0].custom["tempo_bpm"] = 120
    figures = piano_continued(engine_of("mini", window=40, overlap=20), rows, seconds=1.0, prompt_seconds=0.6)
    assert set(figures) == {"recording", "model", "acoustic only"}
    assert all(set(own) == {"key", "chroma", "tempo", "click", "level", "flux"} for own in figures.values())


def test_levels_and_breaks_at_a_moment_are_seen():
    samples = noise(4.0).samples
    assert abs(level_change(Audio(samples, 16000), 2.0)) < 0.5 and flux_at(Audio(samples, 16000), 2.0) < 1.2
    louder = samples.copy()
    louder[:, 32000:] *= 2
    assert level_change(Audio(louder, 16000), 2.0) == pytest.approx(6.02, abs=0.5)
    time = np.arange(64000) / 16000
    tone = np.sin(2 * np.pi * np.where(time < 2, 300, 2000) * time)[None].astype(np.float32) * 0.3
    assert flux_at(Audio(tone, 16000), 2.0) > 3
