"""Tell real audio from decoded audio on complex spectrograms of several resolutions; used in codec training only.

B batch, N samples, C channels, F frequency rows, T frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from uniaudio.audio.spectral import stft
from uniaudio.errors import InputError

# Per scale: (logits [B, 1, F', T'], feature maps [B, C, F'', T''] from the shallowest to the deepest).
DiscriminatorOutput = list[tuple[Tensor, list[Tensor]]]


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Scales and layers of an STFTDiscriminator; the default is the `paper` preset.

    `fft_sizes`, `hop_lengths`, `win_lengths` (samples) and `channels` (width of the widest layer) have one entry per
    scale. `frequency_strides` and `time_strides` have one entry per layer, the last being the logit layer. The width
    doubles from layer to layer up to `channels`, so the layers at full resolution are the cheap ones.

    Raises InputError when the lengths disagree.
    """

    fft_sizes: tuple[int, ...] = (128, 256, 512, 1024, 2048, 4096)
    hop_lengths: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)
    win_lengths: tuple[int, ...] = (128, 256, 512, 1024, 2048, 4096)
    channels: tuple[int, ...] = (64, 128, 256, 512, 512, 512)
    frequency_strides: tuple[int, ...] = (1, 2, 1, 2, 1, 2, 1)
    time_strides: tuple[int, ...] = (1, 2, 1, 2, 1, 2, 1)
    negative_slope: float = 0.2

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in ("fft_sizes", "hop_lengths", "win_lengths", "channels")}
        if len(set(lengths.values())) != 1 or not self.fft_sizes:
            raise InputError(f"the discriminator needs one entry per scale in each of these, got {lengths}")
        if len(self.frequency_strides) != len(self.time_strides) or self.num_layers < 2:
            raise InputError(
                f"frequency_strides {self.frequency_strides} and time_strides {self.time_strides} must have one entry "
                "per layer, and at least two layers"
            )
        if any(win > fft for win, fft in zip(self.win_lengths, self.fft_sizes, strict=True)):
            raise InputError(f"win_lengths {self.win_lengths} must not exceed fft_sizes {self.fft_sizes}")

    @property
    def num_layers(self) -> int:
        """Convolutions per scale, the logit layer included."""
        return len(self.frequency_strides)

    @property
    def num_scales(self) -> int:
        """Spectrogram resolutions."""
        return len(self.fft_sizes)


PRESETS: dict[str, DiscriminatorConfig] = {
    # Six scales of UniAudio's codec: fft = win = 4 * hop, seven layers, stride 2 on every second one.
    "paper": DiscriminatorConfig(),
    # For a CPU: three scales, narrow, and the frequency axis shrinks from the first layer on.
    "small": DiscriminatorConfig(
        fft_sizes=(256, 512, 1024),
        hop_lengths=(64, 128, 256),
        win_lengths=(256, 512, 1024),
        channels=(32, 32, 32),
        frequency_strides=(2, 2, 2, 1, 1),
        time_strides=(1, 1, 1, 1, 1),
    ),
}


class ScaledSTFT(nn.Module):
    """Samples [B, 1, N] -> complex spectrum [B, F, 1 + N // hop] with F = fft / 2 + 1, always computed in float32.

    Divided by the window's root energy, so that white noise has the level of its samples at every resolution. The
    ends are padded with zeros, which unlike reflection is defined for any length.
    """

    window: Tensor

    def __init__(self, fft_size: int, hop_length: int, win_length: int):
        super().__init__()
        self.fft_size = fft_size
        self.hop_length = hop_length
        window = torch.hann_window(win_length)
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        half = self.fft_size // 2
        padded = nn.functional.pad(samples[:, 0], (half, half))  # [B, N + fft]
        return stft(padded, self.fft_size, self.hop_length, self.window, center=False)


class ScaleDiscriminator(nn.Module):
    """A stack of 3x3 convolutions on one complex spectrogram."""

    def __init__(self, config: DiscriminatorConfig, scale: int):
        super().__init__()
        self.stft = ScaledSTFT(config.fft_sizes[scale], config.hop_lengths[scale], config.win_lengths[scale])
        num_hidden = config.num_layers - 1
        widths = [max(1, config.channels[scale] >> (num_hidden - 1 - i)) for i in range(num_hidden)]
        sizes = [2, *widths, 1]
        strides = zip(config.frequency_strides, config.time_strides, strict=True)
        self.layers = nn.ModuleList()
        for index, stride in enumerate(strides):
            conv = nn.Conv2d(sizes[index], sizes[index + 1], 3, stride, padding=1)
            if index < num_hidden:
                # torch's default start loses nearly half the level in every layer: the logits would be a constant.
                nn.init.kaiming_normal_(conv.weight, a=config.negative_slope)
            self.layers.append(weight_norm(conv))
        self.activation = nn.LeakyReLU(config.negative_slope)

    def forward(self, samples: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return logits [B, 1, F', T'] (high means real) and the feature map of every hidden layer."""
        spectrum = self.stft(samples)
        x = torch.stack([spectrum.real, spectrum.imag], dim=1)  # [B, 2, F, T]
        features: list[Tensor] = []
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))  # [B, C, F / strides, T / strides]
            features.append(x)
        return self.layers[-1](x), features


class STFTDiscriminator(nn.Module):
    """One ScaleDiscriminator per resolution (the multi-frequency discriminator of UniAudio's codec).

    The published one also warps the frequency axis to mel; this one keeps it linear, so the phase stays meaningful.
    """

    def __init__(self, config: DiscriminatorConfig):
        super().__init__()
        self.config = config
        self.scales = nn.ModuleList(ScaleDiscriminator(config, scale) for scale in range(config.num_scales))

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        """Judge samples [B, 1, N] in [-1, 1]: per scale (logits [B, 1, F', T'], list of feature maps)."""
        return [scale(samples) for scale in self.scales]
