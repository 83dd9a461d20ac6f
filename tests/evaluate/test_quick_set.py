"""The fixed set in the repository: held out, readable, and good enough to catch a codec that got worse."""

from pathlib import Path

import numpy as np
import pytest

from uniaudio import recipes
from uniaudio.cli import main
from uniaudio.data.synthesize.sentences import split_of
from uniaudio.data.synthesize.singers import singers
from uniaudio.data.synthesize.speakers import speakers
from uniaudio.evaluate import run
from uniaudio.evaluate.cases import read_cases
from uniaudio.recipes.codec import load_codec
from uniaudio.recipes.debug import debug_engine
from uniaudio.tasks import TASKS

QUICK = Path(__file__).parents[2] / "evaluation" / "quick"
MAX_BYTES = 20e6
SAID = ("tts", "voice_conversion", "speech_enhancement", "target_speaker_extraction", "dereverberation")


@pytest.mark.parametrize("task", TASKS)
def test_every_example_is_of_the_test_split_and_can_be_heard(task: str):
    cases = read_cases(QUICK, task, 100)
    assert len(cases) == 12
    voices = {voice.name for voice in (*speakers(), *singers("test")) if voice.split == "test"}
    for case in cases:
        assert case.example.split == "test"
        named = {case.labels[name] for name in ("speaker", "source_speaker", "other_speaker") if name in case.labels}
        assert named <= voices, named - voices
        if task in SAID:
            assert split_of(case.text) == "test"
        assert np.abs(case.reference.audio.samples).max() > 0.02
        for audio in (case.reference.audio, *(case.given(name) for name in case.recordings)):
            assert audio.sample_rate == 16000 and 0.5 < audio.seconds <= 6.0 and audio.samples.any()


def test_the_set_is_small():
    assert sum(path.stat().st_size for path in QUICK.rglob("*") if path.is_file()) < MAX_BYTES


def test_the_gate_catches_a_codec_that_got_worse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    good, bad = debug_engine(), debug_engine()
    trained = load_codec("uniaudio-codec")[0]
    for name, engine in (("good", good), ("bad", bad)):
        monkeypatch.setattr(run, "load", lambda _, engine=engine, **options: engine)
        if name == "good":
            monkeypatch.setattr(good, "codec", trained)
        engine.tasks = ()  # only the column of the codec is made
        recipes.evaluate(["audio_edit"], name, QUICK, tmp_path / name, 5, 0)
    paths = [str(tmp_path / name / "results.json") for name in ("good", "bad")]
    assert main(["compare", *paths, "--column", "codec", "--gate"]) == 2
    assert main(["compare", *reversed(paths), "--column", "codec", "--gate"]) == 0
