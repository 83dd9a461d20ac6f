"""A recording and what the judges make of it, each asked at most once."""

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError
from uniaudio.evaluate.metrics.pitch import pitch_track
from uniaudio.evaluate.metrics.speaker_similarity import speaker_embedding
from uniaudio.evaluate.metrics.wer import recognise

if TYPE_CHECKING:
    from uniaudio.evaluate.classifier import Heard as Listened

RATE = 16000  # everything is judged at this rate, whatever that of the codec


class Heard:
    """A recording, and what the judges make of it, each asked at most once.

    With `memory`, a folder, what the slow recogniser heard is kept there, so that tasks which share recordings, and a
    run that goes on, do not ask again.
    """

    def __init__(self, audio: Audio, memory: Path | None = None) -> None:
        self.audio, self.memory = audio, memory

    @cached_property
    def words(self) -> str:
        """What the recogniser hears."""
        if self.memory is None:
            return recognise(self.audio)
        digest = hashlib.sha256(self.audio.samples.tobytes() + str(self.audio.sample_rate).encode()).hexdigest()
        kept = self.memory / f"{digest[:32]}.txt"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            part = kept.with_name(f"{kept.name}.{os.getpid()}.part")
            part.write_text(recognise(self.audio), encoding="utf-8")
            part.replace(kept)
        return kept.read_text(encoding="utf-8")

    @cached_property
    def voice(self) -> np.ndarray:
        """The speaker's vector [256]; zeros, as far from every speaker as can be, where there is no voice."""
        try:
            return speaker_embedding(self.audio)
        except InputError:
            raise
        except ValueError:
            return np.zeros(256)

    @cached_property
    def pitch(self) -> np.ndarray:
        """The pitch track [F]."""
        return pitch_track(self.audio)

    @cached_property
    def events(self) -> "Listened":
        """What our own judge of sound and music hears; raises ValueError for silence."""
        from uniaudio.evaluate.classifier import listen

        return listen(self.audio)


def like(original: Audio, made: Audio) -> Audio:
    """Return a recording at the rate and with the length of another one, as judges that compare frames need it."""
    samples = made.mono().resample(original.sample_rate).samples
    size = original.samples.shape[1]
    return Audio(np.pad(samples[:, :size], ((0, 0), (0, max(0, size - samples.shape[1])))), original.sample_rate)
