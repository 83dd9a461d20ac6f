"""Every program in examples/ runs: on the shipped model where it is there, else on a tiny untrained one."""

import runpy
import sys
from pathlib import Path

import pytest

from uniaudio import weights
from uniaudio.audio.io import read_audio

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
VOICE = weights.FOLDER / "voices" / "awb-0920-098.flac"
# Example -> its arguments besides --model, and how many sound files it writes.
CALLS: dict[str, tuple[list[str], int]] = {
    "speak.py": (["The rain has stopped.", "-o", "hello.wav", "--seed", "1"], 1),
    "codec_round_trip.py": ([str(VOICE), "-o", "decoded.flac"], 1),
    "custom_request.py": (["--out", "batch"], 3),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    if "uniaudio-mini" in weights.names():
        return "uniaudio-mini"
    from uniaudio.engines.bundle import save_engine
    from uniaudio.recipes.debug import debug_engine

    folder = tmp_path_factory.mktemp("model") / "debug"
    save_engine(folder, debug_engine(), "A tiny untrained model.")
    return str(folder)


@pytest.mark.parametrize("name", CALLS)
def test_example_runs(
    name: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, num_files = CALLS[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *arguments, "--model", model])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    printed = capsys.readouterr().out
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == num_files
    for path in written:
        audio = read_audio(path, min_seconds=0.1)
        assert audio.sample_rate == 16000 and audio.samples.any()
        assert path.name in printed


def test_round_trip_keeps_the_length(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "argv", ["codec_round_trip.py", str(VOICE), "-o", str(tmp_path / "a.wav"), "--model", model]
    )
    runpy.run_path(str(EXAMPLES / "codec_round_trip.py"), run_name="__main__")
    before, after = read_audio(VOICE).seconds, read_audio(tmp_path / "a.wav").seconds
    assert 0 <= after - before < 0.04, "the last frame is filled up with silence"


def test_every_example_is_called_here_and_is_short() -> None:
    files = sorted(EXAMPLES.glob("*.py"))
    assert {path.name for path in files} == CALLS.keys()
    assert all(len(path.read_text(encoding="utf-8").splitlines()) <= 40 for path in files)
