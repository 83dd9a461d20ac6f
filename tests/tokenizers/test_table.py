"""The modality table: every modality of every task has a tokenizer of that name, and items are one kind of frame."""

import pytest
import torch

from uniaudio.tasks import MODALITIES
from uniaudio.tokenizers import TOKENIZERS, tokenizer_class
from uniaudio.tokenizers.base import Item, count_frames


def test_every_modality_has_a_tokenizer() -> None:
    assert set(TOKENIZERS) == set(MODALITIES)


@pytest.mark.parametrize("modality", TOKENIZERS)
def test_class_is_of_its_modality(modality: str) -> None:
    cls = tokenizer_class(modality)
    assert cls.name == modality
    assert callable(cls.encode)


def test_item_is_ids_or_vectors() -> None:
    assert len(Item(ids=torch.zeros(4, 1, dtype=torch.int64))) == 4
    assert len(Item(vectors=torch.zeros(3, 8))) == 3
    for wrong in ({}, {"ids": torch.zeros(1, 1), "vectors": torch.zeros(1, 1)}, {"ids": torch.zeros(4)}):
        with pytest.raises(AssertionError):
            Item(**wrong)


@pytest.mark.parametrize(("seconds", "frames"), [(0.0, 0), (0.04, 1), (0.0401, 2), (0.28, 7), (2.2, 55), (59.96, 1499)])
def test_count_frames_forgives_floating_point(seconds: float, frames: int) -> None:
    assert count_frames(seconds, 25.0) == frames
