"""The STFT discriminator: shapes at both presets, known spectra, and that it learns to tell two signals apart."""

from dataclasses import replace

import pytest
import torch

from uniaudio.codec.discriminator import PRESETS, DiscriminatorConfig, ScaledSTFT, STFTDiscriminator
from uniaudio.codec.losses import adversarial_losses
from uniaudio.errors import InputError


def test_small_preset_shapes():
    config = PRESETS["small"]
    outputs = STFTDiscriminator(config)(torch.randn(2, 1, 4000))
    assert len(outputs) == config.num_scales == 3
    for (logits, features), fft, hop in zip(outputs, config.fft_sizes, config.hop_lengths, strict=True):
        num_frames = 1 + 4000 // hop
        assert logits.shape == (2, 1, fft // 16 + 1, num_frames)  # three strides of 2 over fft / 2 + 1 rows
        assert [f.shape[1] for f in features] == [4, 8, 16, 32]
        assert all(f.shape[-1] == num_frames for f in features)


def test_paper_preset_is_the_published_one():
    config = PRESETS["paper"]
    assert config == DiscriminatorConfig()
    assert config.fft_sizes == config.win_lengths == tuple(4 * hop for hop in config.hop_lengths)
    with torch.device("meta"):
        network = STFTDiscriminator(config)
    for scale, widest in zip(network.scales, config.channels, strict=True):
        layers = list(scale.layers)
        assert len(layers) == 7
        assert [layer.kernel_size for layer in layers] == [(3, 3)] * 7
        assert [layer.stride for layer in layers] == [(1, 1), (2, 2)] * 3 + [(1, 1)]
        assert [layer.in_channels for layer in layers] == [2, *(widest >> shift for shift in (5, 4, 3, 2, 1, 0))]
        assert layers[-1].out_channels == 1


def test_paper_layers_run_at_any_length():
    # The real layer and scale lists, narrower, so that it runs in a moment.
    config = replace(PRESETS["paper"], channels=(4,) * 6)
    network = STFTDiscriminator(config)
    for length in (1, 1000, 6000):
        for logits, features in network(torch.randn(1, 1, length)):
            assert logits.isfinite().all() and len(features) == 6


def test_spectrum_of_a_sine_peaks_at_its_bin_and_noise_keeps_its_level():
    stft = ScaledSTFT(512, 128, 512)
    time = torch.arange(8000) / 16000
    spectrum = stft(torch.sin(2 * torch.pi * 1000 * time)[None, None]).abs()
    assert spectrum.shape == (1, 257, 1 + 8000 // 128)
    assert (spectrum[0, :, 5:-5].argmax(dim=0) == 32).all()  # 1000 Hz / (16000 Hz / 512)
    noise = 0.1 * torch.randn(1, 1, 64000, generator=torch.Generator().manual_seed(0))
    for fft in (128, 2048):
        level = ScaledSTFT(fft, fft // 4, fft)(noise).abs().square().mean().sqrt().item()
        assert level == pytest.approx(0.1, rel=0.05)


def test_logits_move_with_the_signal():
    # Delaying the samples by one hop delays the logits by one frame, away from the ends.
    torch.manual_seed(0)
    config = replace(PRESETS["small"], fft_sizes=(256,), hop_lengths=(64,), win_lengths=(256,), channels=(8,))
    network = STFTDiscriminator(config)
    samples = torch.randn(1, 1, 4096)
    late = torch.nn.functional.pad(samples, (64, 0))
    (logits, _), (moved, _) = network(samples)[0], network(late)[0]
    torch.testing.assert_close(moved[..., 9:-9], logits[..., 8:-9], atol=1e-5, rtol=1e-5)


def test_bfloat16_autocast_is_finite_and_close():
    torch.manual_seed(0)
    network = STFTDiscriminator(PRESETS["small"])
    samples = 0.3 * torch.randn(1, 1, 4000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = network(samples)
    for (logits, _), (exact, _) in zip(mixed, network(samples), strict=True):
        torch.testing.assert_close(logits.float(), exact, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("kind", ["lsgan", "hinge"])
def test_learns_to_tell_a_tone_from_noise(kind):
    torch.manual_seed(0)
    network = STFTDiscriminator(PRESETS["small"])
    losses = adversarial_losses(kind)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, betas=(0.8, 0.99))
    time = torch.arange(4000) / 16000

    def pair() -> tuple[torch.Tensor, torch.Tensor]:
        pitch = 200 + 2000 * torch.rand(4, 1, 1)
        return 0.3 * torch.sin(2 * torch.pi * pitch * time), 0.2 * torch.randn(4, 1, 4000)

    first = None
    for _ in range(40):
        real, fake = pair()
        loss = losses.discriminator(network(real), network(fake))
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        real, fake = (network(x) for x in pair())
        assert losses.discriminator(real, fake).item() < 0.5 * first
        for (real_logits, _), (fake_logits, _) in zip(real, fake, strict=True):
            assert real_logits.mean() > fake_logits.mean() + 0.3


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": (8,)},
        {"time_strides": (1,)},
        {"frequency_strides": (1,), "time_strides": (1,)},
        {"win_lengths": (256, 256, 512, 1024, 2048, 4096)},
    ],
)
def test_wrong_config_is_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        DiscriminatorConfig(**wrong)
