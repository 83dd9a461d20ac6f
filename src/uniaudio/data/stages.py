"""Tokenised recordings to the training sequences of AudioLM's stages: joined by speaker, cropped at random.

T frames, K codebooks
"""

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from uniaudio.data.sequences import MARK_FRAMES, check_codes
from uniaudio.data.shards import Shards
from uniaudio.errors import InputError
from uniaudio.sequence.layout import Sequence
from uniaudio.sequence.stages import Stage, Stages


class StageReader:
    """Reads recordings as sequences of one stage, of at most `window` frames.

    With `join`, recordings of one speaker are put after one another until the window is full, so that the model learns
    to go on beyond the end of one; those without a speaker stay alone.
    """

    def __init__(self, stages: Stages, stage: Stage, window: int, frame_rate: float, join: bool = True) -> None:
        self.stages, self.window, self.frame_rate, self.join = stages, window, frame_rate, join
        self.stage = stage
        self._groups: dict[str, dict[bytes, list[int]]] = {}

    def __call__(self, shards: Shards, index: int, random: np.random.Generator) -> Sequence:
        """Return the training sequence of recording `index`; `random` chooses the crop and what is joined.

        Raises InputError for tokens without semantic ids and for codes that do not fit.
        """
        semantic, codes, speaker = self._read(shards, index)
        others = self._others(shards, speaker)
        parts = [(semantic, codes)]
        while others and sum(len(part) for part, _ in parts) < self.window:
            parts.append(self._read(shards, others[int(random.integers(len(others)))])[:2])
        semantic, codes = torch.cat([part for part, _ in parts]), torch.cat([part for _, part in parts], dim=1)
        start = int(random.integers(max(0, len(semantic) - self.window) + 1))
        ended = not others and start + self.window >= len(semantic)
        span = slice(start, start + self.window)
        return self.stages.training(self.stage, semantic[span], codes[:, span], ended)

    def lengths(self, shards: Shards) -> np.ndarray:
        """Return about how many frames the sequence of each recording has, [N]."""
        frames = np.minimum(shards.frames, self.window)
        if self.join and len(shards) and self._others(shards, self._read(shards, 0)[2]):
            frames = np.full_like(frames, self.window)
        return frames * (1 if self.stage == "semantic" else 2) + MARK_FRAMES

    def _read(self, shards: Shards, index: int) -> tuple[Tensor, Tensor, bytes]:
        """Return the semantic ids [T], the codes [K, T] and the speaker of a recording."""
        tensors, vocabulary = shards.read(index), self.stages.vocabulary
        semantic = tensors.get("semantic", tensors.get("source.semantic"))  # of a recording, of voice conversion
        if semantic is None:
            raise InputError(f"{shards.folder} has no semantic tokens: tokenize with a model that has them")
        if "target" not in tensors and self.stage == "semantic":  # tokens without codes are enough here
            tensors["target"] = torch.zeros(vocabulary.num_codebooks, len(semantic))
        if "target" not in tensors:
            raise InputError(f"{shards.folder} has semantic tokens alone: tokenize without --only-semantic")
        codes = check_codes(shards, tensors["target"], vocabulary)
        semantic = semantic.long()[: codes.shape[1]]
        if int(semantic.max()) >= self.stages.num_semantic:
            largest = int(semantic.max())
            raise InputError(f"{shards.folder} has the semantic token {largest}: set num_semantic to more than that")
        return semantic, codes[:, : len(semantic)], tensors.get("speaker", torch.empty(0)).numpy().tobytes()

    def _others(self, shards: Shards, speaker: bytes) -> list[int]:
        """Return the recordings of a speaker; none where nothing is joined."""
        if not self.join or not speaker:
            return []
        key = str(shards.folder)
        if key not in self._groups:
            groups: dict[bytes, list[int]] = defaultdict(list)
            for index in shards.of_kinds(("recording",)):
                groups[shards.read(int(index))["speaker"].numpy().tobytes()].append(int(index))
            self._groups[key] = dict(groups)
        return self._groups[key][speaker]
