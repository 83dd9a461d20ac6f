"""A short recording that gives the speaker -> codes of its best seconds; the ids are the codec's.

N samples, T frames, K codebooks
"""

import torch
from torch import Tensor

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError
from uniaudio.tokenizers.base import Item
from uniaudio.tokenizers.codec import AudioCodec, codec_samples, encode_samples

MIN_SECONDS = 0.5
MIN_PEAK = 1e-3
LEVEL = 0.06  # root-mean-square that a voice is brought to before it is encoded, as in the made corpus
RANGE_DB = 40.0  # below the loudest frame by more than this is as good as silence


def speech_window(samples: Tensor, num_samples: int, hop_length: int) -> Tensor:
    """Return the `num_samples` of samples [N] with the most speech: the highest mean level in dB over hops.

    Levels are limited to `RANGE_DB` below the loudest hop, so that steady speech wins over one loud click. The window
    starts at a multiple of `hop_length`; of equal windows the first is taken. A shorter recording comes back whole.
    """
    if samples.numel() <= num_samples:
        return samples
    num_hops, width = samples.numel() // hop_length, num_samples // hop_length
    energy = samples[: num_hops * hop_length].reshape(num_hops, hop_length).double().square().mean(1)  # [hops]
    level = 10 * torch.log10(energy.clamp(min=1e-12))
    level = level.clamp(min=level.max() - RANGE_DB)
    total = torch.cat([level.new_zeros(1), level.cumsum(0)])
    mean = (total[width:] - total[:-width]) / width  # [number of windows]
    # Floating-point dust must not choose between equal windows.
    start = int(torch.nonzero(mean >= mean.max() - 1e-6)[0]) * hop_length
    return samples[start : start + num_samples]


class VoiceTokenizer:
    """A recording of a speaker -> codec ids [T, K] of its best `seconds`; they do not follow the target's time."""

    name = "voice"
    num_ids = 0  # shares the codec's

    def __init__(self, codec: AudioCodec, seconds: float = 3.0) -> None:
        self.codec = codec
        self.seconds = seconds
        self.frame_rate = codec.config.frame_rate

    def encode(self, value: Audio) -> Item:
        """Return ids [T, K], T at most `seconds` * `frame_rate`.

        Raises InputError for a recording that is shorter than `MIN_SECONDS` or silent.
        """
        if value.seconds < MIN_SECONDS:
            wanted = f"at least {MIN_SECONDS} s of speech, best {self.seconds:g} s"
            raise InputError(f"the voice recording lasts {value.seconds:.2f} s: give {wanted}")
        config = self.codec.config
        samples = codec_samples(value, config.sample_rate)
        if samples.abs().max() < MIN_PEAK:
            raise InputError("the voice recording is silent: give one in which the speaker can be heard")
        num_samples = round(self.seconds * config.frame_rate) * config.hop_length
        return encode_samples(self.codec, level(speech_window(samples, num_samples, config.hop_length)))


def level(samples: Tensor) -> Tensor:
    """Bring samples [N] to `LEVEL`, but no peak above 1: what a voice sounds like must not depend on its level."""
    gain = LEVEL / samples.square().mean().sqrt().clamp(min=1e-6)
    return samples * torch.minimum(gain, 1 / samples.abs().max().clamp(min=1e-6))
