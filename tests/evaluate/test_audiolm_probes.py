"""The probes of AudioLM: pairs, likelihoods, voices, seams."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.audiolm import TOKENS, engine_of
from tests.corpora import speech_rows, write_corpus
from tests.requests import noise

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError
from uniaudio.evaluate.audiolm import Voices, continued, flux_at, kept, level_change, order_pairs, surprise, word_pairs


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
    voices, engine = Voices(corpus, limit=2), engine_of("mini", window=40, overlap=20)
    assert voices.names == ["test0", "test1"]
    assert all(prompt.seconds == 3.0 for _, prompt in voices.cases())
    ways = kept(engine, voices)
    assert set(ways) == {"original", "codec", "unprompted", "prompted"}
    assert all(figures["speaker"] == 0.5 and 0 <= figures["wer"] < 1 for figures in ways.values())
    figures = continued(engine, voices, seconds=1.0)
    assert figures["speaker"] == 0.5 and figures["words"] == 1.0
    assert all(0 <= figures[name] <= 1 for name in ("click", "level", "flux"))


def test_a_corpus_without_enough_speakers_is_refused(corpus: Path, tmp_path: Path):
    rows = [row for row in speech_rows(6) if row["split"] == "test"]
    with pytest.raises(InputError, match="fewer than two speakers"):
        Voices(write_corpus(tmp_path / "few", rows), limit=2)


def test_levels_and_breaks_at_a_moment_are_seen():
    samples = noise(4.0).samples
    assert abs(level_change(Audio(samples, 16000), 2.0)) < 0.5 and flux_at(Audio(samples, 16000), 2.0) < 1.2
    louder = samples.copy()
    louder[:, 32000:] *= 2
    assert level_change(Audio(louder, 16000), 2.0) == pytest.approx(6.02, abs=0.5)
    time = np.arange(64000) / 16000
    tone = np.sin(2 * np.pi * np.where(time < 2, 300, 2000) * time)[None].astype(np.float32) * 0.3
    assert flux_at(Audio(tone, 16000), 2.0) > 3
