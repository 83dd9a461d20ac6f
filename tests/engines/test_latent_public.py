"""Public AudioLDM 2 folders: parity with diffusers' pipeline on the same tiny random networks, in float32."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engines.public_folder import write_folder
from torch import Tensor, nn

from uniaudio import engines
from uniaudio.audio.io import Audio
from uniaudio.diffusion.samplers import SAMPLERS
from uniaudio.engines.latent import LatentEngine, LatentSampling, Work
from uniaudio.engines.latent_modes import Edit, inpaint, style_transfer, variation
from uniaudio.engines.latent_parts import Same, joined
from uniaudio.engines.latent_public import NOTICE, PublicModel, load_public
from uniaudio.errors import InputError

PROMPTS, TEXTS = ["a dog barks", "rain"], ["hɛlo wəld", "ɪt"]
SECONDS = 0.016  # one window of these networks
EXACT = LatentSampling(sampler="ddim", steps=6, guidance=3.5, unconditional="rollout")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    folder = tmp_path_factory.mktemp("public")
    return {speaks: write_folder(folder / f"speaks-{speaks}", speaks=speaks) for speaks in (False, True)}


@pytest.fixture(scope="module")
def loaded(folders: dict[bool, Path]) -> dict[bool, tuple[LatentEngine, Any]]:
    """Ours and diffusers' of each folder; diffusers' constructors leave some networks in training mode."""
    from diffusers import AudioLDM2Pipeline

    pairs = {}
    for speaks, folder in folders.items():
        pipeline = AudioLDM2Pipeline.from_pretrained(folder)
        pipeline.set_progress_bar_config(disable=True)
        for part in pipeline.components.values():
            if isinstance(part, nn.Module):
                part.eval()
        pairs[speaks] = (load_public(folder), pipeline)
    return pairs


def ours(engine: LatentEngine, speaks: bool, count: int, sampling: LatentSampling) -> tuple[Tensor, Tensor, Tensor]:
    """Return language of audio, latent and samples of the first prompts, row i from seed i."""
    model = engine.model
    assert isinstance(model, PublicModel)
    plans = [Same(model.told(prompt, text if speaks else None)) for prompt, text in zip(PROMPTS, TEXTS, strict=True)]
    samplings = [replace(sampling, seed=seed) for seed in range(count)]
    latent, loa = engine.make(Work(plans=plans[:count], samplings=samplings, frames=engine.frames_of(SECONDS)))
    return loa, latent, torch.cat([model.to_samples(row[None]) for row in latent])


def theirs(pipeline: Any, speaks: bool, count: int, guidance: float) -> tuple[Tensor, Tensor, Tensor]:
    words: dict[str, Any] = {"transcription": TEXTS[:count]} if speaks else {}

    def call(**more: Any) -> Any:
        settings = {"audio_length_in_s": SECONDS, "num_inference_steps": EXACT.steps, "guidance_scale": guidance}
        generators = [torch.Generator().manual_seed(seed) for seed in range(count)]
        return pipeline(PROMPTS[:count], generator=generators, **settings, **words, **more).audios

    with torch.no_grad():
        _, _, loa = pipeline.encode_prompt(PROMPTS[:count], "cpu", 1, False, **words)
    return loa, call(output_type="latent"), call(output_type="pt")


def assert_within(got: Tensor, wanted: Tensor, tolerance: float) -> None:
    """Within `tolerance` of the scale of what is wanted."""
    assert got.shape == wanted.shape
    scale = wanted.abs().max().item()
    assert scale > 0.01, "nothing to compare"
    assert (got - wanted).abs().max().item() <= tolerance * scale


@pytest.mark.parametrize("guidance", [1.0, 3.5])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("speaks", [False, True])
def test_parity_with_the_pipeline(loaded: dict, speaks: bool, count: int, guidance: float) -> None:
    engine, pipeline = loaded[speaks]
    got = ours(engine, speaks, count, replace(EXACT, guidance=guidance))
    wanted = theirs(pipeline, speaks, count, guidance)
    for mine, other, tolerance in zip(got, wanted, (1e-6, 1e-4, 1e-4), strict=True):
        assert_within(mine, other, tolerance)


def test_a_folder_with_a_gpt2_model_runs_here_though_not_in_the_pipeline(tmp_path: Path, loaded: dict) -> None:
    """As all folders on the hub: the pipeline needs a method that only the model with a token head has."""
    from diffusers import AudioLDM2Pipeline

    folder = write_folder(tmp_path / "public", token_head=False)
    assert json.loads((folder / "model_index.json").read_text())["language_model"][1] == "GPT2Model"
    pipeline = AudioLDM2Pipeline.from_pretrained(folder)
    with pytest.raises(AttributeError, match="_update_model_kwargs_for_generation"):
        pipeline("a dog", num_inference_steps=1)
    got, wanted = (ours(engine, False, 2, EXACT) for engine in (load_public(folder), loaded[False][0]))
    for mine, other in zip(got, wanted, strict=True):  # the two folders hold the same weights
        assert torch.equal(mine, other)


def test_sizes_are_read_and_everything_is_in_evaluation_mode(folders: dict[bool, Path], loaded: dict) -> None:
    engine = loaded[False][0]
    model = engine.model
    assert model.denoiser.unet.config["attention_head_dim"] == [2, 4]
    attentions = [part for part in model.denoiser.unet.modules() if type(part).__name__ == "Attention"]
    assert {part.heads for part in attentions} == {4}
    assert model.vae.config["scaling_factor"] == 0.43
    assert "langauge_model_dim" in json.loads((folders[False] / "projection_model" / "config.json").read_text())
    parts = (model.vae, model.clap, model.reader, model.vocoder, model.bridge, model.denoiser)
    assert not any(module.training for part in parts for module in part.modules())
    assert not any(parameter.requires_grad for part in parts for parameter in part.parameters())


def test_zeros_and_rollout_are_two_unconditional_branches(loaded: dict) -> None:
    engine = loaded[False][0]
    rolled, zeros = (ours(engine, False, 1, replace(EXACT, unconditional=kind))[1] for kind in ("rollout", "zeros"))
    assert not torch.allclose(rolled, zeros, atol=1e-3)
    told = joined([Same(engine.model.told(prompt)).told(0, 1) for prompt in PROMPTS])
    empty = engine.model.nothing(told)
    assert empty.text.shape == told.text.shape  # where padding counts, the empty prompt is as long


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_seeds(loaded: dict, sampler: str) -> None:
    engine = loaded[False][0]
    samplings = [LatentSampling(sampler=sampler, steps=2, guidance=2.0, seed=seed) for seed in (1, 1, 2)]
    request = {"caption": "a dog barks"}
    one, same, other = (
        engine.generate("text_to_sound", request, sampling=sampling, seconds=0.01).samples for sampling in samplings
    )
    assert (one == same).all() and (one != other).any()
    assert one.shape == (1, 160)


def test_a_long_result_is_made_by_windows(loaded: dict) -> None:
    made = loaded[False][0].generate(
        "text_to_sound", {"caption": "rain"}, sampling=LatentSampling(steps=1), seconds=0.05
    )
    assert made.samples.shape == (1, 800)


def test_candidates_are_ranked_for_each_prompt(loaded: dict) -> None:
    """Each result is the best of its own prompt's candidates: a batch gives what single requests do."""
    engine = loaded[False][0]
    requests = [{"caption": prompt} for prompt in ("a dog", "a cat")]  # as long: in public models padding counts
    samplings = [LatentSampling(steps=2, candidates=3, seed=seed) for seed in (5, 9)]
    both = engine.generate_batch("text_to_sound", requests, samplings, seconds=SECONDS)
    for request, sampling, audio in zip(requests, samplings, both, strict=True):
        pool = [replace(sampling, candidates=1, seed=sampling.seed + 7919 * index) for index in range(3)]
        single = [engine.generate("text_to_sound", request, sampling=one, seconds=SECONDS) for one in pool]
        samples = torch.cat([torch.from_numpy(one.samples) for one in single])
        best = engine.model.scores(samples, torch.empty(0), request).argmax()
        torch.testing.assert_close(torch.from_numpy(audio.samples[0]), samples[best], atol=1e-4, rtol=1e-3)


def test_speech_ports_read_texts_aloud(loaded: dict) -> None:
    engine = loaded[True][0]
    assert engine.tasks == ("tts",)
    made = engine.generate("tts", {"text": "Rain.", "speaker": None}, sampling=LatentSampling(steps=2))
    assert made.seconds == pytest.approx(SECONDS, abs=1e-3)  # all that one window of these networks holds


def test_commands_on_a_recording(loaded: dict) -> None:
    """What is not heard works; what is heard needs AudioMAE, which the folders leave out."""
    engine = loaded[False][0]
    time = torch.arange(800) / 16000
    source = Audio((0.3 * torch.sin(2000 * time))[None].numpy(), 16000)
    longer = Audio((0.3 * torch.sin(2000 * torch.arange(1600) / 16000))[None].numpy(), 16000)
    edit = Edit(caption="rain", sampling=LatentSampling(steps=2, guidance=2.0))
    assert style_transfer(engine, longer, 0.5, edit).samples.shape == (1, 1600)
    made = inpaint(engine, longer, 0.05, 0.08, edit).samples
    assert (made[:, :800] == longer.samples[:, :800]).all() and (made[:, 800:1280] != longer.samples[:, 800:1280]).any()
    with pytest.raises(InputError, match="lasts 0.05 s"):
        style_transfer(engine, source, 0.5, edit)
    with pytest.raises(InputError, match="put the model.safetensors of gaunernst"):
        variation(engine, longer, edit)
    with pytest.raises(InputError, match="speaks texts only"):
        style_transfer(loaded[True][0], longer, 0.5, edit)


def test_engines_load_takes_the_folder_and_tells_the_licence_once(
    folders: dict[bool, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(folders[False], folder)
    for _ in range(2):
        assert engines.load(str(folder)).tasks == ("text_to_sound", "text_to_music")
    assert capsys.readouterr().err.count(NOTICE) == 1
    with pytest.raises(InputError, match="int8"):
        engines.load(str(folder), precision="int8")


def test_wrong_folders(folders: dict[bool, Path], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(folders[False], folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="download the model again"):
        load_public(folder)
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(InputError, match="only an AudioLDM2Pipeline"):
        load_public(folder)


def test_ours_takes_no_pickled_weights(folders: dict[bool, Path], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(folders[False], folder)
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(".bin"))
    with pytest.raises(InputError, match="incomplete or damaged"):
        load_public(folder)


def test_requests_that_do_not_fit(loaded: dict) -> None:
    engine = loaded[False][0]
    wrong: Sequence[tuple[str, dict, float | None, str]] = (
        ("tts", {"text": "a", "speaker": None}, None, "not trained on tts"),
        ("text_to_sound", {"caption": ""}, None, "caption"),
        ("text_to_sound", {"caption": "rain"}, 61.0, "at most 60"),
    )
    for task, request, seconds, message in wrong:
        with pytest.raises(InputError, match=message):
            engine.generate(task, request, seconds=seconds)
