"""Are the phones of what was made a language's? A trigram of phones, learnt from held-out speech, judges them.

Phones are heard through semantic tokens: each token stands for the phone that it most often is in aligned speech. So
recordings, what was made and random orders are all heard alike. T frames
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby

import torch

from uniaudio.audio.io import Audio, read_audio
from uniaudio.data.manifests import Row
from uniaudio.data.phone_frames import UNKNOWN, frame_phones
from uniaudio.errors import InputError
from uniaudio.tokenizers.semantic import SemanticTokenizer

Phones = list[int]  # runs are one phone
_START = -1
_ORDER = 3


class PhoneGram:
    """A trigram with Witten and Bell's smoothing: what was never seen gets its share from the bigram, and so on."""

    def __init__(self, lines: Iterable[Phones]) -> None:
        self._next: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for line in lines:
            padded = [_START] * (_ORDER - 1) + line
            for at in range(_ORDER - 1, len(padded)):
                for order in range(_ORDER):
                    self._next[tuple(padded[at - order : at])][padded[at]] += 1
        self._size = len(self._next[()]) + 1  # and one for phones that were never heard
        if self._size < 3:
            raise InputError("there is too little held-out speech for a trigram of phones: give a corpus with more")

    def probability(self, phone: int, before: tuple[int, ...]) -> float:
        """Return the probability of a phone after up to two others."""
        lower = self.probability(phone, before[1:]) if before else 1 / self._size
        seen = self._next.get(before)
        if not seen:
            return lower
        kinds, total = len(seen), sum(seen.values())
        return (seen[phone] + kinds * lower) / (total + kinds)

    def bits(self, lines: Sequence[Phones]) -> float:
        """Return the mean bits a phone of some lines; raises ValueError for no phone."""
        total, count = 0.0, 0
        for line in lines:
            padded = [_START] * (_ORDER - 1) + line
            for at in range(_ORDER - 1, len(padded)):
                total -= math.log2(self.probability(padded[at], tuple(padded[at - _ORDER + 1 : at])))
            count += len(line)
        if not count:
            raise ValueError("there is no phone to judge")
        return total / count


class PhoneJudge:
    """Hears phones in recordings and says how likely a held-out trigram finds them.

    Raises InputError for rows without phone times.
    """

    def __init__(self, tokenizer: SemanticTokenizer, rows: Sequence[Row]) -> None:
        self.tokenizer, names = tokenizer, dict[str, int]()
        ids = [self._ids(read_audio(row.audio, mono=True)) for row in rows]
        joint = torch.zeros(tokenizer.num_ids, 512)
        for own, row in zip(ids, rows, strict=True):
            labels = frame_phones(row.segments or [], len(own), tokenizer.frame_rate, names)
            known = labels != UNKNOWN
            ones = torch.ones(int(known.sum()))
            joint.index_put_((own[known], labels[known]), ones, accumulate=True)
        if not names:
            raise InputError("no held-out recording has phone times: align the corpus first (uniaudio data align)")
        self._phone_of = joint.argmax(1)
        self._gram = PhoneGram(self._phones(own) for own in ids)

    def heard(self, audio: Audio) -> Phones:
        """Return the phones of a recording, runs as one."""
        return self._phones(self._ids(audio))

    def bits(self, recordings: Iterable[Audio]) -> tuple[float, float]:
        """Return the bits a phone of recordings, and of the same phones of each in random order."""
        lines, chooser = [self.heard(audio) for audio in recordings], random.Random(0)
        return self._gram.bits(lines), self._gram.bits([chooser.sample(line, len(line)) for line in lines])

    def _ids(self, audio: Audio) -> torch.Tensor:
        ids = self.tokenizer.encode(audio).ids
        assert ids is not None
        return ids[:, 0]

    def _phones(self, ids: torch.Tensor) -> Phones:
        return [phone for phone, _ in groupby(self._phone_of[ids].tolist())]
