"""Embeddings of sound by name: our own judge inside the package, or CLAP, AST and others through transformers.

VGGish and PANNs are left out: no package of theirs brings the weights or runs with this stack.
D width of an embedding
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError

OWN = "own"
_SILENT = 1e-4  # peak


def embedder(name: str = OWN) -> Callable[[Audio], np.ndarray]:
    """Return a function from a clip to embeddings [n, D], for Frechet distance and diversity.

    "own" is our judge (`classifier.JUDGE`), with an embedding of each second; any other name is a folder or a model on
    the hub, with one of the clip. Raises InputError for a model that cannot be loaded; the function raises ValueError
    for a clip that cannot be judged.
    """
    if name == OWN:
        from uniaudio.evaluate.classifier import listen

        return lambda audio: listen(audio).seconds
    network, features = _load(name)
    if network.config.model_type == "clap":
        return lambda audio: Clap(name).audio(audio)[None]
    return lambda audio: _pooled(network(**_inputs(features, audio)))


class Clap:
    """A CLAP of transformers: sound and text in one space; raises InputError when `name` cannot be loaded."""

    def __init__(self, name: str) -> None:
        self.network, self.features = _load(name)
        if self.network.config.model_type != "clap":
            raise InputError(f"{name} is a {self.network.config.model_type} model, not CLAP: give one of CLAP")
        self.name = name

    def audio(self, audio: Audio) -> np.ndarray:
        """Return the unit vector [D] of a clip: the mean over parts of 10 s, of which CLAP itself would draw one."""
        size, audio = self.features.nb_max_samples, audio.mono().resample(self.features.sampling_rate)
        count = -(-audio.samples.shape[1] // size)
        parts = [
            Audio(np.ascontiguousarray(x), audio.sample_rate) for x in np.array_split(audio.samples, count or 1, 1)
        ]
        heard = [part for part in parts if np.abs(part.samples).max(initial=0.0) >= _SILENT]
        if not heard:
            raise ValueError("the clip is silent")
        made = [_pooled(self.network.get_audio_features(**_inputs(self.features, part)))[0] for part in heard]
        return _unit(np.mean([_unit(vector) for vector in made], axis=0))

    def text(self, text: str) -> np.ndarray:
        """Return the unit vector [D] of a text."""
        import torch

        tokens = _tokenizer(self.name)([text], return_tensors="pt", truncation=True)
        with torch.no_grad():
            return _unit(_pooled(self.network.get_text_features(**tokens))[0])


def _pooled(output: Any) -> np.ndarray:
    """Return one vector [1, D] of what a network gave: a tensor, its pooled vector, or the mean over its frames."""
    pooled = getattr(output, "pooler_output", None)
    if pooled is None:
        frames = getattr(output, "last_hidden_state", None)
        pooled = output if frames is None else frames.mean(1)
    return pooled.detach().float().numpy()


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _inputs(features: Any, audio: Audio) -> Any:
    samples = audio.mono().resample(features.sampling_rate).samples[0]
    if np.abs(samples).max(initial=0.0) < _SILENT:
        raise ValueError("the clip is silent")
    return features(samples, sampling_rate=features.sampling_rate, return_tensors="pt")


@functools.cache
def _load(name: str) -> tuple[Any, Any]:
    """Return the network of a folder or of the hub, and what prepares its input."""
    import torch
    from transformers import AutoFeatureExtractor, AutoModel

    features = _from_pretrained(AutoFeatureExtractor, name)
    network = _from_pretrained(AutoModel, name, use_safetensors=True, dtype=torch.float32)
    return network.eval().requires_grad_(False), features


@functools.cache
def _tokenizer(name: str) -> Any:
    from transformers import AutoTokenizer

    return _from_pretrained(AutoTokenizer, name)


def _from_pretrained(kind: Any, name: str, **options: Any) -> Any:
    is_folder = Path(name).is_dir()
    try:
        return kind.from_pretrained(name, local_files_only=is_folder, **options)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        what = "holds no whole model of transformers" if is_folder else "is no folder, nor a model that can be fetched"
        raise InputError(f"{name} {what}; give a folder of one, or '{OWN}' for our judge ({reason})") from error
