"""The tokenizers of a model that does not generate: a codec, and the semantic tokens beside it, in one folder."""

import json
from dataclasses import asdict
from pathlib import Path

from uniaudio import checkpoint, config, weights
from uniaudio.codec.model import Codec, CodecConfig
from uniaudio.engines.bundle import pack, read_semantic, semantic_tensors, unpack
from uniaudio.errors import InputError
from uniaudio.tokenizers.semantic import SemanticTokenizer

FORMAT = "uniaudio-codec-1"


def holds_tokenizers(folder: Path) -> bool:
    """Is this the folder of a codec without a language model? A damaged one is not."""
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False


def save_tokenizers(folder: Path, name: str, codec: Codec, semantic: SemanticTokenizer | None, card: str) -> None:
    """Write a codec and perhaps semantic tokens, in the precisions of `save_engine`."""
    tensors = {f"codec.{k}": v for k, v in codec.state_dict().items()} | semantic_tensors(semantic)
    data = {
        "format": FORMAT,
        "name": name,
        "tasks": [],  # it generates nothing by itself
        "codec": asdict(codec.config),
        "semantic": None if semantic is None else semantic.features.settings(),
    }
    checkpoint.save(folder, pack(tensors), data, extra={"README.md": card})


def load_tokenizers(name_or_folder: str) -> tuple[Codec, SemanticTokenizer | None]:
    """Return the codec, in float32 and evaluation mode, and the semantic tokens of a folder or a shipped model.

    Raises InputError for an unknown name, a folder of another format, and everything `checkpoint.load` refuses.
    """
    folder = weights.find(name_or_folder)
    loaded = checkpoint.load(folder)
    if loaded.config.get("format") != FORMAT:
        raise InputError(f"{folder} holds no codec (format {loaded.config.get('format')!r}, need {FORMAT!r})")
    try:
        codec = Codec(config.from_dict(CodecConfig, loaded.config["codec"]))
        checkpoint.load_into(codec, unpack(loaded.tensors), "codec.")
        semantic = read_semantic(loaded.config["semantic"], loaded.tensors, codec.config.frame_rate)
    except (KeyError, TypeError, OSError) as error:
        raise InputError(f"{folder} is incomplete or damaged ({error}); fetch the model again") from error
    return codec.eval().requires_grad_(False), semantic


def weights_hash(model: str) -> str:
    """Return the SHA-256 of the weights of a shipped model or a folder, as the folder states it."""
    return json.loads((weights.find(model) / checkpoint.HASHES).read_text(encoding="utf-8"))[checkpoint.MODEL]
