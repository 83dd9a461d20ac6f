"""Codec losses: known answers, order, gradients on silence, and float32 inside whatever the caller uses."""

import math

import pytest
import torch

from uniaudio.codec.discriminator import PRESETS, STFTDiscriminator
from uniaudio.codec.losses import (
    LOG_FLOOR,
    MultiResolutionMelLoss,
    MultiResolutionSTFTLoss,
    adversarial_losses,
    feature_matching_loss,
)
from uniaudio.errors import InputError

SPECTRAL = {"mel": MultiResolutionMelLoss(16000), "stft": MultiResolutionSTFTLoss()}


def voice_like(batch: int = 2, num_samples: int = 4800) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(num_samples) / 16000
    tones = sum(torch.sin(2 * torch.pi * 150 * k * time) / k for k in range(1, 8))
    return 0.2 * tones * torch.ones(batch, 1, 1) + 0.01 * torch.randn(batch, 1, num_samples, generator=generator)


@pytest.mark.parametrize("name", SPECTRAL)
def test_identical_signals_cost_nothing_and_have_finite_gradients(name):
    original = voice_like()
    decoded = original.clone().requires_grad_()
    loss = SPECTRAL[name](decoded, original)
    assert loss.item() == 0
    loss.backward()
    assert decoded.grad is not None and decoded.grad.isfinite().all()


@pytest.mark.parametrize("name", SPECTRAL)
def test_more_noise_costs_more(name):
    original = voice_like()
    noise = torch.randn(original.shape, generator=torch.Generator().manual_seed(1))
    costs = [SPECTRAL[name](original + level * noise, original).item() for level in (0.0, 0.003, 0.01, 0.03, 0.1, 0.3)]
    assert costs == sorted(costs) and len(set(costs)) == len(costs)


def test_known_answers_for_a_gain():
    # Half the amplitude: every log difference is log 2 (less near the floor), and the relative error is 1/2.
    noise = 0.5 * torch.randn(1, 1, 8000, generator=torch.Generator().manual_seed(0))
    assert SPECTRAL["mel"](0.5 * noise, noise).item() == pytest.approx(math.log(2), rel=5e-3)
    assert SPECTRAL["stft"](0.5 * noise, noise).item() == pytest.approx(0.5 + math.log(2), rel=5e-3)


def test_mel_loss_of_silence_against_silence_below_the_floor():
    faint = torch.full((1, 1, 4800), 0.01 * LOG_FLOOR)
    assert SPECTRAL["mel"](faint, torch.zeros_like(faint)).item() < 0.05


@pytest.mark.parametrize("name", SPECTRAL)
@pytest.mark.parametrize("silent", ["decoded", "original", "both"])
def test_silence_is_finite(name, silent):
    decoded = (torch.zeros(2, 1, 4800) if silent != "original" else voice_like()).requires_grad_()
    original = voice_like() if silent == "decoded" else torch.zeros(2, 1, 4800)
    loss = SPECTRAL[name](decoded, original)
    loss.backward()
    assert loss.isfinite() and decoded.grad is not None and decoded.grad.isfinite().all()


@pytest.mark.parametrize("name", SPECTRAL)
def test_gradient_descent_on_the_samples_lowers_the_loss(name):
    original = voice_like(1)
    decoded = (0.1 * torch.randn(1, 1, 4800, generator=torch.Generator().manual_seed(2))).requires_grad_()
    optimizer = torch.optim.Adam([decoded], lr=5e-3)
    first = SPECTRAL[name](decoded, original).item()
    for _ in range(40):
        optimizer.zero_grad()
        SPECTRAL[name](decoded, original).backward()
        optimizer.step()
    assert SPECTRAL[name](decoded, original).item() < 0.6 * first


@pytest.mark.parametrize("name", SPECTRAL)
def test_batch_costs_the_mean_of_its_signals(name):
    original = torch.cat([voice_like(1), 0.01 * voice_like(1)])
    decoded = original + 0.01 * torch.randn(original.shape, generator=torch.Generator().manual_seed(3))
    alone = torch.stack([SPECTRAL[name](decoded[i, None], original[i, None]) for i in range(2)]).mean()
    torch.testing.assert_close(SPECTRAL[name](decoded, original), alone)


@pytest.mark.parametrize("name", SPECTRAL)
def test_computed_in_float32_under_autocast_and_for_bfloat16_samples(name):
    original = voice_like()
    decoded = (original + 0.01).bfloat16()
    exact = SPECTRAL[name](decoded.float(), original)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = SPECTRAL[name](decoded, original)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, exact)


def test_short_signals_are_allowed():
    for loss in SPECTRAL.values():
        assert loss(torch.randn(1, 1, 10), torch.randn(1, 1, 10)).isfinite()


def test_every_mel_filter_hears_something():
    for loss_rate in (16000, 24000):
        for name, filters in MultiResolutionMelLoss(loss_rate).named_buffers():
            if name.startswith("filters"):
                torch.testing.assert_close(filters.sum(dim=1), torch.ones(len(filters)), msg=f"{loss_rate} {name}")


def logits_of(*values: float) -> list:
    return [(torch.full((2, 1, 3, 4), value), [torch.full((2, 5, 3, 4), value)]) for value in values]


def test_adversarial_known_answers():
    lsgan, hinge = adversarial_losses("lsgan"), adversarial_losses("hinge")
    assert lsgan.discriminator(logits_of(1, 1), logits_of(0, 0)).item() == 0
    assert lsgan.discriminator(logits_of(0.5), logits_of(0.5)).item() == pytest.approx(0.5)
    assert lsgan.generator(logits_of(0, 3)).item() == pytest.approx((1 + 4) / 2)  # the mean over two scales
    assert hinge.discriminator(logits_of(1, 2), logits_of(-1, -5)).item() == 0
    assert hinge.discriminator(logits_of(0), logits_of(0)).item() == pytest.approx(2)
    assert hinge.generator(logits_of(-1, 2)).item() == pytest.approx(1)
    with pytest.raises(InputError, match="lsgan, hinge"):
        adversarial_losses("wasserstein")


def test_feature_matching_known_answer_and_no_gradient_to_the_real_side():
    assert feature_matching_loss(logits_of(1, 2), logits_of(1, 2)).item() == 0
    assert feature_matching_loss(logits_of(1, 2), logits_of(2, 5)).item() == pytest.approx((1 + 3) / 2)
    network = STFTDiscriminator(PRESETS["small"])
    real, fake = (torch.randn(1, 1, 2000, requires_grad=True) for _ in range(2))
    feature_matching_loss(network(real), network(fake)).backward()
    assert real.grad is None
    assert fake.grad is not None and fake.grad.abs().max() > 0


@pytest.mark.parametrize("kind", ["lsgan", "hinge"])
def test_generator_gradient_reaches_silent_samples_through_autocast(kind):
    network = STFTDiscriminator(PRESETS["small"])
    for start in (torch.zeros(1, 1, 2000), voice_like(1, 2000)):
        samples = start.requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = adversarial_losses(kind).generator(network(samples))
        loss.backward()
        assert loss.dtype == torch.float32
        assert samples.grad is not None and samples.grad.isfinite().all() and samples.grad.abs().max() > 0


def test_mismatched_sizes_are_named():
    with pytest.raises(InputError, match="num_mels"):
        MultiResolutionMelLoss(fft_sizes=(512,), num_mels=(20, 40))
    with pytest.raises(InputError, match="hop_lengths"):
        MultiResolutionSTFTLoss(hop_lengths=(120,))
