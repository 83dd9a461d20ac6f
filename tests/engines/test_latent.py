"""The AudioLDM 2 engine on tiny networks: requests, lengths, seeds, candidates, windows, and its folder."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.engines.latent import QUICK, FakeCaptions, tiny_engine

from uniaudio import checkpoint, engines
from uniaudio.audio.io import Audio
from uniaudio.engines.latent import LatentEngine, Work
from uniaudio.engines.latent_folder import load_latent, save_latent
from uniaudio.engines.latent_model import OwnModel
from uniaudio.errors import InputError

CAPTION = {"caption": "rain"}


@pytest.fixture(scope="module")
def engine() -> LatentEngine:
    return tiny_engine()


def noise(seconds: float, seed: int = 0, level: float = 0.1) -> Audio:
    samples = level * np.random.default_rng(seed).standard_normal((1, round(seconds * 16000)))
    return Audio(samples.astype(np.float32), 16000)


@pytest.mark.parametrize("seconds", [0.3, 0.64, 1.5])
def test_captions_give_as_many_seconds_as_asked_for(engine: LatentEngine, seconds: float) -> None:
    made = engine.generate("text_to_sound", CAPTION, seconds=seconds)
    assert made.samples.shape == (1, round(seconds * 16000))
    assert np.isfinite(made.samples).all() and made.samples.any()


def test_texts_give_their_own_length(engine: LatentEngine) -> None:
    short, long = (
        engine.generate("tts", {"text": text, "speaker": noise(1.0)}).seconds
        for text in ("Rain.", "The rain has stopped at last, and so have we.")
    )
    assert 0.1 < short < long
    with pytest.raises(InputError, match="leave `seconds` out"):
        engine.generate("tts", {"text": "Rain.", "speaker": noise(1.0)}, seconds=2.0)


def test_phones_and_voice_reach_the_networks(engine: LatentEngine) -> None:
    """Another text, and another voice, give another result from the same seed."""

    def latent(text: str, voice: Audio) -> torch.Tensor:
        model = engine.model
        plan = model.plan(engines_task("tts"), {"text": text, "speaker": voice})
        assert model.bridge.config.conditions.keys() - {"caption"} == plan.told(0, 8).conditions.keys()
        return engine.make(Work(plans=[plan], samplings=[QUICK], frames=8))[0]

    first = latent("Rain.", noise(1.0))
    assert torch.equal(first, latent("Rain.", noise(1.0)))
    assert not torch.allclose(first, latent("Snow.", noise(1.0)), atol=1e-5)
    loud = latent("Rain.", noise(1.0, level=0.5))
    assert not torch.allclose(first, loud, atol=1e-6)


def engines_task(name: str):
    from uniaudio.tasks import TASKS

    return TASKS[name]


def test_a_batch_gives_what_single_requests_do(engine: LatentEngine) -> None:
    requests = [CAPTION, {"caption": "a long caption"}]
    samplings = [replace(QUICK, seed=seed) for seed in (1, 2)]
    both = engine.generate_batch("text_to_sound", requests, samplings, seconds=0.6)
    for request, sampling, audio in zip(requests, samplings, both, strict=True):
        alone = engine.generate("text_to_sound", request, sampling=sampling, seconds=0.6)
        np.testing.assert_allclose(audio.samples, alone.samples, atol=1e-4)
    texts = [{"text": text, "speaker": noise(1.0)} for text in ("Rain.", "The rain has stopped, so have we.", "Snow.")]
    spoken = engine.generate_batch("tts", texts, [QUICK] * 3)
    for request, audio in zip(texts, spoken, strict=True):
        alone = engine.generate("tts", request, sampling=QUICK)
        np.testing.assert_allclose(audio.samples, alone.samples, atol=1e-4)
    for wrong in ([QUICK], [QUICK, replace(QUICK, steps=9)]):
        with pytest.raises(ValueError, match="sampling"):
            engine.generate_batch("text_to_sound", requests, wrong)


def test_the_best_candidate_is_kept(engine: LatentEngine) -> None:
    sampling = replace(QUICK, candidates=3)
    chosen = engine.generate("text_to_sound", CAPTION, sampling=sampling, seconds=0.64)
    work = Work(plans=[engine.model.words("rain")], samplings=[sampling], frames=8)
    latent, loa = engine.make(work)
    samples = engine.samples(latent)
    heard = torch.cat([engine.model.loa(one[None]) for one in samples])
    distances = (heard - loa).abs().mean(dim=(1, 2)).tolist()
    np.testing.assert_allclose(chosen.samples[0], samples[int(np.argmin(distances))].clamp(-1, 1), atol=1e-5)
    assert len(set(distances)) == 3


def test_windows_join_without_a_seam(engine: LatentEngine) -> None:
    """Steps between neighbouring latent frames are no larger where windows begin or end than elsewhere."""
    work = Work(plans=[engine.model.words("rain")], samplings=[replace(QUICK, seed=s) for s in (0,)], frames=26)
    jumps = torch.stack(
        [
            engine.make(replace(work, samplings=[replace(QUICK, seed=seed)]))[0]
            .diff(dim=2)
            .square()
            .mean(dim=(0, 1, 3))
            for seed in range(6)
        ]
    ).mean(0)
    from uniaudio.diffusion.samplers import spans

    edges = {place for pair in spans(26, 8, 2) for place in pair} - {0, 26}
    at_edges = torch.stack([jumps[edge - 1] for edge in edges]).mean()
    inside = torch.stack([jumps[index] for index in range(25) if index + 1 not in edges]).mean()
    assert at_edges < 1.3 * inside


def test_the_two_unconditional_branches_differ(engine: LatentEngine) -> None:
    zeros, rollout = (
        engine.generate("text_to_sound", CAPTION, sampling=replace(QUICK, unconditional=kind), seconds=0.64).samples
        for kind in ("zeros", "rollout")
    )
    assert not np.allclose(zeros, rollout, atol=1e-6)


def test_progress_is_told(engine: LatentEngine) -> None:
    told: list[tuple[int, int]] = []
    engine.generate("text_to_sound", CAPTION, seconds=0.3, on_frame=lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("speaks", [False, True])
def test_a_folder_holds_all_of_it(speaks: bool, tmp_path: Path) -> None:
    engine = tiny_engine(speaks)
    save_latent(tmp_path / "model", engine, "# A card")
    again = engines.load(str(tmp_path / "model"))
    assert isinstance(again, LatentEngine) and isinstance(again.model, OwnModel)
    assert (again.name, again.tasks, again.sampling) == (engine.name, engine.tasks, engine.sampling)
    assert again.model.networks.denoiser.config == engine.model.denoiser.config
    assert not any(module.training for part in vars(again.model.networks).values() if part for module in part.modules())
    stored = checkpoint.load(tmp_path / "model").tensors
    assert stored["denoiser.unet.conv_in.weight"].dtype == torch.int8
    again.model.captions = FakeCaptions()  # pyright: ignore[reportAttributeAccessIssue]
    one, other = (each.generate("text_to_sound", CAPTION, seconds=0.3).samples for each in (engine, again))
    assert np.corrcoef(one[0], other[0])[0, 1] > 0.8  # 8 bits are not all of it, but it is the same sound


def test_folders_that_are_damaged_or_asked_too_much(tmp_path: Path) -> None:
    save_latent(tmp_path / "model", tiny_engine(False), "# A card")
    with pytest.raises(InputError, match="cannot be computed in int8"):
        engines.load(str(tmp_path / "model"), precision="int8")
    loaded = checkpoint.load(tmp_path / "model")
    wrong = {"networks": {}}, {"latent": {"window": "long"}}, {"latent": {"window": 16}}, {"sampling": {"steps": 0}}
    for change in wrong:
        checkpoint.save(tmp_path / "changed", loaded.tensors, {**loaded.config, **change})
        with pytest.raises(InputError):
            load_latent(str(tmp_path / "changed"))


def test_the_round_trip_has_the_length_of_the_recording(engine: LatentEngine) -> None:
    assert engine.round_trip(noise(0.7)).samples.shape == (1, 11200)


def test_requests_that_do_not_fit(engine: LatentEngine) -> None:
    for task, request, seconds, message in (
        ("voice_conversion", {}, None, "was not trained on"),
        ("text_to_sound", {}, None, "lacks caption"),
        ("text_to_sound", CAPTION, 0.0, "above 0"),
        ("text_to_sound", {"caption": 7}, None, "a text is needed"),
    ):
        with pytest.raises(InputError, match=message):
            engine.generate(task, request, seconds=seconds)
    with pytest.raises(InputError, match="does not speak"):
        mute = tiny_engine(False)
        mute.tasks = ("tts",)
        mute.generate("tts", {"text": "Rain.", "speaker": noise(1.0)})
