"""Tokenised examples to training sequences, and batches of phone durations.

B batch, T frames, K codebooks, P phones
"""

from collections.abc import Mapping
from collections.abc import Sequence as ListOf

import numpy as np
import torch
from torch import Tensor

from uniaudio.data.shards import Shards, kinds
from uniaudio.errors import InputError
from uniaudio.sequence.layout import Layout, Sequence
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS, Task
from uniaudio.tokenizers.base import Item
from uniaudio.tokenizers.codec import HIDDEN
from uniaudio.tokenizers.phoneme import PHONEME_IDS, PHONEMES, PhonemeDurationTokenizer, TimedPhone

VOICE_SECONDS = (1.5, 3.0)
MARK_FRAMES = 16  # at least as many as the marks of any task


class SequenceReader:
    """Reads examples as sequences; the store may hold more codebooks than the layout, the first ones are used."""

    def __init__(self, layout: Layout, frame_rate: float) -> None:
        self.layout, self.frame_rate = layout, frame_rate
        self.num_codebooks = layout.vocabulary.num_codebooks
        self.timing = PhonemeDurationTokenizer(frame_rate, self.num_codebooks)

    def __call__(self, shards: Shards, index: int, random: np.random.Generator) -> Sequence:
        """Return the training sequence of example `index`; where it leaves a choice, `random` decides.

        Raises InputError for codes that do not fit the layout's vocabulary.
        """
        task = TASKS[kinds()[shards.kind[index]]]
        tensors = shards.read(index)
        codes = check_codes(shards, tensors["target"], self.layout.vocabulary)
        length = codes.shape[1]
        items = {(name, modality): self._item(tensors, name, modality, length, random) for name, modality in task.items}
        return self.layout.example(task, items, codes)

    def lengths(self, shards: Shards) -> np.ndarray:
        """Return about how many frames the sequence of every example has, [N]."""
        return sequence_lengths(shards, self.frame_rate)

    def _item(
        self, tensors: Mapping[str, Tensor], name: str, modality: str, length: int, random: np.random.Generator
    ) -> Item:
        """Return an item as the engine would read it; what follows time gets the target's `length`."""
        if modality == "codec":
            return Item(ids=_fit(self._source(tensors, name), length))
        if modality == "voice":
            return Item(ids=_crop(self._codes(tensors[f"{name}.voice"]), self.frame_rate, random))
        if modality == "caption":
            return Item(vectors=tensors[f"{name}.caption"].float())
        if modality in ("midi", "semantic"):
            return Item(ids=_fit(tensors[f"{name}.{modality}"].long()[:, None], length))
        if f"{name}.ends" not in tensors:
            return Item(ids=tensors[f"{name}.phoneme"].long()[:, None])
        ids = self.timing.encode(timed(tensors, name)).ids
        assert ids is not None
        return Item(ids=_fit(ids, length, PHONEME_IDS["sil"]), aligned=True)

    def _codes(self, codes: Tensor) -> Tensor:
        """Return ids [T, K] of stored codes [K', T]."""
        return codes[: self.num_codebooks].long().t()

    def _source(self, tensors: Mapping[str, Tensor], name: str) -> Tensor:
        """Return the source's ids [T, K], hidden where the task hides them."""
        ids = self._codes(tensors[f"{name}.codec"]).clone()
        if f"{name}.hidden" in tensors:
            first, last = tensors[f"{name}.hidden"].tolist()
            ids[first:last] = HIDDEN
        return ids


def check_codes(shards: Shards, stored: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Return the first codes [K, T] of stored ones [K', T]; raises InputError where they do not fit a vocabulary."""
    codes = stored[: vocabulary.num_codebooks].long()
    if codes.shape[0] < vocabulary.num_codebooks or int(codes.max()) >= vocabulary.codebook_size:
        found = f"{codes.shape[0]} codebooks with codes to {int(codes.max())}"
        takes = f"{vocabulary.num_codebooks} of {vocabulary.codebook_size}"
        raise InputError(f"{shards.folder} holds {found}, the model takes {takes}")
    return codes


def sequence_lengths(shards: Shards, frame_rate: float) -> np.ndarray:
    """Return about how many frames the sequence of every example has, [N]: all that runs in step, prompt and marks."""
    in_step = {name: _items_in_step(TASKS[name]) if name in TASKS else 0 for name in kinds()}
    factor = np.array([1 + in_step[name] for name in kinds()])[shards.kind]
    return shards.frames * factor + round(VOICE_SECONDS[1] * frame_rate) + MARK_FRAMES


def _items_in_step(task: Task) -> int:
    return sum(modality not in ("voice", "caption") for _, modality in task.items)


def timed(tensors: Mapping[str, Tensor], name: str) -> list[TimedPhone]:
    """Return (phone, start s, end s) of a field's phones, which follow one another without a gap."""
    ends = tensors[f"{name}.ends"].tolist()
    starts = [0.0, *ends][: len(ends)]
    phones = [PHONEMES[index] for index in tensors[f"{name}.phoneme"].tolist()]
    return list(zip(phones, starts, ends, strict=True))


def _fit(ids: Tensor, length: int, fill: int | None = None) -> Tensor:
    """Return ids [T, k] cut to `length`, or lengthened by `fill` (None: the last frame again)."""
    missing = length - len(ids)
    if missing <= 0:
        return ids[:length]
    more = ids[-1:].expand(missing, -1) if fill is None else ids.new_full((missing, ids.shape[1]), fill)
    return torch.cat((ids, more))


def _crop(ids: Tensor, frame_rate: float, random: np.random.Generator) -> Tensor:
    size = min(len(ids), round(random.uniform(*VOICE_SECONDS) * frame_rate))
    start = int(random.integers(len(ids) - size + 1))
    return ids[start : start + size]


def with_durations(sources: ListOf[Shards]) -> list[tuple[int, int]]:
    """Return (source, example) of all that have a text with phone times; raises InputError when there is none."""
    spoken = ("recording", "tts", "instructed_tts")
    usable = [
        (place, int(index))
        for place, shards in enumerate(sources)
        for index in shards.of_kinds(spoken)
        if "text.ends" in shards.read(int(index))
    ]
    if not usable:
        raise InputError(f"{sources[0].folder} has no phone times: tokenize speech whose manifest has them")
    return usable


def duration_batch(
    sources: ListOf[Shards], usable: ListOf[tuple[int, int]], size: int, seed: int, step: int, caption_dim: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return phone ids [B, P], their seconds [B, P], the mask [B, P] and caption means [B, D] of random examples.

    The mean of an example without a caption is zero.
    """
    random = np.random.default_rng((seed, step))
    chosen = [usable[int(random.integers(len(usable)))] for _ in range(size)]
    read = [sources[place].read(index) for place, index in chosen]
    phones = [timed(tensors, "text") for tensors in read]
    longest = max(len(spoken) for spoken in phones)
    ids = torch.zeros(size, longest, dtype=torch.long)
    seconds = torch.zeros(size, longest)
    mask = torch.zeros(size, longest, dtype=torch.bool)
    captions = torch.zeros(size, caption_dim)
    for row, spoken in enumerate(phones):
        ids[row, : len(spoken)] = torch.tensor([PHONEME_IDS[phone] for phone, _, _ in spoken])
        seconds[row, : len(spoken)] = torch.tensor([end - start for _, start, end in spoken])
        mask[row, : len(spoken)] = True
        if caption_dim and "instruction.caption" in read[row]:
            captions[row] = read[row]["instruction.caption"].float().mean(0)
    return ids, seconds, mask, captions
