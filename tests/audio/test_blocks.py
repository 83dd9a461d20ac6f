"""Recordings block by block: the same samples, files and refusals as of the whole, in the memory of a block."""

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from uniaudio.audio import io
from uniaudio.audio.blocks import open_recording, write_blocks
from uniaudio.audio.io import Audio, check_writable, read_audio, write_audio
from uniaudio.errors import InputError

FORMATS = [("a.wav", "PCM_16"), ("a.wav", "FLOAT"), ("a.flac", "PCM_24"), ("a.ogg", "VORBIS"), ("a.mp3", None)]


def noise(seconds: float = 0.5, rate: int = 16000, channels: int = 1, level: float = 0.5) -> np.ndarray:
    """Samples [N, C] that fill the whole band."""
    return np.random.default_rng(0).uniform(-level, level, (round(seconds * rate), channels)).astype(np.float32)


def save(path: Path, samples: np.ndarray, rate: int = 16000, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def joined(path: Path, rate: int, block_seconds: float) -> np.ndarray:
    blocks = list(open_recording(path).blocks(rate, block_seconds))
    assert all(block.dtype == np.float32 and block.ndim == 1 and block.size for block in blocks)
    return np.concatenate(blocks)


# Reading


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("name,subtype", FORMATS)
def test_blocks_in_a_row_are_the_whole(tmp_path: Path, name: str, subtype: str | None, rate: int) -> None:
    # Louder than full scale where the format can be: read_audio turns that down by the peak of the whole.
    path = save(tmp_path / name, noise(0.5, rate, channels=2, level=1.5), rate, subtype)
    for new in (rate, 16000, 24000, 44100, 7919):
        whole = read_audio(path, sample_rate=new, mono=True).samples[0]
        for block_seconds in (0.013, 0.25, 10.0):  # 0.25 s: whole blocks, and then nothing
            blocks = joined(path, new, block_seconds)
            assert blocks.shape == whole.shape and np.abs(blocks - whole).max() < 1e-6


@pytest.mark.parametrize("num_samples", [1, 2, 5])
def test_a_few_samples_never_become_none(tmp_path: Path, num_samples: int) -> None:
    path = save(tmp_path / "a.wav", noise()[:num_samples], 48000)
    for rate in (8000, 48000, 96000):
        whole = read_audio(path, sample_rate=rate, mono=True).samples[0]
        assert len(whole) and np.abs(joined(path, rate, 1e-5) - whole).max() < 1e-6


def test_a_recording_knows_its_length_and_can_be_read_twice(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", np.array([0.5, -4.0, 2.0, 1.0]), 4, "FLOAT")
    recording = open_recording(path)
    assert (recording.num_samples, recording.sample_rate, recording.seconds, recording.peak) == (4, 4, 1.0, 4.0)
    for _ in range(2):
        np.testing.assert_allclose(np.concatenate(list(recording.blocks(4, 0.5))), [0.125, -1, 0.5, 0.25])


def test_what_is_refused_is_refused_before_the_first_block_and_in_the_same_words(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.flac", noise(2.0)).read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    middle = bytearray(whole)
    middle[len(whole) // 2 : len(whole) // 2 + 3000] = np.random.default_rng(2).bytes(3000)
    (tmp_path / "middle.flac").write_bytes(middle)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("This is not a sound file.\n" * 50)
    save(tmp_path / "none.wav", np.zeros((0, 1)))
    broken = noise(2.0)
    broken[20000] = np.nan
    save(tmp_path / "nan.wav", broken, subtype="FLOAT")
    limits: dict[str, tuple[dict[str, Any], ...]] = {"whole.flac": ({"max_seconds": 1.0}, {"min_seconds": 3.0})}
    for name in (*sorted(os.listdir(tmp_path)), "missing.wav", "."):
        for limit in limits.get(name, ({},)):
            with pytest.raises(InputError) as expected:
                read_audio(tmp_path / name, **limit)
            with pytest.raises(InputError) as caught:
                open_recording(tmp_path / name, **limit)
            assert str(caught.value) == str(expected.value)


def test_a_file_that_is_damaged_after_the_first_look_is_one_line(tmp_path: Path) -> None:
    path = save(tmp_path / "a.flac", noise(2.0))
    recording = open_recording(path)
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(InputError, match="damaged or cut off"):
        list(recording.blocks(16000, 0.1))


@pytest.mark.parametrize("rate", [16000, 24000])
def test_memory_is_that_of_a_block(tmp_path: Path, rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(io, "_BLOCK_VALUES", 16000)
    path = save(tmp_path / "a.flac", noise(60.0))
    seen = []
    for _ in range(2):  # what is imported at the first time does not count
        tracemalloc.start()
        count = sum(map(len, open_recording(path).blocks(rate, 1.0)))
        seen.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert count == 60 * rate and seen[1] < 8 * 4 * rate, "the whole is 60 blocks of 4 * rate bytes"


# Writing


def pieces(samples: np.ndarray, size: int) -> Iterator[np.ndarray]:
    yield from (samples[start : start + size] for start in range(0, len(samples), size))


@pytest.mark.parametrize("name", ["a.wav", "a.FLAC", "a.ogg"])
@pytest.mark.parametrize("size", [1000, 7001, 10**6])
def test_a_file_of_blocks_is_that_of_the_whole(tmp_path: Path, name: str, size: int) -> None:
    samples = noise(2.0, level=1.2)[:, 0]  # clipped
    write_audio(tmp_path / name, Audio(samples[None], 16000))
    assert write_blocks(tmp_path / f"b{name}", pieces(samples, size), 16000) == len(samples)
    if name == "a.ogg":  # every file has a random number in it, and the encoder starts a little otherwise
        whole, blocks = read_audio(tmp_path / name).samples, read_audio(tmp_path / f"b{name}").samples
        assert whole.shape == blocks.shape and np.std(whole - blocks) < 0.05 * np.std(whole)
    else:
        assert (tmp_path / name).read_bytes() == (tmp_path / f"b{name}").read_bytes()
    assert sorted(os.listdir(tmp_path)) == [name, f"b{name}"]


@pytest.mark.parametrize("name", ["a.mp3", "missing/a.wav", "folder.wav", "nul\0.wav"])
def test_a_target_that_cannot_be_written_is_told_before_the_first_block(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.wav").mkdir()
    begun = []

    def blocks() -> Iterator[np.ndarray]:
        begun.append(True)
        yield np.zeros(10, np.float32)

    with pytest.raises(InputError) as expected:
        check_writable(tmp_path / name)
    with pytest.raises(InputError) as caught:
        write_blocks(tmp_path / name, blocks(), 16000)
    assert str(caught.value) == str(expected.value) and not begun


@pytest.mark.parametrize("error", [InputError("damaged"), KeyboardInterrupt(), ValueError("NaN"), None])
def test_a_failure_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException | None) -> None:
    def blocks() -> Iterator[np.ndarray]:
        yield noise()[:, 0]
        if error is not None:
            raise error
        yield np.array([0.0, np.nan], np.float32)

    (tmp_path / "a.wav").write_bytes(b"precious")
    with pytest.raises(type(error or ValueError()), match=None if error else "NaN or infinite"):
        write_blocks(tmp_path / "a.wav", blocks(), 16000)
    assert (tmp_path / "a.wav").read_bytes() == b"precious" and os.listdir(tmp_path) == ["a.wav"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
@pytest.mark.parametrize("seconds", [0.5, 20.0])  # found out at the end, and on the way
def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, seconds: float) -> None:
    real_open = open
    monkeypatch.setattr("uniaudio.audio.blocks.check_writable", lambda path: None)
    monkeypatch.setattr("builtins.open", lambda path, mode: real_open("/dev/full", "wb"))
    with pytest.raises(InputError, match="No space left on device"):
        write_blocks(tmp_path / name, pieces(noise(seconds)[:, 0], 16000), 16000)
    assert os.listdir(tmp_path) == []


def test_ctrl_c_inside_the_encoder_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped:
        def write(self, content: bytes) -> None:
            raise KeyboardInterrupt

        def seek(self, *_: int) -> None: ...

        def tell(self) -> int:
            return 0

        def __enter__(self) -> "Stopped":
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("uniaudio.audio.blocks.check_writable", lambda path: None)
    monkeypatch.setattr("builtins.open", lambda path, mode: Stopped())
    with pytest.raises(KeyboardInterrupt):
        write_blocks(tmp_path / "a.wav", pieces(noise(2.0)[:, 0], 1000), 16000)


def test_no_samples_and_too_many_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="empty"):
        write_blocks(tmp_path / "a.wav", iter(()), 16000)
    monkeypatch.setattr(io, "_MAX_WAV_BYTES", 10_000)
    with pytest.raises(InputError, match="write a .flac file"):
        write_blocks(tmp_path / "a.wav", pieces(noise()[:, 0], 1000), 16000)
    assert os.listdir(tmp_path) == []
    assert write_blocks(tmp_path / "a.flac", pieces(noise()[:, 0], 1000), 16000) == 8000
