"""Public codecs against transformers called directly, with tiny random networks saved to and opened from a folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from uniaudio.audio.io import Audio
from uniaudio.codec.public import LEVEL_RANGE_DB, ChunkedEncodec, PublicCodec, is_public, open_codec
from uniaudio.errors import InputError
from uniaudio.tokenizers.codec import CodecTokenizer

ENCODEC: dict[str, Any] = {"num_filters": 4, "hidden_size": 6, "codebook_size": 16, "upsampling_ratios": [4, 2]}
CHUNKED = ENCODEC | {"audio_channels": 2, "normalize": True, "norm_type": "time_group_norm", "use_causal_conv": False}
DAC: dict[str, Any] = {"encoder_hidden_size": 4, "decoder_hidden_size": 16, "n_codebooks": 5, "codebook_size": 16}
MIMI: dict[str, Any] = {"hidden_size": 16, "num_filters": 4, "upsampling_ratios": [4, 2], "codebook_size": 16}
MIMI |= {"codebook_dim": 8, "vector_quantization_hidden_dimension": 8, "num_quantizers": 5, "upsample_groups": 16}
MIMI |= {"num_hidden_layers": 1, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "encodec": ("Encodec", ENCODEC | {"sampling_rate": 1600, "target_bandwidths": [1.6, 4.0]}),
    "dac": ("Dac", DAC | {"sampling_rate": 1600, "downsampling_ratios": [2, 4]}),
    "dac_odd": ("Dac", DAC | {"sampling_rate": 1600, "downsampling_ratios": [2, 5]}),  # as at 16 and 24 kHz
    "mimi": ("Mimi", MIMI | {"sampling_rate": 1600}),
}
# Chunks of 20 frames, 18 apart (18.5 in the published way).
CHUNKS = {"sampling_rate": 1600, "chunk_length_s": 0.1, "overlap": 0.075, "target_bandwidths": [8.0]}


def network(name: str, sizes: dict[str, Any]) -> Any:
    """A random network whose weights keep the level up and whose codebooks are no zeros."""
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**sizes)
    model = getattr(transformers, f"{name}Model")(config).eval()
    with torch.no_grad():
        for key, value in (*model.named_parameters(), *model.named_buffers()):
            if key.endswith((".embed", ".embed_sum", "codebook.weight")):
                value.normal_(std=0.1 if name == "Encodec" else 1.0)
            elif name == "Dac" and value.ndim == 3 and "alpha" not in key:
                value.normal_(std=value[0].numel() ** -0.5)
    return model


def opened(name: str, folder: Path, **choice: Any) -> tuple[Any, PublicCodec]:
    model = network(*MODELS[name])
    model.save_pretrained(folder)
    return model, open_codec(folder, **choice)


def noise(*shape: int) -> Tensor:
    return 0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(1))


def direct(name: str, model: Any, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Codes [B, K, T] and samples [B, 1, N'] of transformers, all codebooks."""
    with torch.no_grad():
        if name == "encodec":
            output = model.encode(samples, bandwidth=4.0)
            return output.audio_codes[0], model.decode(output.audio_codes, output.audio_scales).audio_values
        codes = model.encode(samples).audio_codes
        values = model.decode(audio_codes=codes).audio_values
        return codes, values if name == "mimi" else values[:, None]


@pytest.mark.parametrize("name", MODELS)
def test_codes_and_samples_are_those_of_transformers(name: str, tmp_path: Path):
    model, codec = opened(name, tmp_path)
    hop = codec.config.hop_length
    samples = noise(2, 1, 40 * hop)
    codes, expected = direct(name, model, samples)
    assert torch.equal(codec.encode(samples), codes)
    assert codes.shape == (2, codec.config.num_codebooks, 40) and codes.unique().numel() > 8
    decoded = codec.decode(codes)
    assert decoded.shape == samples.shape and expected.std() > 1e-3
    torch.testing.assert_close(decoded[..., : expected.shape[2]], expected, atol=1e-6, rtol=1e-5)
    assert expected.shape[2] == decoded.shape[2] - (name == "dac_odd") * 2, "DAC's odd stride ends early"
    assert codec.config.codebook_size == 16 and codec.config.frame_rate == 1600 / hop
    assert not codec.train().network.training, "DAC would draw random codebooks"


@pytest.mark.parametrize("name", MODELS)
def test_every_length_gives_whole_frames(name: str, tmp_path: Path):
    _, codec = opened(name, tmp_path)
    hop = codec.config.hop_length
    for length in (1, hop - 1, hop, hop + 1, 7 * hop + 3):
        codes = codec.encode(noise(1, 1, length))
        assert codes.shape[2] == -(-length // hop), length
        assert codec.decode(codes).shape == (1, 1, codes.shape[2] * hop)


@pytest.mark.parametrize("name", MODELS)
def test_the_first_codebooks_alone(name: str, tmp_path: Path):
    model, whole = opened(name, tmp_path)
    hop, samples = whole.config.hop_length, noise(1, 1, 200)
    bits = 1600 / hop * 4  # of one codebook in a second
    part = open_codec(tmp_path, num_codebooks=2)
    assert torch.equal(part.encode(samples), whole.encode(samples)[:, :2]) and part.config.num_codebooks == 2
    assert torch.equal(part.decode(part.encode(samples)), whole.decode(whole.encode(samples)[:, :2]))
    for kbps, count in ((2 * bits / 1000, 2), (2.9 * bits / 1000, 2), (1e6, 5)):
        assert open_codec(tmp_path, kbps=kbps).config.num_codebooks == count
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"kbps": 0.9 * bits / 1000}, f"use {bits / 1000:g} or more"),
        ({"num_codebooks": 6}, "6 codebooks asked for.*1 to 5"),
        ({"num_codebooks": 0}, "0 codebooks"),
        ({"num_codebooks": 1, "kbps": 1.0}, "give one of them"),
    )
    for choice, message in wrong:
        with pytest.raises(InputError, match=message):
            open_codec(tmp_path, **choice)
    for codes in (torch.full((1, 2, 3), 16), torch.full((1, 2, 3), -1), torch.zeros(1, 6, 3).long()):
        with pytest.raises(ValueError, match=r"\[0, 16\)|6 codebooks"):
            whole.decode(codes)


def test_a_tokenizer_takes_it(tmp_path: Path):
    _, codec = opened("mimi", tmp_path)
    tokenizer = CodecTokenizer(codec)
    item = tokenizer.encode(Audio(np.full((2, 3200), 0.1, np.float32), 3200))
    assert item.ids is not None and item.ids.shape == (100, 5) and tokenizer.num_ids == 5 * 16
    assert tokenizer.decode(item.ids).samples.shape == (1, 1600)


def chunked(folder: Path, **changes: Any) -> tuple[Any, PublicCodec]:
    model = network("Encodec", CHUNKED | CHUNKS | {"codebook_size": 1024} | changes)
    model.save_pretrained(folder)
    return model, open_codec(folder)


def test_one_chunk_is_that_of_transformers_but_for_the_rounded_level(tmp_path: Path):
    model, codec = chunked(tmp_path)
    assert isinstance(codec, ChunkedEncodec) and codec.config.num_codebooks == 5
    samples = noise(2, 1, 18 * 8) * torch.tensor([1.0, 0.01])[:, None, None]
    with torch.no_grad():
        theirs = model.encode(samples.expand(-1, 2, -1), bandwidth=8.0)
        codes = codec.encode(samples)
        assert torch.equal(codes[:, 1:], theirs.audio_codes[0])
        stereo = model.decode(theirs.audio_codes, theirs.audio_scales).audio_values
    step = 10 ** (LEVEL_RANGE_DB / 1023 / 20) - 1  # of the level: half of it is the largest error
    error = codec.decode(codes) - stereo.mean(1, keepdim=True)
    assert (error.abs().amax(2) <= 0.51 * step * stereo.abs().amax((1, 2))[:, None]).all()
    assert stereo.std() > 1e-3 and codec.decode(codec.encode(samples * 0)).abs().max() < 1e-3


def test_chunks_are_coded_apart_and_faded_into_each_other(tmp_path: Path):
    _, codec = chunked(tmp_path)
    samples = noise(1, 1, 8 * 57 - 3)
    codes = codec.encode(samples)
    assert codes.shape == (1, 5, 57)
    for start in (0, 18, 36, 54):
        alone = codec.encode(samples[..., start * 8 : (start + 20) * 8])
        assert torch.equal(codes[..., start : start + 18], alone[..., :18])
    whole = codec.decode(codes)
    assert whole.shape == (1, 1, 57 * 8)
    for start in (0, 18, 36):
        alone = codec.decode(codes[..., start : start + 20])
        middle = slice(2 * 8, 18 * 8)
        torch.testing.assert_close(whole[..., start * 8 : (start + 20) * 8][..., middle], alone[..., middle])
        overlap = slice((start + 18) * 8, (start + 20) * 8)
        following = codec.decode(codes[..., start + 18 : start + 38])[..., :16]
        rise = (torch.arange(16) + 0.5) / 16
        torch.testing.assert_close(whole[..., overlap], alone[..., 144:] * (1 - rise) + following * rise)


@pytest.mark.parametrize("changes", [{"normalize": False}, {"overlap": None}, {"chunk_length_s": None}])
def test_other_kinds_of_chunks_are_refused(changes: dict[str, Any], tmp_path: Path):
    with pytest.raises(InputError, match="use a published one"):
        chunked(tmp_path, **changes)


def test_what_is_no_codec_is_refused(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    network(*MODELS["encodec"]).save_pretrained(tmp_path / "whole")
    config = (tmp_path / "whole" / "config.json").read_text()
    tensors = load_file(tmp_path / "whole" / "model.safetensors")
    lost = "quantizer.layers.0.codebook.embed"
    for name, text, kept in (
        ("ours", "{}", tensors),
        ("text", json.dumps({"model_type": "bert"}), tensors),
        ("lost", config, {key: value for key, value in tensors.items() if key != lost}),
        ("shape", config, tensors | {lost: torch.zeros(3, 3)}),
        ("empty", config, None),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
        if kept is not None:
            save_file(kept, tmp_path / name / "model.safetensors", {"format": "pt"})
    for name, message in (
        ("ours", "holds no whole EnCodec, DAC or Mimi"),
        ("text", "bert model, not a codec"),
        ("lost", f"lack '{lost}'"),
        ("shape", "holds no whole EnCodec"),
        ("empty", "holds no whole EnCodec"),
        ("absent", "is no folder, nor a model in the local cache"),
    ):
        with pytest.raises(InputError, match=message) as error:
            open_codec(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="facebook/absent is no folder, nor a model in the local cache"):
        open_codec("facebook/absent")


def test_the_digest_is_that_of_the_quantiser_and_of_how_much_of_it_is_used(tmp_path: Path):
    _, codec = opened("mimi", tmp_path / "mimi")
    same = open_codec(tmp_path / "mimi").digest()
    assert codec.digest() == same and len(same) == 16
    digests = {same, codec.cut(2).digest(), codec.cut(3).digest()}
    with torch.no_grad():
        next(codec.network.encoder.parameters()).add_(1)
        assert codec.digest() == same, "other weights make other codes, but codes mean the same"
        codec.network.quantizer.acoustic_residual_vector_quantizer.layers[-1].codebook.embed_sum[0, 0] += 1
    digests.add(codec.digest())
    assert len(digests) == 4


def test_public_codecs_are_told_from_ours_and_from_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    contents = {"theirs/one": '{"model_type": "x"}', "ours/one": '{"tasks": []}', "list/one": "[]", "cut/one": '{"mod'}
    for name, content in contents.items():
        Path(name).mkdir(parents=True)
        (Path(name) / "config.json").write_text(content)
    Path("ours/file").touch()
    assert is_public("theirs/one") and is_public(tmp_path / "theirs" / "one")
    assert is_public("facebook/encodec_24khz") and is_public("owner/name-1.0")
    for name in (
        "ours",
        "ours/one",
        "list/one",
        "cut/one",
        "ours/file",
        "none",
        "no/such/one",
        "./one",
        "../one",
        "a/",
        "a/" + "x" * 300,
    ):
        assert not is_public(name), name
    assert not is_public("") and not is_public("~/one") and not is_public("/one") and not is_public("a/b\n")
