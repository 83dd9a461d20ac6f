"""ConvNeXt encoder and inverse-STFT decoder: log-mel frames in, waveform out, nothing computed at the sample rate.

B batch, N samples, T frames, C channels, D width of a code vector, F frequency bins
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio.audio.spectral import LogMel


@dataclass(frozen=True, kw_only=True)
class ConvNextConfig:
    """Sizes of the codec: `hop_length` is that of the inner frames, `stride` inner frames make a code frame.

    With `fine_blocks` the decoder ends in a narrower stage of `fine_stride` times as many frames: phases of high
    harmonics change too fast for the inner frames, so a short window every few milliseconds draws them sharper.
    """

    sample_rate: int = 16000
    hop_length: int = 320
    stride: int = 2
    num_mels: int = 100
    mel_n_fft: int = 1024
    synthesis_n_fft: int = 1280
    dim: int = 96
    encoder_width: int = 320
    encoder_blocks: int = 3
    encoder_code_blocks: int = 3
    decoder_width: int = 448
    decoder_code_blocks: int = 2
    decoder_blocks: int = 5
    fine_stride: int = 1
    fine_width: int = 320
    fine_blocks: int = 0
    kernel_size: int = 7
    expansion: int = 3

    @property
    def synthesis_hop_length(self) -> int:
        """Samples between the frames of the inverse STFT."""
        return self.hop_length // (self.fine_stride if self.fine_blocks else 1)


class ConvNextBlock(nn.Module):
    """Depthwise convolution, layer norm, inverted bottleneck, layer scale, residual (2201.03545, as Vocos uses it)."""

    def __init__(self, width: int, kernel_size: int, expansion: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel_size, padding=kernel_size // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, width * expansion)
        self.contract = nn.Linear(width * expansion, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        y = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        y = self.contract(functional.gelu(self.expand(self.norm(y)), approximate="tanh"))
        return x + self.scale * y


def _blocks(count: int, width: int, config: ConvNextConfig) -> nn.Sequential:
    scale = 1.0 / max(1, config.encoder_blocks + config.encoder_code_blocks)
    return nn.Sequential(*(ConvNextBlock(width, config.kernel_size, config.expansion, scale) for _ in range(count)))


class ConvNextEncoder(nn.Module):
    """samples [B, 1, N] -> [B, D, T], T = N / (hop_length * stride), which must be a whole number."""

    def __init__(self, config: ConvNextConfig) -> None:
        super().__init__()
        self.config = config
        self.log_mel = LogMel(config.sample_rate, config.mel_n_fft, config.hop_length, config.num_mels)
        width = config.encoder_width
        self.embed = nn.Conv1d(config.num_mels, width, config.kernel_size, padding=config.kernel_size // 2)
        self.norm_in = nn.LayerNorm(width)
        self.blocks = _blocks(config.encoder_blocks, width, config)
        self.down = nn.Linear(width * config.stride, width)
        self.code_blocks = _blocks(config.encoder_code_blocks, width, config)
        self.norm_out = nn.LayerNorm(width)
        self.project = nn.Linear(width, config.dim)

    def forward(self, samples: Tensor) -> Tensor:
        mel = self.log_mel(samples[:, 0])  # [B, M, T * stride]
        x = self.norm_in(self.embed(mel * 0.3 + 1.0).transpose(1, 2))  # log-mel of speech to about [-1, 1]
        x = self.blocks(x)  # [B, T * stride, C]
        x = self.down(x.reshape(x.shape[0], -1, x.shape[2] * self.config.stride))  # [B, T, C]
        x = self.norm_out(self.code_blocks(x))
        return self.project(x).transpose(1, 2)


class ConvNextDecoder(nn.Module):
    """[B, D, T] -> samples [B, 1, T * hop_length * stride] by an inverse STFT of predicted magnitude and phase."""

    window: Tensor

    def __init__(self, config: ConvNextConfig) -> None:
        super().__init__()
        self.config = config
        width = config.decoder_width
        self.embed = nn.Conv1d(config.dim, width, config.kernel_size, padding=config.kernel_size // 2)
        self.norm_in = nn.LayerNorm(width)
        self.code_blocks = _blocks(config.decoder_code_blocks, width, config)
        self.up = nn.Linear(width, width * config.stride)
        self.blocks = _blocks(config.decoder_blocks, width, config)
        if config.fine_blocks:
            self.up_fine = nn.Linear(width, config.fine_width * config.fine_stride)
            width = config.fine_width
            self.fine_blocks = _blocks(config.fine_blocks, width, config)
        self.norm_out = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.synthesis_n_fft + 2)
        self.register_buffer("window", torch.hann_window(config.synthesis_n_fft), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_in(self.embed(x).transpose(1, 2))
        x = self.up(self.code_blocks(x))
        x = self.blocks(x.reshape(x.shape[0], -1, self.config.decoder_width))  # [B, T * stride, C]
        if self.config.fine_blocks:
            x = self.up_fine(x).reshape(x.shape[0], -1, self.config.fine_width)  # [B, T * stride * fine_stride, C]
            x = self.fine_blocks(x)
        return self._synthesise(self.head(self.norm_out(x)))

    def _synthesise(self, x: Tensor) -> Tensor:
        """Turn log-magnitude and phase [B, T, 2 * F] into samples [B, 1, T * hop], float32; frame t covers hop t."""
        with torch.autocast(x.device.type, enabled=False):
            log_magnitude, phase = x.float().transpose(1, 2).chunk(2, dim=1)  # [B, F, T] each
            spectrum = torch.polar(torch.exp(log_magnitude.clamp(max=6.0)), phase)
            n_fft, hop = self.config.synthesis_n_fft, self.config.synthesis_hop_length
            frames = torch.fft.irfft(spectrum, n_fft, dim=1) * self.window[:, None]  # [B, n_fft, T]
            length = (frames.shape[2] - 1) * hop + n_fft
            samples = functional.fold(frames, (1, length), (1, n_fft), stride=(1, hop))[:, :, 0]  # overlap and add
            envelope = self.window.pow(2)[None, :, None].expand(1, -1, frames.shape[2])
            weight = functional.fold(envelope, (1, length), (1, n_fft), stride=(1, hop))[:, :, 0]
            margin = (n_fft - hop) // 2
            kept = slice(margin, margin + frames.shape[2] * hop)
            return samples[:, :, kept] / weight[:, :, kept].clamp(min=1e-3)
