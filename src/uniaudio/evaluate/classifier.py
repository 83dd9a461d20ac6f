"""The offline judge of sound and music: a small network that hears events, instruments, styles and tempos.

It is ours and was trained on made audio that no model is trained on (docs/evaluation-judges.md): a table that quotes it
says so with `JUDGE`.

B batch, N samples, S mel frames, M mel bands, T frames, C channels, D width of an embedding, L labels
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio import checkpoint, config
from uniaudio.audio.io import Audio
from uniaudio.audio.spectral import LogMel
from uniaudio.data.synthesize.events import EVENTS
from uniaudio.data.synthesize.music_captions import TEMPOS, tempo_words
from uniaudio.data.synthesize.music_patterns import INSTRUMENTS
from uniaudio.data.synthesize.music_styles import STYLES

JUDGE = "own judge (uniaudio's classifier, trained on made audio)"
FOLDER = Path(__file__).parent / "judge"
SAMPLE_RATE = 16000
_MIN_SECONDS = 0.5
_SILENT = 1e-4  # peak
_PART_SECONDS = 3
_RANGE = 9.2  # nats: what is more than 80 dB below the loudest band counts as silence


def made_labels() -> dict[str, tuple[str, ...]]:
    """Return the labels of made sound and music by kind: event, instrument, style, tempo.

    Moods are not among them: a made piece's follows from its level too, of which the judge knows nothing.
    """
    return {
        "event": tuple(EVENTS),
        "instrument": (*INSTRUMENTS, "drums"),
        "style": tuple(STYLES),
        "tempo": tuple(words[0] for _, words in TEMPOS),
    }


def labels_of(custom: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the labels by kind that the custom fields of a made recording name; {} where they name none."""
    if "instruments" in custom:
        tempo = tempo_words(float(custom["tempo_bpm"]))[0]
        return {"instrument": list(custom["instruments"]), "style": [str(custom["style"])], "tempo": [tempo]}
    return {"event": list(custom["classes"])} if "classes" in custom else {}


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """Sizes of the judge. Of the kinds in `one_of` a recording has one label, of the others any number."""

    labels: dict[str, tuple[str, ...]] = field(default_factory=made_labels)
    one_of: tuple[str, ...] = ("style", "tempo")
    n_fft: int = 1024
    hop_length: int = 250
    num_mels: int = 64
    stem: tuple[int, int, int] = (24, 56, 96)
    width: int = 176
    blocks: int = 3
    kernel_size: int = 7
    expansion: int = 2
    embedding: int = 128

    @property
    def frames_per_second(self) -> int:
        """Frames that are pooled into the embedding of a second; the stem makes one of four mel frames."""
        return SAMPLE_RATE // (4 * self.hop_length)


class Classifier(nn.Module):
    """Log-mel -> convolutions over bands and time -> ConvNeXt blocks over time -> mean and maximum -> labels."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.log_mel = LogMel(SAMPLE_RATE, config.n_fft, config.hop_length, config.num_mels)
        first, second, third = config.stem
        sizes = ((1, first, 2), (first, second, 2), (second, third, 1))  # the last halves the bands alone
        self.stem = nn.ModuleList(nn.Conv2d(a, b, 3, stride=(time, 2), padding=1) for a, b, time in sizes)
        self.embed = nn.Linear(third * -(-config.num_mels // 8), config.width)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.project = nn.Linear(2 * config.width, config.embedding)
        self.head = nn.Linear(config.embedding, sum(map(len, config.labels.values())))
        nn.init.constant_(self.head.bias, -4.0)  # most labels are absent

    def mel(self, samples: Tensor) -> Tensor:
        """Return the log-mel frames [B, S, M], in nats, of samples [B, N]."""
        return self.log_mel(samples).transpose(1, 2)

    def frames(self, mel: Tensor) -> Tensor:
        """Return features [B, T, C] of log-mel [B, S, M] of any level, T = ceil(S / 4)."""
        mel = mel - mel.amax((1, 2), keepdim=True)
        x = (mel.clamp(min=-_RANGE) / (_RANGE / 2) + 1)[:, None].to(memory_format=torch.channels_last)  # in [-1, 1]
        for conv in self.stem:
            x = functional.relu(conv(x))
        x = self.embed(x.permute(0, 2, 3, 1).flatten(2))  # [B, T, C]
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def pool(self, frames: Tensor) -> Tensor:
        """Return the embeddings [B, D] of features [B, T, C]."""
        return self.project(torch.cat((frames.mean(1), frames.amax(1)), 1))

    def classify(self, embeddings: Tensor) -> dict[str, Tensor]:
        """Return the logits [B, L] of each kind for embeddings [B, D]."""
        parts = self.head(functional.gelu(embeddings)).float().split([len(x) for x in self.config.labels.values()], 1)
        return dict(zip(self.config.labels, parts, strict=True))

    def forward(self, mel: Tensor) -> dict[str, Tensor]:
        return self.classify(self.pool(self.frames(mel)))


class _Block(nn.Module):
    """Depthwise convolution over time, layer norm, inverted bottleneck, residual (ConvNeXt, 2201.03545)."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        width, size = config.width, config.kernel_size
        self.conv = nn.Conv1d(width, width, size, padding=size // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, config.expansion * width)
        self.narrow = nn.Linear(config.expansion * width, width)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(self.conv(x.transpose(1, 2)).transpose(1, 2))
        return x + self.narrow(functional.gelu(self.widen(inner)))


@dataclass(frozen=True, eq=False)
class Heard:
    """What the judge heard in one clip.

    `probabilities` are by kind and label: of each on its own, or, of a kind in `one_of`, summing to 1. `embedding` [D]
    is of the whole clip, `seconds` [seconds, D] of each whole second (of the clip where it is shorter). `distribution`
    [L] sums to 1 over the events and instruments together (a softmax of their logits).
    """

    probabilities: dict[str, dict[str, float]]
    embedding: np.ndarray
    seconds: np.ndarray
    distribution: np.ndarray


def listen(audio: Audio, judge: Classifier | None = None) -> Heard:
    """Return what the shipped judge (or another one) hears in a clip of any rate.

    Raises ValueError for a clip below 0.5 s and for a silent one.
    """
    judge = judge or shipped()
    samples = audio.mono().resample(SAMPLE_RATE).samples
    if samples.shape[1] < _MIN_SECONDS * SAMPLE_RATE:
        raise ValueError(f"the judge needs at least {_MIN_SECONDS} s, got {samples.shape[1] / SAMPLE_RATE:.2f} s")
    if np.abs(samples).max() < _SILENT:
        raise ValueError("the clip is silent")
    with torch.no_grad():
        frames = judge.frames(judge.mel(torch.from_numpy(samples)))
        window = min(judge.config.frames_per_second, frames.shape[1])
        whole = frames.shape[1] // window
        embedding = judge.pool(frames)
        seconds = judge.pool(frames[0, : whole * window].unflatten(0, (whole, window)))  # [seconds, D]
        logits = _logits(judge, frames, embedding)
    one_of = judge.config.one_of
    shares = {kind: (x.softmax(0) if kind in one_of else x.sigmoid()).tolist() for kind, x in logits.items()}
    many = torch.cat([x for kind, x in logits.items() if kind not in one_of])
    named = {kind: dict(zip(judge.config.labels[kind], values, strict=True)) for kind, values in shares.items()}
    return Heard(named, embedding[0].numpy(), seconds.numpy(), many.softmax(0).double().numpy())


def _logits(judge: Classifier, frames: Tensor, embedding: Tensor) -> dict[str, Tensor]:
    """Return the logits [L] of each kind for the features [1, T, C] and the embedding [1, D] of a clip.

    What a clip may have any number of can be short: there the whole clip has as much say as the part of 3 s that is
    surest.
    """
    size, length = _PART_SECONDS * judge.config.frames_per_second, frames.shape[1]
    starts = [*range(0, max(1, length - size), size // 2), max(0, length - size)]
    parts = judge.classify(
        judge.pool(torch.stack([frames[0, start : start + size] for start in dict.fromkeys(starts)]))
    )
    whole = judge.classify(embedding)
    return {
        kind: x[0] if kind in judge.config.one_of else (x[0] + parts[kind].amax(0)) / 2 for kind, x in whole.items()
    }


@functools.cache
def shipped() -> Classifier:
    """Return the judge that comes inside the package."""
    return load(FOLDER)


def load(folder: Path) -> Classifier:
    """Return the judge of a folder that `save` wrote, in evaluation mode; raises InputError for another folder."""
    loaded = checkpoint.load(folder)
    judge = Classifier(config.from_dict(ClassifierConfig, loaded.config))
    checkpoint.load_into(judge, loaded.tensors)
    return judge.eval().requires_grad_(False)


def save(folder: Path, judge: Classifier, card: str) -> None:
    """Write a judge as bfloat16 with `card`, its README.md."""
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in judge.state_dict().items()}
    checkpoint.save(folder, tensors, config.to_dict(judge.config), extra={"README.md": card})
