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

    With `short_mels` the encoder also sees a spectrogram of short windows, `short_stride` of their frames beside each
    inner frame: pitch pulses and bursts are lost in the long window.

    With `causal` a code frame depends on no sample after its end, and a sample on no code frame after it but for
    those whose synthesis windows, centred on their hops, reach back to it: `decoder_lookahead`.
    """

    sample_rate: int = 16000
    hop_length: int = 320
    stride: int = 2
    num_mels: int = 100
    mel_n_fft: int = 1024
    short_mels: int = 0
    short_n_fft: int = 320
    short_stride: int = 4
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
    causal: bool = False

    def __post_init__(self) -> None:
        if self.short_mels and (self.hop_length % self.short_stride or self.short_n_fft > self.mel_n_fft):
            raise ValueError(
                f"short_stride {self.short_stride} must divide hop_length {self.hop_length}, and short_n_fft "
                f"{self.short_n_fft} must not exceed mel_n_fft {self.mel_n_fft}"
            )

    @property
    def synthesis_hop_length(self) -> int:
        """Samples between the frames of the inverse STFT."""
        return self.hop_length // (self.fine_stride if self.fine_blocks else 1)

    @property
    def encoder_lookahead(self) -> int:
        """Samples after the end of a code frame that its codes depend on."""
        if self.causal:
            return 0
        inner_frames = 1 + self.encoder_blocks + self.encoder_code_blocks * self.stride
        overlap = self.mel_n_fft - self.hop_length
        return overlap - overlap // 2 + self.kernel_size // 2 * inner_frames * self.hop_length

    @property
    def decoder_lookahead(self) -> int:
        """Samples at the end of the code frames so far that the next code frames may still change."""
        margin = (self.synthesis_n_fft - self.synthesis_hop_length) // 2
        if self.causal:
            return margin
        inner_frames = (1 + self.decoder_code_blocks) * self.stride + self.decoder_blocks
        reach = inner_frames * self.hop_length + self.fine_blocks * self.synthesis_hop_length
        return margin + self.kernel_size // 2 * reach


class Stream:
    """What the layers of a network hold between the chunks of one recording; set `last` before the final chunk.

    Given to `forward`, it makes every layer see exactly what it would see in the whole recording: a layer hands on
    what no later chunk can change, and holds what later chunks still need. Held is never more than one window.
    """

    def __init__(self, last: bool = False) -> None:
        self.last = last
        self.held: dict[object, Tensor] = {}
        self.position = 0  # samples that the inverse STFT has finished, counted from the start of its first window

    def windows(
        self, owner: object, x: Tensor, dim: int, size: int, hop: int, padding: tuple[int, int] = (0, 0)
    ) -> Tensor:
        """Return what of the held and x makes whole windows of `size` every `hop` along `dim`; hold what comes after.

        `padding` is the number of zeros before and after the recording.
        """
        parts = [self.held[owner] if owner in self.held else _zeros(x, dim, padding[0]), x]
        joined = torch.cat(parts + [_zeros(x, dim, padding[1])] * self.last, dim)
        length = joined.shape[dim]
        count = max(0, (length - size) // hop + 1)
        self.held[owner] = joined.narrow(dim, count * hop, length - count * hop).clone()  # frees the rest
        return joined.narrow(dim, 0, (count - 1) * hop + size if count else 0)

    def first(self, owner: object, x: Tensor, count: int) -> Tensor:
        """Return the first `count` frames [B, count, C] of the held and x [B, T, C]; hold the others."""
        joined = torch.cat((self.held[owner], x), 1) if owner in self.held else x
        self.held[owner] = joined[:, count:].clone()
        return joined[:, :count]


def _zeros(like: Tensor, dim: int, length: int) -> Tensor:
    shape = list(like.shape)
    shape[dim] = length
    return like.new_zeros(shape)


class FrameConv1d(nn.Conv1d):
    """Convolution over frames [B, C, T] -> [B, C', T], zeros beyond the ends; causal: it sees no later frame."""

    def __init__(self, in_channels: int, out_channels: int, config: ConvNextConfig, groups: int = 1) -> None:
        size = config.kernel_size
        super().__init__(in_channels, out_channels, size, padding=0 if config.causal else size // 2, groups=groups)
        self.left = size - 1 if config.causal else size // 2
        self.right = size - 1 - self.left

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        if stream is None:
            return super().forward(x if self.right else functional.pad(x, (self.left, 0)))
        x = stream.windows(self, x, 2, self.kernel_size[0], 1, (self.left, self.right))
        if x.shape[2] == 0:
            return x.new_zeros(x.shape[0], self.out_channels, 0)
        return functional.conv1d(x, self.weight, self.bias, groups=self.groups)


class Matrix(nn.Linear):
    """A linear layer whose weights may be bfloat16 (`Codec.in_bfloat16`) in a network that is float32 elsewhere."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.to(self.weight.dtype))


class ConvNextBlock(nn.Module):
    """Depthwise convolution, layer norm, inverted bottleneck, layer scale, residual (2201.03545, as Vocos uses it)."""

    def __init__(self, width: int, config: ConvNextConfig, scale: float) -> None:
        super().__init__()
        expansion = config.expansion
        self.depthwise = FrameConv1d(width, width, config, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = Matrix(width, width * expansion)
        self.contract = Matrix(width * expansion, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        """[B, T, C] -> [B, T, C]; with a stream, the frames [B, T', C] that later ones cannot change."""
        y = self.depthwise(x.transpose(1, 2), stream).transpose(1, 2)
        if stream is not None:
            x = stream.first(self, x, y.shape[1])
        y = self.contract(functional.gelu(self.expand(self.norm(y))))
        return x + self.scale * y


def _blocks(count: int, width: int, config: ConvNextConfig) -> nn.Sequential:
    scale = 1.0 / max(1, config.encoder_blocks + config.encoder_code_blocks)
    return nn.Sequential(*(ConvNextBlock(width, config, scale) for _ in range(count)))


def _run(blocks: nn.Sequential, x: Tensor, stream: Stream | None) -> Tensor:
    for block in blocks:
        x = block(x, stream)
    return x


class ConvNextEncoder(nn.Module):
    """samples [B, 1, N] -> [B, D, T], T = N / (hop_length * stride), which must be a whole number.

    With a stream, samples are the next of a recording, any number of them before the last chunk.
    """

    def __init__(self, config: ConvNextConfig) -> None:
        super().__init__()
        self.config = config
        self.log_mel = LogMel(
            config.sample_rate, config.mel_n_fft, config.hop_length, config.num_mels, causal=config.causal
        )
        width = config.encoder_width
        self.embed = FrameConv1d(config.num_mels, width, config)
        if config.short_mels:
            hop = config.hop_length // config.short_stride
            self.short_mel = LogMel(
                config.sample_rate, config.short_n_fft, hop, config.short_mels, causal=config.causal
            )
            self.embed_short = FrameConv1d(config.short_mels * config.short_stride, width, config)
            for parameter in self.embed_short.parameters():
                nn.init.zeros_(parameter)  # a codec that gets it later starts as it was
        self.norm_in = nn.LayerNorm(width)
        self.blocks = _blocks(config.encoder_blocks, width, config)
        self.down = Matrix(width * config.stride, width)
        self.code_blocks = _blocks(config.encoder_code_blocks, width, config)
        self.norm_out = nn.LayerNorm(width)
        self.project = Matrix(width, config.dim)

    def forward(self, samples: Tensor, stream: Stream | None = None) -> Tensor:
        mel = _frames(self.log_mel, samples[:, 0], stream)  # [B, M, T * stride]
        x = self.embed(mel * 0.3 + 1.0, stream)  # log-mel of speech to about [-1, 1]
        if self.config.short_mels:
            x = x + self.embed_short(self._short(samples[:, 0], mel.shape[2], stream) * 0.3 + 1.0, stream)
        x = self.norm_in(x.transpose(1, 2))
        x = _run(self.blocks, x, stream)  # [B, T * stride, C]
        if stream is not None:
            x = stream.windows(self, x, 1, self.config.stride, self.config.stride)
        x = self.down(x.reshape(x.shape[0], -1, x.shape[2] * self.config.stride)).float()  # [B, T, C]
        x = self.norm_out(_run(self.code_blocks, x, stream))
        return self.project(x).float().transpose(1, 2)

    def _short(self, samples: Tensor, count: int, stream: Stream | None) -> Tensor:
        """Return the frames of the short windows that lie in `count` inner frames, side by side: [B, M * S, count]."""
        mel = _frames(self.short_mel, samples, stream).transpose(1, 2)  # [B, count * S, M]
        if stream is not None:
            mel = stream.first((self, "short"), mel, count * self.config.short_stride)
        return mel.reshape(len(mel), count, mel.shape[2] * self.config.short_stride).transpose(1, 2)


def _frames(mel: LogMel, samples: Tensor, stream: Stream | None) -> Tensor:
    """Return the log-mel frames [B, M, T'] of samples [B, N]."""
    if stream is None:
        return mel(samples)
    samples = stream.windows(mel, samples, 1, mel.n_fft, mel.hop_length, (mel.left, mel.right))
    return mel.unpadded(samples) if samples.shape[1] else samples.new_zeros(len(samples), len(mel.filters), 0)


class ConvNextDecoder(nn.Module):
    """[B, D, T] -> samples [B, 1, T * hop_length * stride] by an inverse STFT of predicted magnitude and phase."""

    window: Tensor

    def __init__(self, config: ConvNextConfig) -> None:
        super().__init__()
        self.config = config
        width = config.decoder_width
        self.embed = FrameConv1d(config.dim, width, config)
        self.norm_in = nn.LayerNorm(width)
        self.code_blocks = _blocks(config.decoder_code_blocks, width, config)
        self.up = Matrix(width, width * config.stride)
        self.blocks = _blocks(config.decoder_blocks, width, config)
        if config.fine_blocks:
            self.up_fine = Matrix(width, config.fine_width * config.fine_stride)
            width = config.fine_width
            self.fine_blocks = _blocks(config.fine_blocks, width, config)
        self.norm_out = nn.LayerNorm(width)
        self.head = Matrix(width, config.synthesis_n_fft + 2)
        self.register_buffer("window", torch.hann_window(config.synthesis_n_fft), persistent=False)

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        x = self.norm_in(self.embed(x, stream).transpose(1, 2))
        x = self.up(_run(self.code_blocks, x, stream)).float()
        x = x.reshape(x.shape[0], -1, self.config.decoder_width)  # [B, T * stride, C]
        x = _run(self.blocks, x, stream)
        if self.config.fine_blocks:
            x = self.up_fine(x).float()
            x = x.reshape(x.shape[0], -1, self.config.fine_width)  # [B, T * stride * fine_stride, C]
            x = _run(self.fine_blocks, x, stream)
        return self._synthesise(self.head(self.norm_out(x)), stream or Stream(last=True))

    def _synthesise(self, x: Tensor, stream: Stream) -> Tensor:
        """Turn log-magnitude and phase [B, T, 2 * F] into samples [B, 1, T * hop], float32; frame t covers hop t."""
        with torch.autocast(x.device.type, enabled=False):
            hop, count = self.config.synthesis_hop_length, x.shape[1]
            overlap = self.config.synthesis_n_fft - hop
            total = self._overlap_add(x.float()) if count else x.new_zeros(len(x) + 1, 1, overlap).float()
            if self in stream.held:
                total[:, :, :overlap] += stream.held[self]
            stream.held[self] = total[:, :, count * hop :].detach().clone()
            margin = overlap // 2
            start, stop = max(0, margin - stream.position), count * hop + margin * stream.last
            stream.position += count * hop
            return total[:-1, :, start:stop] / total[-1:, :, start:stop].clamp(min=1e-3)

    def _overlap_add(self, x: Tensor) -> Tensor:
        """Add the windows of x [B, T, 2 * F] up: [B + 1, 1, (T - 1) * hop + n_fft], the weights in the last row."""
        log_magnitude, phase = x.chunk(2, dim=2)  # [B, T, F] each
        spectrum = torch.polar(torch.exp(log_magnitude.clamp(max=6.0)), phase)
        frames = torch.fft.irfft(spectrum, self.config.synthesis_n_fft, dim=2) * self.window  # [B, T, n_fft]
        weights = self.window.square().expand(1, x.shape[1], -1)
        return torch.cat((self._add_up(frames), self._add_up(weights)))[:, None]

    def _add_up(self, frames: Tensor) -> Tensor:
        """Add frames [B, T, n_fft] up, each a hop after the one before: [B, (T - 1) * hop + n_fft]."""
        rows, count, n_fft = frames.shape
        hop = self.config.synthesis_hop_length
        pieces = functional.pad(frames, (0, -n_fft % hop)).unflatten(2, (-1, hop))  # [B, T, pieces of a frame, hop]
        total = frames.new_zeros(rows, count + pieces.shape[2] - 1, hop)
        for piece in range(pieces.shape[2]):
            total[:, piece : piece + count] += pieces[:, :, piece]
        return total.flatten(1)[:, : (count - 1) * hop + n_fft]
