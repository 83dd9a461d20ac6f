"""Tokenised recordings in one file: codes and timed phones of every utterance of a split.

T frames, K codebooks, P phones
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uniaudio import checkpoint
from uniaudio.codec.model import Codec
from uniaudio.data.alignment import transfer_times
from uniaudio.data.manifests import Row
from uniaudio.errors import InputError
from uniaudio.tokenizers.codec import encode_samples
from uniaudio.tokenizers.phoneme import PHONEME_IDS, PHONEMES, TimedPhone, phonemes


@dataclass
class TokenStore:
    """Utterances of one split: `rows[i]` has codes [K, T] at `codes(i)` and phones with times at `timed(i)`."""

    rows: list[dict[str, Any]]
    tensors: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.rows)

    def codes(self, index: int) -> Tensor:
        """Return the codes [K, T] int64 of utterance `index`."""
        first, last = self.tensors["code_offsets"][index : index + 2].tolist()
        return self.tensors["codes"][:, first:last].long()

    def num_frames(self) -> np.ndarray:
        """Return the number of code frames of every utterance."""
        return np.diff(self.tensors["code_offsets"].numpy())

    def has_phones(self, index: int) -> bool:
        """Are the phones of utterance `index` known?"""
        first, last = self.tensors["phone_offsets"][index : index + 2].tolist()
        return last > first

    def timed(self, index: int) -> list[TimedPhone]:
        """Return (phone, start s, end s) of utterance `index`; empty when its phones are unknown."""
        first, last = self.tensors["phone_offsets"][index : index + 2].tolist()
        ids = self.tensors["phone_ids"][first:last].tolist()
        ends = self.tensors["phone_ends"][first:last].tolist()
        starts = [0.0, *ends][: len(ends)]
        return [(PHONEMES[i], start, end) for i, start, end in zip(ids, starts, ends, strict=True)]

    def save(self, folder: Path, codec_hash: str) -> None:
        """Write the store as a checkpoint-like folder; `codec_hash` says which codec made the codes."""
        config = {"codec": codec_hash, "utterances": len(self.rows)}
        checkpoint.save(folder, self.tensors, config, extra={"rows.json": json.dumps(self.rows)})

    @classmethod
    def load(cls, folder: Path, codec_hash: str | None = None) -> "TokenStore":
        """Read a store; raises InputError if it is damaged or was made by another codec than `codec_hash`."""
        loaded = checkpoint.load(folder)
        if codec_hash is not None and loaded.config.get("codec") != codec_hash:
            raise InputError(f"{folder} was tokenised by another codec; tokenise the corpus into another folder")
        rows = json.loads((loaded.folder / "rows.json").read_text(encoding="utf-8"))
        return cls(rows, loaded.tensors)


def _timed(row: Row) -> list[TimedPhone]:
    """Return the phones of a recording with their times; none when it has no segments."""
    if not row.segments:
        return []
    try:
        return transfer_times(phonemes(row.text), row.segments)
    except InputError as error:
        raise InputError(f"utterance {row.id!r} of the corpus: {error}") from error


def tokenize(rows: Sequence[Row], codec: Codec) -> TokenStore:
    """Encode every recording and time its phones; shows progress.

    Raises InputError, naming the utterance, for one that has segments and a text that cannot be spoken.
    """
    from tqdm import tqdm

    from uniaudio.audio.io import read_audio

    codes: list[Tensor] = []
    phone_ids: list[int] = []
    phone_ends: list[float] = []
    offsets = [0]
    kept: list[dict[str, Any]] = []
    for row in tqdm(rows, desc="tokenize", unit="utt"):
        audio = read_audio(row.audio, sample_rate=codec.config.sample_rate, mono=True)
        item = encode_samples(codec, torch.from_numpy(audio.samples[0]))
        assert item.ids is not None
        codes.append(item.ids.t().to(torch.int16))
        for phone, _, end in _timed(row):
            phone_ids.append(PHONEME_IDS[phone])
            phone_ends.append(end)
        offsets.append(len(phone_ids))
        kept.append({"id": row.id, "speaker": row.speaker, "text": row.text, "seconds": row.seconds})
    frames = [0, *np.cumsum([c.shape[1] for c in codes]).tolist()]
    tensors = {
        "codes": torch.cat(codes, dim=1),
        "code_offsets": torch.tensor(frames),
        "phone_ids": torch.tensor(phone_ids, dtype=torch.uint8),
        "phone_ends": torch.tensor(phone_ends, dtype=torch.float32),
        "phone_offsets": torch.tensor(offsets),
    }
    return TokenStore(kept, tensors)
