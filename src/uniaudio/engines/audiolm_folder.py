"""AudioLM in one checkpoint folder: codec, semantic tokens, vocabulary, and a language model per stage."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from uniaudio import checkpoint, config, weights
from uniaudio.codec.model import Codec, CodecConfig
from uniaudio.engines.audiolm import AudioLMEngine, StageConfig
from uniaudio.engines.bundle import pack, read_semantic, semantic_tensors, unpack
from uniaudio.errors import InputError
from uniaudio.lm import orders
from uniaudio.sequence.stages import Stages
from uniaudio.sequence.vocabulary import Vocabulary

FORMAT = "uniaudio-audiolm-1"


def save_audiolm(folder: Path, engine: AudioLMEngine, card: str) -> None:
    """Write an engine with its model card, in the precisions of `bundle.save_engine`."""
    modules: dict[str, Any] = {f"lm.{stage}": model for stage, model in engine.models.items()}
    modules["codec"] = engine.codec
    tensors = {f"{prefix}.{k}": v for prefix, module in modules.items() for k, v in module.state_dict().items()}
    stages: dict[str, Any] = {
        stage: {"lm": asdict(modules[f"lm.{stage}"].config), **asdict(engine.configs[stage])} for stage in engine.models
    }
    data = {
        "format": FORMAT,
        "name": engine.name,
        "tasks": list(engine.tasks),
        "codec": asdict(engine.codec.config),
        "semantic": engine.semantic.features.settings(),
        "stages": stages,
        "num_coarse": engine.stages.num_coarse,
        "dedup": engine.stages.dedup,
        "mean_run": engine.mean_run,
    }
    extra = {"vocabulary.json": engine.stages.vocabulary.to_json(), "README.md": card}
    checkpoint.save(folder, pack(tensors | semantic_tensors(engine.semantic)), data, extra=extra)


def load_audiolm(name_or_folder: str) -> AudioLMEngine:
    """Return the AudioLM engine of a shipped model or a folder, in float32, in evaluation mode.

    Raises InputError for an unknown name, a folder of another format, and everything `checkpoint.load` refuses.
    """
    folder = weights.find(name_or_folder)
    loaded = checkpoint.load(folder)
    if loaded.config.get("format") != FORMAT:
        raise InputError(f"{folder} is no AudioLM model (format {loaded.config.get('format')!r}, need {FORMAT!r})")
    try:
        return _build(loaded)
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise InputError(f"{folder} is incomplete or damaged ({error}); fetch the model again") from error


def _build(loaded: checkpoint.Checkpoint) -> AudioLMEngine:
    data, tensors = loaded.config, unpack(loaded.tensors)
    vocabulary = Vocabulary.from_json((loaded.folder / "vocabulary.json").read_text(encoding="utf-8"))
    codec = Codec(config.from_dict(CodecConfig, data["codec"]))
    semantic = read_semantic(data["semantic"], loaded.tensors, codec.config.frame_rate)
    if semantic is None:
        raise InputError(f"{loaded.folder} has no semantic tokens, which AudioLM needs; fetch the model again")
    stages = Stages(vocabulary, data["num_coarse"], semantic.num_ids, bool(data["dedup"]))
    if set(data["stages"]) != {"semantic", *stages.layouts}:
        raise InputError(f"{loaded.folder} has the stages {', '.join(data['stages'])}; fetch the model again")
    models, configs, modules = {}, {}, {"codec": codec}
    for stage, described in data["stages"].items():
        sizes = orders.read_config(described["lm"])
        slots = stages.layouts[stage].num_slots
        if (sizes.num_slots, sizes.num_ids) != (slots, vocabulary.num_ids):
            raise InputError(f"the {stage} stage of {loaded.folder} does not fit its vocabulary; fetch the model again")
        models[stage] = orders.build(sizes)
        modules[f"lm.{stage}"] = models[stage]
        configs[stage] = config.from_dict(StageConfig, {k: v for k, v in described.items() if k != "lm"})
    for prefix, module in modules.items():
        checkpoint.load_into(module, tensors, f"{prefix}.")
        assert isinstance(module, nn.Module)
        module.eval().requires_grad_(False)
    return AudioLMEngine(str(data["name"]), codec, semantic, stages, models, configs, float(data["mean_run"]))
