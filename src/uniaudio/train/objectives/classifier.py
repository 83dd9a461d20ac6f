"""Train a classifier of audio on crops of labelled clips, varied so that it hears what sounds, not how it was recorded.

B batch, S mel frames, M mel bands, L labels
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio.audio.io import read_audio
from uniaudio.config import to_dict
from uniaudio.errors import InputError

_NATS_PER_DB = math.log(10) / 20


@dataclass(frozen=True, kw_only=True)
class LabelledClip:
    """A recording and its labels as (kind, label, start s, end s); `group` is drawn from as often as any other."""

    audio: Path
    seconds: float
    group: str
    labels: tuple[tuple[str, str, float, float], ...]


class Network(Protocol):
    """What the objective needs of a classifier: `config` has `labels` by kind, the kinds in `one_of`, `hop_length`."""

    config: Any

    def mel(self, samples: Tensor) -> Tensor: ...

    def __call__(self, mel: Tensor) -> dict[str, Tensor]: ...


@dataclass(frozen=True, kw_only=True)
class ClassifierObjectiveConfig:
    """Crops of `crop_seconds` (one length a batch) are a batch; a label counts where `least_seconds` or half of it is.

    Into `mix_share` of them goes another clip of the `mixed` group up to `mix_db` softer; `tilt_db` and `noise_db` are
    how far the bands' levels are bent and how far below the peak a noise floor is put, and `lowpass_share` of the crops
    lose the bands above a random one in the upper half.

    Raises InputError for a `batch_size` below 1 and a shortest crop that is not positive.
    """

    batch_size: int = 32
    crop_seconds: tuple[float, float] = (2.9, 7.0)
    least_seconds: float = 0.3
    mixed: str = "sound"
    mix_share: float = 0.4
    mix_db: float = 8.0
    tilt_db: float = 6.0
    noise_db: tuple[float, float] = (25.0, 90.0)
    lowpass_share: float = 0.2
    one_of_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size {self.batch_size} is no number of clips: use 1 or more")
        if not 0 < self.crop_seconds[0] <= self.crop_seconds[1]:
            raise InputError(f"crop_seconds {self.crop_seconds} are not a shortest and a longest crop above 0")


class ClassifierObjective:
    """Binary cross-entropy of labels that go together, cross-entropy of those that exclude one another."""

    def __init__(
        self,
        network: Network,
        clips: Sequence[LabelledClip],
        config: ClassifierObjectiveConfig,
        sample_rate: int,
        about: Mapping[str, Any],
    ) -> None:
        assert isinstance(network, nn.Module)
        self.network, self.clips, self.config, self.sample_rate = network, list(clips), config, sample_rate
        self.module, self.about = nn.ModuleDict({"classifier": network}), about
        names = [(kind, label) for kind, labels in network.config.labels.items() for label in labels]
        self.place = {name: index for index, name in enumerate(names)}
        self.groups = sorted({clip.group for clip in self.clips})
        self.seconds = np.array([clip.seconds for clip in self.clips])
        self.group_of = np.array([self.groups.index(clip.group) for clip in self.clips])
        self._mels: dict[int, Tensor] = {}

    def batch(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return log-mel [B, S, M] of crops of one length, and which labels they have, [B, L] of 0 and 1."""
        config, random = self.config, np.random.default_rng((seed, step))
        seconds = random.uniform(config.crop_seconds[0], min(config.crop_seconds[1], self.seconds.max()))
        crops = [self._crop(index % len(self.groups), seconds, random) for index in range(config.batch_size)]
        for index in np.flatnonzero(random.random(len(crops)) < config.mix_share):
            if config.mixed in self.groups:
                other, labels = self._crop(self.groups.index(config.mixed), seconds, random)
                mel, own = crops[index]
                other = other + mel.max() - other.max() - random.uniform(0, config.mix_db) * _NATS_PER_DB
                crops[index] = _sum(mel, other), torch.maximum(own, labels)
        return torch.stack([self._varied(mel, random) for mel, _ in crops]), torch.stack([own for _, own in crops])

    def _crop(self, group: int, seconds: float, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return log-mel [S, M] and labels [L] of a random crop of a group; a clip that is too short is repeated."""
        fitting = np.flatnonzero((self.group_of == group) & (self.seconds >= seconds))
        index = int(random.choice(fitting if len(fitting) else np.flatnonzero(self.group_of == group)))
        clip, mel = self.clips[index], self._mel(index)
        rate = self.sample_rate / self.network.config.hop_length
        size = round(seconds * rate)
        start = int(random.integers(max(0, len(mel) - size) + 1))
        begin, end = start / rate, (start + size) / rate
        labels = torch.zeros(len(self.place))
        for kind, label, first, last in clip.labels:
            heard = min(end, last) - max(begin, first)
            if heard >= min(self.config.least_seconds, (last - first) / 2):
                labels[self.place[kind, label]] = 1.0
        rows = torch.arange(start, start + size) % len(mel)
        return mel[rows].float(), labels

    def _mel(self, index: int) -> Tensor:
        """Return the log-mel of a clip, float16 [S, M], made when it is first needed."""
        if index not in self._mels:
            audio = read_audio(self.clips[index].audio, sample_rate=self.sample_rate, mono=True)
            with torch.no_grad(), torch.autocast("cpu", enabled=False):
                self._mels[index] = self.network.mel(torch.from_numpy(audio.samples))[0].half()
        return self._mels[index]

    def _varied(self, mel: Tensor, random: np.random.Generator) -> Tensor:
        """Return log-mel [S, M] as through another microphone, in noise."""
        config, bands = self.config, mel.shape[1]
        curve = np.interp(np.arange(bands), np.linspace(0, bands - 1, 5), random.uniform(-1, 1, 5))
        mel = mel + torch.from_numpy(curve).float() * config.tilt_db * _NATS_PER_DB
        if random.random() < config.lowpass_share:
            above = torch.arange(bands) - int(random.integers(bands // 2, bands))
            mel = mel - above.clamp(min=0) * random.uniform(0.3, 2.0)
        level = mel.max() - random.uniform(*config.noise_db) * _NATS_PER_DB
        grain = torch.from_numpy(random.standard_normal(tuple(mel.shape), dtype=np.float32))
        return _sum(mel, level + torch.linspace(0, random.uniform(-3, 1), bands) + 0.3 * grain)

    def loss(self, batch: tuple[Tensor, Tensor], step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the sum of the kinds' losses; for the log, each of them and the share of top labels that are right."""
        mel, labels = batch
        kinds, total, figures = self.network.config.labels, torch.zeros(()), {"frames": float(mel.shape[:2].numel())}
        wanted = dict(zip(kinds, labels.split([len(names) for names in kinds.values()], 1), strict=True))
        for kind, logits in self.network(mel).items():
            known = wanted[kind].sum(1) > 0
            if kind in self.network.config.one_of:
                if not known.any():
                    continue
                value = functional.cross_entropy(logits[known], wanted[kind][known].argmax(1))
                total = total + self.config.one_of_weight * value
            else:
                value = functional.binary_cross_entropy_with_logits(logits, wanted[kind], reduction="sum") / len(mel)
                total = total + value
            figures[kind] = float(value.detach())
            if known.any():
                best = wanted[kind][known].gather(1, logits.detach()[known].argmax(1, keepdim=True))
                figures[f"{kind}_top1"] = float(best.mean())
        return total, figures

    def describe(self) -> dict[str, Any]:
        """Return the network's configuration, the loss, and what it is trained on."""
        return {"classifier": to_dict(self.network.config), "loss": to_dict(self.config), **self.about}


def _sum(first: Tensor, second: Tensor) -> Tensor:
    """Return the log-mel of two sounds together: powers add."""
    return 0.5 * torch.logaddexp(2 * first, 2 * second)
