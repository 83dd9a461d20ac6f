"""Speaker similarity: cosine of speaker embeddings, by resemblyzer (its model comes inside) or an x-vector network.

By resemblyzer the same voice scores about .86 on average, different voices about .56. WavLM-SV and its like are given
by folder or hub name (microsoft/wavlm-base-plus-sv, whose authors take .86 as the threshold for the same speaker).
"""

import functools
from typing import Any

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.evaluate.metrics import judge_package
from uniaudio.evaluate.public_models import load_network, load_part

RATE = 16000
RESEMBLYZER = "resemblyzer"
MIN_SECONDS = 0.3
_SILENT = 1e-4  # peak


def speaker_embedding(audio: Audio, encoder: str = RESEMBLYZER) -> np.ndarray:
    """Return the unit vector ([256] by resemblyzer) of the speaker of a recording.

    `encoder` is "resemblyzer", or the folder or hub name of an x-vector network of transformers (WavLMForXVector, ...).
    Raises ValueError when no voice is found, and InputError for an encoder that cannot be loaded.
    """
    if encoder == RESEMBLYZER:
        samples = judge_package("resemblyzer").preprocess_wav(audio.mono().resample(RATE).samples[0], source_sr=RATE)
        _check_length(samples, RATE)
        embedding = _resemblyzer().embed_utterance(samples)
    else:
        embedding = _by_transformers(audio, encoder)
    return embedding / np.linalg.norm(embedding)


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Return the cosine of two unit vectors of one encoder, in [-1, 1]."""
    return float(np.dot(first, second))


def _check_length(samples: np.ndarray, rate: int) -> None:
    if len(samples) < MIN_SECONDS * rate:
        raise ValueError("no voice was found in the recording")


def _by_transformers(audio: Audio, name: str) -> np.ndarray:
    import torch

    network, features = _network(name)
    samples = audio.mono().resample(features.sampling_rate).samples[0]
    if np.abs(samples).max(initial=0.0) < _SILENT:
        samples = samples[:0]
    _check_length(samples, features.sampling_rate)
    with torch.no_grad():
        inputs = features(samples, sampling_rate=features.sampling_rate, return_tensors="pt")
        return network(**inputs).embeddings[0].numpy()


@functools.cache
def _resemblyzer() -> Any:
    return judge_package("resemblyzer").VoiceEncoder("cpu", verbose=False)


@functools.cache
def _network(name: str) -> tuple[Any, Any]:
    from transformers import AutoFeatureExtractor, AutoModelForAudioXVector

    return load_network(AutoModelForAudioXVector, name), load_part(AutoFeatureExtractor, name)
