"""Our own latent diffusion model: caption encoder, phones in time, autoencoder, vocoder and AudioMAE around it.

B batch, N samples, T latent frames, C channels, L vectors of the language of audio, M tokens of a caption, P phones,
D widths
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from uniaudio.audio.filterbanks import TacotronMel
from uniaudio.audio.io import Audio, read_audio
from uniaudio.diffusion.autoencoder import MelAutoencoder
from uniaudio.diffusion.bridge import Bridge, Condition
from uniaudio.diffusion.denoiser import Denoiser
from uniaudio.diffusion.phones import NOTHING, Phones, ids_in_time
from uniaudio.diffusion.samplers import make_scheduler
from uniaudio.diffusion.vocoder import Vocoder
from uniaudio.engines.items import as_text, lay_out
from uniaudio.engines.latent_parts import Plan, Same, Shape, Told
from uniaudio.errors import InputError
from uniaudio.lm.duration import DurationPredictor
from uniaudio.ssl.audiomae import AudioMae, AudioMaeConfig
from uniaudio.tasks import Task
from uniaudio.tokenizers.caption import CaptionTokenizer
from uniaudio.tokenizers.codec import codec_samples
from uniaudio.tokenizers.phoneme import PHONEME_IDS

CAPTION, PHONES, VOICE = "caption", "phones", "voice"  # the conditions that a bridge of ours may have
_LAST_SECONDS = 0.1  # after the last phone


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The networks of a model; `phones` and `durations` are those of one that speaks."""

    autoencoder: MelAutoencoder
    vocoder: Vocoder
    audiomae: AudioMae
    bridge: Bridge
    denoiser: Denoiser
    phones: Phones | None = None
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
        vocoder, cells = networks.vocoder.config, networks.autoencoder.config
        self.mel = TacotronMel(vocoder.sample_rate, hop_length=vocoder.hop_length, num_mels=vocoder.num_mels)
        self.captions = CaptionTokenizer(config.caption_model)
        self.shape = Shape(
            sample_rate=vocoder.sample_rate,
            rate=vocoder.sample_rate / vocoder.hop_length / cells.reduction,
            window=config.window,
            fixed=True,
            channels=cells.latent_channels,
            bins=cells.num_mels // cells.reduction,
            num_tokens=networks.bridge.config.num_tokens,
        )
        _check_fit(self.shape, networks.audiomae.config, config.pooling)

    def scheduler(self, sampler: str) -> Any:
        return make_scheduler(sampler, self.denoiser.config.noise.scheduler())

    def plan(self, task: Task, request: Mapping[str, Any]) -> Plan:
        if task.length == "text":
            return self._spoken(as_text(request["text"]), request.get("speaker"))
        return self.words(as_text(request["caption"]))

    def words(self, caption: str | None) -> Same:
        if caption is None:
            return Same(self._told(self._no_text()))
        vectors = self.captions.encode(caption).vectors
        assert vectors is not None
        return Same(self._told((vectors[None], torch.ones(1, len(vectors), dtype=torch.bool))))

    def _no_text(self) -> Condition:
        dim = self.denoiser.config.text_dim or self.bridge.config.conditions.get(CAPTION, 1)
        return torch.zeros(1, 1, dim), torch.zeros(1, 1, dtype=torch.bool)

    def _told(
        self, text: Condition, conditions: Mapping[str, Condition] | None = None, extra: Tensor | None = None
    ) -> Told:
        """Return what is told; a denoiser without text gets none, one with more channels gets some."""
        given = {CAPTION: text} if conditions is None else dict(conditions)
        given = {name: one for name, one in given.items() if name in self.bridge.config.conditions}
        sizes = self.denoiser.config
        if extra is None and sizes.extra_channels:
            extra = torch.zeros(1, sizes.extra_channels, self.shape.window, self.shape.bins)
        values, mask = text if sizes.text_dim is not None else (None, None)
        return Told(conditions=given, text=values, text_mask=mask, extra=extra)

    def _spoken(self, text: str, speaker: Any) -> Plan:
        networks = self.networks
        if networks.phones is None or networks.durations is None:
            raise InputError(f"{self.name} does not speak; choose a model that was trained on tts")
        timed = lay_out(networks.durations, text)
        phones = [(PHONEME_IDS[phone], start, end) for phone, start, end in timed]
        conditions = {}
        if VOICE in self.bridge.config.conditions:
            voice = self.loa(codec_samples(_recording(speaker), self.shape.sample_rate)[None])
            conditions[VOICE] = voice, torch.ones(voice.shape[:2], dtype=torch.bool)
        return _Spoken(self, phones, conditions)

    def spoken(self, phones: list[tuple[int, float, float]], first: int, last: int, more: dict[str, Condition]) -> Told:
        """Return what timed phones say of the frames from `first` to before `last`."""
        network, rate = self.networks.phones, self.shape.rate
        assert network is not None
        steps = network.config.steps
        ids = ids_in_time(phones, (last - first) * steps, rate * steps, first / rate)
        inside = [index for index, start, end in phones if end * rate > first and start * rate < last]
        with torch.no_grad():
            conditions = {**more, PHONES: network(torch.tensor([inside or [NOTHING]]))}
            return self._told(self._no_text(), conditions, network.channels(ids[None]))

    def nothing(self, told: Told) -> Told:
        def zeros(condition: Condition) -> Condition:
            return torch.zeros_like(condition[0]), torch.zeros_like(condition[1])

        text = None if told.text is None else torch.zeros_like(told.text)
        extra = None if told.extra is None else torch.zeros_like(told.extra)
        conditions = {name: zeros(one) for name, one in told.conditions.items()}
        return Told(conditions=conditions, text=text, text_mask=told.text_mask, extra=extra)

    @torch.no_grad()
    def to_latent(self, samples: Tensor) -> Tensor:
        return self.networks.autoencoder.encode(self.mel(samples))

    @torch.no_grad()
    def to_samples(self, latent: Tensor) -> Tensor:
        return self.networks.vocoder(self.networks.autoencoder.decode(latent))

    @torch.no_grad()
    def loa(self, samples: Tensor) -> Tensor:
        return self.networks.audiomae.loa(samples, self.config.pooling)

    def scores(self, samples: Tensor, loa: Tensor, request: Mapping[str, Any]) -> Tensor:
        """Return how near [n] the language of audio of each result is to the one that it was made from."""
        return -(self.loa(samples) - loa).abs().mean(dim=(1, 2))


class _Spoken:
    """A plan of a text that is laid out in time."""

    def __init__(
        self, model: OwnModel, phones: list[tuple[int, float, float]], conditions: dict[str, Condition]
    ) -> None:
        self.model, self.phones, self.conditions = model, phones, conditions
        self.seconds = max(end for _, _, end in phones) + _LAST_SECONDS

    def told(self, first: int, last: int) -> Told:
        return self.model.spoken(self.phones, first, last, self.conditions)


def _check_fit(shape: Shape, heard: AudioMaeConfig, pooling: int) -> None:
    high, wide = (-(-side // min(side, pooling)) for side in heard.grid)
    if high * wide != shape.num_tokens:
        raise ValueError(f"AudioMAE gives {high * wide} vectors where the bridge rolls out {shape.num_tokens}")
    if heard.num_samples != round(shape.window_seconds * shape.sample_rate):
        raise ValueError(f"AudioMAE hears {heard.num_samples} samples, not the window's {shape.window_seconds:g} s")


def _recording(value: Any) -> Audio:
    return value if isinstance(value, Audio) else read_audio(value)
