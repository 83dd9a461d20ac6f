"""The commands of latent diffusion models, on a tiny model of random weights."""

from pathlib import Path

import numpy as np
import pytest

from tests.engines.latent import FakeCaptions, tiny_engine
from uniaudio.audio.io import Audio, read_audio
from uniaudio.cli import generate, main
from uniaudio.diffusion import samplers
from uniaudio.engines import latent, latent_modes
from uniaudio.engines.kinds import ENGINES
from uniaudio.engines.latent_folder import save_latent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and a recording `source.wav` beside it."""
    folder = tmp_path_factory.mktemp("latent")
    save_latent(folder / "model", tiny_engine(), "# A card")
    samples = 0.1 * np.random.default_rng(0).standard_normal((1, 16000)).astype(np.float32)
    Audio(samples, 16000).write(folder / "source.wav")
    return folder


@pytest.fixture(autouse=True)
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniaudio.engines.latent_model.CaptionTokenizer", lambda model: FakeCaptions())


def call(folder: Path, *arguments: str, model: bool = True) -> int:
    chosen = ("--model", str(folder / "model")) if model else ()
    return main([*arguments, "-o", str(folder / "out.wav"), *chosen])


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        ("text-to-sound --caption rain --seconds 0.5 --steps 2 --candidates 2 --guidance 2", 0.5),
        ("text-to-music --caption a-song --seconds 1 --steps 1 --seed 3", 1.0),
        ("variation --source SOURCE --steps 2", 1.0),
        ("variation --source SOURCE --steps 2 --caption rain", 1.0),
        ("style-transfer --source SOURCE --caption rain --strength 0.5 --steps 2", 1.0),
        ("inpaint --source SOURCE --start 0.2 --end 0.5 --steps 2", 1.0),
        ("extend --source SOURCE --seconds 0.5 --steps 2", 1.5),
        ("in-context --source SOURCE --caption rain --seconds 0.5 --steps 2", 0.5),
    ],
)
def test_commands_write_what_they_promise(
    folder: Path, command: str, seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command.replace("SOURCE", str(folder / "source.wav")).split()
    assert call(folder, *arguments) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and f"{seconds:.2f} s of audio, real-time factor" in out
    made = read_audio(folder / "out.wav")
    assert made.seconds == pytest.approx(seconds, abs=1e-3) and made.samples.std() > 0


def test_the_same_seed_gives_the_same_file(folder: Path) -> None:
    files = []
    for number in ("1", "1", "2"):
        assert call(folder, "variation", "--source", str(folder / "source.wav"), "--steps", "1", "--seed", number) == 0
        files.append((folder / "out.wav").read_bytes())
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize(
    ("command", "model", "message"),
    [
        (
            "text-to-sound --caption rain --temperature 0.5",
            True,
            "a latent diffusion model, which has no --temperature",
        ),
        ("text-to-sound --caption rain --top-k 5", True, "which has no --top-k"),
        ("text-to-sound --caption rain --precision int8", True, "cannot be computed in int8"),
        ("text-to-sound --caption rain --steps 5", False, "a language model of codes, which has no --steps"),
        ("text-to-sound --caption rain --steps 0", True, "--steps must be a whole number from 1 to 500"),
        ("text-to-sound --caption rain --engine audiolm", False, "--engine must be one of uniaudio, audioldm2"),
        ("text-to-sound --caption rain --engine audioldm2", True, "is given twice"),
        ("voice-conversion --source SOURCE --speaker SOURCE", True, "was not trained on voice_conversion"),
        ("variation --source missing.wav", True, "--source: "),
        ("variation --source SOURCE --model uniaudio-mini", False, "is no latent diffusion model"),
        ("variation", True, "needs --source"),
        ("variation --source SOURCE --strength 1", True, "has no option '--strength'"),
        ("style-transfer --source SOURCE", True, "needs --caption"),
        (
            "style-transfer --source SOURCE --caption rain --strength 0",
            True,
            "--strength must be a number above 0 to 1",
        ),
        ("inpaint --source SOURCE --start 0.5 --end 0.4", True, "must lie within"),
        ("inpaint --source SOURCE --start 0 --end 1", True, "keep a part of it"),
        ("extend --source SOURCE --seconds 100", True, "--seconds must be a number above 0 to 60"),
        ("in-context --source SOURCE", True, "needs --caption"),
    ],
)
def test_bad_input_is_told_in_one_line(
    folder: Path, command: str, model: bool, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "out.wav").unlink(missing_ok=True)
    arguments = command.replace("SOURCE", str(folder / "source.wav")).split()
    assert call(folder, *arguments, model=model) == 2
    err = capsys.readouterr().err
    assert err.startswith("uniaudio: error: ") and err.count("\n") == 1 and message in err
    assert not (folder / "out.wav").exists()


def test_the_limits_of_the_command_line_are_those_of_the_engine() -> None:
    assert (generate.MAX_STEPS, generate.MAX_CANDIDATES) == (samplers.MAX_STEPS, latent.MAX_CANDIDATES)
    assert generate.MAX_SECONDS == latent.MAX_SECONDS == latent_modes.MAX_SECONDS
    assert generate.MIN_SECONDS == latent_modes.MIN_SECONDS
    assert set(ENGINES) == {"uniaudio", "audioldm2"}
