"""Recordings of any length in bounded memory: read and written as one channel, block by block.

n samples of a block
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from uniaudio.audio.io import blocks_in, check_sound, check_writable, encode_blocks, new_file, open_sound, peak_of

BLOCK_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A sound file that was read through once: its rate (Hz), its length in samples and its loudest sample."""

    path: Path
    sample_rate: int
    num_samples: int
    peak: float

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate

    def blocks(self, sample_rate: int, block_seconds: float = BLOCK_SECONDS) -> Iterator[np.ndarray]:
        """Yield float32 samples [n], n >= 1: in a row they are `read_audio(path, sample_rate, mono=True)`.

        About `block_seconds` are in memory at a time. Raises InputError if the file has been damaged since.
        """
        import soxr

        stream = None if sample_rate == self.sample_rate else soxr.ResampleStream(self.sample_rate, sample_rate, 1)
        size, total, given = max(1, round(block_seconds * self.sample_rate)), 0.0, 0
        with open_sound(self.path, None, None) as file:
            for block in blocks_in(file, size):
                samples = (np.ascontiguousarray(block.T) / max(self.peak, 1.0)).mean(axis=0)  # [C, n] -> [n]
                total += float(samples.sum())
                if stream is not None:
                    samples = stream.resample_chunk(samples, last=len(block) < size).clip(-1, 1)
                given += len(samples)
                if len(samples):
                    yield samples
        if given == 0:  # too short for the filter
            yield np.full(1, total / self.num_samples, np.float32)


def open_recording(path: str | Path, min_seconds: float | None = None, max_seconds: float | None = None) -> Recording:
    """Read a sound file through once, in blocks; raises InputError for all that `read_audio` refuses."""
    path = Path(path)
    num_samples, peak = 0, 0.0
    with open_sound(path, min_seconds, max_seconds) as file:
        for block in blocks_in(file):
            num_samples += len(block)
            peak = float(np.maximum(peak, peak_of(block)))  # NaN stays
        check_sound(path, file, num_samples, peak, min_seconds, max_seconds)
        return Recording(path=path, sample_rate=file.samplerate, num_samples=num_samples, peak=peak)


def write_blocks(path: str | Path, blocks: Iterable[np.ndarray], sample_rate: int) -> int:
    """Write blocks of samples [n] as `write_audio` writes the whole, whole or not at all; return how many samples.

    Raises as `write_audio` does, and InputError for more than a WAV file holds.
    """
    check_writable(path)
    with new_file(path) as file:
        sink = _Sink(file)
        num_samples = encode_blocks(sink, sink.guard(blocks), 1, sample_rate, Path(path).suffix)
        sink.check()
    return num_samples


class _Sink:
    """A file for libsndfile, which does not hand on what goes wrong (a full disk, Ctrl-C): it is kept and raised."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: BaseException | None = None

    def guard(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield blocks [n] as [n, 1] while all is well."""
        for block in blocks:
            self.check()
            yield block[:, None]

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def write(self, content: bytes) -> int:
        try:
            self._file.write(content)
        except BaseException as error:
            self._error = self._error or error
        return len(content)

    def seek(self, offset: int, whence: int = 0) -> None:
        try:
            self._file.seek(offset, whence)  # writes what is waiting
        except BaseException as error:
            self._error = self._error or error

    def tell(self) -> int:
        return self._file.tell()
