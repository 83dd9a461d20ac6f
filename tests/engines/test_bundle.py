"""A saved engine comes back: same tasks, same codes, same audio, and nothing is lost twice."""

from pathlib import Path

import pytest
import torch
from tests.requests import noise

from uniaudio import checkpoint
from uniaudio.engines import load
from uniaudio.engines.bundle import save_engine
from uniaudio.errors import InputError
from uniaudio.recipes.debug import debug_engine
from uniaudio.tokenizers.codec import CodecTokenizer
from uniaudio.tokenizers.semantic import MelFeatures, ProjectedFeatures, SemanticTokenizer

REQUEST = {"text": "The boat is red.", "speaker": noise(2.0)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "debug"
    save_engine(folder, debug_engine(), "# A card\n")
    return folder


def test_an_engine_comes_back(saved: Path):
    first, second = debug_engine(), load(str(saved))
    assert second.name == "debug" and second.tasks == first.tasks and second.sampling == first.sampling
    assert second.layout.vocabulary == first.layout.vocabulary
    assert not any(p.requires_grad for p in second.codec.parameters())
    for name, value in first.lm.state_dict().items():
        rounded = second.lm.state_dict()[name]
        step = value.abs().amax() / 127 if value.ndim == 2 else value.abs().amax() / 128
        assert (value - rounded).abs().max() <= step, name
    for one, two in zip(first.codec.quantizer.codebooks, second.codec.quantizer.codebooks, strict=True):
        assert torch.equal(one.get_buffer("vectors"), two.get_buffer("vectors"))
    assert second.generate("tts", REQUEST).seconds == first.generate("tts", REQUEST).seconds


def test_saving_a_loaded_engine_changes_nothing(saved: Path, tmp_path: Path):
    first = load(str(saved))
    save_engine(tmp_path / "again", first, "# A card\n")
    second = load(str(tmp_path / "again"))
    one, two = (engine.generate("tts", REQUEST).samples for engine in (first, second))
    assert (one == two).all()
    recording = noise(1.0, seed=4)
    codes = [CodecTokenizer(engine.codec).encode(recording).ids for engine in (first, second)]
    assert torch.equal(codes[0], codes[1])


def test_the_semantic_tokenizer_travels(saved: Path):
    first, second = debug_engine(), load(str(saved))
    assert first.reader.semantic is not None and second.reader.semantic is not None
    one, two = (e.reader.semantic.encode(noise(1.0)).ids for e in (first, second))  # type: ignore[union-attr]
    assert torch.equal(one, two)


def test_what_is_no_engine_is_refused(saved: Path, tmp_path: Path):
    with pytest.raises(InputError, match="unknown model 'nothing'"):
        load("nothing")
    checkpoint.save(tmp_path / "other", {"a": torch.zeros(1)}, {"format": "else"})
    with pytest.raises(InputError, match="is not an engine"):
        load(str(tmp_path / "other"))
    loaded = checkpoint.load(saved)
    tensors = dict(loaded.tensors)
    del tensors["lm.to_local.weight"]
    vocabulary = (saved / "vocabulary.json").read_text()
    checkpoint.save(tmp_path / "hole", tensors, loaded.config, extra={"vocabulary.json": vocabulary, "README.md": ""})
    with pytest.raises(InputError, match="to_local.weight"):
        load(str(tmp_path / "hole"))
    checkpoint.save(tmp_path / "no_words", loaded.tensors, loaded.config, extra={"README.md": ""})
    with pytest.raises(InputError, match="incomplete"):
        load(str(tmp_path / "no_words"))


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("name", None, "incomplete or damaged"),
        ("tasks", 3, "incomplete or damaged"),
        ("semantic", 3, "incomplete or damaged"),
        ("lm.num_slots", 2, "slots of the language model"),
        ("lm.num_ids", 7, "ids of the language model"),
        ("codec.codebook_size", 64, "codebooks of the codec"),
        ("codec.num_codebooks", 4, "codebooks of the codec"),
    ],
)
def test_parts_that_are_missing_wrong_or_do_not_fit_are_named(
    saved: Path, tmp_path: Path, entry: str, value: object, message: str
):
    loaded = checkpoint.load(saved)
    *path, key = entry.split(".")
    place = loaded.config[path[0]] if path else loaded.config
    if value is None:
        del place[key]
    else:
        place[key] = value
    extra = {"vocabulary.json": (saved / "vocabulary.json").read_text(), "README.md": ""}
    checkpoint.save(tmp_path / "odd", loaded.tensors, loaded.config, extra=extra)
    with pytest.raises(InputError, match=message):
        load(str(tmp_path / "odd"))


def test_semantic_features_bring_their_weights(tmp_path: Path):
    engine, recordings = debug_engine(), [noise(2.0, seed=seed) for seed in range(4)]
    features = ProjectedFeatures.fit(MelFeatures(), recordings, width=8)
    engine.reader.semantic = SemanticTokenizer.fit(features, recordings, num_ids=4)
    save_engine(tmp_path / "model", engine, "# A card\n")
    again = load(str(tmp_path / "model")).reader.semantic
    assert again is not None
    one, two = (tokenizer.encode(noise(1.0)).ids for tokenizer in (engine.reader.semantic, again))
    assert one is not None and two is not None and torch.equal(one, two)


def test_missing_semantic_tensors_are_named(saved: Path, tmp_path: Path):
    loaded = checkpoint.load(saved)
    tensors = {name: value for name, value in loaded.tensors.items() if name != "semantic.mean"}
    extra = {"vocabulary.json": (saved / "vocabulary.json").read_text(), "README.md": ""}
    checkpoint.save(tmp_path / "odd", tensors, loaded.config, extra=extra)
    with pytest.raises(InputError, match="semantic.mean"):
        load(str(tmp_path / "odd"))
