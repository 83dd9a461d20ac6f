"""Semantic tokens: features of what is said, not of who says it -> the nearest of `num_ids` cluster centres.

B batch, N samples, T frames, D width of a feature, M mel bands
"""

import math
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from uniaudio import checkpoint
from uniaudio.audio.io import Audio
from uniaudio.audio.spectral import LogMel
from uniaudio.config import from_dict
from uniaudio.errors import InputError
from uniaudio.ssl.hubert import HubertConfig, HubertFrames
from uniaudio.ssl.invariance import least_disturbed
from uniaudio.ssl.kmeans import fit_kmeans, nearest, standardiser
from uniaudio.tokenizers.base import Item, count_frames
from uniaudio.tokenizers.codec import codec_samples
from uniaudio.tokenizers.pitch_features import PitchFeatures

if TYPE_CHECKING:
    from transformers import HubertModel

_NETWORK = "network."  # prefix of the tensors that the features need, beside the clusters
_INNER = "of."  # and of those of the features that are projected
_SPEEDS = 0.2  # a copy of another vocal tract is played e^-0.2 to e^0.2 as fast


class SemanticFeatures(Protocol):
    """A network, or a formula, that gives a feature vector per frame of speech."""

    @property
    def sample_rate(self) -> int: ...

    @property
    def frame_rate(self) -> float: ...

    def features(self, samples: Tensor) -> Tensor:
        """Samples [B, N] in [-1, 1] -> [B, T, D]; frame t is centred near (t + 1/2) / frame_rate seconds."""
        ...

    def settings(self) -> dict[str, Any]:
        """What `make_features` needs to build the same features again."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """The weights that `make_features` needs besides; none where the settings say where they are."""
        ...


class HubertFeatures:
    """Hidden states of one layer of a HuBERT of transformers (`model`: a folder or a hub name).

    UniAudio takes layer 9 of hubert-base, 50 frames per second. The network is loaded at the first use.
    """

    sample_rate = 16000

    def __init__(self, model: str | Path, layer: int = 9, device: str | torch.device = "cpu") -> None:
        self.model, self.layer = model, layer
        self.device = torch.device(device)
        self._network: HubertModel | None = None

    @property
    def frame_rate(self) -> float:
        return self.sample_rate / math.prod(self._load().config.conv_stride)

    def settings(self) -> dict[str, Any]:
        return {"kind": "hubert", "model": str(self.model), "layer": self.layer}

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def _load(self) -> "HubertModel":
        if self._network is None:
            from transformers import HubertModel

            is_local = Path(self.model).is_dir()
            try:
                network = HubertModel.from_pretrained(self.model, local_files_only=is_local, dtype=torch.float32)
            except (OSError, ValueError) as error:
                reason = str(error).strip().split("\n")[0]
                raise InputError(f"cannot load the HuBERT model {self.model}: {reason}") from error
            if not 1 <= self.layer <= network.config.num_hidden_layers:
                limit = network.config.num_hidden_layers
                raise InputError(f"HuBERT {self.model} has no layer {self.layer}: choose one from 1 to {limit}")
            network.eval().requires_grad_(False)
            torch.nn.Module.to(network, self.device)
            self._network = network
        return self._network

    @torch.no_grad()
    def features(self, samples: Tensor) -> Tensor:
        network = self._load()
        kernels, strides = network.config.conv_kernel, network.config.conv_stride
        shortest = 1  # samples that give one frame
        for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
            shortest = (shortest - 1) * stride + kernel
        samples = torch.nn.functional.pad(samples, (0, max(0, shortest - samples.shape[-1]))).to(self.device)
        if network.config.feat_extract_norm == "layer":  # the large models were trained on normalised samples
            mean, std = samples.mean(-1, keepdim=True), samples.std(-1, keepdim=True)
            samples = (samples - mean) / (std + 1e-7)
        return network(samples, output_hidden_states=True).hidden_states[self.layer].cpu()


class MelFeatures:
    """Mel-cepstral coefficients and their slopes, less their mean over the recording: a stand-in.

    They need no training. The mean removes part of the speaker and of the microphone, but far less than a
    self-supervised network does: tokens made from these features say less of the words and more of the voice.
    With `scaled`, every value has variance 1 over the recording too.
    """

    sample_rate = 16000
    frame_rate = 50.0

    def __init__(self, num_coefficients: int = 20, num_mels: int = 40, scaled: bool = False) -> None:
        self.num_coefficients, self.num_mels, self.scaled = num_coefficients, num_mels, scaled
        self._mel = LogMel(self.sample_rate, n_fft=512, hop_length=320, num_mels=num_mels)
        # Orthonormal DCT-II [coefficients, M].
        band = (torch.arange(num_mels, dtype=torch.float64) + 0.5) / num_mels
        basis = torch.cos(math.pi * torch.arange(num_coefficients, dtype=torch.float64)[:, None] * band)
        basis *= math.sqrt(2 / num_mels)
        basis[0] /= math.sqrt(2)
        self._basis = basis.float()

    def settings(self) -> dict[str, Any]:
        sizes = {"num_coefficients": self.num_coefficients, "num_mels": self.num_mels}
        return {"kind": "mel", **sizes, "scaled": self.scaled}

    def tensors(self) -> dict[str, Tensor]:
        return {}

    @torch.no_grad()
    def features(self, samples: Tensor) -> Tensor:
        cepstrum = torch.einsum("cm,bmt->btc", self._basis, self._mel(samples.cpu()))  # [B, T, C]
        cepstrum = cepstrum - cepstrum.mean(1, keepdim=True)
        vectors = torch.cat([cepstrum, _slopes(cepstrum)], dim=-1)  # [B, T, 2 C]
        return vectors / vectors.std(1, correction=0, keepdim=True).clamp(min=0.05) if self.scaled else vectors


def _slopes(values: Tensor) -> Tensor:
    """Return the slope of values [B, T, C] over five frames, by least squares; the edge frames are repeated."""
    padded = torch.cat([values[:, :1], values[:, :1], values, values[:, -1:], values[:, -1:]], dim=1)
    near, far = padded[:, 3:-1] - padded[:, 1:-3], padded[:, 4:] - padded[:, :-4]
    return (near + 2 * far) / 10


class ProjectedFeatures:
    """Other features times a matrix [D, W], so that what another vocal tract changes weighs little.

    With `centred` they are first less their mean over the recording, which takes out what a voice does to all frames.
    """

    def __init__(self, features: SemanticFeatures, matrix: Tensor, centred: bool = False) -> None:
        self.inner, self.matrix, self.centred = features, matrix, centred
        self.sample_rate, self.frame_rate = features.sample_rate, features.frame_rate

    @classmethod
    def fit(
        cls, features: SemanticFeatures, recordings: Iterable[Audio], width: int, seed: int = 0, centred: bool = False
    ) -> "ProjectedFeatures":
        """Find the matrix with recordings of speech, each also played faster or slower: then its pitch and formants
        are another speaker's, and frames at corresponding times say the same. Raises InputError for no recordings.
        """
        chooser, vectors, changes = random.Random(seed), [], []
        for audio in recordings:
            speed = math.exp(chooser.uniform(-_SPEEDS, _SPEEDS))
            faster = Audio(audio.resample(round(audio.sample_rate / speed)).samples, audio.sample_rate)
            own, other = (features.features(codec_samples(a, features.sample_rate)[None])[0] for a in (audio, faster))
            own, other = (_centred(part) for part in (own, other)) if centred else (own, other)
            place = ((torch.arange(len(own)) + 0.5) / speed).long().clamp(max=len(other) - 1)
            vectors.append(own)
            changes.append(other[place] - own)
        if not vectors:
            raise InputError("there are no recordings to compare with faster and slower ones: give some speech")
        return cls(features, least_disturbed(torch.cat(vectors), torch.cat(changes), width), centred)

    def settings(self) -> dict[str, Any]:
        return {"kind": "projected", "of": self.inner.settings(), "centred": self.centred}

    def tensors(self) -> dict[str, Tensor]:
        return {"matrix": self.matrix, **{_INNER + name: value for name, value in self.inner.tensors().items()}}

    def features(self, samples: Tensor) -> Tensor:
        vectors = self.inner.features(samples)  # [B, T, D]
        if vectors.shape[-1] != len(self.matrix):
            widths = f"{vectors.shape[-1]} and {len(self.matrix)}"
            raise InputError(f"the semantic features and their matrix differ in width ({widths}): fit them again")
        return (_centred(vectors) if self.centred else vectors) @ self.matrix


def _centred(vectors: Tensor) -> Tensor:
    """Return features [..., T, D] less their mean over the frames of their recording."""
    return vectors - vectors.mean(-2, keepdim=True)


def make_features(settings: dict[str, Any], tensors: Mapping[str, Tensor] | None = None) -> SemanticFeatures:
    """Build features from their `settings()` and `tensors()`.

    Raises InputError for an unknown kind or setting, and for weights that do not fit the settings.
    """

    given = dict(tensors or {})

    def own_hubert(config: dict[str, Any]) -> HubertFrames:
        return HubertFrames(from_dict(HubertConfig, config), given)

    def projected(of: dict[str, Any], centred: bool = False) -> ProjectedFeatures:
        if "matrix" not in given:
            raise InputError("the matrix of the semantic features is missing: fetch the model again")
        inner = {name.removeprefix(_INNER): value for name, value in given.items() if name != "matrix"}
        return ProjectedFeatures(make_features(of, inner), given["matrix"], centred)

    kinds: dict[str, Any] = {"hubert": HubertFeatures, "mel": MelFeatures, "pitch": PitchFeatures}
    kinds |= {"own_hubert": own_hubert, "projected": projected}
    arguments = dict(settings)
    kind = arguments.pop("kind", None)
    if kind not in kinds:
        raise InputError(f"unknown semantic features {kind!r}: choose one of {', '.join(sorted(kinds))}")
    try:
        return kinds[kind](**arguments)
    except TypeError as error:
        raise InputError(
            f"the settings of the {kind} features are wrong ({error}): fit the semantic model again"
        ) from error


class SemanticTokenizer:
    """A recording -> ids [T, 1] of the nearest cluster centre, one per codec frame.

    `centroids` [num_ids, D] lie in the space of (features - mean) / std, with `mean` and `std` [D].
    """

    name = "semantic"

    def __init__(
        self, features: SemanticFeatures, centroids: Tensor, mean: Tensor, std: Tensor, frame_rate: float = 25.0
    ) -> None:
        assert centroids.ndim == 2 and mean.shape == std.shape == centroids.shape[1:]
        self.features = features
        self.centroids, self.mean, self.std = centroids.float(), mean.float(), std.float()
        self.frame_rate = frame_rate
        self.num_ids = centroids.shape[0]

    def encode(self, value: Audio) -> Item:
        """Return ids [T, 1] of a recording at any sample rate; T covers the recording, as the codec's frames do."""
        return Item(ids=self.lookup(self.vectors(value)))

    def lookup(self, vectors: Tensor) -> Tensor:
        """Return the ids [T, 1] of features [T, D]."""
        return nearest((vectors - self.mean) / self.std, self.centroids)[:, None]

    def vectors(self, value: Audio) -> Tensor:
        """Return the features [T, D] of a recording, one vector per codec frame."""
        samples = codec_samples(value, self.features.sample_rate)  # [N]
        vectors = self.features.features(samples[None])[0]  # [T', D] at the features' own frame rate
        if vectors.shape[1] != self.centroids.shape[1]:
            widths = f"{vectors.shape[1]} and {self.centroids.shape[1]}"
            raise InputError(
                f"the semantic features and the cluster centres differ in width ({widths}): fit them again"
            )
        num_frames = count_frames(samples.numel() / self.features.sample_rate, self.frame_rate)
        # The codec frame's centre falls into one frame of the features; past their end, the last one is repeated.
        centres = (torch.arange(num_frames, dtype=torch.float64) + 0.5) * (self.features.frame_rate / self.frame_rate)
        return vectors[centres.long().clamp(max=vectors.shape[0] - 1)]  # [T, D]

    @classmethod
    def fit(
        cls,
        features: SemanticFeatures,
        recordings: Iterable[Audio],
        num_ids: int = 500,
        seed: int = 0,
        frame_rate: float = 25.0,
    ) -> "SemanticTokenizer":
        """Fit the standardiser and the clusters to recordings of speech; the same seed gives the same tokenizer."""
        parts = [features.features(codec_samples(audio, features.sample_rate)[None])[0] for audio in recordings]
        if not parts:
            raise InputError("there are no recordings to fit semantic tokens to: give some speech")
        vectors = torch.cat(parts)  # [frames of all recordings, D]
        mean, std = standardiser(vectors)
        if isinstance(features, ProjectedFeatures):  # its directions already weigh what they should: one scale for all
            std = std.square().mean().sqrt().expand_as(std).clone()
        return cls(features, fit_kmeans((vectors - mean) / std, num_ids, seed=seed), mean, std, frame_rate)

    def save(self, folder: str | Path) -> None:
        """Write the clusters, the standardiser, the features' settings and their weights, if they have own ones."""
        config = {"frame_rate": self.frame_rate, "features": self.features.settings()}
        tensors = {"centroids": self.centroids, "mean": self.mean, "std": self.std}
        tensors |= {_NETWORK + name: value for name, value in self.features.tensors().items()}
        checkpoint.save(Path(folder), tensors, config)

    @classmethod
    def load(cls, folder: str | Path | None) -> "SemanticTokenizer":
        """Read what `save` wrote. Raises InputError where no model is configured or the folder is not one."""
        if folder is None:
            raise InputError("no semantic model is configured: fit one with SemanticTokenizer.fit and give its folder")
        if not Path(folder).is_dir():
            raise InputError(
                f"there is no semantic model at {folder}: give the folder that SemanticTokenizer.save wrote"
            )
        stored = checkpoint.load(Path(folder))
        parts = {name: value for name, value in stored.tensors.items() if not name.startswith(_NETWORK)}
        shapes = {name: list(tensor.shape) for name, tensor in parts.items()}
        width = shapes.get("mean")
        is_whole = set(shapes) == {"centroids", "mean", "std"} and set(stored.config) == {"frame_rate", "features"}
        if not is_whole or shapes["std"] != width or shapes["centroids"][1:] != width:
            raise InputError(f"{folder} is not a semantic model: give the folder that SemanticTokenizer.save wrote")
        network = {k.removeprefix(_NETWORK): v for k, v in stored.tensors.items() if k.startswith(_NETWORK)}
        features = make_features(stored.config["features"], network)
        return cls(features, **parts, frame_rate=stored.config["frame_rate"])
