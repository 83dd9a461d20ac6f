"""Audio <-> the codes of an audio codec.

B batch (here 1), K codebooks, T frames, C channels, N samples
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError
from uniaudio.tokenizers.base import Item

HIDDEN = -1  # the code of a frame that the model has to fill


class CodecShape(Protocol):
    """What a tokenizer reads of a codec's config."""

    @property
    def sample_rate(self) -> int: ...

    @property
    def frame_rate(self) -> float: ...

    @property
    def hop_length(self) -> int: ...

    @property
    def num_codebooks(self) -> int: ...

    @property
    def codebook_size(self) -> int: ...


class AudioCodec(Protocol):
    """What a tokenizer needs of a codec; `uniaudio.codec.model.Codec` is one."""

    @property
    def config(self) -> CodecShape: ...

    def encode(self, samples: Tensor) -> Tensor:
        """[B, 1, N] -> codes [B, K, T] with T = ceil(N / hop_length)."""
        ...

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, K, T] -> samples [B, 1, T * hop_length]."""
        ...


def codec_samples(audio: Audio, sample_rate: int) -> Tensor:
    """Return a recording as one channel at `sample_rate`: float32 [N]. Raises InputError for no or broken samples."""
    samples = torch.from_numpy(np.ascontiguousarray(audio.mono().resample(sample_rate).samples[0])).float()
    if samples.numel() == 0:
        raise InputError("the recording is empty: give one with sound in it")
    if not torch.isfinite(samples).all():
        raise InputError("the recording has samples that are not numbers: export it again as 16-bit wav")
    return samples


def encode_samples(codec: AudioCodec, samples: Tensor) -> Item:
    """Return the codes of samples [N] as ids [T, K] on the CPU."""
    device = _device(codec)
    with torch.no_grad():
        codes = codec.encode(samples[None, None].to(device))  # [1, K, T]
    return Item(ids=codes[0].T.contiguous().long().cpu())  # [T, K]


def _device(codec: AudioCodec) -> torch.device:
    if isinstance(codec, torch.nn.Module):
        return next((parameter.device for parameter in codec.parameters()), torch.device("cpu"))
    return torch.device("cpu")


class CodecTokenizer:
    """A recording <-> ids [T, K]: the id at level k is the codec's code there, from 0 at every level.

    `num_ids` counts all levels: K sections of `codebook_size`, one after the other.
    """

    name = "codec"

    def __init__(self, codec: AudioCodec) -> None:
        self.codec = codec
        self.frame_rate = codec.config.frame_rate
        self.num_ids = codec.config.num_codebooks * codec.config.codebook_size

    def encode(self, value: Audio) -> Item:
        """Return ids [T, K] of a recording at any sample rate, mixed down to one channel."""
        return encode_samples(self.codec, codec_samples(value, self.codec.config.sample_rate))

    def decode(self, ids: Tensor) -> Audio:
        """Return the audio [1, T * hop_length] of ids [T, K], limited to [-1, 1]. Raises InputError for a bad id."""
        config = self.codec.config
        if ids.ndim != 2 or ids.shape[0] == 0 or ids.shape[1] != config.num_codebooks:
            raise InputError(f"codes have shape {list(ids.shape)}: they must be [frames, {config.num_codebooks}]")
        if ids.min() < 0 or ids.max() >= config.codebook_size:
            raise InputError(f"a code lies outside 0..{config.codebook_size - 1}: these codes are not of this codec")
        with torch.no_grad():
            samples = self.codec.decode(ids.T[None].to(_device(self.codec)))  # [1, 1, N]
        return Audio(samples[0].float().clamp(-1, 1).cpu().numpy(), config.sample_rate)


def round_trip(codec: AudioCodec, audio: Audio) -> Audio:
    """Return a recording encoded and decoded: [1, T * hop] at the codec's rate."""
    tokenizer = CodecTokenizer(codec)
    ids = tokenizer.encode(audio).ids
    assert ids is not None
    return tokenizer.decode(ids)
