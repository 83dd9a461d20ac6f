"""Features of what is played, for semantic tokens of music: pitch classes, register, loudness, and what begins.

A formula, not a network: B batch, N samples, T frames, S semitones
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from uniaudio.audio.spectral import stft

_LOWEST, _HIGHEST = 33, 100  # MIDI notes, A1 to E7
_FLOOR = 1e-3


class PitchFeatures:
    """Twelve pitch classes, the mean pitch, the level and the rise of the semitones' energies: [B, T, 15].

    Pitch classes are logarithms of energies in semitone bands, less their mean over the classes: a louder chord is the
    same chord.
    """

    sample_rate = 16000
    frame_rate = 25.0

    def __init__(self, n_fft: int = 4096) -> None:
        self.n_fft = n_fft
        self.hop_length = round(self.sample_rate / self.frame_rate)
        self._window = torch.hann_window(n_fft)
        hz = torch.arange(n_fft // 2 + 1) * self.sample_rate / n_fft
        note = 69 + 12 * torch.log2(hz.clamp(min=1) / 440)
        bands = torch.arange(_LOWEST, _HIGHEST + 1)
        filters = (1 - (note - bands[:, None]).abs()).clamp(min=0)  # triangles from one semitone to the next
        self._filters = filters / filters.sum(1, keepdim=True).clamp(min=1e-6)  # [S, F]
        self._classes = functional.one_hot(bands % 12, 12).float()  # [S, 12]
        self._heights = (bands - bands.float().mean()) / 12

    def settings(self) -> dict[str, Any]:
        return {"kind": "pitch", "n_fft": self.n_fft}

    def tensors(self) -> dict[str, Tensor]:
        return {}

    @torch.no_grad()
    def features(self, samples: Tensor) -> Tensor:
        left = (self.n_fft - self.hop_length) // 2
        completing = -samples.shape[-1] % self.hop_length
        padded = functional.pad(samples.cpu(), (left, self.n_fft - self.hop_length - left + completing))
        power = stft(padded, self.n_fft, self.hop_length, self._window, center=False).abs().square()
        bands = (self._filters @ power).transpose(1, 2)  # [B, T, S]
        loud = torch.log(bands.sum(-1, keepdim=True) + _FLOOR)  # [B, T, 1]
        classes = torch.log(bands @ self._classes + _FLOOR)  # [B, T, 12]
        classes = classes - classes.mean(-1, keepdim=True)
        height = (bands @ self._heights)[..., None] / (bands.sum(-1, keepdim=True) + _FLOOR)
        logs = torch.log(bands + _FLOOR)
        rise = functional.pad(logs.diff(dim=1), (0, 0, 1, 0)).clamp(min=0).mean(-1, keepdim=True)
        return torch.cat((classes, height, loud, rise), dim=-1)
