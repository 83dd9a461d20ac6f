"""Latents, language of audio, captions and phones of recordings, computed once: what a step of latent diffusion reads.

B batch, n windows, C channels, T frames and F bins of a latent, P patches, D width, R rows of captions, S phone frames
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uniaudio.data.manifests import Row
from uniaudio.data.phone_frames import frames_between
from uniaudio.errors import InputError
from uniaudio.tokenizers.phoneme import PHONEME_IDS, TimedPhone

INDEX = "index.json"
PHONE_RATE = 50.0  # phone frames per second
KINDS = ("sound", "music", "speech")
_LEAST_SECONDS = 0.5  # what is left of a recording at its end becomes a window of its own from this length


@dataclass(frozen=True, kw_only=True)
class LatentBatch:
    """What is known of B windows: `latent` [B, C, T, F], `features` [B, P, D], `caption` [B, N, 384] and its mask,
    `voice` [B, D] and whether it counts [B], `phones` [B, S] (0: none)."""

    latent: Tensor
    features: Tensor
    caption: Tensor
    caption_mask: Tensor
    voice: Tensor
    voiced: Tensor
    phones: Tensor


def window_starts(num_samples: int, window: int, sample_rate: int = 16000) -> list[int]:
    """Return where the windows of a recording begin: one after the other, the last one at its end."""
    starts = list(range(0, max(1, num_samples - int(_LEAST_SECONDS * sample_rate)), window))
    if len(starts) > 1:
        starts[-1] = num_samples - window
    return starts


def window_phones(timed: Sequence[TimedPhone], start: float, num_frames: int) -> np.ndarray:
    """Return the phone at the centre of each frame, uint8 [S], one above its id; 0 where there is none."""
    found = np.zeros(num_frames, np.uint8)
    for phone, begin, end in timed:
        if end > start:
            first, last = frames_between(begin - start, end - start, PHONE_RATE)
            found[first : min(last, num_frames)] = PHONEME_IDS[phone] + 1
    return found


class LatentSet:
    """The arrays of a folder that `LatentWriter` wrote, read from the disk as they are needed.

    Raises InputError for a folder that is none.
    """

    def __init__(self, folder: Path) -> None:
        try:
            about = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in about["arrays"]}
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{folder} holds no latents ({error}): make them with recipes.audioldm2_data") from error
        self.folder, self.digest = folder, str(about["digest"])
        self.latent, self.features, self.phones = arrays["latent"], arrays["features"], arrays["phones"]
        self.words, self.captions = arrays["words"], arrays["captions"]  # [R, D], and [captions, 2]: rows from, to
        self.owners, self.caption_spans, self.speakers = arrays["owners"], arrays["caption_spans"], arrays["speakers"]
        kinds = np.array(arrays["kinds"])[self.owners]
        self.groups = {kind: np.flatnonzero(kinds == index) for index, kind in enumerate(KINDS)}
        speakers = np.array(self.speakers)[self.owners]
        self._by_speaker = {int(one): np.flatnonzero(speakers == one) for one in np.unique(speakers) if one >= 0}

    def batch(
        self, shares: dict[str, float], batch_size: int, seed: int, step: int, one_kind: bool = False
    ) -> LatentBatch:
        """Return a batch whose rows are of each kind with the probability of its share, the same for a seed and step.

        With `one_kind` all rows are of the kind that was drawn for the first.
        Raises InputError when there is no window of any kind with a share.
        """
        random = np.random.default_rng((seed, step))
        names = [name for name in KINDS if shares.get(name, 0.0) > 0 and len(self.groups[name])]
        if not names:
            raise InputError(f"{self.folder} has no window of {', '.join(shares)}: choose other shares")
        weights = np.array([shares[name] for name in names])
        kinds = random.choice(len(names), batch_size, p=weights / weights.sum())
        if one_kind:
            kinds[:] = kinds[0]
        rows = [int(random.choice(self.groups[names[kind]])) for kind in kinds]
        words, mask = self._captions([self._caption(row, random) for row in rows])
        voices = [self._voice(row, random) for row in rows]
        return LatentBatch(
            latent=_stack(self.latent, rows),
            features=_stack(self.features, rows),
            caption=words,
            caption_mask=mask,
            voice=torch.stack([one for one, _ in voices]),
            voiced=torch.tensor([known for _, known in voices]),
            phones=torch.from_numpy(np.stack([self.phones[row] for row in rows])).long(),
        )

    def _caption(self, row: int, random: np.random.Generator) -> np.ndarray:
        """Return the vectors [N, D] of one of the captions of a window's recording; N is 0 where it has none."""
        first, last = self.caption_spans[self.owners[row]]
        begin, end = self.captions[random.integers(first, last)] if last > first else (0, 0)
        return np.asarray(self.words[begin:end], np.float32)

    def _captions(self, found: list[np.ndarray]) -> tuple[Tensor, Tensor]:
        length = max(1, *(len(one) for one in found))
        values = np.stack([np.pad(one, ((0, length - len(one)), (0, 0))) for one in found])
        mask = np.arange(length)[None] < np.array([len(one) for one in found])[:, None]
        return torch.from_numpy(values), torch.from_numpy(mask)

    def _voice(self, row: int, random: np.random.Generator) -> tuple[Tensor, bool]:
        """Return the mean feature [D] of another window of the speaker, and whether there is a speaker."""
        speaker = int(self.speakers[self.owners[row]])
        if speaker < 0:
            return torch.zeros(self.features.shape[2]), False
        group = self._by_speaker[speaker]
        others = group[self.owners[group] != self.owners[row]]
        other = int(random.choice(others)) if len(others) else row
        return torch.from_numpy(self.features[other].astype(np.float32).mean(0)), True


def _stack(array: np.ndarray, rows: Sequence[int]) -> Tensor:
    return torch.from_numpy(np.stack([array[row] for row in rows]).astype(np.float32))


class LatentWriter:
    """Writes the arrays of a folder, `num_windows` windows of some `recordings` in their order; `close` makes it whole.

    `latent_shape` is (C, T, F), `feature_shape` (P, D).
    """

    def __init__(
        self, folder: Path, num_windows: int, latent_shape: tuple[int, ...], feature_shape: tuple[int, ...], frames: int
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.count = folder, 0
        shapes = {"latent": latent_shape, "features": feature_shape}
        self.large = {
            name: np.lib.format.open_memmap(
                folder / f"{name}.npy", mode="w+", dtype=np.float16, shape=(num_windows, *shape)
            )
            for name, shape in shapes.items()
        }
        self.phones = np.zeros((num_windows, frames), np.uint8)
        self.owners = np.zeros(num_windows, np.int32)
        self.words: list[np.ndarray] = []
        self.captions: list[tuple[int, int]] = []
        self.recordings: list[tuple[int, int, int, int]] = []  # kind, speaker, captions from, to
        self._speakers: dict[str, int] = {}

    def recording(self, row: Row, kind: str, captions: Sequence[Tensor]) -> int:
        """Take in a recording with the vectors [N, D] of its captions; return its number."""
        first = len(self.captions)
        for vectors in captions:
            begin = self.captions[-1][1] if self.captions else 0
            self.captions.append((begin, begin + len(vectors)))
            self.words.append(vectors.numpy().astype(np.float16))
        speaker = self._speakers.setdefault(row.speaker, len(self._speakers)) if row.speaker else -1
        self.recordings.append((KINDS.index(kind), speaker, first, len(self.captions)))
        return len(self.recordings) - 1

    def windows(self, latents: Tensor, features: Tensor, phones: Sequence[np.ndarray], owners: Sequence[int]) -> None:
        """Write the next windows: latents [B, C, T, F] and features [B, P, D]."""
        rows = slice(self.count, self.count + len(latents))
        self.large["latent"][rows] = latents.float().numpy()
        self.large["features"][rows] = features.float().numpy()
        self.phones[rows], self.owners[rows] = np.stack(phones), np.array(owners)
        self.count += len(latents)

    def close(self, about: dict[str, Any]) -> None:
        """Write what is small, and the index last; `about` must have a "digest" of what made the arrays."""
        assert self.count == len(self.owners)
        for array in self.large.values():
            array.flush()
        facts = np.array(self.recordings, np.int32).reshape(-1, 4)
        small = {
            "phones": self.phones,
            "owners": self.owners,
            "words": np.concatenate(self.words) if self.words else np.zeros((0, 1), np.float16),
            "captions": np.array(self.captions, np.int32).reshape(-1, 2),
            "kinds": facts[:, 0],
            "speakers": facts[:, 1],
            "caption_spans": facts[:, 2:],
        }
        for name, value in small.items():
            np.save(self.folder / f"{name}.npy", value)
        index = {"arrays": [*self.large, *small], **about}
        (self.folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
