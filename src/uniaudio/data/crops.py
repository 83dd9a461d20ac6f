"""Random crops of recordings for codec training, drawn from a seed and a step alone.

B batch, N samples, T frames
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from uniaudio.data.manifests import Row
from uniaudio.errors import InputError

IGNORED = -100  # label of a frame whose phone is unknown


class Crops:
    """Draws [B, 1, N] crops with a random gain; recordings are decoded once and kept as 16-bit samples.

    Recordings shorter than half a crop are left out; raises InputError when nothing is left.
    """

    def __init__(self, rows: Sequence[Row], num_samples: int, hop_length: int, sample_rate: int) -> None:
        self.rows = [row for row in rows if row.seconds * sample_rate >= 0.5 * num_samples]
        if not self.rows:
            seconds = 0.5 * num_samples / sample_rate
            raise InputError(f"no recording is {seconds:g} s or longer: give longer recordings or lower crop_frames")
        self.num_samples, self.hop_length, self.sample_rate = num_samples, hop_length, sample_rate
        names = {segment[0] for row in self.rows for segment in row.segments or []}
        self.phones = {name: index for index, name in enumerate(sorted(names))}
        self._kept: dict[int, np.ndarray] = {}

    def batch(self, batch_size: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return samples [B, 1, N] in [-1, 1] and phone labels [B, T] (IGNORED where unknown)."""
        random = np.random.default_rng((seed, step))
        samples = np.zeros((batch_size, self.num_samples), np.float32)
        labels = np.full((batch_size, self.num_samples // self.hop_length), IGNORED, np.int64)
        for row in range(batch_size):
            index = int(random.integers(len(self.rows)))
            whole = self._decode(index)
            start = int(random.integers(max(1, len(whole) - self.num_samples)))
            crop = whole[start : start + self.num_samples].astype(np.float32) / 32768
            gain = 10 ** (random.uniform(-9, 6) / 20)
            gain = min(gain, 0.99 / max(1e-4, float(np.abs(crop).max())))
            samples[row, : len(crop)] = crop * gain
            self._label(labels[row], index, start)
        return torch.from_numpy(samples)[:, None], torch.from_numpy(labels)

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
