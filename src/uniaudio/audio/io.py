"""Sound files to arrays and back; every way a file can be wrong ends in one line that says what to do.

Key: C channels, N samples.
"""

import math
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from uniaudio.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from soundfile import SoundFile

# Extension -> (container, encoding) of what we write; whatever libsndfile knows is read.
_WRITABLE = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
# FLAC refuses more; libsndfile's Vorbis encoder crashes the process on far larger values instead of refusing them.
_MAX_COMPRESSED_CHANNELS, _MAX_COMPRESSED_RATE = 8, 192_000
_MAX_WAV_BYTES = (1 << 32) - 4096  # its header counts them in 32 bits
_BLOCK_VALUES = 1 << 22  # values read or written at once: bounds memory when a header promises more than the file has
_NO_SOUND = "cannot write samples that are empty, NaN or infinite"
_UNKNOWN_FRAMES = 1 << 62  # libsndfile's way to say that the header gives no length
_MP3_SLACK = 2 * 1152  # decoders may drop a frame at each end of an MP3; a larger shortfall is damage
_STREAMED_BYTES = 0x7F000000  # recorders that write to a pipe claim about 2 or 4 GiB, for lack of the real size
_SLOPPY_BYTES = 64  # headers that count their own bytes twice are common and harmless


@dataclass(frozen=True, eq=False)
class Audio:
    """Sound: `samples` [C, N] float32 in [-1, 1], `sample_rate` in Hz."""

    samples: "np.ndarray"
    sample_rate: int

    def __post_init__(self) -> None:
        shape, dtype = getattr(self.samples, "shape", None), getattr(self.samples, "dtype", None)
        if shape is None or len(shape) != 2 or shape[0] < 1 or str(dtype) != "float32":
            raise ValueError(f"samples must be a float32 array [channels, samples], not {dtype} {shape}")
        if not isinstance(self.sample_rate, int) or self.sample_rate < 1:
            raise ValueError(f"sample_rate must be a positive whole number of Hz, not {self.sample_rate!r}")

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples.shape[1] / self.sample_rate

    def mono(self) -> "Audio":
        """Average the channels: samples [1, N]."""
        if self.samples.shape[0] == 1:
            return self
        return Audio(self.samples.mean(axis=0, keepdims=True), self.sample_rate)

    def resample(self, sample_rate: int) -> "Audio":
        """Change the rate with soxr's high-quality filter: samples [C, round(N * new / old)], at least one."""
        import numpy as np
        import soxr

        if sample_rate == self.sample_rate:
            return self
        if not isinstance(sample_rate, int) or sample_rate < 1:
            raise ValueError(f"sample_rate must be a positive whole number of Hz, not {sample_rate!r}")
        resampled = soxr.resample(self.samples.T, self.sample_rate, sample_rate).T  # [C, N']
        if resampled.shape[1] == 0 and self.samples.shape[1]:
            resampled = self.samples.mean(axis=1, keepdims=True)  # [C, 1]
        # The filter rings around steps, so full-scale input may leave [-1, 1].
        return Audio(np.ascontiguousarray(resampled.clip(-1, 1), dtype=np.float32), sample_rate)

    def write(self, path: str | Path) -> None:
        """Write a `.wav`, `.flac` or `.ogg` file; see `write_audio`."""
        write_audio(path, self)


def read_audio(
    path: str | Path,
    sample_rate: int | None = None,
    mono: bool = False,
    max_seconds: float | None = None,
    min_seconds: float | None = None,
) -> Audio:
    """Read a sound file of any rate and channel count, as samples [C, N] in [-1, 1].

    `mono` averages the channels, `sample_rate` resamples. A float file that is louder than full scale is turned
    down until its peak is 1. The length limits are checked from the header, before the sound is read.
    Raises InputError for anything that is not whole, finite, non-empty sound within the limits.
    """
    import numpy as np

    path = Path(path)
    with open_sound(path, min_seconds, max_seconds) as file:
        blocks = list(blocks_in(file))
        samples, rate = np.ascontiguousarray(np.concatenate(blocks).T), file.samplerate  # [C, N]
        peak = peak_of(samples)
        check_sound(path, file, samples.shape[1], peak, min_seconds, max_seconds)
    if peak > 1:
        samples /= peak
    audio = Audio(samples, rate)
    audio = audio.mono() if mono else audio
    return audio if sample_rate is None else audio.resample(sample_rate)


def encode_audio(audio: Audio, extension: str) -> bytes:
    """Return the bytes of a `.wav` or `.flac` (16-bit PCM) or `.ogg` (Vorbis) file; values are clipped to [-1, 1].

    Raises InputError for an extension, channel count or rate that cannot be written, and ValueError for samples
    that are empty or not finite.
    """
    channels, num_samples = audio.samples.shape
    step = max(1, _BLOCK_VALUES // channels)
    buffer = BytesIO()
    blocks = (audio.samples[:, start : start + step].T for start in range(0, num_samples, step))  # [N, C]
    encode_blocks(buffer, blocks, channels, audio.sample_rate, extension)
    return buffer.getvalue()


def encode_blocks(file: Any, blocks: "Iterable[np.ndarray]", channels: int, rate: int, extension: str) -> int:
    """Write samples [N, C], block by block, into an open binary file as `encode_audio` does; return how many.

    Raises as `encode_audio` does, and InputError for more than a WAV file holds.
    """
    import soundfile

    container, encoding = _format(extension, extension)
    _check_encodable(container, channels, rate)
    most = _MAX_WAV_BYTES // (2 * channels) if container == "WAV" else None
    try:
        with soundfile.SoundFile(file, "w", rate, channels, encoding, format=container) as sound:
            for block in _writable_blocks(blocks, most):
                sound.write(block)
            return sound.frames
    except soundfile.SoundFileError as error:
        raise InputError(f"cannot encode {channels} channels at {rate} Hz as {container}") from error


def _writable_blocks(blocks: "Iterable[np.ndarray]", most: int | None) -> "Iterator[np.ndarray]":
    """Yield blocks [N, C] clipped to [-1, 1]; raises as `encode_blocks` does, for more than `most` samples too."""
    import numpy as np

    num_samples = 0
    for block in blocks:
        num_samples += len(block)
        if not np.isfinite(block).all():
            raise ValueError(_NO_SOUND)
        if most is not None and num_samples > most:
            raise InputError("this is more than the 4 GiB that a WAV file holds: write a .flac file")
        yield block.clip(-1, 1)
    if num_samples == 0:
        raise ValueError(_NO_SOUND)


def write_audio(path: str | Path, audio: Audio) -> None:
    """Write `audio` as `.wav`, `.flac` (both 16-bit PCM) or `.ogg` (Vorbis); values are clipped to [-1, 1].

    The file appears whole or not at all: it is written under a temporary name in its folder and renamed.
    Raises InputError as `check_writable` and `encode_audio` do, and when the disk is full.
    """
    check_writable(path)
    content = encode_audio(audio, Path(path).suffix)
    with new_file(path) as file:
        file.write(content)


@contextmanager
def new_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file under a temporary name in the folder of `path`; it gets its name when the block ends well.

    Raises InputError when the disk is full.
    """
    target = Path(os.path.realpath(path))  # write through a symbolic link, as open() does
    temporary = _temporary(target)
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Raise InputError unless `write_audio(path, ...)` can work; call it before long work. It leaves no file."""
    path = Path(path)
    _format(path.suffix, _quote(path))
    if "\0" in str(path):
        raise InputError(f"{_quote(path)} is not a possible file name: give another")
    target = Path(os.path.realpath(path))
    if os.path.isdir(target):
        raise InputError(f"{_quote(path)} is a folder: give the name of a file in it")
    folder = target.parent
    if not os.path.lexists(folder):
        raise InputError(f"the folder {_quote(folder)} does not exist: create it or choose another")
    if not os.path.isdir(folder):
        raise InputError(f"{_quote(folder)} is not a folder: choose another place for {_quote(path.name)}")
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise InputError(f"{_quote(path)} exists and may not be overwritten: choose another name")
    # Permission bits say little on read-only and network disks (and nothing to root), so a file is really created.
    probe = _temporary(target)
    try:
        with suppress(FileNotFoundError):
            target.stat()  # a name that is too long fails here
        open(probe, "xb").close()
        probe.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def open_sound(path: Path, min_seconds: float | None, max_seconds: float | None) -> "Iterator[SoundFile]":
    """Open a file whose header promises sound within the limits, and that is as long as its header says.

    Raises InputError, also for damage that is met while the block reads.
    """
    import soundfile

    _check_readable(path)
    try:
        with _open(path) as file:
            _check_length(path, file.frames, file.samplerate, min_seconds, max_seconds)
            if _is_cut_off(path, file):
                raise _broken(path, "the file ends before the length in its header")
            yield file
    except soundfile.SoundFileError as error:
        raise _broken(path, str(error)) from error


def blocks_in(file: "SoundFile", num_samples: int | None = None) -> "Iterator[np.ndarray]":
    """Yield blocks [N, C] to the end: memory follows what is there, not what the header promises."""
    frames = max(1, _BLOCK_VALUES // file.channels) if num_samples is None else num_samples
    block = None
    while block is None or len(block) == frames:  # a short block is the end, or damage that libsndfile skipped
        block = file.read(frames, dtype="float32", always_2d=True)
        yield block


def peak_of(samples: "np.ndarray") -> float:
    """Return the largest absolute value, NaN if there is one, 0 of nothing."""
    import numpy as np

    return float(np.maximum(samples.max(initial=0), -samples.min(initial=0)))


def check_sound(
    path: Path,
    file: "SoundFile",
    num_samples: int,
    peak: float,
    min_seconds: float | None,
    max_seconds: float | None,
) -> None:
    """Raise InputError unless the `num_samples` that were read are the whole file, within the limits and finite."""
    if num_samples < file.frames - _MP3_SLACK:
        raise _broken(path, f"only {num_samples} of its {file.frames} samples can be read")
    _check_length(path, num_samples, file.samplerate, min_seconds, max_seconds)
    if not math.isfinite(peak):
        raise InputError(f"{_quote(path)} contains NaN or infinite samples: export it again, as 16-bit WAV or FLAC")


def _check_readable(path: Path) -> None:
    if not os.path.exists(path):
        raise InputError(f"there is no file {_quote(path)}: check the name")
    if os.path.isdir(path):
        raise InputError(f"{_quote(path)} is a folder: give the name of a sound file")
    if not os.path.isfile(path):
        raise InputError(f"{_quote(path)} is not an ordinary file: save the sound to a file first")
    if not os.access(path, os.R_OK):
        raise InputError(f"{_quote(path)} may not be read: change its permissions")
    if os.path.getsize(path) == 0:
        raise InputError(f"{_quote(path)} is empty (0 bytes): record or download it again")


def _open(path: Path) -> "SoundFile":
    import soundfile

    try:
        return soundfile.SoundFile(str(path))
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: a headerless `.raw` file
        raise InputError(
            f"{_quote(path)} is not a sound file that can be read, or is damaged at its start: "
            "convert it to WAV, FLAC, OGG or MP3"
        ) from error


def _check_length(
    path: Path, num_samples: int, rate: int, min_seconds: float | None, max_seconds: float | None
) -> None:
    if num_samples == 0:
        raise InputError(f"{_quote(path)} contains no sound (0 samples): record or export it again")
    if num_samples >= _UNKNOWN_FRAMES:
        raise InputError(f"{_quote(path)} does not say how long it is (it was streamed): convert it to WAV")
    if max_seconds is not None and num_samples > max_seconds * rate:
        seconds = num_samples / rate
        raise InputError(f"{_quote(path)} is {seconds:.2f} s long; at most {max_seconds:g} s are allowed: cut it")
    if min_seconds is not None and num_samples < min_seconds * rate:
        seconds = num_samples / rate
        raise InputError(
            f"{_quote(path)} is {seconds:.2f} s long; at least {min_seconds:g} s are needed: use a longer recording"
        )


def _is_cut_off(path: Path, file: "SoundFile") -> bool:
    """Whether the file is shorter than it says; libsndfile then silently reads what there is."""
    if file.format == "OGG":
        return _ends_inside_ogg_page(path)
    # libsndfile notes each chunk that does not fit the file: `data : 192000 (should be 95978)`.
    for claimed, present in re.findall(r": (\d+) \(should be (\d+)\)", file.extra_info):
        if int(present) + _SLOPPY_BYTES < int(claimed) < _STREAMED_BYTES:
            return True
    return False


def _ends_inside_ogg_page(path: Path) -> bool:
    """Whether the last Ogg page (RFC 3533, section 6) needs more bytes than the file has."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - (1 << 17)))  # a page has at most 65307 bytes
        tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or len(page) < 27 + page[26]:  # 27 bytes of header, then as many segment sizes as byte 26 says
        return True
    return 27 + page[26] + sum(page[27 : 27 + page[26]]) > len(page)


def _format(extension: str, name: str) -> tuple[str, str]:
    try:
        return _WRITABLE[extension.lower()]
    except KeyError:
        raise InputError(f"cannot write {name}: the name must end in {', '.join(_WRITABLE)}") from None


def _check_encodable(container: str, channels: int, rate: int) -> None:
    if container == "WAV":
        return
    if channels > _MAX_COMPRESSED_CHANNELS or rate > _MAX_COMPRESSED_RATE:
        raise InputError(
            f"{container} holds at most {_MAX_COMPRESSED_CHANNELS} channels and {_MAX_COMPRESSED_RATE} Hz, "
            f"not {channels} channels at {rate} Hz: write a .wav file"
        )


def _temporary(target: Path) -> Path:
    return target.with_name(f".{secrets.token_hex(8)}.tmp")


def _broken(path: Path, why: str) -> InputError:
    why = " ".join(why.split()).rstrip(".: ") or "it cannot be decoded"
    return InputError(f"{_quote(path)} is damaged or cut off ({why}): export or download it again")


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot write {_quote(path)} ({error.strerror}): choose another place or free some space")


def _quote(path: str | Path) -> str:
    """A path in quotes, on one line whatever its characters."""
    return repr(str(path))
