"""How far decoded audio is from the original: spectral distances, and the two sides of the adversarial game.

Every loss is a float32 scalar, also for bfloat16 input or inside autocast.
B batch, N samples, F frequency rows, M mel bands, T frames.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from uniaudio.audio.spectral import mel_filterbank
from uniaudio.codec.discriminator import DiscriminatorOutput, ScaledSTFT
from uniaudio.errors import InputError

# Amplitudes below this (full scale is 1) count as silence: -80 dB. It bounds the gradient of the logarithm.
LOG_FLOOR = 1e-4
# Spectral convergence divides by the target's level; a target below -60 dB counts as -60 dB.
LEVEL_FLOOR = 1e-3


@contextmanager
def _float32(tensor: Tensor) -> Iterator[None]:
    # bfloat16 has 8 bits of precision: too few for squares, logarithms and means over a million cells.
    with torch.autocast(tensor.device.type, enabled=False):
        yield


class MultiResolutionMelLoss(nn.Module):
    """Mean absolute difference of log-mel spectrograms, averaged over resolutions (window = fft, hop = fft / 4).

    `num_mels` has one entry per FFT size, few bands for short windows. Bands are means over their filter, whatever
    normalisation the filterbank has, so that the floor means the same level at every resolution.
    Raises InputError when `fft_sizes` and `num_mels` differ in length.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        *,
        fft_sizes: tuple[int, ...] = (128, 256, 512, 1024, 2048),
        num_mels: tuple[int, ...] = (8, 16, 32, 64, 128),
        f_min: float = 0.0,
        f_max: float | None = None,
    ):
        super().__init__()
        if len(fft_sizes) != len(num_mels) or not fft_sizes:
            raise InputError(f"fft_sizes {fft_sizes} and num_mels {num_mels} must have the same number of entries")
        self.spectra = nn.ModuleList(ScaledSTFT(size, size // 4, size) for size in fft_sizes)
        for index, (size, bands) in enumerate(zip(fft_sizes, num_mels, strict=True)):
            filters = mel_filterbank(sample_rate, size, bands, f_min, f_max)
            filters = filters / filters.sum(dim=1, keepdim=True).clamp_min(1e-8)
            self.register_buffer(f"filters_{index}", filters, persistent=False)

    def forward(self, decoded: Tensor, original: Tensor) -> Tensor:
        """Compare two signals [B, 1, N] in [-1, 1]: a scalar >= 0 in nepers (1 is 8.7 dB)."""
        with _float32(decoded):
            total = decoded.new_zeros((), dtype=torch.float32)
            for index, stft in enumerate(self.spectra):
                filters = self.get_buffer(f"filters_{index}").float()
                x, y = filters @ stft(decoded).abs(), filters @ stft(original).abs()  # [B, M, T]
                total = total + (_log(x) - _log(y)).abs().mean()
            return total / len(self.spectra)


class MultiResolutionSTFTLoss(nn.Module):
    """Spectral convergence plus mean absolute difference of log magnitudes, averaged over resolutions.

    Yamamoto, Song, Kim 2020 ("Parallel WaveGAN"), equations 4 to 6; the sizes are those of UniAudio's codec.
    Convergence is taken per signal, so that a batch costs what its signals cost alone.
    Raises InputError when the three sizes differ in length.
    """

    def __init__(
        self,
        *,
        fft_sizes: tuple[int, ...] = (512, 1024, 2048),
        hop_lengths: tuple[int, ...] = (120, 240, 300),
        win_lengths: tuple[int, ...] = (480, 960, 1200),
    ):
        super().__init__()
        if not fft_sizes or not len(fft_sizes) == len(hop_lengths) == len(win_lengths):
            raise InputError(
                f"fft_sizes {fft_sizes}, hop_lengths {hop_lengths} and win_lengths {win_lengths} must have the same "
                "number of entries"
            )
        sizes = zip(fft_sizes, hop_lengths, win_lengths, strict=True)
        self.spectra = nn.ModuleList(ScaledSTFT(*size) for size in sizes)

    def forward(self, decoded: Tensor, original: Tensor) -> Tensor:
        """Compare two signals [B, 1, N] in [-1, 1]: a scalar >= 0."""
        with _float32(decoded):
            total = decoded.new_zeros((), dtype=torch.float32)
            for stft in self.spectra:
                x, y = stft(decoded).abs(), stft(original).abs()  # [B, F, T]
                total = total + _convergence(x, y) + (_log(x) - _log(y)).abs().mean()
            return total / len(self.spectra)


def _log(magnitude: Tensor) -> Tensor:
    return (magnitude + LOG_FLOOR).log()


def _convergence(x: Tensor, y: Tensor) -> Tensor:
    """Relative error of magnitudes x [B, F, T] against y, averaged over the batch."""
    error = torch.linalg.vector_norm(x - y, dim=(1, 2))  # [B]; its slope at zero is zero, not NaN
    level = torch.linalg.vector_norm(y, dim=(1, 2))
    return (error / level.clamp_min(LEVEL_FLOOR * math.sqrt(y[0].numel()))).mean()


class AdversarialLosses(NamedTuple):
    """The two sides of one game: `generator(fake)` and `discriminator(real, fake)`, each a scalar over all scales."""

    generator: Callable[[DiscriminatorOutput], Tensor]
    discriminator: Callable[[DiscriminatorOutput, DiscriminatorOutput], Tensor]


# kind -> (cost of a logit that should say "real", cost of a logit that should say "fake").
_GAMES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "lsgan": (lambda logits: (logits - 1).square(), lambda logits: logits.square()),
    "hinge": (lambda logits: nn.functional.relu(1 - logits), lambda logits: nn.functional.relu(1 + logits)),
}


def adversarial_losses(kind: str = "lsgan") -> AdversarialLosses:
    """Return the generator and discriminator losses of `kind`: "lsgan" (Mao et al. 2017) or "hinge".

    The hinge generator is SoundStream's max(0, 1 - logit), bounded below (Zeghidour et al. 2021, equation 2).
    Both losses are means over cells, then over scales. The caller detaches the fake audio in the discriminator step.
    Raises InputError for an unknown kind.
    """
    if kind not in _GAMES:
        raise InputError(f"adversarial loss {kind!r} is unknown: use one of {', '.join(_GAMES)}")
    want_real, want_fake = _GAMES[kind]

    def generator(fake: DiscriminatorOutput) -> Tensor:
        return _mean_over_scales(want_real, fake)

    def discriminator(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return _mean_over_scales(want_real, real) + _mean_over_scales(want_fake, fake)

    return AdversarialLosses(generator, discriminator)


def _mean_over_scales(cost: Callable[[Tensor], Tensor], outputs: DiscriminatorOutput) -> Tensor:
    with _float32(outputs[0][0]):
        return torch.stack([cost(logits.float()).mean() for logits, _ in outputs]).mean()


def feature_matching_loss(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
    """Return the mean absolute difference of the feature maps, over layers and scales; no gradient through `real`."""
    with _float32(fake[0][0]):
        distances = [
            nn.functional.l1_loss(map_fake.float(), map_real.detach().float())
            for (_, maps_real), (_, maps_fake) in zip(real, fake, strict=True)
            for map_real, map_fake in zip(maps_real, maps_fake, strict=True)
        ]
        return torch.stack(distances).mean()
