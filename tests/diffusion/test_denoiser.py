"""The denoiser: its loss, what it drops, guidance and rescale, and that batches and padding change nothing."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from uniaudio.diffusion.denoiser import Denoiser, DenoiserConfig, Given, NoiseConfig, adopt

LEVELS = {"channels": (16, 32), "attention": (False, True), "layers_per_block": 1, "head_width": 8, "norm_groups": 8}
CONFIG = DenoiserConfig(latent_channels=4, extra_channels=2, loa_dim=20, text_dim=24, **LEVELS)


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(CONFIG).eval()


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def given() -> Given:
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    return Given(loa=draw(2, 6, 20), text=draw(2, 4, 24), text_mask=mask, extra=draw(2, 2, 16, 8))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_loss_is_that_of_the_diffusers_schedule(prediction: str) -> None:
    """The same draws through DDPMScheduler give the same number."""
    from diffusers import DDPMScheduler

    torch.manual_seed(0)
    noise_config = NoiseConfig(prediction=prediction)  # pyright: ignore[reportArgumentType]
    denoiser = Denoiser(replace(CONFIG, noise=noise_config, drop=0.0, drop_text=0.0))
    latent, one = draw(2, 4, 16, 8, seed=3), given()
    got = denoiser.loss(latent, one.loa, one.text, one.text_mask, one.extra, torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    steps = torch.randint(1000, (2,), generator=generator)
    noise = torch.randn(latent.shape, generator=generator)
    scheduler = DDPMScheduler(**noise_config.scheduler())
    predicted = denoiser.predict(scheduler.add_noise(latent, noise, steps), steps, one)
    target = noise if prediction == "epsilon" else scheduler.get_velocity(latent, noise, steps)
    torch.testing.assert_close(got, F.mse_loss(predicted, target))
    got.backward()
    assert all(parameter.grad is not None for parameter in denoiser.parameters())


def test_the_snr_limit_weighs_clean_steps_less() -> None:
    torch.manual_seed(0)
    plain = Denoiser(CONFIG)
    limited = Denoiser(replace(CONFIG, snr_limit=5.0), plain.unet)
    latent, one = draw(2, 4, 16, 8), given()
    batch = latent, one.loa, one.text, one.text_mask, one.extra
    values = [
        sum(model.loss(*batch, torch.Generator().manual_seed(seed)) for seed in range(6)) for model in (plain, limited)
    ]
    assert 0 < values[1] < values[0]


def test_the_snr_limit_leaves_the_noisy_steps_of_the_velocity_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    plain = Denoiser(replace(CONFIG, noise=NoiseConfig(prediction="v_prediction")))
    limited = Denoiser(replace(plain.config, snr_limit=5.0), plain.unet)
    latent, one = draw(2, 4, 16, 8), given()

    def ratio(step: int) -> float:
        monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor([step, step]))
        batch = latent, one.loa, one.text, one.text_mask, one.extra
        values = [model.loss(*batch, torch.Generator().manual_seed(1)).item() for model in (limited, plain)]
        return values[0] / values[1]

    assert ratio(999) == ratio(600) == 1.0
    clean = float(plain.alphas[20] / (1 - plain.alphas[20]))
    assert ratio(20) == pytest.approx(5.0 / (clean + 1), rel=1e-4)


def test_conditions_are_dropped_together(denoiser: Denoiser) -> None:
    dropping = Denoiser(replace(CONFIG, drop=1.0), denoiser.unet)
    latent, one = draw(2, 4, 16, 8), given()
    zeros = one.nothing()
    losses = [
        dropping.loss(latent, each.loa, each.text, each.text_mask, each.extra, torch.Generator().manual_seed(2))
        for each in (one, zeros)
    ]
    assert torch.equal(*losses)


def test_the_text_is_dropped_alone(denoiser: Denoiser) -> None:
    wordless = Denoiser(replace(CONFIG, drop=0.0, drop_text=1.0), denoiser.unet)
    latent, one = draw(2, 4, 16, 8), given()
    no_text, no_loa = replace(one, text=one.nothing().text), replace(one, loa=one.nothing().loa)
    losses = [
        wordless.loss(latent, each.loa, each.text, each.text_mask, each.extra, torch.Generator().manual_seed(2))
        for each in (one, no_text, no_loa)
    ]
    assert torch.equal(losses[0], losses[1]) and not torch.equal(losses[0], losses[2])


def test_guidance_and_rescale(denoiser: Denoiser) -> None:
    noisy, step, one = draw(2, 4, 16, 8), torch.tensor(500), given()
    with torch.no_grad():
        told, plain = denoiser.predict(noisy, step, one), denoiser.predict(noisy, step, one.nothing())
        torch.testing.assert_close(denoiser.guided(one, None, 1.0)(noisy, step), told)
        guided = denoiser.guided(one, None, 3.0)(noisy, step)
        torch.testing.assert_close(guided, plain + 3 * (told - plain), atol=1e-5, rtol=1e-5)
        rescaled = denoiser.guided(one, None, 3.0, rescale=1.0)(noisy, step)
    torch.testing.assert_close(rescaled.std(dim=(1, 2, 3)), told.std(dim=(1, 2, 3)))
    ratio = rescaled / guided
    torch.testing.assert_close(ratio[0], ratio[0, :1, :1, :1].expand_as(ratio[0]), atol=1e-4, rtol=1e-4)


def test_batches_and_padded_text_change_nothing(denoiser: Denoiser) -> None:
    noisy, step, one = draw(2, 4, 16, 8), torch.tensor(500), given()
    assert one.text is not None and one.extra is not None
    alone = Given(loa=one.loa[1:], text=one.text[1:, :2], text_mask=torch.ones(1, 2), extra=one.extra[1:])
    with torch.no_grad():
        both = denoiser.predict(noisy, step, one)
        torch.testing.assert_close(denoiser.predict(noisy[1:], step, alone), both[1:], atol=1e-5, rtol=1e-5)
        # an empty prompt that is longer than the prompt, as a public text encoder may give
        longer = replace(one.nothing(), text=draw(2, 7, 24, seed=9), text_mask=None)
        guided = denoiser.guided(one, longer, 2.0)(noisy, step)
        plain = denoiser.predict(noisy, step, longer)
    torch.testing.assert_close(guided, plain + 2 * (both - plain), atol=1e-5, rtol=1e-5)


def test_a_unet_that_exists_is_adopted_as_it_is(denoiser: Denoiser) -> None:
    adopted = adopt(denoiser.unet, NoiseConfig(end=0.02))
    assert adopted.unet is denoiser.unet
    assert (adopted.config.loa_dim, adopted.config.text_dim, adopted.config.latent_channels) == (20, 24, 6)
    assert adopted.alphas[-1] < denoiser.alphas[-1]


def test_levels_must_go_together() -> None:
    with pytest.raises(ValueError, match="same length"):
        DenoiserConfig(channels=(16, 32), attention=(True,))


def test_narrow_kernels_are_the_middle_columns() -> None:
    torch.manual_seed(0)
    wide, slim = Denoiser(CONFIG), Denoiser(replace(CONFIG, narrow=True))
    values = {
        name: value[..., 1:2] if value.shape[-2:] == (3, 3) else value for name, value in wide.state_dict().items()
    }
    slim.load_state_dict(values)
    given = Given(loa=torch.randn(2, 3, 20), text=torch.randn(2, 5, 24), extra=torch.randn(2, 2, 13, 1))
    noisy, step = torch.randn(2, 4, 13, 1), torch.tensor([3, 700])
    assert torch.allclose(wide.predict(noisy, step, given), slim.predict(noisy, step, given), atol=1e-5)


IN_STEP = replace(CONFIG, in_step=(8, 4), drop=0.0, drop_text=0.0)


def awake() -> Denoiser:
    """A denoiser that has learnt something from the means: they begin without effect."""
    torch.manual_seed(0)
    denoiser = Denoiser(IN_STEP).eval()
    for weight in denoiser.unet.get_submodule("class_embedding").parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return denoiser


def test_the_language_of_audio_is_heard_where_it_is_in_time() -> None:
    """Vectors 4 x 2, of 8 x 4 patches: a change of a time is where that time is, one of frequency nowhere."""
    denoiser, one = awake(), replace(given(), loa=draw(2, 8, 20))
    later = one.loa.clone()
    later[:, 6:] += 1.0
    later[:, :2] -= 1.0  # so that the mean stays
    swapped = one.loa.unflatten(1, (4, 2)).flip(2).flatten(1, 2)  # of frequencies the mean is heard
    noisy, step = draw(2, 4, 16, 8), torch.tensor(500)
    inputs = []
    denoiser.unet.get_submodule("conv_in").register_forward_hook(lambda _, seen, __: inputs.append(seen[0]))
    with torch.no_grad():
        for loa in (one.loa, later, swapped):
            denoiser.predict(noisy, step, replace(one, loa=loa))
    plain, moved, flipped = (seen[:, 6:] for seen in inputs)  # [B, D, T, F], after latent and additional channels
    assert plain.shape == (2, 20, 16, 8)
    change = (moved - plain).mean(dim=(0, 1, 3))
    torch.testing.assert_close(change[:2], torch.full((2,), -1.0))
    torch.testing.assert_close(change[-2:], torch.full((2,), 1.0))
    assert change.diff().min() >= -1e-5
    torch.testing.assert_close(flipped, plain)


def test_the_means_reach_every_frame_and_padded_text_does_not_count() -> None:
    denoiser, one = awake(), replace(given(), loa=draw(2, 8, 20))
    noisy, step = draw(2, 4, 16, 8), torch.tensor(500)
    assert one.text is not None and one.text_mask is not None
    padded = torch.where(one.text_mask[..., None].bool(), one.text, 9.0)
    with torch.no_grad():
        plain = denoiser.predict(noisy, step, one)
        torch.testing.assert_close(denoiser.predict(noisy, step, replace(one, text=padded)), plain)
        for other in (replace(one, loa=one.loa + 0.5), replace(one, text=one.text + 0.5)):
            moved = (denoiser.predict(noisy, step, other) - plain).abs().amax(dim=(1, 3))
            assert (moved > 1e-4).all()
    loss = denoiser.loss(noisy, one.loa, one.text, one.text_mask, one.extra)
    loss.backward()
    assert all(parameter.grad is not None for parameter in denoiser.parameters())
