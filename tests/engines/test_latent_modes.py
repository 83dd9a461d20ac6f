"""What the engine does with a recording, on tiny networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.engines.latent import QUICK, tiny_engine

from uniaudio.audio.io import Audio
from uniaudio.engines.latent import LatentEngine, Work
from uniaudio.engines.latent_modes import Edit, continuation, in_context, inpaint, style_transfer, variation
from uniaudio.errors import InputError

SOURCE_SECONDS = 1.0


@pytest.fixture(scope="module")
def engine() -> LatentEngine:
    return tiny_engine(speaks=False)


@pytest.fixture(scope="module")
def source() -> Audio:
    time = np.arange(round(SOURCE_SECONDS * 16000)) / 16000
    return Audio((0.3 * np.sin(2 * np.pi * 300 * time)).astype(np.float32)[None], 16000)


def test_a_variation_is_as_long_and_no_copy(engine: LatentEngine, source: Audio) -> None:
    made, other = (variation(engine, source, Edit(sampling=replace(QUICK, seed=seed))) for seed in (1, 2))
    assert made.samples.shape == source.samples.shape
    assert not np.allclose(made.samples, other.samples, atol=1e-4)
    quiet = Audio(0.01 * source.samples, 16000)
    assert not np.allclose(variation(engine, quiet, Edit(sampling=replace(QUICK, seed=1))).samples, made.samples)


def test_strength_moves_away_from_the_source(engine: LatentEngine, source: Audio) -> None:
    """With many steps and little strength, the latent is nearly that of the source."""
    trip = engine.round_trip(source).samples
    edit = Edit(caption="rain", sampling=replace(QUICK, steps=50, guidance=1.0))
    distances = [
        float(np.abs(style_transfer(engine, source, strength, edit).samples - trip).mean())
        for strength in (0.02, 0.5, 1.0)
    ]
    assert distances[0] < 0.7 * distances[1] and distances[0] < 0.7 * distances[2]
    with pytest.raises(InputError, match="strength"):
        style_transfer(engine, source, 0.0, edit)


@pytest.mark.parametrize("caption", [None, "rain"])
def test_inpainting_keeps_the_rest(engine: LatentEngine, source: Audio, caption: str | None) -> None:
    made = inpaint(engine, source, 0.3, 0.5, Edit(caption=caption))
    inside = slice(4800, 8000)
    np.testing.assert_array_equal(made.samples[:, :4800], source.samples[:, :4800])
    np.testing.assert_array_equal(made.samples[:, 8000:], source.samples[:, 8000:])
    assert not np.allclose(made.samples[:, inside], source.samples[:, inside], atol=1e-2)


def test_the_latent_of_the_kept_part_is_that_of_the_round_trip(
    engine: LatentEngine, source: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So what is kept stays within the autoencoder's round trip, even where the source's own samples are not used."""
    seen = []
    make = engine.make

    def watched(work: Work) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append((work, make(work)))
        return seen[-1][1]

    monkeypatch.setattr(engine, "make", watched)
    inpaint(engine, source, 0.3, 0.5, Edit())
    work, (latent, _) = seen[0]
    assert work.keep is not None
    kept = work.keep.mask[0, 0, :, 0].bool()
    assert kept.tolist() == [not 3 <= frame < 7 for frame in range(len(kept))]  # frames of 0.08 s that 0.3 to 0.5 touch
    assert torch.equal(latent[:, :, kept], work.keep.latent[:, :, kept])


@pytest.mark.parametrize(("start", "end"), [(0.5, 0.4), (-0.1, 0.4), (0.4, 1.2), (0.0, 1.0)])
def test_parts_that_cannot_be_made_anew(engine: LatentEngine, source: Audio, start: float, end: float) -> None:
    with pytest.raises(InputError, match="ma[dk]e anew"):
        inpaint(engine, source, start, end, Edit())


@pytest.mark.parametrize("start", [0.0, 0.8])
def test_the_edges_can_be_made_anew(engine: LatentEngine, source: Audio, start: float) -> None:
    made = inpaint(engine, source, start, start + 0.2, Edit())
    assert np.isfinite(made.samples).all() and made.samples.shape == source.samples.shape


@pytest.mark.parametrize("caption", [None, "rain"])
def test_a_continuation_begins_with_the_source(engine: LatentEngine, source: Audio, caption: str | None) -> None:
    made = continuation(engine, source, 0.9, Edit(caption=caption))
    assert made.samples.shape == (1, 16000 + 14400)
    np.testing.assert_array_equal(made.samples[:, :16000], source.samples)
    assert made.samples[:, 16400:].std() > 1e-4
    steps = np.abs(np.diff(made.samples[0]))
    assert steps[15999] < 1.5 * steps[:15999].max()  # no click at the seam
    with pytest.raises(InputError, match="seconds"):
        continuation(engine, source, 0.0, Edit())
    with pytest.raises(InputError, match="lasts"):
        continuation(engine, Audio(source.samples[:, :100], 16000), 1.0, Edit())


def test_in_context_the_language_of_audio_begins_as_the_prompts(
    engine: LatentEngine, source: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = engine.model.loa(torch.from_numpy(source.samples[:, : 8 * 1280]))
    given = []
    guided = engine.model.denoiser.guided
    monkeypatch.setattr(engine.model.denoiser, "guided", lambda one, *rest: given.append(one) or guided(one, *rest))
    made = in_context(engine, source, 0.5, Edit(caption="rain"))
    assert made.samples.shape == (1, 8000)
    loa = given[0].loa
    torch.testing.assert_close(loa[:, :2], heard[:, :2])  # the first quarter
    rest = engine.roll_out(engine.model.words("rain").told(0, 8), prefix=heard[:, :2])
    torch.testing.assert_close(loa, rest)
