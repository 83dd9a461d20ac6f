"""The two mel front ends of AudioLDM 2: against their formulae, written out once more, and public implementations."""

import math

import numpy as np
import pytest
import torch

from uniaudio.audio.filterbanks import KaldiFbank, TacotronMel, slaney_filterbank


def _noise(count: int) -> torch.Tensor:
    return 0.1 * torch.randn(2, count, generator=torch.Generator().manual_seed(0))


def test_slaney_filters_are_those_of_transformers() -> None:
    audio_utils = pytest.importorskip("transformers.audio_utils")
    wanted = audio_utils.mel_filter_bank(513, 64, 0.0, 8000.0, 16000, norm="slaney", mel_scale="slaney")
    assert np.allclose(slaney_filterbank(16000, 1024, 64, 0.0, 8000.0).numpy(), wanted.T, atol=1e-7)


def test_a_frame_per_started_hop() -> None:
    mel = TacotronMel()
    assert [mel(torch.zeros(1, count)).shape[1] for count in (1, 160, 161, 81920)] == [1, 1, 2, 512]
    assert mel(torch.zeros(1, 1600)).max() == pytest.approx(math.log(1e-5))


def test_a_tone_is_loudest_in_its_band() -> None:
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)[None]
    centres = torch.linspace(0, 8000, 513)[slaney_filterbank(16000, 1024, 64, 0.0, 8000.0).argmax(1)]
    band = int(TacotronMel()(tone)[0, 50].argmax())
    assert abs(float(centres[band]) - 1000) < 60


def test_kaldi_filterbank_is_that_of_transformers() -> None:
    audio_utils = pytest.importorskip("transformers.audio_utils")
    filters = audio_utils.mel_filter_bank(
        257, 128, 20, 8000, 16000, norm=None, mel_scale="kaldi", triangularize_in_mel_space=True
    )
    samples = _noise(4000)
    centred = (samples - samples.mean(1, keepdim=True)).double().numpy()
    wanted = [
        audio_utils.spectrogram(
            one,
            audio_utils.window_function(400, "hann", periodic=False),
            frame_length=400,
            hop_length=160,
            fft_length=512,
            power=2.0,
            center=False,
            preemphasis=0.97,
            mel_filters=filters,
            log_mel="log",
            mel_floor=1.192092955078125e-07,
            remove_dc_offset=True,
        ).T
        for one in centred
    ]
    found = KaldiFbank()(samples)
    assert found.shape == (2, 1 + (4000 - 400) // 160, 128)
    assert np.allclose(found.numpy(), np.stack(wanted), atol=2e-3)


def test_silence_is_the_floor_of_kaldi() -> None:
    assert torch.allclose(KaldiFbank()(torch.zeros(1, 800)), torch.tensor(math.log(1.192092955078125e-07)))
