"""`uniaudio codec`: codes in a file and back, what the file says, and what is refused."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from tests.requests import noise
from uniaudio.audio.io import read_audio
from uniaudio.cli import codec as command
from uniaudio.cli import main
from uniaudio.codec.model import Codec
from uniaudio.data.code_files import CodesHeader, read_codes, write_codes
from uniaudio.errors import InputError
from uniaudio.recipes.codec import code_digest
from uniaudio.recipes.debug import CODEC
from uniaudio.tokenizers.codec import CodecTokenizer

HEADER = CodesHeader(codec="tiny", digest="abc", sample_rate=16000, frame_rate=25.0, codebook_size=32, num_samples=3000)
SAMPLES = 30001  # no whole number of frames


@pytest.fixture
def codec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Codec:
    """Go to an empty folder with in.wav; the codec `tiny` (any folder of this name) is a small random one."""
    codecs = {}
    for seed, name in enumerate(("tiny", "other")):
        torch.manual_seed(seed)
        codecs[name] = Codec(CODEC).eval().requires_grad_(False)
        (tmp_path / name).mkdir()
    monkeypatch.setattr(command, "_load_codec", lambda name: (codecs[name], code_digest(codecs[name])))
    monkeypatch.chdir(tmp_path)
    noise(SAMPLES / 16000).write("in.wav")
    return codecs["tiny"]


def run(line: str) -> int:
    return main(["codec", *line.split()])


def test_codes_in_a_file_are_those_of_the_codec_and_sound_like_its_round_trip(
    codec: Codec, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("encode in.wav -o codes.safetensors --codec tiny") == 0
    codes, header = read_codes(Path("codes.safetensors"))
    whole = CodecTokenizer(codec).encode(read_audio("in.wav"))
    assert whole.ids is not None and np.array_equal(codes, whole.ids.T.numpy())
    assert (header.codec, header.digest, header.num_samples) == ("tiny", code_digest(codec), SAMPLES)
    assert run("decode codes.safetensors -o decoded.wav --codec tiny") == 0
    assert run("resynthesize in.wav -o again.wav --codec tiny") == 0
    decoded, again = read_audio("decoded.wav"), read_audio("again.wav")
    assert decoded.samples.shape == (1, SAMPLES) and np.array_equal(decoded.samples, again.samples)
    expected = CodecTokenizer(codec).decode(whole.ids).samples[:, :SAMPLES]
    assert np.abs(decoded.samples - expected).max() < 1e-4
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out] == ["codes.safetensors", "decoded.wav", "again.wav"]
    assert "1.88 s of audio, 47 frames of 3 codes, 375 bits per second" in out[0]


def test_the_same_recording_gives_the_same_bytes_and_overwrites(codec: Codec) -> None:
    assert run("encode in.wav -o codes.safetensors --codec tiny") == 0
    first = Path("codes.safetensors").read_bytes()
    assert run("encode in.wav -o codes.safetensors --codec tiny") == 0
    assert Path("codes.safetensors").read_bytes() == first
    assert sorted(os.listdir()) == ["codes.safetensors", "in.wav", "other", "tiny"]


def test_info_tells_of_a_codec_and_of_codes(codec: Codec, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info --codec tiny") == 0
    out = capsys.readouterr().out
    assert "3 of 32 entries" in out and "375 bits per second" in out and code_digest(codec) in out
    write_codes(Path("codes.safetensors"), np.zeros((3, 5), int), HEADER)
    assert run("info codes.safetensors") == 0
    assert "5 frames of 3 codes" in (out := capsys.readouterr().out) and "made by tiny (codebooks abc)" in out


def test_codes_of_another_codec_are_refused(codec: Codec, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("encode in.wav -o codes.safetensors --codec tiny") == 0
    assert run("decode codes.safetensors -o decoded.wav --codec other") == 2
    assert "holds codes of 'tiny'" in capsys.readouterr().err and not Path("decoded.wav").exists()


def test_a_codec_that_takes_only_wholes_works_up_to_a_length(
    codec: Codec, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("resynthesize in.wav -o pieces.wav --codec tiny") == 0
    monkeypatch.setattr(command, "_streams", lambda codec: False)
    assert run("resynthesize in.wav -o whole.wav --codec tiny") == 0
    assert np.abs(read_audio("pieces.wav").samples - read_audio("whole.wav").samples).max() < 1e-4
    monkeypatch.setattr(command, "MAX_WHOLE_SECONDS", 1.0)
    assert run("resynthesize in.wav -o long.wav --codec tiny") == 2
    assert "at most 1 s at once" in capsys.readouterr().err and not Path("long.wav").exists()


def test_ctrl_c_leaves_nothing(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_codes", stop)
    assert run("encode in.wav -o codes.safetensors --codec tiny") == 130
    assert sorted(os.listdir()) == ["in.wav", "other", "tiny"]


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"codebook_size": 3}, None),
        ({"codebook_size": "32"}, None),
        ({"num_samples": 0}, None),
        ({"frame_rate": float("nan")}, None),
        ({"sample_rate": 1.5}, None),
        ({"extra": 1}, None),
        ({"format": "other"}, None),
        ({}, np.zeros((3, 0), np.int32)),
        ({}, np.zeros(3, np.int32)),
        ({}, np.zeros((3, 5), np.float32)),
        ({}, np.full((3, 5), -1, np.int32)),
    ],
)
def test_a_header_or_codes_that_cannot_be_true_are_refused(tmp_path: Path, changes: dict, codes: np.ndarray | None):
    about = {"format": "uniaudio-codes-1", **asdict(HEADER), **changes}
    values = np.full((3, 5), 7, np.int32) if codes is None else codes
    save_file({"codes": values}, tmp_path / "codes.safetensors", {"codes": json.dumps(about)})
    with pytest.raises(InputError, match="damaged or holds no codes") as caught:
        read_codes(tmp_path / "codes.safetensors")
    assert "\n" not in str(caught.value)


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "codes.safetensors"
    write_codes(path, np.zeros((3, 500), int), HEADER)
    content = path.read_bytes()
    for size in (0, 5, 100, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match="damaged or holds no codes"):
            read_codes(path)
