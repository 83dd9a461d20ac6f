"""Sound and music by retrieval: the training clip whose caption is the nearest to the asked one."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError

RATE = 16000


class Training:
    """The training captions of a task and their clips, read from its folder of examples when first asked for."""

    def __init__(self, folder: Path, task: str) -> None:
        self._folder, self._task = folder, task

    @cached_property
    def clips(self) -> list[tuple[str, Mapping[str, Any]]]:
        """(caption, cut of the clip) of every training example; raises InputError when there is none."""
        from uniaudio.data.examples import read_examples

        clips = [
            (example.given["caption"], example.target)
            for example in read_examples(self._folder)
            if example.split == "train" and example.task == self._task
        ]
        if not clips:
            raise InputError(f"{self._folder} has no training example of {self._task}: retrieval needs some")
        return clips

    def nearest(self, caption: str) -> int:
        """Return which caption has the greatest cosine of TF-IDF vectors with the asked one; of equals the first.

        Raises ValueError when no caption shares a word with it.
        """
        scores: dict[int, float] = defaultdict(float)
        for word, count in Counter(_words(caption)).items():
            for index, weight in self._index.get(word, ()):
                scores[index] += count * self._rarity[word] * weight
        if not scores:
            raise ValueError(f"no training caption shares a word with {caption!r}")
        return max(scores, key=lambda index: (scores[index], -index))

    @cached_property
    def _rarity(self) -> dict[str, float]:
        """Word -> ln((1 + captions) / (1 + captions with it)) + 1, the smoothed inverse document frequency."""
        found = Counter(word for caption, _ in self.clips for word in set(_words(caption)))
        return {word: math.log((1 + len(self.clips)) / (1 + count)) + 1 for word, count in found.items()}

    @cached_property
    def _index(self) -> dict[str, list[tuple[int, float]]]:
        """Word -> (caption, weight) of each caption with it; the weights of a caption have length 1."""
        index: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for number, (caption, _) in enumerate(self.clips):
            weights = {word: count * self._rarity[word] for word, count in Counter(_words(caption)).items()}
            length = math.hypot(*weights.values())
            for word, weight in weights.items():
                index[word].append((number, weight / length))
        return index


def retrieve(caption: str, training: Training) -> Audio:
    """Return the whole clip of the training caption nearest to the asked one; raises as `Training.nearest`."""
    from uniaudio.data.examples import load

    return load(training.clips[training.nearest(caption)][1], RATE)


def _words(caption: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", caption.lower())
