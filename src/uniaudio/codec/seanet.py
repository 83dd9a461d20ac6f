"""The convolutional encoder and decoder of EnCodec (SEANet): samples to latent frames and back, without a quantiser.

B batch, C channels, D latent width, N samples, T frames.
"""

import math
import re
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from uniaudio.errors import InputError

PAD_MODES = ("reflect", "constant", "replicate")
NORMS = ("weight_norm", "time_group_norm", "none")


@dataclass(frozen=True, kw_only=True)
class SEANetConfig:
    """Shape of a SEANet encoder and decoder pair (Défossez et al. 2022, "High fidelity neural audio compression").

    The defaults are those of UniAudio's codec: 16 kHz, 50 frames per second. No layer depends on `sample_rate` (Hz).
    `ratios` are the strides in decoder order; the encoder uses them in reverse. The width doubles at every stride from
    `n_filters` up. `trim_right_ratio` is the share of a transposed convolution's surplus that is cut on the right
    (1.0 keeps it causal; only read when `causal`). `conv_shortcut` gives residual blocks a 1x1 convolution instead of
    the identity. `norm` is one of `NORMS`, `pad_mode` one of `PAD_MODES`.

    A causal network with reflect padding still sees a few future samples at the very start of the signal, as EnCodec
    does; use pad_mode="constant" where causality must be strict.

    Raises InputError for a value outside these choices.
    """

    sample_rate: int = 16000
    n_filters: int = 32
    ratios: tuple[int, ...] = (8, 5, 4, 2)
    num_residual_layers: int = 1
    kernel_size: int = 7
    residual_kernel_size: int = 3
    last_kernel_size: int = 7
    dilation_base: int = 2
    compress: int = 2
    num_lstm_layers: int = 2
    dim: int = 128
    causal: bool = False
    pad_mode: str = "reflect"
    norm: str = "weight_norm"
    conv_shortcut: bool = True
    trim_right_ratio: float = 1.0

    def __post_init__(self) -> None:
        if self.pad_mode not in PAD_MODES:
            raise InputError(f"pad_mode {self.pad_mode!r} is unknown: use one of {', '.join(PAD_MODES)}")
        if self.norm not in NORMS:
            raise InputError(f"norm {self.norm!r} is unknown: use one of {', '.join(NORMS)}")
        if self.causal and self.norm == "time_group_norm":
            raise InputError("norm 'time_group_norm' looks at the whole signal: use 'weight_norm' when causal is true")
        if not self.ratios or min(self.ratios) < 1:
            raise InputError(f"ratios {self.ratios} are not strides: give one or more whole numbers from 1 up")
        if not 0.0 <= self.trim_right_ratio <= 1.0:
            raise InputError(f"trim_right_ratio {self.trim_right_ratio} is out of range: use a value from 0 to 1")
        if self.compress < 1 or self.n_filters < self.compress:
            raise InputError(f"compress {self.compress} must be from 1 to n_filters ({self.n_filters})")

    @property
    def hop_length(self) -> int:
        """Samples per latent frame."""
        return math.prod(self.ratios)


def _pad(x: Tensor, left: int, right: int, mode: str) -> Tensor:
    """Pad the last axis of x [B, C, N] to [B, C, left + N + right].

    Reflection needs more samples than padding; a shorter signal is first lengthened by zeros on the right and cut
    back afterwards (EnCodec's convention).
    """
    if mode != "reflect":
        return F.pad(x, (left, right), mode)
    surplus = max(0, max(left, right) - x.shape[-1] + 1)
    padded = F.pad(F.pad(x, (0, surplus)), (left, right), mode)
    return padded[..., : padded.shape[-1] - surplus]


def _normalised(conv: nn.Module, norm: str) -> nn.Module:
    return weight_norm(conv) if norm == "weight_norm" else conv


def _output_norm(channels: int, norm: str) -> nn.Module:
    # One group over all channels and all time: the layer norm of EnCodec's 48 kHz model.
    return nn.GroupNorm(1, channels) if norm == "time_group_norm" else nn.Identity()


class PaddedConv1d(nn.Module):
    """Convolution [B, C_in, N] -> [B, C_out, ceil(N / stride)] that pads as EnCodec does.

    Besides the fixed kernel - stride samples, the right end gets whatever completes the last stride, so no sample is
    ever dropped. Causal: the fixed part goes to the left only.
    """

    def __init__(
        self,
        config: SEANetConfig,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
    ):
        super().__init__()
        conv = nn.Conv1d(in_channels, out_channels, kernel_size, stride, dilation=dilation)
        self.conv = _normalised(conv, config.norm)
        self.norm = _output_norm(out_channels, config.norm)
        self.stride = stride
        self.pad_mode = config.pad_mode
        fixed = (kernel_size - 1) * dilation + 1 - stride
        self.pad_right = 0 if config.causal else fixed // 2
        self.pad_left = fixed - self.pad_right

    def forward(self, x: Tensor) -> Tensor:
        completing = -x.shape[-1] % self.stride
        x = _pad(x, self.pad_left, self.pad_right + completing, self.pad_mode)
        return self.norm(self.conv(x))


class TrimmedConvTranspose1d(nn.Module):
    """Transposed convolution [B, C_in, T] -> [B, C_out, T * stride]: the surplus of the kernel is cut off the ends."""

    def __init__(self, config: SEANetConfig, in_channels: int, out_channels: int, kernel_size: int, stride: int):
        super().__init__()
        conv = nn.ConvTranspose1d(in_channels, out_channels, kernel_size, stride)
        self.conv = _normalised(conv, config.norm)
        self.norm = _output_norm(out_channels, config.norm)
        surplus = kernel_size - stride
        self.trim_right = math.ceil(surplus * config.trim_right_ratio) if config.causal else surplus // 2
        self.trim_left = surplus - self.trim_right

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return x[..., self.trim_left : x.shape[-1] - self.trim_right]


class ResidualLSTM(nn.Module):
    """Run an LSTM over time with a skip connection: [B, C, T] -> [B, C, T]."""

    def __init__(self, channels: int, num_layers: int):
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, num_layers)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(2, 0, 1)  # [T, B, C]
        x = self.lstm(x)[0] + x
        return x.permute(1, 2, 0)  # [B, C, T]


class ResidualBlock(nn.Module):
    """Two convolutions through a narrow middle, added to the input or to its 1x1 convolution: [B, C, T] -> same."""

    def __init__(self, config: SEANetConfig, channels: int, dilation: int):
        super().__init__()
        middle = channels // config.compress
        self.block = nn.Sequential(
            nn.ELU(),
            PaddedConv1d(config, channels, middle, config.residual_kernel_size, dilation=dilation),
            nn.ELU(),
            PaddedConv1d(config, middle, channels, 1),
        )
        self.shortcut = PaddedConv1d(config, channels, channels, 1) if config.conv_shortcut else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.block(x)


def _residual_blocks(config: SEANetConfig, channels: int) -> list[nn.Module]:
    return [ResidualBlock(config, channels, config.dilation_base**i) for i in range(config.num_residual_layers)]


class SEANetEncoder(nn.Module):
    """Samples to latent frames. The flat list `model` has the layer numbers of the public EnCodec checkpoints."""

    def __init__(self, config: SEANetConfig):
        super().__init__()
        self.config = config
        channels = config.n_filters
        layers: list[nn.Module] = [PaddedConv1d(config, 1, channels, config.kernel_size)]
        for ratio in reversed(config.ratios):
            layers += _residual_blocks(config, channels)
            layers += [nn.ELU(), PaddedConv1d(config, channels, 2 * channels, 2 * ratio, stride=ratio)]
            channels *= 2
        if config.num_lstm_layers:
            layers.append(ResidualLSTM(channels, config.num_lstm_layers))
        layers += [nn.ELU(), PaddedConv1d(config, channels, config.dim, config.last_kernel_size)]
        self.model = nn.Sequential(*layers)

    def forward(self, samples: Tensor) -> Tensor:
        """Return latents [B, D, ceil(N / hop_length)] of samples [B, 1, N] in [-1, 1]."""
        return self.model(samples)


class SEANetDecoder(nn.Module):
    """Latent frames to samples, the mirror of SEANetEncoder."""

    def __init__(self, config: SEANetConfig):
        super().__init__()
        self.config = config
        channels = config.n_filters * 2 ** len(config.ratios)
        layers: list[nn.Module] = [PaddedConv1d(config, config.dim, channels, config.kernel_size)]
        if config.num_lstm_layers:
            layers.append(ResidualLSTM(channels, config.num_lstm_layers))
        for ratio in config.ratios:
            layers += [nn.ELU(), TrimmedConvTranspose1d(config, channels, channels // 2, 2 * ratio, stride=ratio)]
            channels //= 2
            layers += _residual_blocks(config, channels)
        layers += [nn.ELU(), PaddedConv1d(config, channels, 1, config.last_kernel_size)]
        self.model = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        """Return samples [B, 1, T * hop_length], nominally in [-1, 1] (not clipped), of latents [B, D, T]."""
        return self.model(latents)


def encodec_key_map(key: str) -> str | None:
    """Translate a parameter name of a public EnCodec-style checkpoint into ours; None if it is no SEANet parameter.

    Our names are those of an object with a SEANetEncoder `encoder` and a SEANetDecoder `decoder`. Understood are the
    names of the EnCodec and UniAudio releases (`encoder.model.3.conv.conv.weight_g`, `decoder.model.3.convtr.convtr.
    bias`, `encoder.model.13.lstm.weight_ih_l0`) and those of transformers (`encoder.layers.3.conv.parametrizations.
    weight.original0`); tensors need no change, only the name.
    """
    if not re.match(r"(encoder|decoder)\.(model|layers)\.\d+\.", key):
        return None
    key = re.sub(r"^(\w+)\.layers\.", r"\1.model.", key)
    # The releases wrap each convolution twice (padding, normalisation); ours and transformers' wrap it once.
    key = re.sub(r"\b(conv|convtr)\.\1\.", "conv.", key)
    key = re.sub(r"\b(conv|convtr)\.norm\.", "norm.", key)
    # torch's old weight_norm called the gain and the direction g and v.
    key = re.sub(r"\.weight_g$", ".parametrizations.weight.original0", key)
    return re.sub(r"\.weight_v$", ".parametrizations.weight.original1", key)
