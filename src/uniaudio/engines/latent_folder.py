"""A latent diffusion model in one checkpoint folder; public folders are handed on."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from uniaudio import checkpoint, config, weights
from uniaudio.diffusion.autoencoder import AutoencoderConfig, MelAutoencoder
from uniaudio.diffusion.bridge import Bridge, BridgeConfig
from uniaudio.diffusion.denoiser import Denoiser, DenoiserConfig
from uniaudio.diffusion.phones import TimedPhones, TimedPhonesConfig
from uniaudio.diffusion.vocoder import Vocoder, VocoderConfig
from uniaudio.engines.bundle import Unfilled, unpack
from uniaudio.engines.kinds import LATENT_FORMAT, PUBLIC_INDEX
from uniaudio.engines.latent import LatentEngine, LatentSampling
from uniaudio.engines.latent_coders import CodecLatent, CodecLatentConfig, with_its_codec
from uniaudio.engines.latent_model import LatentConfig, Networks, OwnModel
from uniaudio.errors import InputError
from uniaudio.lm.duration import DurationConfig, DurationPredictor
from uniaudio.ssl.audiomae import AudioMae, AudioMaeConfig

# Network -> (its config, itself), by the names in `Networks`; those of speech, and of one kind of latents, are missing.
_PARTS: dict[str, tuple[type, Any]] = {
    "autoencoder": (AutoencoderConfig, MelAutoencoder),
    "vocoder": (VocoderConfig, Vocoder),
    "codec_latent": (CodecLatentConfig, CodecLatent),
    "audiomae": (AudioMaeConfig, AudioMae),
    "bridge": (BridgeConfig, Bridge),
    "denoiser": (DenoiserConfig, Denoiser),
    "phones": (TimedPhonesConfig, TimedPhones),
    "durations": (DurationConfig, DurationPredictor),
}
_OPTIONAL = ("autoencoder", "vocoder", "codec_latent", "phones", "durations")
_INT8 = ("denoiser.", "bridge.gpt.h.")  # their matrices and convolutions, which are most of a model
_SCALE = "::scale"


def save_latent(folder: Any, engine: LatentEngine, card: str) -> None:
    """Write an engine of ours with its model card.

    Matrices and convolutions of the denoiser and the bridge's Transformer are stored as int8 with a scale per row, the
    others as bfloat16, and what has one axis (biases, norms, scales) exactly.
    """
    model = engine.model
    assert isinstance(model, OwnModel), "public models stay in their own folders"
    modules = {name: getattr(model.networks, name) for name in _PARTS}
    tensors = {
        f"{prefix}.{name}": value
        for prefix, module in modules.items()
        if module is not None
        for name, value in module.state_dict().items()
    }
    data = {
        "format": LATENT_FORMAT,
        "name": engine.name,
        "tasks": list(engine.tasks),
        "latent": asdict(model.config),
        "sampling": asdict(engine.sampling),
        "task_sampling": {task: asdict(one) for task, one in engine.task_sampling.items()},
        "networks": {name: asdict(module.config) for name, module in modules.items() if module is not None},
    }
    checkpoint.save(folder, pack(tensors), data, extra={"README.md": card})


def load_latent(name_or_folder: str, precision: str = "float32") -> LatentEngine:
    """Return the engine of a shipped model or a folder, ours or a public one, in float32, in evaluation mode.

    Raises InputError for another precision, an unknown name, a folder of another format, and everything that
    `checkpoint.load` refuses.
    """
    folder = weights.find(name_or_folder)
    if precision != "float32":
        raise InputError(f"{name_or_folder} cannot be computed in {precision}: leave the precision out")
    if (folder / PUBLIC_INDEX).is_file():
        from uniaudio.engines.latent_public import load_public

        return load_public(folder)
    loaded = checkpoint.load(folder)
    try:
        return _build(loaded)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{folder} is incomplete or damaged ({error}); fetch the model again") from error


def _build(loaded: checkpoint.Checkpoint) -> LatentEngine:
    data, tensors = loaded.config, unpack(loaded.tensors)
    if data.get("format") != LATENT_FORMAT:
        raise InputError(f"{loaded.folder} is no latent diffusion model (format {data.get('format')!r})")
    described, modules = data["networks"], {}
    with Unfilled():
        for name, (sizes, kind) in _PARTS.items():
            if name in described or name not in _OPTIONAL:
                modules[name] = kind(config.from_dict(sizes, described[name]))
    for prefix, module in modules.items():
        assert isinstance(module, nn.Module)
        if isinstance(module, CodecLatent):
            with_its_codec(module)
        checkpoint.load_into(module, tensors, f"{prefix}.")
        module.eval().requires_grad_(False)
    tasks = tuple(str(task) for task in data["tasks"])
    model = OwnModel(str(data["name"]), tasks, Networks(**modules), config.from_dict(LatentConfig, data["latent"]))
    sampling = config.from_dict(LatentSampling, data["sampling"])
    task_sampling = {task: config.from_dict(LatentSampling, one) for task, one in data["task_sampling"].items()}
    return LatentEngine(model, sampling, task_sampling)


def pack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors in the precisions that `save_latent` promises; `bundle.unpack` reads them."""
    packed: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if not value.is_floating_point() or value.ndim < 2:
            packed[name] = value.contiguous()
        elif name.startswith(_INT8):
            axes = tuple(range(1, value.ndim))
            scale = value.abs().amax(dim=axes, keepdim=True).clamp(min=1e-12) / 127
            packed[name] = (value / scale).round().to(torch.int8).contiguous()
            packed[name + _SCALE] = scale.float()
        else:
            packed[name] = value.to(torch.bfloat16)
    return packed
