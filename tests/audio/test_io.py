"""Sound files: what is read, what is written, and the one-line answer to everything that can be wrong with a file."""

import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from uniaudio.audio.io import Audio, check_writable, encode_audio, read_audio, write_audio
from uniaudio.errors import InputError


def tone(seconds: float = 0.5, rate: int = 16000, channels: int = 1, hz: float = 440.0) -> Audio:
    """A sine of amplitude 0.5, the same in all channels."""
    time_s = np.arange(round(seconds * rate)) / rate
    wave = (0.5 * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)
    return Audio(np.tile(wave, (channels, 1)), rate)


def save(path: Path, samples: np.ndarray, rate: int = 16000, subtype: str | None = None) -> Path:
    """Write [N] or [N, C] samples with soundfile itself, so that reading is tested apart from our writing."""
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def read_error(path: Path, **options) -> str:
    """The message of the InputError that reading `path` raises; it must be one line that names the file."""
    with pytest.raises(InputError) as caught:
        read_audio(path, **options)
    message = str(caught.value)
    assert "\n" not in message and repr(str(path)) in message
    return message


def write_error(path: Path) -> str:
    """The message for a target that cannot be written, the same from the early check and from the writing."""
    messages = []
    for attempt in (lambda: check_writable(path), lambda: write_audio(path, tone())):
        with pytest.raises(InputError) as caught:
            attempt()
        messages.append(str(caught.value))
    assert messages[0] == messages[1] and "\n" not in messages[0]
    return messages[0]


# Audio


def test_seconds_and_mono_average_the_channels():
    samples = np.stack([np.full(8000, value, np.float32) for value in (0.1, 0.3, 0.5, 0.7, 0.1, 0.3, 0.5, 0.7)])
    audio = Audio(samples, 16000)
    assert audio.seconds == 0.5
    mono = audio.mono()
    assert mono.samples.shape == (1, 8000) and mono.samples.dtype == np.float32
    np.testing.assert_allclose(mono.samples, 0.4, atol=1e-6)
    assert mono.mono() is mono


@pytest.mark.parametrize("old,new", [(44100, 16000), (8000, 16000), (48000, 44100), (11025, 24000), (16000, 16000)])
def test_resample_keeps_the_tone_and_the_length(old: int, new: int):
    audio = tone(1.0, old, channels=2).resample(new)
    assert audio.sample_rate == new and audio.samples.shape == (2, new) and audio.samples.dtype == np.float32
    middle = slice(new // 10, -new // 10)
    np.testing.assert_allclose(audio.samples[:, middle], tone(1.0, new, 2).samples[:, middle], atol=2e-3)


def test_resample_stays_in_range_and_never_loses_everything():
    square = np.sign(np.sin(np.arange(4410) / 10)).astype(np.float32)[None]
    assert np.abs(Audio(square, 44100).resample(16000).samples).max() <= 1
    assert Audio(np.full((2, 1), 0.25, np.float32), 48000).resample(8000).samples.tolist() == [[0.25], [0.25]]
    assert Audio(np.zeros((1, 0), np.float32), 48000).resample(8000).samples.shape == (1, 0)


@pytest.mark.parametrize("rate", [0, -16000, 16000.0])
def test_resample_refuses_impossible_rates(rate):
    with pytest.raises(ValueError, match="sample_rate"):
        tone(0.1, 8000).resample(rate)


@pytest.mark.parametrize(
    "samples,rate",
    [
        (np.zeros(10, np.float32), 16000),
        (np.zeros((1, 10), np.float64), 16000),
        (np.zeros((0, 10), np.float32), 16000),
        ([[0.0]], 16000),
        (np.zeros((1, 10), np.float32), 0),
        (np.zeros((1, 10), np.float32), 16000.0),
    ],
)
def test_audio_refuses_wrong_arrays(samples, rate):
    with pytest.raises(ValueError, match="must be"):
        Audio(samples, rate)


# Reading


@pytest.mark.parametrize("name,subtype", [("a.wav", "PCM_16"), ("a.wav", "PCM_U8"), ("a.wav", "PCM_24"),
                                          ("a.wav", "PCM_32"), ("a.wav", "FLOAT"), ("a.wav", "DOUBLE"),
                                          ("a.wav", "ULAW"), ("a.flac", "PCM_16"), ("a.flac", "PCM_24"),
                                          ("a.ogg", "VORBIS"), ("a.mp3", "MPEG_LAYER_III"), ("a.aiff", "PCM_16"),
                                          ("a.AU", "PCM_16"), ("a.w64", "PCM_16"), ("a.caf", "PCM_16")])  # fmt: skip
def test_reads_every_common_format(tmp_path: Path, name: str, subtype: str):
    expected = tone(0.5, channels=2)
    audio = read_audio(save(tmp_path / name, expected.samples.T, subtype=subtype))
    assert audio.sample_rate == 16000 and audio.samples.shape == (2, 8000)
    assert audio.samples.dtype == np.float32 and audio.samples.flags.c_contiguous
    np.testing.assert_allclose(audio.samples, expected.samples, atol=0.05)


@pytest.mark.parametrize("rate", [1000, 8000, 11025, 22050, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_reads_any_rate_and_channel_count(tmp_path: Path, rate: int, channels: int):
    levels = np.linspace(0.1, 0.8, channels)
    path = save(tmp_path / "a.wav", np.tile(levels, (rate, 1)), rate)
    plain = read_audio(path)
    assert plain.samples.shape == (channels, rate) and plain.sample_rate == rate
    audio = read_audio(path, sample_rate=16000, mono=True)
    assert audio.sample_rate == 16000 and audio.samples.shape == (1, 16000)
    np.testing.assert_allclose(np.median(audio.samples), levels.mean(), atol=0.01)


def test_a_file_longer_than_one_block_is_whole(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("uniaudio.audio.io._BLOCK_VALUES", 1000)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 10_123)).astype(np.float32)
    for name in ("a.wav", "a.flac"):
        write_audio(tmp_path / name, Audio(noise, 16000))
        np.testing.assert_allclose(read_audio(tmp_path / name).samples, noise, atol=1 / 32000)


def test_louder_than_full_scale_is_turned_down_not_clipped(tmp_path: Path):
    path = save(tmp_path / "a.wav", np.array([0.5, -4.0, 2.0, 1.0]), subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path).samples, [[0.125, -1, 0.5, 0.25]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(tmp_path: Path, bad: float):
    samples = np.zeros((16000, 2), np.float32)
    samples[12345, 1] = bad
    assert "NaN or infinite" in read_error(save(tmp_path / "a.wav", samples, subtype="FLOAT"))


def test_missing_file_folder_and_empty_file(tmp_path: Path):
    assert "there is no file" in read_error(tmp_path / "nope.wav")
    assert "there is no file" in read_error(tmp_path / "a.wav" / "b.wav")
    assert "there is no file" in read_error(tmp_path / ("x" * 5000 + ".wav"))
    assert "there is no file" in read_error(tmp_path / "nul\0.wav")
    assert "there is no file" in read_error(tmp_path / "two\nlines.wav")
    assert "is a folder" in read_error(tmp_path)
    (tmp_path / "empty.wav").touch()
    assert "0 bytes" in read_error(tmp_path / "empty.wav")
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "gone.wav")
    assert "there is no file" in read_error(tmp_path / "dangling.wav")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.wav")
    assert "not an ordinary file" in read_error(tmp_path / "pipe.wav")


def test_a_file_without_permission_is_refused(tmp_path: Path):
    path = save(tmp_path / "a.wav", np.zeros(100))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert "may not be read" in read_error(path)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.raw", "a.m4a", "a", "два слова.wav"])
def test_text_is_not_sound_whatever_its_name(tmp_path: Path, name: str):
    (tmp_path / name).write_text("This is not a sound file.\n" * 50)
    message = read_error(tmp_path / name)
    assert "not a sound file" in message and "WAV, FLAC, OGG or MP3" in message


@pytest.mark.parametrize("part", [0.001, 0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.w64", "a.au", "a.caf"])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, name: str, part: float):
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (16000 * 3, 2))
    whole = save(tmp_path / name, noise).read_bytes()
    (tmp_path / name).write_bytes(whole[: max(1, int(len(whole) * part))])
    message = read_error(tmp_path / name)
    assert "damaged" in message or "no sound" in message


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3"])
def test_a_damaged_middle_is_refused(tmp_path: Path, name: str):
    generator = np.random.default_rng(2)
    content = bytearray(save(tmp_path / name, generator.uniform(-0.5, 0.5, (48000, 2))).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = generator.bytes(3000)
    (tmp_path / name).write_bytes(content)
    assert "damaged" in read_error(tmp_path / name)


def test_a_streamed_wav_without_real_sizes_is_read(tmp_path: Path):
    content = bytearray(save(tmp_path / "a.wav", tone().samples.T).read_bytes())
    data = content.index(b"data") + 4
    for claimed in (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000):
        struct.pack_into("<I", content, 4, claimed)
        struct.pack_into("<I", content, data, claimed)
        (tmp_path / "a.wav").write_bytes(content)
        assert read_audio(tmp_path / "a.wav").samples.shape == (1, 8000)


def test_a_wav_whose_header_counts_itself_is_read(tmp_path: Path):
    content = bytearray(save(tmp_path / "a.wav", tone().samples.T).read_bytes())
    struct.pack_into("<I", content, 4, len(content))
    (tmp_path / "a.wav").write_bytes(content)
    assert read_audio(tmp_path / "a.wav").samples.shape == (1, 8000)


@pytest.mark.parametrize("claimed,expected", [(0, "how long"), ((1 << 36) - 1, "damaged")])
def test_a_flac_with_a_false_length_takes_no_memory(tmp_path: Path, claimed: int, expected: str):
    content = bytearray(save(tmp_path / "a.flac", tone().samples.T).read_bytes())
    content[21] = content[21] & 0xF0 | claimed >> 32
    struct.pack_into(">I", content, 22, claimed & 0xFFFFFFFF)
    (tmp_path / "a.flac").write_bytes(content)
    assert expected in read_error(tmp_path / "a.flac")


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.au", "a.caf"])
def test_no_samples_is_refused(tmp_path: Path, name: str):
    assert "0 samples" in read_error(save(tmp_path / name, np.zeros((0, 1))))


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_length_limits_are_inclusive_and_told(tmp_path: Path, name: str):
    path = save(tmp_path / name, tone(1.0).samples.T)
    assert read_audio(path, min_seconds=1.0, max_seconds=1.0).seconds == 1.0
    message = read_error(path, max_seconds=0.75)
    assert "1.00 s long" in message and "at most 0.75 s" in message
    message = read_error(path, min_seconds=3)
    assert "1.00 s long" in message and "at least 3 s" in message


def test_three_hours_fail_at_once(tmp_path: Path):
    path, num_bytes = tmp_path / "long.wav", 3 * 3600 * 48000 * 2 * 2
    header = b"RIFF" + struct.pack("<I", num_bytes + 36) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 1, 2, 48000, 192000, 4, 16) + b"data" + struct.pack("<I", num_bytes)
    path.write_bytes(header)
    os.truncate(path, len(header) + num_bytes)  # sparse: takes no room on the disk
    started = time.perf_counter()
    message = read_error(path, max_seconds=30)
    assert "10800.00 s long" in message and "at most 30 s" in message
    assert time.perf_counter() - started < 1


# Writing


@pytest.mark.parametrize("name,atol", [("a.wav", 1 / 32767), ("a.FLAC", 1 / 32767), ("a.ogg", 0.1)])
@pytest.mark.parametrize("channels,rate", [(1, 16000), (2, 44100), (8, 8000)])
def test_written_sound_reads_back(tmp_path: Path, name: str, atol: float, channels: int, rate: int):
    audio = tone(0.5, rate, channels)
    write_audio(tmp_path / name, audio)
    again = read_audio(tmp_path / name)
    assert again.sample_rate == rate and again.samples.shape == audio.samples.shape
    np.testing.assert_allclose(again.samples, audio.samples, atol=atol)
    assert os.listdir(tmp_path) == [name]
    encoding = soundfile.info(tmp_path / name).subtype
    assert encoding == ("VORBIS" if name.endswith("ogg") else "PCM_16")


def test_values_are_clipped_not_wrapped(tmp_path: Path):
    samples = np.array([[1.0, -1.0, 1.5, -1.5, 40000.0, 0.0]], np.float32)
    write_audio(tmp_path / "a.wav", Audio(samples, 16000))
    codes = soundfile.read(tmp_path / "a.wav", dtype="int16")[0]
    assert codes.min() <= -32767 and codes.tolist() == [32767, codes[1], 32767, codes[1], 32767, 0]
    assert samples[0, 4] == 40000.0  # the caller's array is untouched


def test_encoded_bytes_are_the_file(tmp_path: Path):
    write_audio(tmp_path / "a.wav", tone())
    assert encode_audio(tone(), ".wav") == (tmp_path / "a.wav").read_bytes()
    assert encode_audio(tone(), ".flac") == encode_audio(tone(), ".flac")


@pytest.mark.parametrize("name", ["a.mp3", "a.txt", "a", "a.wav.bak", ".wav"])
def test_unsupported_extensions_name_the_supported(tmp_path: Path, name: str):
    assert ".wav, .flac, .ogg" in write_error(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_missing_wrong_and_impossible_targets(tmp_path: Path):
    assert "does not exist" in write_error(tmp_path / "nope" / "a.wav")
    (tmp_path / "file").write_text("x")
    assert "not a folder" in write_error(tmp_path / "file" / "a.wav")
    (tmp_path / "folder.wav").mkdir()
    assert "is a folder" in write_error(tmp_path / "folder.wav")
    assert "not a possible" in write_error(tmp_path / "nul\0.wav")
    write_error(tmp_path / ("x" * 300 + ".wav"))
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.wav"]


@pytest.mark.parametrize("folder", ["/proc", "/sys"])
def test_a_folder_that_takes_no_files_is_refused(folder: str):
    if not os.path.isdir(folder):
        pytest.skip(f"needs {folder}")
    assert f"'{folder}/a.wav'" in write_error(Path(folder) / "a.wav")


def test_read_only_folders_and_files_are_refused(tmp_path: Path):
    target = tmp_path / "a.wav"
    write_audio(target, tone())
    target.chmod(0o444)
    if os.access(target, os.W_OK):
        pytest.skip("this user may write everywhere")
    assert "may not be overwritten" in write_error(target)
    tmp_path.chmod(0o555)
    try:
        assert "cannot write" in write_error(tmp_path / "b.wav")
    finally:
        tmp_path.chmod(0o755)


def test_the_check_leaves_nothing_and_keeps_what_is_there(tmp_path: Path):
    check_writable(tmp_path / "a.wav")
    assert os.listdir(tmp_path) == []
    (tmp_path / "a.wav").write_bytes(b"precious")
    check_writable(tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == b"precious" and os.listdir(tmp_path) == ["a.wav"]


def test_relative_names_and_links_are_written_through(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_audio("a.wav", tone())
    (tmp_path / "store").mkdir()
    (tmp_path / "link.wav").symlink_to(tmp_path / "store" / "real.wav")
    write_audio("link.wav", tone())
    assert (tmp_path / "link.wav").is_symlink() and read_audio("store/real.wav").seconds == 0.5


def test_the_file_gets_ordinary_permissions(tmp_path: Path):
    write_audio(tmp_path / "a.wav", tone())
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.wav").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch, error: BaseException):
    target = tmp_path / "a.wav"
    write_audio(target, tone(0.1))
    old = target.read_bytes()

    def fail(*_):
        raise error

    monkeypatch.setattr("uniaudio.audio.io.os.replace", fail)
    with pytest.raises(InputError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        write_audio(target, tone(0.5))
    assert isinstance(error, KeyboardInterrupt) or "No space left on device" in str(caught.value)
    assert target.read_bytes() == old and os.listdir(tmp_path) == ["a.wav"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch):
    target, real_open = tmp_path / "a.wav", open
    check_writable(target)
    monkeypatch.setattr("uniaudio.audio.io.check_writable", lambda path: None)
    monkeypatch.setattr("builtins.open", lambda path, mode: real_open("/dev/full", "wb"))
    with pytest.raises(InputError, match="No space left on device"):
        write_audio(target, tone())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("samples", [np.zeros((1, 0)), np.array([[0.0, np.nan]]), np.array([[np.inf, 0.0]])])
def test_samples_that_are_no_sound_are_our_mistake(tmp_path: Path, samples: np.ndarray):
    with pytest.raises(ValueError, match="empty, NaN or infinite") as caught:
        write_audio(tmp_path / "a.wav", Audio(samples.astype(np.float32), 16000))
    assert not isinstance(caught.value, InputError) and os.listdir(tmp_path) == []


@pytest.mark.parametrize("extension", [".flac", ".ogg"])
@pytest.mark.parametrize("channels,rate", [(9, 16000), (300, 16000), (2, 700_000), (1, 2**31 - 1)])
def test_more_than_a_format_holds_is_refused(extension: str, channels: int, rate: int):
    with pytest.raises(InputError, match="write a .wav file"):
        encode_audio(Audio(np.zeros((channels, 100), np.float32), rate), extension)
    assert encode_audio(Audio(np.zeros((channels, 100), np.float32), rate), ".wav")


def test_more_than_wav_holds_is_refused():
    with pytest.raises(InputError, match="cannot encode 5000 channels"):
        encode_audio(Audio(np.zeros((5000, 10), np.float32), 16000), ".wav")
