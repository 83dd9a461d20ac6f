"""The codec in both shapes: lengths, batches, padding, cutting, and that a saved one comes back the same.

B batch, N samples, T frames, K codebooks
"""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from uniaudio import checkpoint, config
from uniaudio.codec.convnext import ConvNextConfig
from uniaudio.codec.model import Codec, CodecConfig
from uniaudio.codec.seanet import SEANetConfig
from uniaudio.errors import InputError

NUM_CODEBOOKS = 3
CONVNEXT = ConvNextConfig(
    hop_length=80,
    stride=2,
    num_mels=20,
    mel_n_fft=256,
    synthesis_n_fft=320,
    dim=8,
    encoder_width=24,
    encoder_blocks=1,
    encoder_code_blocks=1,
    decoder_width=32,
    decoder_code_blocks=1,
    decoder_blocks=1,
)
CONFIGS = {
    "convnext": CodecConfig(num_codebooks=NUM_CODEBOOKS, codebook_size=16, convnext=CONVNEXT),
    "seanet": CodecConfig(
        shape="seanet",
        num_codebooks=NUM_CODEBOOKS,
        codebook_size=16,
        seanet=SEANetConfig(n_filters=4, ratios=(5, 4, 2), dim=6, num_lstm_layers=1),
    ),
}


@pytest.fixture(params=CONFIGS)
def codec(request: pytest.FixtureRequest) -> Codec:
    """A tiny codec whose codebooks have seen its latents."""
    torch.manual_seed(0)
    codec = Codec(CONFIGS[request.param])
    for seed in range(3):
        codec(noise(4, 40 * codec.config.hop_length, seed))
    return codec.eval()


def noise(batch: int, num_samples: int, seed: int = 5) -> Tensor:
    return 0.3 * torch.randn(batch, 1, num_samples, generator=torch.Generator().manual_seed(seed))


def test_rates_come_from_the_shape_that_is_built():
    convnext, seanet = CodecConfig(), CodecConfig(shape="seanet")
    assert (convnext.sample_rate, convnext.hop_length, convnext.frame_rate, convnext.dim) == (16000, 640, 25.0, 96)
    assert (seanet.sample_rate, seanet.hop_length, seanet.frame_rate, seanet.dim) == (16000, 320, 50.0, 128)
    assert CodecConfig(shape="seanet", seanet=SEANetConfig(sample_rate=24000)).frame_rate == 75.0


@pytest.mark.parametrize("shape", CONFIGS)
def test_the_shape_that_is_asked_for_is_built(shape: str):
    codec = Codec(CONFIGS[shape])
    assert {shape} == {type(part).__module__.rpartition(".")[2] for part in (codec.encoder, codec.decoder)}
    assert {name.split(".")[0] for name in codec.state_dict()} == {"encoder", "decoder", "quantizer"}


def test_lengths(codec: Codec):
    hop = codec.config.hop_length
    for num_samples in (1, hop - 1, hop, hop + 1, 7 * hop + 3):
        frames = -(-num_samples // hop)
        codes = codec.encode(noise(2, num_samples))
        assert codes.shape == (2, NUM_CODEBOOKS, frames) and codes.dtype == torch.int64
        assert codes.min() >= 0 and codes.max() < codec.config.codebook_size
        assert codec.decode(codes).shape == (2, 1, frames * hop)


def test_forward_is_encode_and_decode(codec: Codec):
    samples = noise(2, 9 * codec.config.hop_length)
    output = codec(samples)
    assert torch.equal(output.codes, codec.encode(samples))
    torch.testing.assert_close(output.samples, codec.decode(output.codes), rtol=1e-4, atol=1e-5)
    fewer = codec(samples, 1)
    assert torch.equal(fewer.codes, output.codes[:, :1])
    torch.testing.assert_close(fewer.samples, codec.decode(output.codes[:, :1]), rtol=1e-4, atol=1e-5)


def test_without_quantising_there_are_no_codes(codec: Codec):
    samples = noise(2, 9 * codec.config.hop_length)
    output = codec(samples, quantize=False)
    assert output.codes.shape == (2, 0, 9) and output.commitment_loss == 0
    assert output.samples.shape == samples.shape


def test_batched_equals_single(codec: Codec):
    samples = noise(3, 11 * codec.config.hop_length)
    codes = codec.encode(samples)
    decoded = codec.decode(codes)
    for row in range(3):
        assert torch.equal(codec.encode(samples[row : row + 1]), codes[row : row + 1])
        torch.testing.assert_close(codec.decode(codes[row : row + 1]), decoded[row : row + 1], rtol=1e-4, atol=1e-6)


def test_a_part_of_a_frame_is_filled_with_silence(codec: Codec):
    hop = codec.config.hop_length
    samples = noise(2, 6 * hop + hop // 3)
    filled = torch.zeros(2, 1, 7 * hop)
    filled[..., : samples.shape[-1]] = samples
    assert torch.equal(codec.encode(samples), codec.encode(filled))


def test_codes_do_not_depend_on_autocast_or_training_mode(codec: Codec):
    samples = noise(2, 9 * codec.config.hop_length)
    codes = codec.encode(samples)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(codec.encode(samples), codes)
    assert torch.equal(codec.train().encode(samples), codes)


@pytest.mark.parametrize("level", [0.0, 1.0, 1e-6])
def test_silence_and_full_scale_are_finite(codec: Codec, level: float):
    samples = level * torch.ones(1, 1, 10 * codec.config.hop_length)
    output = codec(samples)
    (output.samples.square().sum() + output.commitment_loss).backward()
    assert output.samples.isfinite().all()
    gradients = [p.grad for p in codec.parameters() if p.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("kept", range(1, NUM_CODEBOOKS + 1))
def test_a_cut_codec_gives_the_first_codes_and_shares_the_weights(codec: Codec, kept: int):
    samples = noise(2, 9 * codec.config.hop_length)
    codes = codec.encode(samples)
    random_state = torch.get_rng_state()
    small = codec.cut(kept)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert small.config.num_codebooks == small.quantizer.num_codebooks == kept and not small.training
    assert torch.equal(small.encode(samples), codes[:, :kept])
    assert torch.equal(small.decode(codes[:, :kept]), codec.decode(codes[:, :kept]))
    assert {id(p) for p in small.parameters()} == {id(p) for p in codec.parameters()}
    assert codec.config.num_codebooks == NUM_CODEBOOKS and torch.equal(codec.encode(samples), codes)
    rebuilt = Codec(small.config).eval()
    rebuilt.load_state_dict(small.state_dict(), strict=True)
    assert torch.equal(rebuilt.encode(samples), codes[:, :kept])


@pytest.mark.parametrize("kept", [0, -1, NUM_CODEBOOKS + 1])
def test_a_cut_that_cannot_be_is_refused(codec: Codec, kept: int):
    with pytest.raises(ValueError, match=f"{kept} codebooks"):
        codec.cut(kept)


def test_bad_codes_are_refused(codec: Codec):
    with pytest.raises(ValueError, match="codes must be in"):
        codec.decode(torch.full((1, NUM_CODEBOOKS, 2), codec.config.codebook_size))
    with pytest.raises(ValueError, match="codebooks"):
        codec.decode(torch.zeros(1, NUM_CODEBOOKS + 1, 2, dtype=torch.long))


def test_a_checkpoint_brings_the_same_codec_back(codec: Codec, tmp_path: Path):
    samples = noise(1, 5 * codec.config.hop_length)
    codes = codec.encode(samples)
    checkpoint.save(tmp_path / "codec", codec.state_dict(), config.to_dict(codec.config))
    loaded = checkpoint.load(tmp_path / "codec")
    again = Codec(config.from_dict(CodecConfig, loaded.config)).eval()
    checkpoint.load_into(again, loaded.tensors)
    assert again.config == codec.config
    assert torch.equal(again.encode(samples), codes) and torch.equal(again.decode(codes), codec.decode(codes))


def test_a_config_from_before_the_second_shape_still_loads():
    old = config.to_dict(CONFIGS["convnext"])
    del old["seanet"]
    assert config.from_dict(CodecConfig, old) == CONFIGS["convnext"]


def test_convnext_parameter_names_are_those_of_the_shipped_checkpoints():
    names = set(Codec(CONFIGS["convnext"]).state_dict())
    assert {
        "encoder.embed.weight",
        "encoder.blocks.0.depthwise.weight",
        "encoder.down.weight",
        "encoder.code_blocks.0.scale",
        "encoder.project.bias",
        "decoder.embed.weight",
        "decoder.up.weight",
        "decoder.head.weight",
        "quantizer.codebooks.0.vectors",
        "quantizer.codebooks.2.cluster_size",
        "quantizer.codebooks.2.vector_sum",
        "quantizer.codebooks.2.started",
    } <= names
    assert not any("window" in name or "filters" in name for name in names), "what is computed is not stored"


def test_bfloat16_products_change_little_and_leave_the_codec_alone():
    torch.manual_seed(0)
    codec = Codec(CONFIGS["convnext"]).eval()
    samples = noise(2, 40 * codec.config.hop_length)
    codec.train()(samples)
    codec.eval()
    lowered = codec.in_bfloat16()
    assert {value.dtype for value in codec.state_dict().values() if value.is_floating_point()} == {torch.float32}
    assert lowered.decoder.get_parameter("head.weight").dtype == torch.bfloat16
    codes = codec.encode(samples)
    assert 0.9 < (lowered.encode(samples) == codes).float().mean() <= 1
    decoded, other = codec.decode(codes), lowered.decode(codes)
    assert other.dtype == torch.float32 and not torch.equal(decoded, other)
    error_db = 10 * torch.log10((decoded - other).square().mean() / decoded.square().mean())
    assert error_db < -30, error_db


def test_a_codec_without_matrices_stays_in_float32():
    with pytest.raises(InputError, match="float32 only"):
        Codec(CONFIGS["seanet"]).in_bfloat16()


def test_short_windows_change_nothing_until_they_are_trained():
    torch.manual_seed(0)
    codec = Codec(CONFIGS["convnext"])
    samples = noise(2, 20 * codec.config.hop_length)
    codec(samples)
    codec.eval()
    sharper = codec.refined(short_mels=8, short_n_fft=64, short_stride=4).eval()
    assert torch.equal(sharper.encode(samples), codec.encode(samples))
    sharper.requires_grad_(True)(samples).samples.square().mean().backward()
    gradient = sharper.encoder.get_parameter("embed_short.weight").grad
    assert gradient is not None and gradient.any()


@pytest.mark.parametrize("sizes", [{"short_stride": 3}, {"short_n_fft": 512}])
def test_short_windows_that_do_not_fit_are_refused(sizes: dict[str, int]):
    with pytest.raises(ValueError, match="short_"):
        dataclasses.replace(CONVNEXT, short_mels=8, **sizes)
