"""AudioLDM 2 from recordings to a model folder in tiny sizes: every recipe, the latents between them, what ships."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.corpora import small_corpora
from tests.engines.latent import FakeCaptions

from uniaudio import config, recipes
from uniaudio.data.latents import LatentSet
from uniaudio.diffusion.autoencoder import MelAutoencoder
from uniaudio.diffusion.denoiser import Denoiser, DenoiserConfig, Given
from uniaudio.engines.bundle import save_engine
from uniaudio.engines.latent_folder import load_latent, save_latent
from uniaudio.engines.tokenizers import save_tokenizers
from uniaudio.errors import InputError
from uniaudio.recipes.audioldm2_data import LatentDataConfig, load_parts, make_latents
from uniaudio.recipes.audioldm2_ship import TASKS_OF_MINI, assemble
from uniaudio.recipes.audioldm2_stages import start_from
from uniaudio.recipes.debug import debug_engine
from uniaudio.recipes.trained import averaged

LOOP = ["loop.steps=1", "loop.bf16=false", "objective.batch_size=2"]
AUTOENCODER = ["network.channels=8,8", "network.latent_channels=4", "network.norm_groups=4", "crop_frames=16"]
VOCODER = ["network.width=16", "network.blocks=1", "start=none", "crop_frames=16"]
AUDIOMAE = [
    "network.frames=64",
    "network.width=16",
    "network.blocks=3",
    "network.heads=2",
    "objective.decoder.width=16",
]
STAGE = [
    "denoiser.latent_channels=4", "denoiser.extra_channels=2", "denoiser.loa_dim=16", "denoiser.text_dim=12",
    "denoiser.channels=8,16", "denoiser.attention=[false, true]", "denoiser.head_width=8", "denoiser.norm_groups=4",
    "phones.width=6", "phones.channels=2", "phones.per_frame=4", "phones.bins=8", "denoiser.narrow=false",
    "bridge.loa_dim=16", "bridge.num_tokens=2", "bridge.width=16",
    "bridge.layers=1", "bridge.heads=2", 'bridge.conditions={"caption": 12, "voice": 16, "phones": 200}',
    "objective.poolings=4,8", "objective.pooling=4",
]  # fmt: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audioldm2")
    small_corpora(folder / "corpora")
    first = {"latent_autoencoder": AUTOENCODER, "latent_vocoder": VOCODER, "latent_audiomae": AUDIOMAE}
    for name, changes in first.items():
        recipes.run(name, [*LOOP, *changes], corpus=folder / "corpora", run=folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("uniaudio.recipes.audioldm2_data.CaptionTokenizer", FakeCaptions)
        settings = LatentDataConfig(windows=2, captions=2, batch_size=4, measured=4)
        runs = folder / "latent_autoencoder", folder / "latent_audiomae"
        make_latents(folder / "corpora", *runs, folder / "latents", settings)
    before = [*LOOP, *STAGE, "in_step=false"]
    recipes.run("latent_diffusion", before, corpus=folder / "latents", run=folder / "not_in_step")
    starts = {"latent_diffusion": [folder / "not_in_step"], "latent_bridge": [folder / "latent_diffusion"]}
    starts["latent_joint"] = [folder / "latent_diffusion", folder / "latent_bridge"]
    for name, before in starts.items():
        start = ["start=" + ",".join(map(str, before))] if before else []
        recipes.run(name, [*LOOP, *STAGE, *start], corpus=folder / "latents", run=folder / name)
    return folder


def test_latents_are_of_every_kind_of_training_recording(work: Path) -> None:
    data = LatentSet(work / "latents")
    assert all(len(data.groups[kind]) for kind in ("sound", "music", "speech"))
    assert len(data.latent) == len(data.owners) == len(data.phones)
    assert len(data.captions) == 2 * 8  # two wordings of four sounds and four pieces
    autoencoder, audiomae = load_parts(work / "latents")
    assert isinstance(autoencoder, MelAutoencoder)
    assert data.latent.shape[1:] == (4, 64 // autoencoder.config.reduction, 8)
    assert audiomae.config.frames == 64
    batch = data.batch({"speech": 1.0}, 4, 0, 0)
    assert bool((batch.phones > 0).any(1).all()) and bool(batch.voiced.all())


def test_a_denoiser_begins_as_the_one_that_was_not_in_step(work: Path) -> None:
    old, new = averaged(work / "not_in_step"), averaged(work / "latent_diffusion")
    assert old[0]["denoiser"]["in_step"] is None and new[0]["denoiser"]["in_step"] == [4, 8]
    sizes = config.from_dict(DenoiserConfig, new[0]["denoiser"])
    start = Denoiser(sizes)
    start_from({"denoiser": start}, work / "not_in_step")
    plain = Denoiser(replace(sizes, in_step=None))
    start_from({"denoiser": plain}, work / "not_in_step")
    torch.manual_seed(0)
    one = Given(loa=torch.randn(1, 2, 16), text=torch.randn(1, 3, 12), extra=torch.randn(1, 2, 8, 8))
    noisy, step = torch.randn(1, 4, 8, 8), torch.tensor(300)
    with torch.no_grad():
        torch.testing.assert_close(start.predict(noisy, step, one), plain.predict(noisy, step, one))
    learnt = new[1]["denoiser.unet.conv_in.weight"][:, 6:]
    assert learnt.shape[1] == 16 and bool(learnt.any())  # what begins as 0 learns


def test_runs_become_a_model(work: Path, tmp_path: Path) -> None:
    save_engine(tmp_path / "debug", debug_engine(), "# debug\n")
    engine = assemble(
        work / "latents",
        work / "latent_vocoder",
        [work / "latent_joint"],
        str(tmp_path / "debug"),
        "tiny",
        TASKS_OF_MINI,
    )
    save_latent(tmp_path / "model", engine, "# tiny\n")
    loaded = load_latent(str(tmp_path / "model"))
    loaded.model.captions = FakeCaptions()  # pyright: ignore[reportAttributeAccessIssue]
    assert loaded.generate("text_to_sound", {"caption": "a dog"}, seconds=0.5).samples.shape == (1, 8000)
    assert loaded.tasks == TASKS_OF_MINI


def test_runs_that_lack_a_network(work: Path) -> None:
    with pytest.raises(InputError, match="bridge"):
        assemble(
            work / "latents", work / "latent_vocoder", [work / "latent_diffusion"], None, "tiny", ["text_to_sound"]
        )
    with pytest.raises(InputError, match="no run of a stage"):
        recipes.run(
            "latent_bridge",
            [*STAGE, f"start={work / 'latent_vocoder'}"],
            corpus=work / "latents",
            run=work / "other",
        )


def test_latents_of_a_codec_need_no_autoencoder(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniaudio.recipes.audioldm2_data.CaptionTokenizer", FakeCaptions)
    name, debug = str(tmp_path / "codec"), debug_engine()
    save_tokenizers(tmp_path / "codec", "tiny", debug.codec, None, "# codec\n")
    settings = LatentDataConfig(windows=1, captions=1, batch_size=4, measured=4, channels=4)
    make_latents(work / "corpora", name, work / "latent_audiomae", tmp_path / "latents", settings)
    frames = round(0.64 * debug.codec.config.frame_rate)
    assert LatentSet(tmp_path / "latents").latent.shape[1:] == (4, frames, 1)
    per_frame = f"phones.per_frame={round(50 / debug.codec.config.frame_rate)}"
    changes = [*LOOP, *STAGE, "phones.bins=1", per_frame, "denoiser.narrow=true", "objective.stage=joint"]
    recipes.run("latent_joint", changes, corpus=tmp_path / "latents", run=tmp_path / "joint")
    engine = assemble(tmp_path / "latents", tmp_path / "none", [tmp_path / "joint"], None, "tiny", ["text_to_sound"])
    save_latent(tmp_path / "model", engine, "# tiny\n")
    loaded = load_latent(str(tmp_path / "model"))
    loaded.model.captions = FakeCaptions()  # pyright: ignore[reportAttributeAccessIssue]
    assert loaded.generate("text_to_sound", {"caption": "a dog"}, seconds=0.5).samples.shape == (1, 8000)
    save_tokenizers(tmp_path / "codec", "tiny", debug_engine(seed=1).codec, None, "# another codec\n")
    with pytest.raises(InputError, match="another version"):
        load_latent(str(tmp_path / "model"))
