"""Code recordings chunk by chunk, with exactly the codes and samples of the whole and memory that does not grow.

B batch, N samples, T frames, K codebooks
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from uniaudio.codec.convnext import Stream
from uniaudio.codec.model import Codec
from uniaudio.errors import InputError

CHUNK_FRAMES = 250


class StreamingEncoder:
    """Takes the samples of a recording as they come and returns codes as soon as no later sample can change them.

    The codes of all calls together are those of `Codec.encode` for the whole recording. After `finish` the next
    recording may come. Raises InputError for a codec that can only code whole recordings.
    """

    def __init__(self, codec: Codec) -> None:
        _check(codec)
        self._codec = codec
        self._start()

    def _start(self) -> None:
        self._stream, self._num_samples = Stream(), 0
        self._nothing = next(self._codec.parameters()).new_zeros(1, 1, 0)

    @property
    def latency(self) -> int:
        """Samples that come in, from a code frame's first on, before its codes go out."""
        return self._codec.config.hop_length + self._codec.config.convnext.encoder_lookahead

    @torch.no_grad()
    def push(self, samples: Tensor) -> Tensor:
        """Return the next codes [B, K, T], T >= 0, int64, given the next samples [B, 1, N] in [-1, 1], any N."""
        self._nothing = samples[:, :, :0]
        self._num_samples += samples.shape[2]
        with torch.autocast(samples.device.type, enabled=False):
            return self._codec.quantizer.encode(self._codec.encoder(samples, self._stream))

    def finish(self) -> Tensor:
        """Return the last codes [B, K, T]; silence completes the last frame."""
        self._stream.last = True
        completing = -self._num_samples % self._codec.config.hop_length
        codes = self.push(self._nothing.new_zeros(len(self._nothing), 1, completing))
        self._start()
        return codes


class StreamingDecoder:
    """Takes the codes of a recording as they come and returns samples as soon as no later code can change them.

    The samples of all calls together are those of `Codec.decode` for all codes. After `finish` the next recording
    may come. Raises InputError for a codec that can only code whole recordings.
    """

    def __init__(self, codec: Codec) -> None:
        _check(codec)
        self._codec = codec
        self._start()

    def _start(self) -> None:
        self._stream = Stream()
        device = next(self._codec.parameters()).device
        self._nothing = torch.zeros(1, 1, 0, dtype=torch.long, device=device)

    @property
    def latency(self) -> int:
        """Samples by which the output stays behind the codes that have come in."""
        return self._codec.config.convnext.decoder_lookahead

    @torch.no_grad()
    def push(self, codes: Tensor) -> Tensor:
        """Return the next samples [B, 1, N], N >= 0, given the next codes [B, K', T]; raises as `Codec.decode`."""
        self._nothing = codes[:, :, :0]
        return self._codec.decoder(self._codec.quantizer.decode(codes), self._stream)

    def finish(self) -> Tensor:
        """Return the last samples [B, 1, N]."""
        self._stream.last = True
        samples = self.push(self._nothing)
        self._start()
        return samples


def encode_chunks(codec: Codec, samples: Tensor | Iterable[Tensor], chunk_frames: int = CHUNK_FRAMES) -> Tensor:
    """Return codes [B, K, T] of a recording [B, 1, N] or of its blocks in turn, at most `chunk_frames` at a time.

    They are those of `Codec.encode`; memory is that of a chunk and of the codes. Raises InputError for chunks of less
    than a frame and for a codec that can only code whole recordings.
    """
    _check_chunk(chunk_frames)
    encoder = StreamingEncoder(codec)
    size = chunk_frames * codec.config.hop_length
    blocks = (samples,) if isinstance(samples, Tensor) else samples
    codes = [encoder.push(chunk) for block in blocks for chunk in block.split(size, dim=2)]
    return torch.cat([*codes, encoder.finish()], dim=2)


def decode_chunks(codec: Codec, codes: Tensor, chunk_frames: int = CHUNK_FRAMES) -> Iterator[Tensor]:
    """Return an iterator of samples [B, 1, N] that together are `Codec.decode` of codes [B, K', T].

    Memory is that of a chunk. Raises InputError for chunks of less than a frame and for a codec that can only code
    whole recordings.
    """
    _check_chunk(chunk_frames)
    decoder = StreamingDecoder(codec)

    def chunks() -> Iterator[Tensor]:
        for chunk in codes.split(chunk_frames, dim=2):
            yield decoder.push(chunk)
        yield decoder.finish()

    return chunks()


def _check_chunk(chunk_frames: int) -> None:
    if chunk_frames < 1:
        raise InputError(f"chunk_frames {chunk_frames} is no length of a chunk: use 1 or more")


def _check(codec: Codec) -> None:
    if codec.config.shape != "convnext":
        raise InputError(f"a codec of shape {codec.config.shape!r} codes whole recordings only: use shape 'convnext'")
