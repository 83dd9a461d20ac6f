"""Short-time Fourier transform and mel spectrograms in torch.

B batch, N samples, F frequency bins, M mel bands, T frames
"""

import torch
from torch import Tensor, nn


def stft(samples: Tensor, n_fft: int, hop_length: int, window: Tensor, center: bool = True) -> Tensor:
    """Return the complex spectrum [B, F, T] of samples [B, N]; float32 whatever the autocast, reflect padding."""
    with torch.autocast(samples.device.type, enabled=False):
        return torch.stft(
            samples.float(),
            n_fft,
            hop_length,
            win_length=window.numel(),
            window=window.float(),
            center=center,
            pad_mode="reflect",
            return_complex=True,
        )


def hz_to_mel(hz: Tensor) -> Tensor:
    """Convert frequency in Hz to mel (O'Shaughnessy's formula, as HTK uses it)."""
    return 2595.0 * torch.log10(1.0 + hz / 700.0)


def mel_to_hz(mel: Tensor) -> Tensor:
    """Convert mel to Hz, the inverse of `hz_to_mel`."""
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def mel_filterbank(
    sample_rate: int, n_fft: int, num_mels: int, f_min: float = 0.0, f_max: float | None = None
) -> Tensor:
    """Return triangular mel filters [M, F] of peak 1, evenly spaced on the mel scale between f_min and f_max Hz."""
    f_max = sample_rate / 2 if f_max is None else f_max
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    low_mel, high_mel = hz_to_mel(torch.tensor([f_min, f_max], dtype=torch.float64)).tolist()
    edges = mel_to_hz(torch.linspace(low_mel, high_mel, num_mels + 2, dtype=torch.float64))
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    return torch.minimum(rising, falling).clamp(min=0).float()


class LogMel(nn.Module):
    """Log-mel spectrogram: samples [B, N] -> [B, M, T] with T = ceil(N / hop_length); natural log of the magnitude.

    A frame's window is centred on its hop; with `causal` it ends with it. `left` and `right` are the zeros that a
    recording of whole hops gets at its ends.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        num_mels: int,
        floor: float = 1e-4,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.n_fft, self.hop_length, self.floor = n_fft, hop_length, floor
        self.left = n_fft - hop_length if causal else (n_fft - hop_length) // 2
        self.right = n_fft - hop_length - self.left
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filters", mel_filterbank(sample_rate, n_fft, num_mels), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        completing = -samples.shape[-1] % self.hop_length
        return self.unpadded(nn.functional.pad(samples, (self.left, self.right + completing)))

    def unpadded(self, samples: Tensor) -> Tensor:
        """Return one frame for every whole window in samples [B, (T - 1) * hop_length + n_fft]: [B, M, T], T >= 1."""
        magnitude = stft(samples, self.n_fft, self.hop_length, self.window, center=False).abs()
        with torch.autocast(samples.device.type, enabled=False):
            return torch.log(torch.matmul(self.filters, magnitude).clamp(min=self.floor))
