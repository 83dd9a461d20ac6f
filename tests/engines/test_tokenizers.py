"""A model that is only a codec: saved, found by name, used by the commands of the codec, refused by the tasks."""

from pathlib import Path

import pytest
import torch
from tests.requests import noise

from uniaudio import checkpoint, weights
from uniaudio.cli import main
from uniaudio.codec.model import Codec
from uniaudio.engines import load
from uniaudio.engines.tokenizers import FORMAT, holds_tokenizers, load_tokenizers, save_tokenizers
from uniaudio.errors import InputError
from uniaudio.recipes.codec import code_digest, load_codec, load_encoder
from uniaudio.recipes.debug import CODEC
from uniaudio.tokenizers.semantic import MelFeatures, SemanticTokenizer


@pytest.fixture(scope="module")
def codec() -> Codec:
    torch.manual_seed(0)
    return Codec(CODEC).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def folder(codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "only-codec"
    semantic = SemanticTokenizer.fit(MelFeatures(), [noise(3.0)], num_ids=8)
    save_tokenizers(path, "only-codec", codec, semantic, "# only a codec\n")
    return path


def test_what_is_saved_comes_back_in_the_promised_precision(codec: Codec, folder: Path):
    found, semantic = load_tokenizers(str(folder))
    assert found.config == codec.config and code_digest(found) == code_digest(codec)
    for name, value in codec.state_dict().items():
        if name.startswith("quantizer") and name.endswith("vectors"):
            assert torch.equal(found.state_dict()[name], value)
        elif value.is_floating_point() and not name.endswith(("vector_sum", "cluster_size")):
            assert torch.allclose(found.state_dict()[name], value, rtol=0.01, atol=0.02), name
    assert semantic is not None and semantic.num_ids == 8 and semantic.frame_rate == 25.0
    samples = torch.from_numpy(noise(1.0).samples)[None]
    assert found.decode(found.encode(samples)).shape == samples.shape


def test_it_serves_where_a_codec_is_asked_for(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    noise(1.0).write(tmp_path / "in.wav")
    assert holds_tokenizers(folder) and not holds_tokenizers(tmp_path)
    assert load_codec(folder)[1] == code_digest(load_tokenizers(str(folder))[0])
    encoder = load_encoder(str(folder))
    assert encoder.semantic is not None and encoder.captions is not None
    out = tmp_path / "out.wav"
    assert main(["codec", "resynthesize", str(tmp_path / "in.wav"), "-o", str(out), "--codec", str(folder)]) == 0
    assert out.exists()
    assert main(["tasks", "--model", str(folder)]) == 0
    assert "*" not in capsys.readouterr().out.splitlines()[-1][:2]


def test_it_generates_nothing(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(InputError, match="is not an engine"):
        load(str(folder))
    out = str(tmp_path / "out.wav")
    assert main(["text-to-sound", "--caption", "rain", "-o", out, "--model", str(folder)]) == 2
    assert "was not trained on text_to_sound" in capsys.readouterr().err


def test_a_damaged_one_and_an_engine_are_refused(folder: Path, tmp_path: Path):
    loaded = checkpoint.load(folder)
    broken = {name: value for name, value in loaded.tensors.items() if not name.startswith("codec.encoder")}
    checkpoint.save(tmp_path / "broken", broken, dict(loaded.config))
    with pytest.raises(InputError, match=r"encoder|lacks|missing"):
        load_tokenizers(str(tmp_path / "broken"))
    checkpoint.save(tmp_path / "bare", loaded.tensors, {"format": FORMAT})
    with pytest.raises(InputError, match="incomplete or damaged"):
        load_tokenizers(str(tmp_path / "bare"))
    with pytest.raises(InputError, match="holds no codec"):
        load_tokenizers(str(weights.find("uniaudio-mini")))
