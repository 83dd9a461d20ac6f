"""Random crops of recordings for codec training, augmented, drawn from a seed and a step alone.

B batch, N samples, T frames
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from uniaudio.audio.corrupt import bandlimit
from uniaudio.data.manifests import Row
from uniaudio.errors import InputError

IGNORED = -100  # label of a frame whose phone is unknown


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """How crops are varied: a gain in dB (never clipping), and the shares of crops that another one is mixed into
    (-10 to 10 dB) or that lose what lies above a random frequency (1 to 7 kHz).

    With `alpha` below 1, small corpora are drawn more often than their size says: shares ~ size^alpha.
    """

    gain_db: tuple[float, float] = (-9.0, 6.0)
    mix_share: float = 0.0
    band_share: float = 0.0
    alpha: float = 1.0


class Crops:
    """Draws [B, 1, N] crops of one or more corpora; recordings are decoded once and kept as 16-bit samples.

    Recordings shorter than half a crop are left out; raises InputError when nothing is left.
    """

    def __init__(
        self,
        corpora: Sequence[Sequence[Row]],
        num_samples: int,
        hop_length: int,
        sample_rate: int,
        config: CropConfig | None = None,
    ) -> None:
        usable = [[row for row in rows if row.seconds * sample_rate >= 0.5 * num_samples] for rows in corpora]
        sizes = np.array([len(rows) for rows in usable if rows], np.float64)
        self.rows = [row for rows in usable for row in rows]
        if not self.rows:
            seconds = 0.5 * num_samples / sample_rate
            raise InputError(f"no recording is {seconds:g} s or longer: give longer recordings or lower crop_frames")
        self.config = config or CropConfig()
        weights = sizes**self.config.alpha
        self._edges = np.concatenate(([0], np.cumsum(sizes))).astype(int)  # [corpora + 1]
        self._bounds = np.cumsum(weights / weights.sum())  # of a uniform number, by corpus
        self.num_samples, self.hop_length, self.sample_rate = num_samples, hop_length, sample_rate
        names = {segment[0] for row in self.rows for segment in row.segments or []}
        self.phones = {name: index for index, name in enumerate(sorted(names))}
        self._kept: dict[int, np.ndarray] = {}

    def batch(self, batch_size: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return samples [B, 1, N] in [-1, 1] and phone labels [B, T] (IGNORED where unknown or mixed)."""
        random = np.random.default_rng((seed, step))
        samples = np.zeros((batch_size, self.num_samples), np.float32)
        labels = np.full((batch_size, self.num_samples // self.hop_length), IGNORED, np.int64)
        for row in range(batch_size):
            index, start, crop = self._crop(random)
            self._label(labels[row], index, start)
            if self.config.mix_share and random.random() < self.config.mix_share:
                crop = self._mixed(crop, random)
                labels[row] = IGNORED
            if self.config.band_share and random.random() < self.config.band_share:
                crop = bandlimit(crop, self.sample_rate, random.uniform(1000, 7000))
            gain = 10 ** (random.uniform(*self.config.gain_db) / 20)
            samples[row] = crop * min(gain, 0.99 / max(1e-4, float(np.abs(crop).max())))
        return torch.from_numpy(samples)[:, None], torch.from_numpy(labels)

    def _crop(self, random: np.random.Generator) -> tuple[int, int, np.ndarray]:
        """Return the number of a recording, the first sample of a crop of it, and the crop [N]."""
        if len(self._bounds) == 1:
            index = int(random.integers(len(self.rows)))
        else:
            corpus = min(int(np.searchsorted(self._bounds, random.random(), side="right")), len(self._bounds) - 1)
            index = int(random.integers(self._edges[corpus], self._edges[corpus + 1]))
        whole = self._decode(index)
        start = int(random.integers(max(1, len(whole) - self.num_samples)))
        crop = whole[start : start + self.num_samples].astype(np.float32) / 32768
        return index, start, np.pad(crop, (0, self.num_samples - len(crop)))

    def _mixed(self, crop: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return a crop with another one under or over it."""
        other = self._crop(random)[2]
        ratio = 10 ** (random.uniform(-10, 10) / 20) * _rms(crop) / max(1e-4, _rms(other))
        return crop + other * ratio

    def _label(self, labels: np.ndarray, index: int, start: int) -> None:
        for phone, begin, end in self.rows[index].segments or []:
            first = (begin * self.sample_rate - start) / self.hop_length - 0.5  # a frame's label is that at its centre
            last = (end * self.sample_rate - start) / self.hop_length - 0.5
            labels[max(0, int(np.ceil(first))) : max(0, int(np.ceil(last)))] = self.phones[phone]

    def _decode(self, index: int) -> np.ndarray:
        if index not in self._kept:
            from uniaudio.audio.io import read_audio

            audio = read_audio(self.rows[index].audio, sample_rate=self.sample_rate, mono=True)
            self._kept[index] = (audio.samples[0] * 32767).astype(np.int16)
        return self._kept[index]


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))
