"""The detector of an AudioLM model: its clips, its training, its folder, its command."""

from pathlib import Path

import numpy as np
import pytest
from tests.audiolm import engine_of
from tests.corpora import speech_rows, write_corpus
from tests.requests import noise

from uniaudio import recipes
from uniaudio.audio.io import Audio
from uniaudio.cli import main
from uniaudio.data.manifests import read_manifest
from uniaudio.engines.audiolm_folder import save_audiolm
from uniaudio.errors import InputError
from uniaudio.evaluate.detector import MADE, RECORDED, load_detector
from uniaudio.recipes import audiolm_detector
from uniaudio.recipes.audiolm_detector import CLIPS, export, make_clips, measure

TINY = [
    "loop.steps=2",
    "loop.log_every=1",
    "loop.bf16=false",
    "loop.optim.name=adamw",
    "objective.batch_size=4",
    "classifier.width=16",
    "classifier.blocks=1",
]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model, clips of its own, and its detector."""
    folder = tmp_path_factory.mktemp("detector")
    engine = engine_of("mini", window=100, overlap=50)
    save_audiolm(folder / "model", engine, "# tiny\n")
    write_corpus(folder / "speech", speech_rows(36), "speech")
    make_clips(engine, folder / "speech", folder / "clips", 6, held_out=2)
    recipes.run("audiolm_detector", TINY, corpus=folder / "clips", run=folder / "run")
    export(folder / "run", str(folder / "model"))
    return folder


def test_clips_are_as_many_of_both_kinds_and_apart_by_split(work: Path):
    lines = (work / "clips" / CLIPS).read_text().splitlines()
    assert len(lines) == 1 + 2 * 6
    for split, count in (("train", 4), ("test", 2)):
        for origin in (RECORDED, MADE):
            found = sorted((work / "clips" / split).glob(f"{origin}-*.flac"))
            assert len(found) == count
    assert all(len(read_manifest(work / "speech", split)) == 12 for split in ("train", "test"))


def test_the_detector_is_found_beside_the_model_and_judges(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = str(work / "model")
    detector = load_detector(model)
    verdict = detector.judge(noise(2.2))
    assert 0 < verdict.probability < 1 and len(verdict.seconds) == 4
    with pytest.raises(InputError, match="needs 1 s"):
        detector.judge(noise(0.6))
    noise(1.4).write(tmp_path / "said.wav")
    assert main(["detect", str(tmp_path / "said.wav"), "--model", model, "--each-second"]) == 0
    printed = capsys.readouterr().out
    assert "probability" in printed and "scope:" in printed and "every half second" in printed
    figures = measure(model, work / "clips")
    assert set(figures) == {RECORDED, MADE, "accuracy", "seconds"}
    assert figures["accuracy"] == pytest.approx((figures[RECORDED] + figures[MADE]) / 2)


def test_what_is_no_detector_and_no_clips_is_refused(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    save_audiolm(tmp_path / "bare", engine_of("mini"), "# tiny\n")
    with pytest.raises(InputError, match="has no detector"):
        load_detector(str(tmp_path / "bare"))
    with pytest.raises(InputError, match="holds no clips"):
        measure(str(work / "model"), tmp_path)
    with pytest.raises(InputError, match="are needed"):
        make_clips(engine_of("mini"), work / "speech", tmp_path / "clips", 100)
    assert not (tmp_path / "clips").exists()
    assert audiolm_detector.CONFIG.labels == {"origin": (RECORDED, MADE)}
    Audio(np.zeros((1, 8000), np.float32), 16000).write(tmp_path / "short.wav")
    assert main(["detect", str(tmp_path / "short.wav"), "--model", str(work / "model")]) == 2
    assert "short.wav" in capsys.readouterr().err
