"""The sampling loop: schedulers agree, seeds, batches, another start, what stays, and windows without a seam."""

import numpy as np
import pytest
import torch
from torch import Tensor

from uniaudio.diffusion.denoiser import NoiseConfig, Predict
from uniaudio.diffusion.samplers import (
    SAMPLERS,
    Diffusion,
    Keep,
    Start,
    make_noise,
    make_scheduler,
    sample,
    spans,
    windowed,
)

SHAPE = (2, 16, 4)
MEAN, DEVIATION = 0.7, 0.5
ALPHAS = (1 - torch.linspace(0.0015**0.5, 0.0195**0.5, 1000) ** 2).cumprod(dim=0)


def exact(noisy: Tensor, step: Tensor) -> Tensor:
    """The noise that the best denoiser of a normal distribution with `MEAN` and `DEVIATION` sees."""
    alpha = float(np.interp(float(step), np.arange(1000), ALPHAS.numpy()))
    signal, sigma = alpha**0.5, (1 - alpha) ** 0.5
    return sigma * (noisy - signal * MEAN) / (alpha * DEVIATION**2 + sigma**2)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def run(name: str, steps: int, predict: Predict = exact, seeds: tuple[int, ...] = (0, 1), **parts) -> Tensor:
    settings = Diffusion(sampler=name, steps=steps, eta=parts.pop("eta", 0.0))
    scheduler = make_scheduler(name, NoiseConfig().scheduler())
    drawn = generators(*seeds)
    return sample(predict, scheduler, make_noise(SHAPE, drawn), settings, generators=drawn, **parts)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_reaches_the_distribution(name: str) -> None:
    made = run(name, 50, seeds=tuple(range(32)))
    assert made.mean().item() == pytest.approx(MEAN, abs=0.05)
    assert made.std().item() == pytest.approx(DEVIATION, abs=0.05)


def test_samplers_solve_the_same_equation() -> None:
    """With many steps, the three give the same latent for the same noise."""
    latents = [run(name, 500) for name in SAMPLERS]
    for other in latents[1:]:
        assert (other - latents[0]).abs().max() < 0.05


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_the_same_seed_gives_the_same_latent_alone_and_in_a_batch(name: str, eta: float) -> None:
    both = run(name, 8, seeds=(3, 4), eta=eta)
    assert torch.equal(both, run(name, 8, seeds=(3, 4), eta=eta))
    torch.testing.assert_close(run(name, 8, seeds=(4,), eta=eta)[0], both[1])
    assert not torch.allclose(both[0], both[1], atol=0.1)


@pytest.mark.parametrize("name", SAMPLERS)
def test_strength_says_how_far_a_start_is_left(name: str) -> None:
    source = torch.full((2, *SHAPE), MEAN) + 0.4 * torch.sin(torch.arange(16.0))[:, None]
    distances = [
        (run(name, 20, start=Start(latent=source, strength=strength)) - source).abs().mean().item()
        for strength in (0.05, 0.4, 1.0)
    ]
    assert distances[0] < distances[1] < distances[2]
    steps = []
    run(name, 20, start=Start(latent=source, strength=0.25), on_step=lambda done, of: steps.append((done, of)))
    assert steps == [(index, 5) for index in range(1, 6)]


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_is_kept_is_exact_and_the_rest_is_made(name: str) -> None:
    source = torch.full((2, *SHAPE), 3.0)
    mask = torch.zeros(1, 1, 16, 1)
    mask[:, :, :6] = 1
    made = run(name, 20, keep=Keep(latent=source, mask=mask))
    assert torch.equal(made[:, :, :6], source[:, :, :6])
    torch.testing.assert_close(made[:, :, 6:], run(name, 20)[:, :, 6:])  # this denoiser sees no neighbours


@pytest.mark.parametrize(
    ("length", "window", "overlap"), [(10, 16, 4), (16, 16, 4), (17, 16, 4), (64, 16, 4), (50, 16, 8)]
)
def test_windows_cover_everything_and_overlap(length: int, window: int, overlap: int) -> None:
    places = spans(length, window, overlap)
    assert places[0][0] == 0 and places[-1][1] == length
    assert all(last - first == min(window, length) for first, last in places)
    assert all(one[1] - two[0] >= overlap for one, two in zip(places, places[1:], strict=False))


@pytest.mark.parametrize("name", SAMPLERS)
def test_windows_of_one_denoiser_are_that_denoiser(name: str) -> None:
    places = spans(16, 8, 3)
    torch.testing.assert_close(run(name, 10, windowed([exact] * len(places), places)), run(name, 10))


def test_windows_that_disagree_join_without_a_seam() -> None:
    """Two windows that want other levels: the latent goes from one to the other in the overlap, without a jump."""

    def towards(level: float) -> Predict:
        return lambda noisy, step: exact(noisy - ALPHAS[int(step)] ** 0.5 * (level - MEAN), step)

    places = [(0, 10), (6, 16)]
    made = run("ddim", 50, windowed([towards(-5.0), towards(5.0)], places), seeds=tuple(range(16)))
    levels = made.mean(dim=(0, 1, 3))
    assert levels[:6].mean() < -4 and levels[10:].mean() > 4
    assert levels.diff().abs().max() < 4  # a hard cut would jump by 10


def test_settings_out_of_range() -> None:
    for wrong in ({"sampler": "heun"}, {"steps": 0}, {"guidance": 0.5}, {"rescale": 2.0}, {"eta": -1.0}):
        with pytest.raises(ValueError):
            Diffusion(**wrong)
