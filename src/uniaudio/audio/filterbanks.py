"""The two mel front ends of AudioLDM 2: the log-mel that its autoencoder and vocoder share, and Kaldi's filterbank.

B batch, N samples, T frames, M mel bands, F frequency bins
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio.audio.spectral import stft

_LINEAR_HZ, _HZ_PER_MEL = 1000.0, 200.0 / 3  # Slaney's scale: linear below 1 kHz, then 27 steps for a factor of 6.4
_STEP = math.log(6.4) / 27
_KALDI_FLOOR = float(torch.finfo(torch.float32).eps)


def slaney_filterbank(sample_rate: int, n_fft: int, num_mels: int, f_min: float, f_max: float) -> Tensor:
    """Return triangular filters [M, F] of unit area on Slaney's mel scale (librosa's default), f_min to f_max Hz."""
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    low_mel, high_mel = _slaney_mel(f_min), _slaney_mel(f_max)
    mels = torch.linspace(low_mel, high_mel, num_mels + 2, dtype=torch.float64)
    top = _LINEAR_HZ / _HZ_PER_MEL
    edges = torch.where(mels < top, mels * _HZ_PER_MEL, _LINEAR_HZ * torch.exp(_STEP * (mels - top)))
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    filters = torch.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)).clamp(min=0)
    return (filters * 2 / (high - low)).float()


def _slaney_mel(hz: float) -> float:
    if hz < _LINEAR_HZ:
        return hz / _HZ_PER_MEL
    return _LINEAR_HZ / _HZ_PER_MEL + math.log(hz / _LINEAR_HZ) / _STEP


class TacotronMel(nn.Module):
    """Samples [B, N] in [-1, 1] -> log-mel [B, T, M] with T = ceil(N / hop_length), as AudioLDM's "TacotronSTFT".

    Magnitudes through Slaney's filters, natural logarithm, floor 1e-5; a frame is centred on the start of its hop.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        sample_rate: int = 16000,
        n_fft: int = 1024,
        hop_length: int = 160,
        num_mels: int = 64,
        f_min: float = 0.0,
        f_max: float = 8000.0,
        floor: float = 1e-5,
    ) -> None:
        super().__init__()
        self.n_fft, self.hop_length, self.floor = n_fft, hop_length, floor
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        filters = slaney_filterbank(sample_rate, n_fft, num_mels, f_min, f_max)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        count = -(-samples.shape[-1] // self.hop_length)
        short = max(self.n_fft // 2 + 1, count * self.hop_length) - samples.shape[-1]  # reflection needs that much
        padded = functional.pad(samples, (0, max(0, short)))
        magnitude = stft(padded, self.n_fft, self.hop_length, self.window).abs()[:, :, :count]  # [B, F, T]
        with torch.autocast(samples.device.type, enabled=False):
            return torch.log(torch.matmul(self.filters, magnitude).clamp(min=self.floor)).transpose(1, 2)


class KaldiFbank(nn.Module):
    """Samples [B, N] at 16 kHz -> log filterbank energies [B, T, M], as `torchaudio.compliance.kaldi.fbank` gives them.

    Its options: htk_compat, no energy, Hann window, no dither, frames of 25 ms every 10 ms that lie within the
    recording (T = 1 + (N - 400) // 160), DC removed and pre-emphasis .97 in each frame, power spectrum of 512 samples,
    HTK mel scale from 20 Hz to 8 kHz. Kaldi's samples are 16-bit integers; AudioMAE's are in [-1, 1], mean subtracted.
    """

    window: Tensor
    filters: Tensor
    length, hop_length, n_fft = 400, 160, 512

    def __init__(self, num_mels: int = 128, sample_rate: int = 16000) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(self.length, periodic=False), persistent=False)
        self.register_buffer("filters", _kaldi_filters(num_mels, self.n_fft, sample_rate), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        with torch.autocast(samples.device.type, enabled=False):
            samples = samples.float() - samples.float().mean(-1, keepdim=True)
            frames = samples.unfold(-1, self.length, self.hop_length)  # [B, T, length]
            frames = frames - frames.mean(-1, keepdim=True)
            before = torch.cat((frames[..., :1], frames[..., :-1]), -1)  # Kaldi repeats the first sample
            frames = (frames - 0.97 * before) * self.window
            power = torch.fft.rfft(frames, self.n_fft).abs().square()[..., : self.n_fft // 2]  # [B, T, F]
            return torch.log((power @ self.filters.T).clamp(min=_KALDI_FLOOR))


def _kaldi_filters(num_mels: int, n_fft: int, sample_rate: int) -> Tensor:
    """Return triangles [M, F] that are straight on the mel scale (not in Hz), without the bin at half the rate."""

    def mel(hz: Tensor) -> Tensor:
        return 1127.0 * torch.log(1.0 + hz / 700.0)

    bins = mel(torch.arange(n_fft // 2, dtype=torch.float64) * sample_rate / n_fft)
    low, high = mel(torch.tensor([20.0, sample_rate / 2], dtype=torch.float64)).tolist()
    edges = torch.linspace(low, high, num_mels + 2, dtype=torch.float64)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0).float()
