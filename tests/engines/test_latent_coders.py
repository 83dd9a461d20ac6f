"""Latents of a codec: principal components, their scales, and the way back."""

import pytest
import torch

from uniaudio.engines.latent_coders import CodecLatent, CodecLatentConfig
from uniaudio.errors import InputError
from uniaudio.recipes.debug import debug_engine


@pytest.fixture
def codec():
    return debug_engine().codec


def test_all_components_are_the_codec_without_rounding(codec) -> None:
    latent = CodecLatent(CodecLatentConfig(channels=codec.config.dim, dim=codec.config.dim)).attach(codec)
    samples = torch.randn(4, 20 * codec.config.hop_length, generator=torch.Generator().manual_seed(0)) * 0.1
    latent.fit(samples)
    found = latent.to_latent(samples)
    assert found.shape == (4, codec.config.dim, 20, 1)
    whole = codec(samples[:, None], quantize=False).samples[:, 0]
    assert torch.allclose(latent.to_samples(found), whole, atol=1e-4)


def test_components_fall_off_with_the_fourth_root_of_their_variance(codec) -> None:
    latent = CodecLatent(CodecLatentConfig(channels=4, dim=codec.config.dim)).attach(codec)
    samples = torch.randn(4, 50 * codec.config.hop_length, generator=torch.Generator().manual_seed(0)) * 0.1
    latent.fit(samples)
    found = latent.to_latent(samples)[..., 0]  # [B, C, T]
    variances = found.transpose(0, 1).flatten(1).var(1)
    assert float(variances.mean()) == pytest.approx(1.0, rel=1e-3)
    frames = codec.latent(samples[:, None]).transpose(1, 2).flatten(0, 1)
    true = torch.linalg.eigvalsh(torch.cov(frames.T)).flip(0)[:4]
    assert torch.allclose(variances / variances[0], (true / true[0]).sqrt(), rtol=1e-3)
    assert sum(value.numel() for value in latent.state_dict().values()) == codec.config.dim * 9  # no codec in it


def test_a_codec_of_another_width(codec) -> None:
    with pytest.raises(InputError, match="values a frame"):
        CodecLatent(CodecLatentConfig(channels=4, dim=codec.config.dim + 1)).attach(codec)
