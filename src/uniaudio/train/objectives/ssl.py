"""Train a HuBERT: hide spans of speech and predict, from what is around them, which cluster each hidden frame is of.

B batch, T frames, S mel frames in one frame, M mel bands, D width, C clusters
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio.audio.io import read_audio
from uniaudio.config import to_dict
from uniaudio.data.manifests import Row
from uniaudio.data.phone_frames import UNKNOWN, Segments, frame_phones
from uniaudio.errors import InputError
from uniaudio.ssl.hubert import SAMPLE_RATE, Hubert, HubertConfig, MelFrames, normalise, warp_matrix
from uniaudio.tokenizers.semantic import SemanticTokenizer


@dataclass(frozen=True, kw_only=True)
class HubertObjectiveConfig:
    """About `frame_budget` frames are a batch; `mask_share` of them are hidden, in spans of `mask_span` frames.

    The network hears each recording with the vocal tract longer or shorter by up to the factor e^`warp`, and
    `noise_share` of them with steady noise `noise_db` below their loudest band; labels are of what was recorded.

    With `phone_weight` a second head names the phone of every frame, hidden or not, where the recordings come with
    timed phones. The paper has no such labels; on small data they teach what hundreds of hours would.

    Raises InputError for a `mask_span` or `frame_budget` below 1 and a `mask_share` outside 0 to 1.
    """

    frame_budget: int = 3000
    max_seconds: float = 8.0
    mask_span: int = 5
    mask_share: float = 0.5
    warp: float = 0.2
    noise_share: float = 0.5
    noise_db: tuple[float, float] = (25.0, 60.0)
    phone_weight: float = 0.0

    def __post_init__(self) -> None:
        for name in ("frame_budget", "mask_span"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)} is no number of frames: use 1 or more")
        if not 0 < self.mask_share < 1:
            raise InputError(f"mask_share {self.mask_share} is no share: use more than 0 and less than 1")


class LabelledSpeech:
    """Log-mel frames (float16 [T * S, M]), clusters and phones (int16 [T] each) of recordings, made once, when needed.

    `teacher` gives the clusters, at the network's frame rate; `phones` names the phones, of the recordings whose pauses
    are called "pau": those of other engines have other names for the same phones and stay UNKNOWN.
    """

    def __init__(self, rows: Sequence[Row], teacher: SemanticTokenizer, config: HubertConfig) -> None:
        assert teacher.frame_rate == config.frame_rate and teacher.num_ids < 2**15
        self.rows = sorted(rows, key=lambda row: (row.seconds, row.id))
        self.seconds = np.array([row.seconds for row in self.rows])
        self.teacher, self.stack = teacher, config.stack
        self._mel = MelFrames(config)
        self._segments = [_named_as_most(row.segments or []) for row in self.rows]
        self.phones = {name: place for place, name in enumerate(sorted({s[0] for own in self._segments for s in own}))}
        self._kept: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        if index not in self._kept:
            audio = read_audio(self.rows[index].audio, sample_rate=SAMPLE_RATE, mono=True)
            labels = self.teacher.encode(audio).ids
            assert labels is not None
            mel = self._mel(torch.from_numpy(audio.samples))[0]  # [T * S, M]
            length = min(len(labels), len(mel) // self.stack)
            phones = frame_phones(self._segments[index], length, self.teacher.frame_rate, self.phones)
            clusters = labels[:length, 0].to(torch.int16)
            self._kept[index] = mel[: length * self.stack].half(), clusters, phones.to(torch.int16)
        return self._kept[index]

    def choose(
        self, frame_budget: int, max_seconds: float, frame_rate: float, random: np.random.Generator
    ) -> list[int]:
        """Return recordings of nearly one length that have about `frame_budget` frames together."""
        place = int(random.integers(len(self.rows)))
        frames = max(1, round(min(self.seconds[place], max_seconds) * frame_rate))
        count = max(1, frame_budget // frames)
        near = np.arange(max(0, place - 2 * count), min(len(self.rows), place + 2 * count + 1))
        return random.choice(near, min(count, len(near)), replace=False).tolist()


def _named_as_most(segments: Segments) -> Segments:
    return segments if any(segment[0] == "pau" for segment in segments) else []


class HubertObjective:
    """Masked prediction: cross-entropy of a linear head's cluster at every hidden frame, and nowhere else."""

    def __init__(
        self, network: Hubert, speech: LabelledSpeech, config: HubertObjectiveConfig, about: dict[str, Any]
    ) -> None:
        self.network, self.speech, self.config, self.about = network, speech, config, about
        network.requires_grad_(True)
        head = nn.Linear(network.config.transformer.width, speech.teacher.num_ids)
        self.module = nn.ModuleDict({"hubert": network, "head": head})
        if config.phone_weight:
            if not speech.phones:
                raise InputError("phone_weight needs recordings with timed phones: use 0, or made speech")
            self.module["phone_head"] = nn.Linear(network.config.transformer.width, len(speech.phones))

    def batch(self, seed: int, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return mel [B, T * S, M], clusters and phones int64 [B, T], and the hidden frames, bool [B, T]."""
        config, shape = self.config, self.network.config
        random = np.random.default_rng((seed, step))
        chosen = self.speech.choose(config.frame_budget, config.max_seconds, shape.frame_rate, random)
        chosen_speech = [self.speech[index] for index in chosen]
        longest = max(1, round(config.max_seconds * shape.frame_rate))
        length = min(longest, *(len(own) for _, own, _ in chosen_speech))  # all are cropped to the shortest: no padding
        mels, labels, phones = [], [], []
        for mel, own, said in chosen_speech:
            start = int(random.integers(len(own) - length + 1))
            heard = self._varied(mel.float(), random)
            mels.append(heard[start * shape.stack : (start + length) * shape.stack])
            labels.append(own[start : start + length].long())
            phones.append(said[start : start + length].long())
        hidden = self._hidden(len(mels), length, random)
        return torch.stack(mels), torch.stack(labels), torch.stack(phones), hidden

    def _varied(self, mel: Tensor, random: np.random.Generator) -> Tensor:
        """Return a whole recording's mel [T * S, M] with another vocal tract, perhaps in noise, normalised."""
        config = self.config
        mel = mel @ warp_matrix(mel.shape[1], math.exp(random.uniform(-config.warp, config.warp))).T
        if random.random() < config.noise_share:
            level = float(mel.max()) - random.uniform(*config.noise_db) * math.log(10) / 20
            noise = level + torch.linspace(0.0, random.uniform(-2.0, 1.0), mel.shape[1])  # tilted, in nats
            mel = 0.5 * torch.logaddexp(2 * mel, 2 * noise)  # powers add
        return normalise(mel[None])[0]

    def _hidden(self, batch: int, length: int, random: np.random.Generator) -> Tensor:
        """Return which frames are hidden, bool [B, T]; at least one span in every row."""
        span = min(self.config.mask_span, length)
        begins = random.random((batch, length)) < 1 - (1 - self.config.mask_share) ** (1 / span)
        begins[np.arange(batch), random.integers(length - span + 1, size=batch)] = True
        hidden = np.zeros((batch, length), bool)
        for shift in range(span):
            hidden[:, shift:] |= begins[:, : length - shift]
        return torch.from_numpy(hidden)

    def loss(self, batch: tuple[Tensor, ...], step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the cross-entropy over the hidden frames, and how many of them the head names rightly."""
        mel, labels, phones, hidden = batch
        features = self.network(mel, hidden)  # [B, T, D]
        logits, wanted = self.module["head"](features[hidden]), labels[hidden]  # [hidden frames, C]
        loss = functional.cross_entropy(logits.float(), wanted)
        figures = {"accuracy": _share(logits.argmax(-1) == wanted), "frames": float(labels.numel())}
        if self.config.phone_weight:
            named = self.module["phone_head"](features).float()  # [B, T, phones]
            error = functional.cross_entropy(named.flatten(0, 1), phones.flatten(), ignore_index=UNKNOWN)
            loss = loss + self.config.phone_weight * torch.nan_to_num(error)  # a batch may have no known phone
            known = phones != UNKNOWN
            figures["phone_accuracy"] = _share(named.argmax(-1)[known] == phones[known]) if known.any() else 0.0
        return loss, figures

    def describe(self) -> dict[str, Any]:
        """Return the network's configuration, the loss, and where the labels come from."""
        loss = to_dict(self.config)
        if not loss["phone_weight"]:
            del loss["phone_weight"]  # a run that began before this option is still known as the same run
        return {"hubert": to_dict(self.network.config), "loss": loss, **self.about}


def _share(right: Tensor) -> float:
    return float(right.float().mean())
