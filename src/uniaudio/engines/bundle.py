"""A whole engine in one checkpoint folder: codec, language model, durations, semantic tokens, vocabulary."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uniaudio import checkpoint, config, weights
from uniaudio.codec.model import Codec, CodecConfig
from uniaudio.engines.items import ItemReader
from uniaudio.engines.tokens import TokenEngine
from uniaudio.errors import InputError
from uniaudio.lm.duration import DurationConfig, DurationPredictor
from uniaudio.lm.multiscale import MultiScaleConfig, MultiScaleLM
from uniaudio.lm.sampling import Sampling
from uniaudio.sequence.layout import Layout
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tokenizers.semantic import SemanticTokenizer, make_features

FORMAT = "uniaudio-tokens-1"
_EXACT = ("codec.quantizer.", "semantic.")  # kept in float32: rounding them would change the codes
_LEARNING = (".vector_sum", ".cluster_size")  # what codebooks need to learn further; a shipped engine does without
_SCALE = "::scale"


def load_engine(name_or_folder: str) -> TokenEngine:
    """Return the engine of a shipped model or a folder, in float32, in evaluation mode.

    Raises InputError for an unknown name, a folder of another format, and everything `checkpoint.load` refuses.
    """
    folder = weights.find(name_or_folder)
    loaded = checkpoint.load(folder)
    data = loaded.config
    if data.get("format") != FORMAT:
        raise InputError(f"{folder} is not an engine (format {data.get('format')!r}, need {FORMAT!r})")
    try:
        vocabulary = Vocabulary.from_json((loaded.folder / "vocabulary.json").read_text(encoding="utf-8"))
        codec = Codec(config.from_dict(CodecConfig, data["codec"]))
        lm = MultiScaleLM(config.from_dict(MultiScaleConfig, data["lm"]))
        durations = (
            None if data["duration"] is None else DurationPredictor(config.from_dict(DurationConfig, data["duration"]))
        )
        sampling = config.from_dict(Sampling, data["sampling"])
    except (KeyError, OSError) as error:
        raise InputError(f"{folder} is incomplete ({error}); fetch the model again") from error
    parts: dict[str, nn.Module] = {"codec": codec, "lm": lm}
    if durations is not None:
        parts["duration"] = durations
    tensors = _unpack(loaded.tensors)
    for name, vectors in list(tensors.items()):
        if name.startswith("codec.quantizer.") and name.endswith(".vectors"):
            book = name.removesuffix(".vectors")
            tensors |= {f"{book}.vector_sum": vectors.clone(), f"{book}.cluster_size": torch.ones(len(vectors))}
    for prefix, module in parts.items():
        checkpoint.load_into(module, tensors, f"{prefix}.")
        module.eval().requires_grad_(False)
    semantic = _semantic(data.get("semantic"), loaded.tensors, codec.config.frame_rate)
    reader = ItemReader(codec, durations, semantic, data.get("caption"))
    return TokenEngine(data["name"], tuple(data["tasks"]), codec, lm, Layout(vocabulary), reader, sampling)


def save_engine(folder: Path, engine: TokenEngine, card: str) -> None:
    """Write an engine with its model card.

    The language model's matrices are stored as int8 with a scale per row, the codec's weights as bfloat16, codebooks
    and centroids exactly.
    """
    lm, reader = engine.lm, engine.reader
    assert isinstance(lm, MultiScaleLM), "only the multi-scale model is shipped as an engine"
    tensors = {f"codec.{k}": v for k, v in engine.codec.state_dict().items()}
    tensors |= {f"lm.{k}": v for k, v in lm.state_dict().items()}
    if reader.durations is not None:
        tensors |= {f"duration.{k}": v for k, v in reader.durations.state_dict().items()}
    semantic: dict[str, Any] | None = None
    if reader.semantic is not None:
        tokenizer = reader.semantic
        semantic = tokenizer.features.settings()
        tensors |= {f"semantic.{k}": getattr(tokenizer, k) for k in ("centroids", "mean", "std")}
    data = {
        "format": FORMAT,
        "name": engine.name,
        "tasks": list(engine.tasks),
        "codec": asdict(engine.codec.config),
        "lm": asdict(lm.config),
        "duration": None if reader.durations is None else asdict(reader.durations.config),
        "semantic": semantic,
        "caption": reader.caption_model,
        "sampling": asdict(engine.sampling),
    }
    extra = {"vocabulary.json": engine.layout.vocabulary.to_json(), "README.md": card}
    checkpoint.save(folder, _pack(tensors), data, extra=extra)


def _pack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors in the precisions that `save_engine` promises."""
    packed: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name.endswith(_LEARNING):
            continue
        if not value.is_floating_point() or name.startswith(_EXACT):
            packed[name] = value.contiguous()
        elif name.startswith("lm.") and value.ndim == 2:
            scale = value.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
            packed[name] = (value / scale).round().to(torch.int8)
            packed[name + _SCALE] = scale.float()
        else:
            packed[name] = value.to(torch.bfloat16)
    return packed


def _unpack(packed: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what `_pack` stored as float32."""
    tensors: dict[str, Tensor] = {}
    for name, value in packed.items():
        if name.endswith(_SCALE):
            continue
        scale = packed.get(name + _SCALE)
        if scale is not None:
            tensors[name] = value.float() * scale
        else:
            tensors[name] = value.float() if value.is_floating_point() else value
    return tensors


def _semantic(
    settings: dict[str, Any] | None, tensors: dict[str, Tensor], frame_rate: float
) -> SemanticTokenizer | None:
    if settings is None:
        return None
    parts = {name: tensors[f"semantic.{name}"] for name in ("centroids", "mean", "std")}
    return SemanticTokenizer(make_features(settings), frame_rate=frame_rate, **parts)
