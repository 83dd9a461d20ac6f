"""Crops for the codec: the same for a step, in range, varied as the config says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.corpora import small_corpora

from uniaudio.data.crops import IGNORED, CropConfig, Crops
from uniaudio.data.manifests import Row, read_manifest
from uniaudio.errors import InputError


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[list[Row]]:
    folder = small_corpora(tmp_path_factory.mktemp("corpora"))
    return [read_manifest(folder / kind, "train") for kind in ("speech", "sound")]


def crops(corpora: list[list[Row]], **settings: object) -> Crops:
    return Crops(corpora, 16000, 640, 16000, CropConfig(**settings))  # type: ignore[arg-type]


def test_a_step_has_its_crops(corpora: list[list[Row]]):
    samples, labels = crops(corpora).batch(16, 3, 5)
    assert samples.shape == (16, 1, 16000) and labels.shape == (16, 25)
    assert float(samples.abs().max()) <= 0.99 + 1e-6
    again = crops(corpora).batch(16, 3, 5)
    assert torch.equal(samples, again[0]) and torch.equal(labels, again[1])
    assert not torch.equal(samples, crops(corpora).batch(16, 3, 6)[0])
    assert (labels != IGNORED).any() and ((labels == IGNORED).all(dim=1)).any(), "speech has phones, sound has none"


def test_small_corpora_can_be_drawn_more_often(corpora: list[list[Row]]):
    speech = [row for row in corpora[0] for _ in range(30)]
    shares = {}
    for alpha in (1.0, 0.0):
        labels = crops([speech, corpora[1]], alpha=alpha).batch(400, 0, 0)[1]
        shares[alpha] = float((labels == IGNORED).all(dim=1).float().mean())
    assert shares[1.0] < 0.1 and 0.4 < shares[0.0] < 0.6


def test_mixed_crops_have_no_phones(corpora: list[list[Row]]):
    labels = crops(corpora[:1], mix_share=1.0).batch(8, 0, 0)[1]
    assert (labels == IGNORED).all()


def test_a_narrow_crop_has_nothing_above_its_band(corpora: list[list[Row]]):
    def high(samples: torch.Tensor) -> np.ndarray:
        power = np.abs(np.fft.rfft(samples[:, 0].numpy())) ** 2
        return power[:, 7000:].sum(axis=1) / power.sum(axis=1)

    assert (high(crops(corpora[1:]).batch(8, 0, 0)[0]) > 0.05).all(), "noise is wide"
    narrow = high(crops(corpora[1:], band_share=1.0).batch(8, 0, 0)[0])
    assert (narrow < 1e-4).all(), narrow


def test_only_short_recordings_are_refused():
    row = Row(id="a", audio=Path("a.wav"), split="train", seconds=0.3)
    with pytest.raises(InputError, match="no recording is 0.5 s"):
        Crops([[row]], 16000, 640, 16000)
