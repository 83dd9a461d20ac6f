"""AudioLM in one checkpoint folder: codec, semantic tokens, vocabulary, and a language model per stage.

V ids of the vocabulary, R of them that a stage uses
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uniaudio import checkpoint, config, weights
from uniaudio.codec.model import Codec, CodecConfig
from uniaudio.engines.audiolm import AudioLMEngine, StageConfig
from uniaudio.engines.bundle import pack, read_semantic, semantic_tensors, unpack
from uniaudio.engines.tokenizers import load_tokenizers, weights_hash
from uniaudio.errors import InputError
from uniaudio.lm import orders
from uniaudio.sequence.stages import Stage, Stages
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tokenizers.semantic import SemanticTokenizer

FORMAT = "uniaudio-audiolm-2"
_AGAIN = "fetch the model again"


def save_audiolm(folder: Path, engine: AudioLMEngine, card: str, shared: str | None = None) -> None:
    """Write an engine with its model card, in the precisions of `bundle.save_engine`.

    With `shared`, a model that holds this engine's codec, the folder names it, with the hash of its weights, and holds
    no codec of its own; nor semantic tokens, where they are that model's. The tables of ids are stored without the rows
    of ids that a stage never sees. Raises InputError for a `shared` model with another codec.
    """
    modules: dict[str, Any] = {f"lm.{stage}": model for stage, model in engine.models.items()}
    semantic: SemanticTokenizer | None = engine.semantic
    if shared is None:
        modules["codec"] = engine.codec
    else:
        codec, tokens = load_tokenizers(shared)
        if not _same(codec.cut(engine.codec.config.num_codebooks), engine.codec):
            raise InputError(f"{shared} has another codec than {engine.name}: name the one that it was made with")
        if tokens is not None and torch.equal(tokens.centroids, engine.semantic.centroids):
            semantic = None
    tensors = {f"{prefix}.{k}": v for prefix, module in modules.items() for k, v in module.state_dict().items()}
    for stage in engine.models:
        rows = used_ids(engine.stages, stage)
        own = [name for name in tensors if name.startswith(f"lm.{stage}.") and _is_table(tensors[name], engine.stages)]
        tensors |= {name: tensors[name][rows] for name in own}
    stages: dict[str, Any] = {
        stage: {"lm": asdict(modules[f"lm.{stage}"].config), **asdict(engine.configs[stage])} for stage in engine.models
    }
    data = {
        "format": FORMAT,
        "name": engine.name,
        "tasks": list(engine.tasks),
        "shared": None if shared is None else {"name": shared, "sha256": weights_hash(shared)},
        "codec": asdict(engine.codec.config),
        "semantic": None if semantic is None else semantic.features.settings(),
        "stages": stages,
        "num_coarse": engine.stages.num_coarse,
        "dedup": engine.stages.dedup,
        "mean_run": engine.mean_run,
    }
    extra = {"vocabulary.json": engine.stages.vocabulary.to_json(), "README.md": card}
    checkpoint.save(folder, pack(tensors | semantic_tensors(semantic)), data, extra=extra)


def load_audiolm(name_or_folder: str) -> AudioLMEngine:
    """Return the AudioLM engine of a shipped model or a folder, in float32, in evaluation mode.

    Raises InputError for an unknown name, a folder of another format, and everything `checkpoint.load` refuses.
    """
    loaded = _checked(name_or_folder)
    try:
        return _build(loaded)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError, OSError) as error:
        raise InputError(f"{loaded.folder} is incomplete or damaged ({error}); {_AGAIN}") from error


def load_codec_of(name_or_folder: str) -> Codec:
    """Return the codec of an AudioLM model alone, in evaluation mode; raises InputError as `load_audiolm` does."""
    loaded = _checked(name_or_folder)
    try:
        return _tokenizers(loaded, unpack(loaded.tensors))[0].eval().requires_grad_(False)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise InputError(f"{loaded.folder} is incomplete or damaged ({error}); {_AGAIN}") from error


def _checked(name_or_folder: str) -> checkpoint.Checkpoint:
    """Read a folder; raises InputError for one of another format."""
    folder = weights.find(name_or_folder)
    loaded = checkpoint.load(folder)
    if loaded.config.get("format") != FORMAT:
        raise InputError(f"{folder} is no AudioLM model (format {loaded.config.get('format')!r}, need {FORMAT!r})")
    return loaded


def used_ids(stages: Stages, stage: Stage) -> Tensor:
    """Return the ids [R] that the sequences of a stage can hold: marks, hidden cells, its tokens and codes."""
    vocabulary, spans = stages.vocabulary, []
    marks, codes, semantic = (vocabulary.section(name) for name in ("marks", "codec", "semantic"))
    spans.append(range(marks.start, marks.start + marks.size))
    spans.append(range(codes.start, codes.start + codes.size) if stage != "semantic" else [vocabulary.fill])
    spans.append(range(semantic.start, semantic.start + stages.num_semantic) if stage != "fine" else [])
    return torch.tensor([one for span in spans for one in span])


def _is_table(value: Tensor, stages: Stages) -> bool:
    return value.ndim == 2 and value.shape[0] == stages.vocabulary.num_ids


def _same(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def _tokenizers(loaded: checkpoint.Checkpoint, tensors: dict[str, Tensor]) -> tuple[Codec, SemanticTokenizer | None]:
    """Return the codec and the semantic tokens of a folder, or of the model that it shares them with."""
    data, codec_config = loaded.config, config.from_dict(CodecConfig, loaded.config["codec"])
    semantic = read_semantic(data["semantic"], loaded.tensors, codec_config.frame_rate)
    if data["shared"] is None:
        codec = Codec(codec_config)
        checkpoint.load_into(codec, tensors, "codec.")
        return codec, semantic
    name = data["shared"]["name"]
    codec, tokens = load_tokenizers(name)
    if weights_hash(name) != data["shared"]["sha256"]:
        raise InputError(f"{loaded.folder} was made with another version of {name}; fetch both again")
    return codec.cut(codec_config.num_codebooks), semantic or tokens


def _build(loaded: checkpoint.Checkpoint) -> AudioLMEngine:
    data, tensors = loaded.config, unpack(loaded.tensors)
    vocabulary = Vocabulary.from_json((loaded.folder / "vocabulary.json").read_text(encoding="utf-8"))
    codec, semantic = _tokenizers(loaded, tensors)
    if semantic is None:
        raise InputError(f"{loaded.folder} has no semantic tokens, which AudioLM needs; {_AGAIN}")
    stages = Stages(vocabulary, data["num_coarse"], semantic.num_ids, bool(data["dedup"]))
    if set(data["stages"]) != {"semantic", *stages.layouts}:
        raise InputError(f"{loaded.folder} has the stages {', '.join(data['stages'])}; {_AGAIN}")
    models, configs = {}, {}
    for stage, described in data["stages"].items():
        sizes = orders.read_config(described["lm"])
        slots = stages.layouts[stage].num_slots
        if (sizes.num_slots, sizes.num_ids) != (slots, vocabulary.num_ids):
            raise InputError(f"the {stage} stage of {loaded.folder} does not fit its vocabulary; {_AGAIN}")
        models[stage] = orders.build(sizes)
        own = {k.removeprefix(f"lm.{stage}."): v for k, v in tensors.items() if k.startswith(f"lm.{stage}.")}
        for name, whole in models[stage].state_dict().items():
            if _is_table(whole, stages):
                own[name] = torch.zeros_like(whole).index_copy(0, used_ids(stages, stage), own[name])
        checkpoint.load_into(models[stage], own)
        configs[stage] = config.from_dict(StageConfig, {k: v for k, v in described.items() if k != "lm"})
    for module in (codec, *models.values()):
        module.eval().requires_grad_(False)
    return AudioLMEngine(str(data["name"]), codec, semantic, stages, models, configs, float(data["mean_run"]))
