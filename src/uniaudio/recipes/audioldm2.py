"""Train AudioLDM 2 in its order: autoencoder, vocoder, AudioMAE; then latent diffusion, the bridge, both at once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from uniaudio import checkpoint, config
from uniaudio.data.crops import CropConfig, Crops
from uniaudio.data.manifests import CUTS, read_manifest
from uniaudio.diffusion.autoencoder import AutoencoderConfig, MelAutoencoder
from uniaudio.diffusion.vocoder import Vocoder, VocoderConfig
from uniaudio.errors import InputError
from uniaudio.recipes import building
from uniaudio.recipes.codec import load_codec
from uniaudio.recipes.trained import averaged
from uniaudio.ssl.audiomae import AudioMae, AudioMaeConfig
from uniaudio.train.loop import LoopConfig, train
from uniaudio.train.objectives.audiomae import AudioMaeObjective, AudioMaeObjectiveConfig
from uniaudio.train.objectives.mel import (
    AutoencoderObjective,
    AutoencoderObjectiveConfig,
    VocoderObjective,
    VocoderObjectiveConfig,
)
from uniaudio.train.optim import OptimConfig

_CORPORA = ("music", "sound", "speech")  # below the folder of `--corpus`; those that are not there are left out


def _loop(steps: int, lr: float, decay_share: float = 0.4) -> LoopConfig:
    optim = OptimConfig(lr=lr, warmup_steps=60, schedule="wsd", decay_share=decay_share)
    return LoopConfig(steps=steps, ema_decay=0.995, save_every_minutes=4.0, optim=optim)


@dataclass(frozen=True, kw_only=True)
class AutoencoderRecipe:
    """The run of the mel autoencoder, on crops of `crop_frames` mel frames. Raises InputError when they are no whole
    cells."""

    network: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    objective: AutoencoderObjectiveConfig = field(default_factory=AutoencoderObjectiveConfig)
    crops: CropConfig = field(default_factory=lambda: CropConfig(alpha=0.5))
    crop_frames: int = 128
    loop: LoopConfig = field(default_factory=lambda: _loop(1600, 1e-3))

    def __post_init__(self) -> None:
        if self.crop_frames < 1 or self.crop_frames % self.network.reduction:
            raise InputError(f"crop_frames {self.crop_frames} must be a multiple of {self.network.reduction}")


@dataclass(frozen=True, kw_only=True)
class VocoderRecipe:
    """The run of the vocoder, on crops of `crop_frames` mel frames.

    With `start`, a codec's run or a model that has one, its last blocks begin as those of that codec's decoder. With
    `autoencoder`, a run of one, some of the log-mels go through it first. Raises InputError for fewer than 8 frames.
    """

    network: VocoderConfig = field(default_factory=VocoderConfig)
    objective: VocoderObjectiveConfig = field(default_factory=VocoderObjectiveConfig)
    crops: CropConfig = field(default_factory=lambda: CropConfig(alpha=0.5))
    crop_frames: int = 80
    start: str | None = "uniaudio-codec"
    autoencoder: str | None = None
    loop: LoopConfig = field(default_factory=lambda: _loop(1600, 1e-3))

    def __post_init__(self) -> None:
        if self.crop_frames < 8:
            raise InputError(f"crop_frames {self.crop_frames} is too short for the losses: use 8 or more")


@dataclass(frozen=True, kw_only=True)
class AudioMaeRecipe:
    """The run of AudioMAE, on crops as long as it sees."""

    network: AudioMaeConfig = field(default_factory=AudioMaeConfig)
    objective: AudioMaeObjectiveConfig = field(default_factory=AudioMaeObjectiveConfig)
    crops: CropConfig = field(default_factory=lambda: CropConfig(alpha=0.5))
    loop: LoopConfig = field(default_factory=lambda: _loop(1600, 1e-3))


def crops_of(corpus: Path, num_frames: int, settings: CropConfig, hop_length: int = 160) -> Crops:
    """Return crops of the training recordings of a corpus, or of the music, sound and speech below a folder."""
    rows = [read_manifest(path, "train") for path in corpora_of(corpus)]
    return Crops(rows, num_frames * hop_length, hop_length, 16000, settings)


def corpora_of(folder: Path) -> list[Path]:
    """Return `folder` if it is a corpus, else its music, sound and speech; raises InputError when there is none."""
    if (folder / CUTS).exists():
        return [folder]
    found = [folder / name for name in _CORPORA if (folder / name / CUTS).exists()]
    if not found:
        raise InputError(f"{folder} holds no corpus {' or '.join(_CORPORA)}; make one: uniaudio synthesize sound")
    return found


def train_autoencoder(overrides: list[str], corpus: Path, folder: Path, minutes: float | None) -> None:
    """Run `AutoencoderRecipe` with overrides."""
    recipe = config.override(AutoencoderRecipe(), overrides)
    torch.manual_seed(recipe.loop.seed)
    with building():
        network = MelAutoencoder(recipe.network)
    crops = crops_of(corpus, recipe.crop_frames, recipe.crops)
    train(AutoencoderObjective(network, crops, recipe.objective), recipe.loop.ending_after(minutes), folder)


def train_vocoder(overrides: list[str], corpus: Path, folder: Path, minutes: float | None) -> None:
    """Run `VocoderRecipe` with overrides."""
    recipe = config.override(VocoderRecipe(), overrides)
    torch.manual_seed(recipe.loop.seed)
    with building():
        network = Vocoder(recipe.network)
    if recipe.start is not None:
        begin_as_codec(network, recipe.start)
    autoencoder = None if recipe.autoencoder is None else load_autoencoder(recipe.autoencoder)
    crops = crops_of(corpus, recipe.crop_frames, recipe.crops, recipe.network.hop_length)
    objective = VocoderObjective(network, crops, recipe.objective, autoencoder)
    train(objective, recipe.loop.ending_after(minutes), folder)


def begin_as_codec(network: Vocoder, model: str) -> None:
    """Give the vocoder's last blocks and its head the weights of the last stage of a codec's decoder.

    Raises InputError for a codec whose last stage has another width, hop or window.
    """
    codec = load_codec(model)[0]
    sizes, wanted = codec.config.convnext, network.config
    found = (sizes.fine_width, sizes.synthesis_hop_length, sizes.synthesis_n_fft, sizes.kernel_size, sizes.expansion)
    ours = (wanted.width, wanted.hop_length, wanted.n_fft, wanted.kernel_size, wanted.expansion)
    if codec.config.shape != "convnext" or not 0 < sizes.fine_blocks <= wanted.blocks or found != ours:
        raise InputError(f"start={model} has no last stage of these sizes: use start=none, or the sizes of that codec")
    state, shift = network.state_dict(), wanted.blocks - sizes.fine_blocks
    for name, value in codec.decoder.state_dict().items():
        first, _, rest = name.partition(".")
        if first == "fine_blocks":
            index, _, part = rest.partition(".")
            state[f"blocks.{int(index) + shift}.{part}"] = value
        elif first in ("norm_out", "head"):
            state[name] = value
    network.load_state_dict(state)


def train_audiomae(overrides: list[str], corpus: Path, folder: Path, minutes: float | None) -> None:
    """Run `AudioMaeRecipe` with overrides."""
    recipe = config.override(AudioMaeRecipe(), overrides)
    torch.manual_seed(recipe.loop.seed)
    with building():
        network = AudioMae(recipe.network)
    crops = crops_of(corpus, recipe.network.frames, recipe.crops)
    train(AudioMaeObjective(network, crops, recipe.objective), recipe.loop.ending_after(minutes), folder)


def load_trained(run: str | Path, kind: str, settings: type, network: type) -> Any:
    """Return the averaged network `kind` of a run, frozen; raises InputError for a run of another kind."""
    described, tensors = averaged(Path(run))
    if kind not in described:
        raise InputError(f"{run} is no run of the {kind}: give the folder of another recipe's run")
    built = network(config.from_dict(settings, described[kind]))
    checkpoint.load_into(built, tensors, f"{kind}.")
    return built.eval().requires_grad_(False)


def load_autoencoder(run: str | Path) -> MelAutoencoder:
    """Return the autoencoder of a run."""
    return load_trained(run, "autoencoder", AutoencoderConfig, MelAutoencoder)


def load_vocoder(run: str | Path) -> Vocoder:
    """Return the vocoder of a run."""
    return load_trained(run, "vocoder", VocoderConfig, Vocoder)


def load_audiomae(run: str | Path) -> AudioMae:
    """Return the encoder of an AudioMAE run."""
    return load_trained(run, "audiomae", AudioMaeConfig, AudioMae)


RECIPES = {
    "latent_autoencoder": AutoencoderRecipe(),
    "latent_vocoder": VocoderRecipe(),
    "latent_audiomae": AudioMaeRecipe(),
}
TRAINERS = {
    "latent_autoencoder": train_autoencoder,
    "latent_vocoder": train_vocoder,
    "latent_audiomae": train_audiomae,
}
