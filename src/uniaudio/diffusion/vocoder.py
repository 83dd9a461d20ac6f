"""A vocoder: log-mel frames in, waveform out, by ConvNeXt blocks and an inverse STFT (Vocos, 2306.00814).

B batch, N samples, T frames, M mel bands, C channels, F frequency bins
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class VocoderConfig:
    """Sizes; `mel_mean` and `mel_std` bring log-mels to unit scale. Raises ValueError for a window below two hops."""

    sample_rate: int = 16000
    hop_length: int = 160
    num_mels: int = 64
    n_fft: int = 640
    width: int = 320
    blocks: int = 6
    kernel_size: int = 7
    expansion: int = 3
    mel_mean: float = -5.0
    mel_std: float = 2.5

    def __post_init__(self) -> None:
        if self.n_fft < 2 * self.hop_length or (self.n_fft - self.hop_length) % 2:
            raise ValueError(f"n_fft {self.n_fft} must be even like hop_length {self.hop_length} and at least twice it")


class _Block(nn.Module):
    """Depthwise convolution over frames, layer norm, inverted bottleneck, layer scale, residual: [B, T, C]."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        width, size = config.width, config.kernel_size
        self.depthwise = nn.Conv1d(width, width, size, padding=size // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, width * config.expansion)
        self.contract = nn.Linear(width * config.expansion, width)
        self.scale = nn.Parameter(torch.full((width,), 1.0 / config.blocks))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return x + self.scale * self.contract(functional.gelu(self.expand(self.norm(y))))


class Vocoder(nn.Module):
    """log-mel [B, T, M] -> samples [B, T * hop_length], float32."""

    window: Tensor

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        size = config.kernel_size
        self.embed = nn.Conv1d(config.num_mels, config.width, size, padding=size // 2)
        self.norm_in = nn.LayerNorm(config.width)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.blocks))
        self.norm_out = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.n_fft + 2)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.embed(((mel - self.config.mel_mean) / self.config.mel_std).transpose(1, 2))
        x = self.norm_in(x.transpose(1, 2))  # [B, T, C]
        for block in self.blocks:
            x = block(x)
        x = self.head(self.norm_out(x))  # [B, T, 2 * F]
        with torch.autocast(x.device.type, enabled=False):
            return self._synthesise(x.float())

    def _synthesise(self, x: Tensor) -> Tensor:
        """Turn log-magnitude and phase [B, T, 2 * F] into samples; the window of frame t is centred on its hop."""
        log_magnitude, phase = x.chunk(2, dim=2)
        spectrum = torch.polar(torch.exp(log_magnitude.clamp(max=6.0)), phase)
        frames = torch.fft.irfft(spectrum, self.config.n_fft, dim=2) * self.window  # [B, T, n_fft]
        weights = self.window.square().expand(1, x.shape[1], -1)
        margin, length = (self.config.n_fft - self.config.hop_length) // 2, x.shape[1] * self.config.hop_length
        total = self._overlap_add(frames) / self._overlap_add(weights).clamp(min=1e-3)
        return total[:, margin : margin + length]

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """Add frames [B, T, n_fft] up, each a hop after the one before: [B, (T - 1) * hop + n_fft]."""
        hop, n_fft = self.config.hop_length, self.config.n_fft
        total = (frames.shape[1] - 1) * hop + n_fft
        added = functional.fold(frames.transpose(1, 2), (1, total), (1, n_fft), stride=(1, hop))  # [B, 1, 1, N]
        return added[:, 0, 0]
