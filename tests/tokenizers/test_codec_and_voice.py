"""Audio <-> codes, and the choice of the seconds that give the voice."""

import numpy as np
import pytest
import torch
from fake_codec import FakeCodec

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError
from uniaudio.tokenizers.codec import CodecTokenizer
from uniaudio.tokenizers.voice import VoiceTokenizer, speech_window


def sine(seconds: float, level: float = 0.5, sample_rate: int = 16000, channels: int = 1) -> Audio:
    wave = level * np.sin(2 * np.pi * 220 * np.arange(round(seconds * sample_rate)) / sample_rate)
    return Audio(np.tile(wave.astype(np.float32), (channels, 1)), sample_rate)


def test_codec_ids_are_frames_by_codebooks() -> None:
    tokenizer = CodecTokenizer(FakeCodec())
    item = tokenizer.encode(sine(1.01))
    assert item.ids is not None and item.ids.shape == (26, 3) and item.ids.dtype == torch.int64
    assert not item.ids.requires_grad
    assert item.ids[0].tolist() == [3, 5, 4]  # 0.5 / sqrt(2) = 0.354
    assert tokenizer.num_ids == 30


@pytest.mark.parametrize(("sample_rate", "channels"), [(8000, 1), (44100, 2), (48000, 6)])
def test_any_rate_and_channels(sample_rate: int, channels: int) -> None:
    item = CodecTokenizer(FakeCodec()).encode(sine(2.0, sample_rate=sample_rate, channels=channels))
    assert item.ids is not None and len(item) == 50
    assert item.ids[10].tolist() == [3, 5, 4]


def test_decode_then_encode_keeps_the_ids() -> None:
    tokenizer = CodecTokenizer(FakeCodec())
    ids = torch.randint(0, 10, (12, 3), generator=torch.Generator().manual_seed(0))
    audio = tokenizer.decode(ids)
    assert audio.sample_rate == 16000 and audio.samples.shape == (1, 12 * 640)
    again = tokenizer.encode(audio).ids
    assert again is not None and torch.equal(again, ids)


@pytest.mark.parametrize(
    "ids",
    [torch.zeros(0, 3), torch.zeros(4, 2), torch.zeros(4), torch.full((4, 3), 10), torch.full((4, 3), -1)],
)
def test_bad_codes_are_refused(ids: torch.Tensor) -> None:
    with pytest.raises(InputError, match="code"):
        CodecTokenizer(FakeCodec()).decode(ids.long())


@pytest.mark.parametrize(
    ("samples", "message"),
    [(np.zeros((1, 0), np.float32), "empty"), (np.full((1, 9000), np.nan, np.float32), "not numbers")],
)
def test_broken_samples_are_refused(samples: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CodecTokenizer(FakeCodec()).encode(Audio(samples, 16000))


def test_voice_takes_the_window_with_most_speech() -> None:
    quiet, speech = sine(4.0, 0.004).samples, sine(3.0, 0.4).samples
    audio = Audio(np.concatenate([quiet, speech, quiet], axis=1), 16000)
    audio.samples[0, 100:110] = 1.0  # a click is louder than the speech, but short
    item = VoiceTokenizer(FakeCodec(), seconds=3.0).encode(audio)
    levelled = speech * np.float32(0.06 / np.sqrt(np.mean(speech**2)))  # the voice is brought to a fixed level
    expected = CodecTokenizer(FakeCodec()).encode(Audio(levelled, 16000))
    assert item.ids is not None and expected.ids is not None
    assert (item.ids == expected.ids).float().mean() > 0.99


def test_voice_of_equal_windows_takes_the_first() -> None:
    samples = torch.ones(16000 * 10)
    samples[:640] = 0.5
    assert speech_window(samples, 48000, 640).data_ptr() == samples[640:].data_ptr()


@pytest.mark.parametrize(("seconds", "num_frames"), [(0.5, 13), (1.0, 25), (3.0, 75), (3.01, 75), (9.7, 75)])
def test_voice_lengths(seconds: float, num_frames: int) -> None:
    assert len(VoiceTokenizer(FakeCodec()).encode(sine(seconds))) == num_frames


def test_voice_refuses_short_and_silent_recordings() -> None:
    tokenizer = VoiceTokenizer(FakeCodec())
    with pytest.raises(InputError, match=r"lasts 0.40 s: give at least 0.5 s"):
        tokenizer.encode(sine(0.4))
    with pytest.raises(InputError, match="silent"):
        tokenizer.encode(sine(2.0, level=5e-4))


def test_the_level_of_a_recording_does_not_change_the_voice():
    class Listener(FakeCodec):
        def encode(self, samples: torch.Tensor) -> torch.Tensor:
            self.heard = samples
            return super().encode(samples)

    codec = Listener()
    speech = np.sin(np.linspace(0, 900, 16000))[None].astype(np.float32)
    heard = []
    for level in (0.02, 0.9):
        VoiceTokenizer(codec).encode(Audio(speech * np.float32(level), 16000))
        heard.append(codec.heard)
    assert torch.allclose(heard[0], heard[1], atol=1e-4)
    assert float(heard[0].square().mean().sqrt()) == pytest.approx(0.06, rel=0.05)
