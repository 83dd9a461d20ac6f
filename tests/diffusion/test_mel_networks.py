"""The mel autoencoder and the vocoder: shapes, scales, and that they learn one batch."""

import pytest
import torch

from uniaudio.diffusion.autoencoder import AutoencoderConfig, MelAutoencoder
from uniaudio.diffusion.vocoder import Vocoder, VocoderConfig

SMALL = AutoencoderConfig(channels=(16, 16), latent_channels=4, norm_groups=4)


def test_latents_have_the_announced_shape() -> None:
    network = MelAutoencoder(SMALL)
    assert SMALL.reduction == 8
    latent = network.encode(torch.randn(2, 61, 64))
    assert latent.shape == (2, 4, 8, 8)  # 61 frames are completed to 64
    assert network.decode(latent).shape == (2, 64, 64)


def test_standardised_latents_have_unit_scale_and_decode_alike() -> None:
    network = MelAutoencoder(SMALL).eval()
    mel = torch.randn(4, 64, 64) * 2 - 5
    with torch.no_grad():
        before = network.decode(network.encode(mel))
        network.standardise(network.encode(mel))
        latent = network.encode(mel)
        assert torch.allclose(network.decode(latent), before, atol=1e-3)
    assert torch.allclose(latent.mean((0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(latent.std((0, 2, 3)), torch.ones(4), atol=1e-3)
    network.standardise(latent)
    assert torch.allclose(network.encode(mel), latent, atol=1e-3)


def test_a_draw_differs_from_the_mean_and_repeats() -> None:
    network, mel = MelAutoencoder(SMALL), torch.randn(1, 16, 64)
    draws = [network.encode(mel, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*draws)
    assert not torch.equal(draws[0], network.encode(mel))


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="patch"):
        AutoencoderConfig(patch=0)
    with pytest.raises(ValueError, match="n_fft"):
        VocoderConfig(n_fft=161)


def test_a_vocoder_makes_a_hop_a_frame() -> None:
    network = Vocoder(VocoderConfig(width=16, blocks=1))
    samples = network(torch.randn(2, 13, 64))
    assert samples.shape == (2, 13 * 160)
    samples.square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())
