"""Spectra against numpy, and what mel filters and log-mel frames promise.

B batch, N samples, F frequency bins, M mel bands, T frames
"""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from uniaudio.audio.spectral import LogMel, hz_to_mel, mel_filterbank, mel_to_hz, stft

SAMPLE_RATE = 16000


def tone(hz: float, num_samples: int = 8000, level: float = 1.0) -> Tensor:
    """[1, N]"""
    return level * torch.sin(2 * math.pi * hz * torch.arange(num_samples) / SAMPLE_RATE)[None]


def numpy_stft(samples: np.ndarray, n_fft: int, hop: int, window: np.ndarray, center: bool) -> np.ndarray:
    """The definition: pad, cut, window, FFT; [B, N] -> [B, F, T]."""
    left = (n_fft - len(window)) // 2
    window = np.pad(window, (left, n_fft - len(window) - left))
    if center:
        samples = np.pad(samples, ((0, 0), (n_fft // 2, n_fft // 2)), mode="reflect")
    starts = range(0, samples.shape[1] - n_fft + 1, hop)
    frames = np.stack([samples[:, start : start + n_fft] * window for start in starts], axis=2)  # [B, n_fft, T]
    return np.fft.rfft(frames, axis=1)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(("n_fft", "hop", "win"), [(256, 64, 256), (400, 160, 320), (512, 300, 511)])
def test_stft_is_numpys(n_fft: int, hop: int, win: int, center: bool):
    samples = torch.randn(2, 2000, generator=torch.Generator().manual_seed(0))
    window = torch.hann_window(win)
    found = stft(samples, n_fft, hop, window, center=center)
    wanted = numpy_stft(samples.double().numpy(), n_fft, hop, window.double().numpy(), center)
    assert found.shape == wanted.shape and found.shape[1] == n_fft // 2 + 1
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-4)


def test_stft_is_float32_whatever_comes_in():
    samples, window = torch.randn(1, 1000), torch.hann_window(256)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(stft(samples, 256, 64, window), stft(samples, 256, 64, window.float()))
    assert stft(samples.bfloat16(), 256, 64, window.bfloat16()).dtype == torch.complex64


def test_mel_scale():
    hz = torch.tensor([0.0, 700.0, 1000.0, 8000.0], dtype=torch.float64)
    mel = hz_to_mel(hz)
    assert mel[0] == 0 and float(mel[2]) == pytest.approx(1000.0, abs=0.1)  # 1000 mel is 1000 Hz by definition
    assert float(mel[1]) == pytest.approx(2595 * math.log10(2))
    torch.testing.assert_close(mel_to_hz(mel), hz)


@pytest.mark.parametrize(("n_fft", "num_mels"), [(1024, 80), (1024, 100), (512, 32)])
def test_mel_filters_are_triangles_over_all_frequencies(n_fft: int, num_mels: int):
    filters = mel_filterbank(SAMPLE_RATE, n_fft, num_mels)
    assert filters.shape == (num_mels, n_fft // 2 + 1) and filters.dtype == torch.float32
    assert filters.min() == 0 and 0 < filters.max() <= 1
    centres = mel_to_hz(torch.linspace(0, float(hz_to_mel(torch.tensor(SAMPLE_RATE / 2))), num_mels + 2)[1:-1])
    width = SAMPLE_RATE / n_fft
    wide = filters.gt(0).sum(1) > 2  # where bins are dense enough for a peak to have a place
    assert wide.sum() > num_mels / 2
    peaks = filters.argmax(1) * width
    assert ((peaks - centres).abs() <= width)[wide].all()
    for row in filters:
        rising = row.diff()
        top = int(row.argmax())
        assert (rising[:top] >= 0).all() and (rising[top:] <= 0).all(), "one peak"
    # Neighbours hand over to each other: between the first and the last centre, the weights of a bin add up to one.
    bins = torch.arange(n_fft // 2 + 1) * width
    inside = (bins >= centres[0]) & (bins <= centres[-1])
    torch.testing.assert_close(filters.sum(0)[inside], torch.ones(int(inside.sum())))


def test_mel_filters_keep_to_their_limits():
    filters = mel_filterbank(SAMPLE_RATE, 1024, 20, f_min=300.0, f_max=4000.0)
    bins = torch.arange(513) * SAMPLE_RATE / 1024
    assert (filters[:, (bins <= 300) | (bins >= 4000)] == 0).all()
    assert (filters.sum(1) > 0).all()


@pytest.mark.parametrize("hz", [200.0, 1000.0, 3500.0, 7000.0])
def test_a_tone_lands_in_its_band(hz: float):
    num_mels = 40
    log_mel = LogMel(SAMPLE_RATE, 1024, 320, num_mels)(tone(hz))
    top = float(hz_to_mel(torch.tensor(SAMPLE_RATE / 2)))
    band = float(hz_to_mel(torch.tensor(hz))) / top * (num_mels + 1) - 1  # centres are 1 .. M steps up
    assert (log_mel[0, :, 2:-2].argmax(0) - band).abs().max() <= 1


@pytest.mark.parametrize(("n_fft", "hop"), [(1024, 320), (256, 80), (400, 160), (333, 100)])
def test_log_mel_has_a_frame_per_started_hop(n_fft: int, hop: int):
    log_mel = LogMel(SAMPLE_RATE, n_fft, hop, 20)
    for num_samples in (1, hop - 1, hop, hop + 1, 10 * hop, 10 * hop + 7):
        assert log_mel(torch.randn(2, num_samples)).shape == (2, 20, math.ceil(num_samples / hop))


@pytest.mark.parametrize("frame", [0, 3, 9])
def test_log_mel_frames_are_centred_on_their_hop(frame: int):
    hop = 320
    samples = torch.zeros(1, 10 * hop)
    samples[0, frame * hop + hop // 2] = 1.0  # the middle of the frame's own samples
    level = LogMel(SAMPLE_RATE, 1024, hop, 20)(samples)[0].mean(0)  # [T]
    assert int(level.argmax()) == frame
    if 0 < frame < 9:
        assert float(level[frame - 1]) == pytest.approx(float(level[frame + 1]), abs=1e-3)


def test_log_mel_follows_the_level_down_to_its_floor():
    log_mel = LogMel(SAMPLE_RATE, 1024, 320, 20, floor=1e-4)
    loud, quiet = log_mel(tone(1000, level=1.0))[0, :, 5].max(), log_mel(tone(1000, level=0.1))[0, :, 5].max()
    assert float(loud - quiet) == pytest.approx(math.log(10), abs=1e-4)
    silence = log_mel(torch.zeros(1, 3200))
    torch.testing.assert_close(silence, torch.full_like(silence, math.log(1e-4)))


def test_log_mel_is_the_same_alone_and_in_a_batch():
    log_mel = LogMel(SAMPLE_RATE, 512, 160, 20)
    samples = torch.randn(3, 2000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(log_mel(samples)[1:2], log_mel(samples[1:2]))


def test_log_mel_stores_nothing_and_passes_gradients():
    log_mel = LogMel(SAMPLE_RATE, 512, 160, 20)
    assert not log_mel.state_dict()
    samples = tone(500, 1600).requires_grad_()
    log_mel(samples).sum().backward()
    assert samples.grad is not None and samples.grad.isfinite().all() and samples.grad.abs().max() > 0
