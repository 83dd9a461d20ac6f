"""`uniaudio codec`: codes in a file and back, what the file says, and what is refused."""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from tests.codec.test_public import CHUNKED, CHUNKS, MODELS, network
from tests.requests import noise
from uniaudio.audio.io import Audio, read_audio, write_audio
from uniaudio.cli import codec as command
from uniaudio.cli import main
from uniaudio.codec.model import Codec
from uniaudio.codec.public import open_codec
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
    monkeypatch.setattr(
        command, "_load_codec", lambda options: (codecs[options.codec], code_digest(codecs[options.codec]))
    )
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


@pytest.mark.parametrize(("name", "rate"), [("in.wav", 16000), ("in.flac", 44100), ("in.ogg", 8000)])
def test_a_long_recording_is_never_held_whole(codec: Codec, monkeypatch: pytest.MonkeyPatch, name: str, rate: int):
    generator = np.random.default_rng(0)
    write_audio(name, Audio(generator.uniform(-0.3, 0.3, (2, 25 * rate + 7)).astype(np.float32), rate))  # 3 blocks
    expected = CodecTokenizer(codec).encode(read_audio(name)).ids
    monkeypatch.setattr(command, "read_audio", None)
    assert run(f"encode {name} -o codes.safetensors --codec tiny") == 0
    codes, header = read_codes(Path("codes.safetensors"))
    assert expected is not None and np.array_equal(codes, expected.T.numpy())
    assert header.num_samples == round((25 * rate + 7) * 16000 / rate)
    assert run(f"resynthesize {name} -o out.wav --codec tiny") == 0
    assert read_audio("out.wav").samples.shape == (1, header.num_samples)


# EnCodec, DAC and Mimi


@pytest.fixture
def public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to an empty folder with in.wav and a tiny random codec of each kind, as transformers saves them."""
    for name, model in (*MODELS.items(), ("chunked", ("Encodec", CHUNKED | CHUNKS | {"codebook_size": 1024}))):
        network(*model).save_pretrained(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    noise(0.5).write("in.wav")
    return tmp_path


@pytest.mark.parametrize("name", [*MODELS, "chunked"])
def test_a_public_codec_in_a_folder(public: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    kbps = 4 if name == "chunked" else 1.7  # fewer than all codebooks
    capfd.readouterr()
    assert run(f"encode in.wav -o codes.safetensors --codec {name} --kbps {kbps}") == 0
    assert run(f"decode codes.safetensors -o decoded.wav --codec {name}") == 0, "as many codebooks as the codes have"
    assert run(f"resynthesize in.wav -o again.wav --codec {name} --kbps {kbps}") == 0
    assert run(f"info --codec {name} --kbps {kbps}") == 0
    out, err = capfd.readouterr()
    assert not err, "transformers is quiet"
    expected = open_codec(name, kbps=kbps)
    codes, header = read_codes(Path("codes.safetensors"))
    ids = CodecTokenizer(expected).encode(read_audio("in.wav")).ids
    assert ids is not None and np.array_equal(codes, ids.T.numpy())
    digest = code_digest(expected)
    assert header.digest == digest != code_digest(open_codec(name)), "fewer codebooks are other codes"
    assert (header.sample_rate, header.num_samples) == (1600, 800)
    assert f"{len(codes)} of {expected.config.codebook_size} entries" in out and digest in out
    assert (name == "chunked") == ("the first for the level" in out)
    decoded, again = read_audio("decoded.wav").samples, read_audio("again.wav").samples
    made = CodecTokenizer(expected).decode(ids).samples[:, :800]
    assert decoded.shape == (1, 800) and np.array_equal(decoded, again)
    assert np.abs(decoded - made).max() < 1e-4


def test_codes_fit_only_their_public_codec(public: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(1)
    other = open_codec("mimi")
    with torch.no_grad():
        for value in other.network.quantizer.state_dict().values():
            value.add_(0.01)
    other.network.save_pretrained("other")
    assert run("encode in.wav -o codes.safetensors --codec mimi") == 0
    for wrong in ("--codec other", "--codec mimi --kbps 1", "--codec dac"):
        assert run(f"decode codes.safetensors -o decoded.wav {wrong}") == 2
        assert "holds codes of 'mimi'" in capsys.readouterr().err and not Path("decoded.wav").exists()
    assert run("decode codes.safetensors -o decoded.wav --codec mimi --kbps 2") == 0


def test_what_is_no_public_codec_is_one_line(public: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("cut", "config", "other", "weightless"):
        shutil.copytree("mimi", name)
    weights = Path("cut/model.safetensors").read_bytes()
    Path("cut/model.safetensors").write_bytes(weights[: len(weights) // 2])
    Path("config/config.json").write_text('{"model_type": "mimi", "num_filters": "four"}')
    Path("other/config.json").write_text('{"model_type": "bert"}')
    Path("weightless/model.safetensors").unlink()
    capfd.readouterr()
    for line, says in (
        ("--codec cut", "holds no whole EnCodec, DAC or Mimi"),
        ("--codec config", "holds no whole EnCodec, DAC or Mimi"),
        ("--codec other", "bert model, not a codec"),
        ("--codec weightless", "holds no whole EnCodec, DAC or Mimi"),
        ("--codec mimi --kbps 0.3", "use 0.4 or more"),
        ("--codec mimi --kbps 0", "above 0"),
        (
            "--codec nobody/nothing",
            "nor a model in the local cache of the hub: check the name, or have it fetched (--on",
        ),
        ("--codec no/such/folder", "unknown model 'no/such/folder'"),
        ("--codec ../nothing", "unknown model '../nothing'"),
        ("--codec nothing", "unknown model 'nothing'"),
        ("--codec ./in.wav", "unknown model './in.wav'"),
        ("--kbps 6", "uniaudio-mini has one bitrate"),
    ):
        assert run(f"resynthesize in.wav -o out.wav {line}") == 2, line
        out, err = capfd.readouterr()
        assert says in err and err.count("\n") == 1 and not out and not Path("out.wav").exists(), line


def test_a_hub_is_asked_only_if_that_is_allowed(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def opened(source: str, *, kbps: float | None, local_files_only: bool):
        asked.append((source, kbps, local_files_only))
        return open_codec("mimi", kbps=kbps)

    monkeypatch.setattr("uniaudio.recipes.codec.open_codec", opened)
    assert run("info --codec kyutai/mimi") == run("info --codec kyutai/mimi --online --kbps 1") == 0
    assert asked == [("kyutai/mimi", None, True), ("kyutai/mimi", 1.0, False)]


def test_a_public_codec_takes_a_minute(public: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise(61.0).write("long.wav")
    assert run("encode long.wav -o codes.safetensors --codec mimi") == 2
    assert "at most 60 s at once" in capsys.readouterr().err


# Files of codes


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
