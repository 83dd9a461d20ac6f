"""Batches for speech from a token store: text laid out in time, a voice, and the speech to predict.

B batch, T frames, K codebooks, P phones
"""

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from uniaudio.data.tokens import TokenStore
from uniaudio.errors import InputError
from uniaudio.sequence.batch import Batch, collate
from uniaudio.sequence.layout import Layout, Sequence
from uniaudio.tasks import TASKS
from uniaudio.tokenizers.base import Item
from uniaudio.tokenizers.phoneme import PHONEME_IDS, PhonemeDurationTokenizer


class BatchPlan:
    """Which utterances make the batch of a step: shuffled, sorted by length inside chunks, filled to a frame budget.

    A pure function of (seed, step): every epoch is planned from the seed and its number. Raises InputError when there
    is no utterance to plan with.
    """

    def __init__(self, lengths: np.ndarray, budget: int, chunk: int = 512) -> None:
        if not len(lengths):
            raise InputError("there is no utterance to train on: give a corpus that has some")
        self.lengths, self.budget, self.chunk = lengths, budget, chunk
        self._planned: dict[tuple[int, int], list[list[int]]] = {}

    def indices(self, seed: int, step: int) -> list[int]:
        """Return the utterances of a step."""
        epoch = 0
        while True:
            batches = self._epoch(seed, epoch)
            if step < len(batches):
                return batches[step]
            step -= len(batches)
            epoch += 1

    def _epoch(self, seed: int, epoch: int) -> list[list[int]]:
        if (seed, epoch) not in self._planned:
            random = np.random.default_rng((seed, epoch))
            order = random.permutation(len(self.lengths))
            batches: list[list[int]] = []
            for first in range(0, len(order), self.chunk):
                part = order[first : first + self.chunk]
                batches += self._fill(part[np.argsort(self.lengths[part], kind="stable")])
            self._planned[seed, epoch] = [batches[i] for i in random.permutation(len(batches))]
        return self._planned[seed, epoch]

    def _fill(self, ordered: np.ndarray) -> list[list[int]]:
        batches: list[list[int]] = [[]]
        for index in ordered:
            longest = int(self.lengths[index])
            if batches[-1] and longest * (len(batches[-1]) + 1) > self.budget:
                batches.append([])
            batches[-1].append(int(index))
        return batches


class SpeechExamples:
    """`tts` examples: phones at their true times, a voice from another utterance of the speaker, the codes.

    Utterances without phone times, and speakers with a single utterance, are left out. Raises InputError
    when nothing is left.
    """

    def __init__(self, store: TokenStore, layout: Layout, frame_rate: float, budget: int, max_seconds: float = 8.0):
        self.store, self.layout, self.frame_rate = store, layout, frame_rate
        self.num_codebooks = layout.vocabulary.num_codebooks  # the store may hold more; the first ones are used
        self.timing = PhonemeDurationTokenizer(frame_rate, self.num_codebooks)
        self.by_speaker: dict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(store.rows):
            self.by_speaker[row["speaker"]].append(index)
        phones = np.diff(store.tensors["phone_offsets"].numpy())
        self.usable = [
            index
            for index, row in enumerate(store.rows)
            if phones[index] and len(self.by_speaker[row["speaker"]]) > 1 and row["seconds"] <= max_seconds
        ]
        if not self.usable:
            needs = f"phone times, a second utterance of its speaker, and at most {max_seconds:g} s"
            raise InputError(f"no utterance can be used for tts, each needs {needs}: tokenise a corpus that has such")
        lengths = store.num_frames()[self.usable] * 2 + round(3 * frame_rate) + 16
        self.plan = BatchPlan(lengths, budget)

    def draw(self, seed: int, step: int) -> Batch:
        """Return the batch of a step."""
        random = np.random.default_rng((seed, step))
        return collate([self.example(self.usable[i], random) for i in self.plan.indices(seed, step)])

    def example(self, index: int, random: np.random.Generator) -> Sequence:
        """Return one training sequence; the voice is never cut from the target recording."""
        codes = self.store.codes(index)[: self.num_codebooks]
        items = {("text", "phoneme"): self.text(index), ("speaker", "voice"): self.voice(index, random)}
        return self.layout.example(TASKS["tts"], items, codes)

    def text(self, index: int) -> Item:
        """Return the phones of an utterance in step with its codes."""
        ids = self.timing.encode(self.store.timed(index)).ids
        assert ids is not None
        wanted = int(self.store.num_frames()[index])
        silence = torch.full((max(0, wanted - len(ids)), ids.shape[1]), PHONEME_IDS["sil"])
        return Item(ids=torch.cat((ids, silence))[:wanted], aligned=True)

    def voice(self, index: int, random: np.random.Generator) -> Item:
        """Return 1.5 to 3 s of another utterance of the same speaker."""
        others = self.by_speaker[self.store.rows[index]["speaker"]]
        other = index
        while other == index:
            other = others[int(random.integers(len(others)))]
        codes = self.store.codes(other)[: self.num_codebooks]
        size = min(codes.shape[1], round(random.uniform(1.5, 3.0) * self.frame_rate))
        start = int(random.integers(codes.shape[1] - size + 1))
        return Item(ids=codes[:, start : start + size].t())


def duration_batch(
    store: TokenStore, usable: list[int], size: int, seed: int, step: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return phone ids [B, P], their seconds [B, P] and the mask [B, P] of a step's random utterances."""
    random = np.random.default_rng((seed, step))
    timed = [store.timed(usable[int(random.integers(len(usable)))]) for _ in range(size)]
    longest = max(len(phones) for phones in timed)
    ids = torch.zeros(size, longest, dtype=torch.long)
    seconds = torch.zeros(size, longest)
    mask = torch.zeros(size, longest, dtype=torch.bool)
    for row, phones in enumerate(timed):
        ids[row, : len(phones)] = torch.tensor([PHONEME_IDS[phone] for phone, _, _ in phones])
        seconds[row, : len(phones)] = torch.tensor([end - start for _, start, end in phones])
        mask[row, : len(phones)] = True
    return ids, seconds, mask
