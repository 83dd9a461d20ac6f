"""A latent diffusion model in an evaluation: its ceiling, its settings, and the table of the ablations."""

from pathlib import Path

import pytest
import torch
from tests.engines.latent import tiny_engine

from uniaudio.audio.io import Audio
from uniaudio.data.examples import Example
from uniaudio.errors import InputError
from uniaudio.evaluate.cases import Case
from uniaudio.evaluate.columns import codec_column, model_column
from uniaudio.evaluate.run import _codec, _same_settings
from uniaudio.recipes.audioldm2_ablation import rows, true_language, varied


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    found = []
    for index in range(2):
        samples = 0.1 * torch.randn(1, 9600, generator=torch.Generator().manual_seed(index))
        path = tmp_path / f"{index}.wav"
        Audio(samples.numpy(), 16000).write(path)
        example = Example(
            id=f"text_to_sound-{index}",
            task="text_to_sound",
            split="test",
            seconds=0.6,
            target=_cut(path, 9600),
            given={"caption": "a dog"},
            labels={"classes": ["dog"]},
        )
        found.append(Case(example, {}))
    return found


def _cut(path: Path, count: int) -> dict:
    source = {"type": "file", "channels": [0], "source": str(path)}
    recording = {
        "id": path.stem,
        "sources": [source],
        "sampling_rate": 16000,
        "num_samples": count,
        "duration": count / 16000,
        "channel_ids": [0],
    }
    cut = {"id": path.stem, "start": 0.0, "duration": count / 16000, "channel": 0, "supervisions": []}
    return {**cut, "recording": recording, "type": "MonoCut"}


def test_columns_of_a_latent_model(cases: list[Case], tmp_path: Path) -> None:
    engine = tiny_engine()
    ceiling, made = codec_column(cases, tmp_path, engine), model_column(cases, tmp_path, engine, 0)
    assert "vocoder" in ceiling.about
    for column in (ceiling, made):
        assert column.clips.keys() == {case.id for case in cases} and not column.missing
    with pytest.raises(InputError, match="no codec"):
        _codec(engine)


def test_clips_of_other_weights_are_not_kept(cases: list[Case], tmp_path: Path) -> None:
    engine = tiny_engine()
    assert len(engine.networks()) == 7
    _same_settings(tmp_path / "settings.json", engine, cases, 0)
    _same_settings(tmp_path / "settings.json", tiny_engine(), cases, 0)
    with torch.no_grad():
        next(engine.model.denoiser.parameters()).add_(1)
    with pytest.raises(InputError, match="another model"):
        _same_settings(tmp_path / "settings.json", engine, cases, 0)


def test_what_is_made_of_the_reference(cases: list[Case]) -> None:
    engine = tiny_engine()
    for make in (true_language, varied):
        first, again, other = (make(engine, seed, cases[0]) for seed in (0, 0, 1))
        assert first.samples.shape == (1, 9600)
        assert (first.samples == again.samples).all() and (first.samples != other.samples).any()


def test_the_table_has_a_row_for_each_column() -> None:
    figures = {"class_accuracy": {"mean": 0.5}, "frechet_distance": "no clip", "mel_distance": {"mean": 1}}
    lines = rows({"text_to_sound": {"codec": figures}})
    assert lines[-1] == "| text_to_sound | codec | 0.500 | - | 1.000 |"
