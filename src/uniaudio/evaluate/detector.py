"""Was this made by AudioLM? A small network that hears log-mels, for one model and its codec (2209.03143, section VI).

It tells what a model's acoustic stage made from recordings; both pass through the codec first, so that it cannot tell
them by the codec's sound. N samples, S seconds that are judged
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from uniaudio import weights
from uniaudio.audio.io import Audio
from uniaudio.codec.model import Codec
from uniaudio.engines.audiolm_folder import load_codec_of
from uniaudio.errors import InputError
from uniaudio.evaluate import classifier
from uniaudio.evaluate.classifier import SAMPLE_RATE, Classifier, ClassifierConfig
from uniaudio.tokenizers.codec import round_trip

RECORDED, MADE = "recording", "audiolm"
KIND = "origin"
FOLDER = "detector"  # inside the folder of the model
CROP_SECONDS = 1.0
MIN_SECONDS = 1.0
CONFIG = ClassifierConfig(
    labels={KIND: (RECORDED, MADE)}, one_of=(KIND,), stem=(16, 32, 64), width=96, blocks=2, embedding=64
)


@dataclass(frozen=True, eq=False)
class Verdict:
    """`probability` that the whole was made by the model; `seconds` [S], the same of each second alone."""

    probability: float
    seconds: np.ndarray

    @property
    def made(self) -> bool:
        return self.probability > 0.5


class Detector:
    """The network and the codec of one model."""

    def __init__(self, network: Classifier, codec: Codec) -> None:
        if network.config.labels != CONFIG.labels:
            raise InputError("this network was trained to hear something else: give the detector of an AudioLM model")
        self.network, self.codec = network.eval(), codec

    def judge(self, audio: Audio) -> Verdict:
        """Return what the detector says of a recording; raises InputError below 1 s."""
        if audio.seconds < MIN_SECONDS:
            raise InputError(f"the recording lasts {audio.seconds:.2f} s: the detector needs {MIN_SECONDS:g} s or more")
        return self.listen(round_trip(self.codec, audio.mono()))

    @torch.no_grad()
    def listen(self, audio: Audio) -> Verdict:
        """Return what the detector says of a recording that has passed through the codec."""
        samples = torch.from_numpy(audio.mono().resample(SAMPLE_RATE).samples[0])
        size = round(CROP_SECONDS * SAMPLE_RATE)
        starts = np.unique(np.append(np.arange(0, len(samples) - size, size // 2), max(0, len(samples) - size)))
        crops = torch.stack([samples[start : start + size] for start in starts.tolist()])
        logits = self.network(self.network.mel(crops))[KIND]
        odds = logits[:, 1] - logits[:, 0]
        return Verdict(float(odds.mean().sigmoid()), odds.sigmoid().numpy())


def load_detector(model: str) -> Detector:
    """Return the detector of a shipped AudioLM model or of a folder; raises InputError where there is none."""
    folder: Path = weights.find(model) / FOLDER
    if not folder.is_dir():
        raise InputError(f"{model} has no detector: train one with `uniaudio train audiolm_detector`")
    return Detector(classifier.load(folder), load_codec_of(model))
