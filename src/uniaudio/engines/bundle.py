"""A whole engine in one checkpoint folder: codec, language model, durations, semantic tokens, vocabulary."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from uniaudio import checkpoint, config, weights
from uniaudio.codec.model import Codec, CodecConfig
from uniaudio.engines.items import ItemReader
from uniaudio.engines.tokens import TokenEngine
from uniaudio.errors import InputError
from uniaudio.lm import orders
from uniaudio.lm.duration import DurationConfig, DurationPredictor
from uniaudio.lm.sampling import Sampling
from uniaudio.sequence.layout import Layout
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import SHIPPED, to_json
from uniaudio.tokenizers.semantic import SemanticTokenizer, make_features

FORMAT = "uniaudio-tokens-1"
_EXACT = ("codec.quantizer.", "semantic.")  # kept exactly (the encoder is rounded to bfloat16, which changes few codes)
_LEARNING = (".vector_sum", ".cluster_size")  # what codebooks need to learn further; a shipped engine does without
_INT8 = ("lm.", "codec.decoder.")  # their matrices; the encoder's stay in bfloat16, they decide which code is nearest
_SCALE = "::scale"
_NETWORK = "semantic.network."  # weights of the semantic features' own network, as they pack them


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
        return _build(loaded)
    except (KeyError, TypeError, OSError) as error:
        raise InputError(f"{folder} is incomplete or damaged ({error}); fetch the model again") from error


def _build(loaded: checkpoint.Checkpoint) -> TokenEngine:
    """Return the engine of a checkpoint; raises InputError, or what a missing or wrong entry leads to."""
    data, tensors = loaded.config, unpack(loaded.tensors)
    name, tasks, caption = data["name"], data["tasks"], data.get("caption")
    vocabulary = Vocabulary.from_json((loaded.folder / "vocabulary.json").read_text(encoding="utf-8"))
    codec_config = config.from_dict(CodecConfig, data["codec"])
    lm_config = orders.read_config(data["lm"])
    sampling = config.from_dict(Sampling, data["sampling"])
    task_sampling = {task: config.from_dict(Sampling, one) for task, one in data.get("task_sampling", {}).items()}
    if not isinstance(name, str) or not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
        raise TypeError("name must be a text and tasks a list of texts")
    if caption is not None and not isinstance(caption, str):
        raise TypeError("caption must be a text")
    _check_fit(vocabulary, codec_config, lm_config)
    with Unfilled():
        codec, lm, durations = Codec(codec_config), orders.build(lm_config), None
        parts: dict[str, nn.Module] = {"codec": codec, "lm": lm}
        if data["duration"] is not None:
            parts["duration"] = durations = DurationPredictor(config.from_dict(DurationConfig, data["duration"]))
    for prefix, module in parts.items():
        checkpoint.load_into(module, tensors, f"{prefix}.")
        module.eval().requires_grad_(False)
    semantic = read_semantic(data.get("semantic"), loaded.tensors, codec_config.frame_rate)
    if semantic is not None and semantic.num_ids > vocabulary.section("semantic").size:
        raise InputError("the semantic tokens do not fit their section of the vocabulary; fetch the model again")
    reader = ItemReader(codec, durations, semantic, caption)
    return TokenEngine(name, tuple(tasks), codec, lm, Layout(vocabulary), reader, sampling, task_sampling)


class Unfilled(TorchFunctionMode):
    """Inside, random weights are not drawn: those of the checkpoint replace them all, and drawing takes as long."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        return func(*args, **(kwargs or {}))


def _check_fit(vocabulary: Vocabulary, codec: CodecConfig, lm: orders.LMConfig) -> None:
    """Raise InputError unless vocabulary, codec and language model agree on their ids and codebooks."""
    codebooks = vocabulary.num_codebooks, vocabulary.codebook_size
    pairs = (
        ("codebooks of the codec", (codec.num_codebooks, codec.codebook_size), codebooks),
        ("codec ids", vocabulary.section("codec").size, codec.num_codebooks * codec.codebook_size + 1),
        ("slots of the language model", lm.num_slots, vocabulary.num_codebooks),
        ("ids of the language model", lm.num_ids, vocabulary.num_ids),
    )
    for what, found, needed in pairs:
        if found != needed:
            raise InputError(f"the parts of the model do not fit: {what} are {found}, not {needed}; fetch it again")


def save_engine(folder: Path, engine: TokenEngine, card: str) -> None:
    """Write an engine with its model card.

    The matrices of the language model and of the codec's decoder are stored as int8 with a scale per row, the other
    weights as bfloat16, codebooks and centroids exactly.
    """
    lm, reader = engine.lm, engine.reader
    assert isinstance(lm, orders.AnyLM), "an engine's language model is one of lm.orders"
    tensors = {f"codec.{k}": v for k, v in engine.codec.state_dict().items()}
    tensors |= {f"lm.{k}": v for k, v in lm.state_dict().items()}
    if reader.durations is not None:
        tensors |= {f"duration.{k}": v for k, v in reader.durations.state_dict().items()}
    tensors |= semantic_tensors(reader.semantic)
    data = {
        "format": FORMAT,
        "name": engine.name,
        "tasks": list(engine.tasks),
        "codec": asdict(engine.codec.config),
        "lm": asdict(lm.config),
        "duration": None if reader.durations is None else asdict(reader.durations.config),
        "semantic": None if reader.semantic is None else reader.semantic.features.settings(),
        "caption": reader.caption_model,
        "sampling": asdict(engine.sampling),
        "task_sampling": {task: asdict(one) for task, one in engine.task_sampling.items()},
    }
    extra = {"vocabulary.json": engine.layout.vocabulary.to_json(), "README.md": card}
    if own := [task for task in engine.tasks if task not in SHIPPED]:
        extra["tasks.json"] = to_json(own)  # for others who load the model: its user names this file
    checkpoint.save(folder, pack(tensors), data, extra=extra)


def pack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors in the precisions that `save_engine` promises."""
    packed: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name.endswith(_LEARNING):
            continue
        if not value.is_floating_point() or name.startswith(_EXACT):
            packed[name] = value.contiguous()
        elif name.startswith(_INT8) and value.ndim == 2:
            scale = value.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
            packed[name] = (value / scale).round().to(torch.int8)
            packed[name + _SCALE] = scale.float()
        else:
            packed[name] = value.to(torch.bfloat16)
    return packed


def unpack(packed: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what `pack` stored as float32, and codebooks that could learn on."""
    tensors: dict[str, Tensor] = {}
    for name, value in packed.items():
        if name.endswith(_SCALE):
            continue
        scale = packed.get(name + _SCALE)
        if scale is not None:
            tensors[name] = value.float() * scale
        else:
            tensors[name] = value.float() if value.is_floating_point() else value
        if name.startswith("codec.quantizer.") and name.endswith(".vectors"):
            book = name.removesuffix(".vectors")
            tensors |= {f"{book}.vector_sum": value.float(), f"{book}.cluster_size": torch.ones(len(value))}
    return tensors


def semantic_tensors(tokenizer: SemanticTokenizer | None) -> dict[str, Tensor]:
    """Return the tensors that `read_semantic` needs; none of no tokenizer."""
    if tokenizer is None:
        return {}
    tensors = {f"semantic.{name}": getattr(tokenizer, name) for name in ("centroids", "mean", "std")}
    return tensors | {f"{_NETWORK}{name}": value for name, value in tokenizer.features.tensors().items()}


def read_semantic(
    settings: dict[str, Any] | None, tensors: dict[str, Tensor], frame_rate: float
) -> SemanticTokenizer | None:
    """Return the semantic tokenizer of a checkpoint, packed as it is; None where the settings are None.

    Raises InputError for tensors that do not fit, KeyError for missing ones.
    """
    if settings is None:
        return None
    if not isinstance(settings, dict):
        raise TypeError("semantic must be an object")
    parts = {name: tensors[f"semantic.{name}"] for name in ("centroids", "mean", "std")}
    centroids, mean, std = parts.values()
    if centroids.ndim != 2 or not mean.shape == std.shape == centroids.shape[1:]:
        raise InputError("the semantic tensors of the model do not fit one another; fetch the model again")
    network = {name.removeprefix(_NETWORK): v for name, v in tensors.items() if name.startswith(_NETWORK)}
    return SemanticTokenizer(make_features(settings, network), frame_rate=frame_rate, **parts)
