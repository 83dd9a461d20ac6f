"""Our own latent diffusion model: caption encoder, phones in time, autoencoder, vocoder and AudioMAE around it.

B batch, N samples, T latent frames, C channels, L vectors of the language of audio, M tokens of a caption, P phones,
D widths
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from uniaudio.audio.io import Audio, read_audio
from uniaudio.diffusion.autoencoder import MelAutoencoder
from uniaudio.diffusion.bridge import Bridge, Condition
from uniaudio.diffusion.denoiser import Denoiser
from uniaudio.diffusion.phones import TimedPhones, one_hot
from uniaudio.diffusion.samplers import make_scheduler
from uniaudio.diffusion.vocoder import Vocoder
from uniaudio.engines.items import as_text, lay_out
from uniaudio.engines.latent_coders import CodecLatent, Coder, MelCoder
from uniaudio.engines.latent_parts import Plan, Same, Shape, Told
from uniaudio.errors import InputError
from uniaudio.lm.duration import DurationPredictor
from uniaudio.ssl.audiomae import AudioMae, AudioMaeConfig
from uniaudio.tasks import Task
from uniaudio.tokenizers.caption import CaptionTokenizer
from uniaudio.tokenizers.codec import codec_samples
from uniaudio.tokenizers.phoneme import PhonemeDurationTokenizer

CAPTION, PHONES, VOICE = "caption", "phones", "voice"  # the conditions that a bridge of ours may have
_LAST_SECONDS = 0.1  # after the last phone


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The networks of a model; `phones` and `durations` are those of one that speaks.

    Either `autoencoder` and `vocoder` or `codec_latent` make the latents.
    """

    audiomae: AudioMae
    bridge: Bridge
    denoiser: Denoiser
    autoencoder: MelAutoencoder | None = None
    vocoder: Vocoder | None = None
    codec_latent: CodecLatent | None = None
    phones: TimedPhones | None = None
    durations: DurationPredictor | None = None


@dataclass(frozen=True, kw_only=True)
class LatentConfig:
    """`pooling` of AudioMAE's patches, `window` latent frames of a training clip, and the `caption_model` if it is not
    the default one."""

    pooling: int = 8
    window: int = 64
    caption_model: str | None = None


class OwnModel:
    """A model of ours, as `engines.latent` needs it. Raises ValueError for networks that do not fit one another."""

    def __init__(self, name: str, tasks: tuple[str, ...], networks: Networks, config: LatentConfig) -> None:
        self.name, self.tasks, self.networks, self.config = name, tasks, networks, config
        self.bridge, self.denoiser = networks.bridge, networks.denoiser
        self.coder = _coder(networks)
        self.captions = CaptionTokenizer(config.caption_model)
        self.shape = Shape(
            sample_rate=self.coder.sample_rate,
            rate=self.coder.rate,
            window=config.window,
            fixed=True,
            channels=self.coder.channels,
            bins=self.coder.bins,
            num_tokens=networks.bridge.config.num_tokens,
        )
        _check_fit(self.shape, networks.audiomae.config, config.pooling)

    def parts(self) -> list[nn.Module]:
        return [part for part in vars(self.networks).values() if isinstance(part, nn.Module)]

    def scheduler(self, sampler: str) -> Any:
        return make_scheduler(sampler, self.denoiser.config.noise.scheduler())

    def plan(self, task: Task, request: Mapping[str, Any]) -> Plan:
        if task.length == "text":
            return self._spoken(as_text(request["text"]), request.get("speaker"))
        return self.words(as_text(request["caption"]))

    def words(self, caption: str | None) -> Same:
        if caption is None:
            return Same(self._told(None, {}))
        vectors = self.captions.encode(caption).vectors
        assert vectors is not None
        text = vectors[None], torch.ones(1, len(vectors), dtype=torch.bool)
        return Same(self._told(text, {CAPTION: text}))

    def _told(self, text: Condition | None, conditions: dict[str, Condition], extra: Tensor | None = None) -> Told:
        """Return what is told; no text is one row of zeros, as in training, and no phones are channels of zeros."""
        sizes, dims = self.denoiser.config, self.bridge.config.conditions
        if not conditions:  # the bridge hears that there is none
            name, dim = next(iter(dims.items()))
            conditions = {name: (torch.zeros(1, 1, dim), torch.zeros(1, 1, dtype=torch.bool))}
        if extra is None and sizes.extra_channels:
            extra = torch.zeros(1, sizes.extra_channels, self.shape.window, self.shape.bins)
        if sizes.text_dim is None:
            return Told(conditions=conditions, extra=extra)
        values, mask = text or (torch.zeros(1, 1, sizes.text_dim), torch.ones(1, 1, dtype=torch.bool))
        return Told(conditions=conditions, text=values, text_mask=mask, extra=extra)

    def _spoken(self, text: str, speaker: Any) -> Plan:
        networks = self.networks
        if networks.phones is None or networks.durations is None:
            raise InputError(f"{self.name} does not speak; choose a model that was trained on tts")
        timed = lay_out(networks.durations, text)
        steps = PhonemeDurationTokenizer(self.shape.rate, networks.phones.config.per_frame).encode(timed).ids
        assert steps is not None
        conditions: dict[str, Condition] = {}
        if VOICE in self.bridge.config.conditions:
            conditions[VOICE] = self._voice(speaker), torch.ones(1, 1, dtype=torch.bool)
        seconds = max(end for _, _, end in timed) + _LAST_SECONDS
        return _Spoken(self, seconds, steps.flatten() + 1, conditions)  # 0 is where no phone is

    @torch.no_grad()
    def _voice(self, speaker: Any) -> Tensor:
        """Return the mean feature [1, 1, D] of a recording of a speaker, as training has of another of their clips."""
        heard = self.networks.audiomae
        samples = codec_samples(_recording(speaker), self.shape.sample_rate)[None]
        return heard.features(heard.fbank(samples)).mean(dim=1, keepdim=True)

    @torch.no_grad()
    def spoken(self, ids: Tensor, conditions: Mapping[str, Condition]) -> Told:
        """Return what phones along time [S] say, with other conditions; 0 where there is none."""
        network, dims = self.networks.phones, self.bridge.config.conditions
        assert network is not None
        told = dict(conditions)
        if PHONES in dims:
            told[PHONES] = one_hot(ids[None], dims[PHONES])
        return self._told(None, told, network(ids[None]))

    def nothing(self, told: Told) -> Told:
        def zeros(condition: Condition) -> Condition:
            return torch.zeros_like(condition[0]), torch.zeros_like(condition[1])

        text = None if told.text is None else torch.zeros_like(told.text)
        extra = None if told.extra is None else torch.zeros_like(told.extra)
        conditions = {name: zeros(one) for name, one in told.conditions.items()}
        return Told(conditions=conditions, text=text, text_mask=told.text_mask, extra=extra)

    @torch.no_grad()
    def to_latent(self, samples: Tensor) -> Tensor:
        return self.coder.to_latent(samples)

    @torch.no_grad()
    def to_samples(self, latent: Tensor) -> Tensor:
        return self.coder.to_samples(latent)

    @torch.no_grad()
    def loa(self, samples: Tensor) -> Tensor:
        return self.networks.audiomae.loa(samples, self.config.pooling)

    def scores(self, samples: Tensor, loa: Tensor, request: Mapping[str, Any]) -> Tensor:
        """Return how near [n] the language of audio of each result is to the one that it was made from."""
        return -(self.loa(samples) - loa).abs().mean(dim=(1, 2))


class _Spoken:
    """A plan of a text that is laid out in time: `steps` [S] are the ids of its phones."""

    def __init__(self, model: OwnModel, seconds: float, steps: Tensor, conditions: dict[str, Condition]) -> None:
        self.model, self.seconds, self.steps, self.conditions = model, seconds, steps, conditions

    def told(self, first: int, last: int) -> Told:
        network = self.model.networks.phones
        assert network is not None
        places = first * network.config.per_frame, last * network.config.per_frame
        steps = self.steps[slice(*places)]
        missing = places[1] - places[0] - len(steps)
        return self.model.spoken(torch.nn.functional.pad(steps, (0, missing)), self.conditions)


def _coder(networks: Networks) -> Coder:
    if networks.codec_latent is not None:
        return networks.codec_latent
    if networks.autoencoder is None or networks.vocoder is None:
        raise ValueError("a model needs an autoencoder with a vocoder, or the latents of a codec")
    return MelCoder(networks.autoencoder, networks.vocoder)


def _check_fit(shape: Shape, heard: AudioMaeConfig, pooling: int) -> None:
    high, wide = (-(-side // min(side, pooling)) for side in heard.grid)
    if high * wide != shape.num_tokens:
        raise ValueError(f"AudioMAE gives {high * wide} vectors where the bridge rolls out {shape.num_tokens}")
    if heard.num_samples != round(shape.window_seconds * shape.sample_rate):
        raise ValueError(f"AudioMAE hears {heard.num_samples} samples, not the window's {shape.window_seconds:g} s")


def _recording(value: Any) -> Audio:
    return value if isinstance(value, Audio) else read_audio(value)
