"""What a training run holds, and the language model of a run or of a model folder: read by `ship` and `finetune`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from uniaudio import checkpoint, config
from uniaudio.engines.bundle import load_engine
from uniaudio.errors import InputError
from uniaudio.lm import lora, orders
from uniaudio.sequence.vocabulary import Vocabulary

FRAME_RATE = 25.0  # of every codec of ours; a run does not say it


@dataclass(frozen=True, eq=False)
class TrainedLM:
    """A language model with the vocabulary of its ids and the tasks that it knows (none: its run does not say)."""

    lm: orders.AnyLM
    vocabulary: Vocabulary
    tasks: tuple[str, ...]
    frame_rate: float = FRAME_RATE


def averaged(run: Path) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """Return the description and the averaged weights (buffers as they are) of a training run.

    Raises InputError for a folder that is none.
    """
    loaded = checkpoint.load(run / "checkpoint")
    if "objective" not in loaded.config:
        raise InputError(f"{run} is not a training run")
    tensors = {k.removeprefix("model."): v for k, v in loaded.tensors.items() if k.startswith("model.")}
    tensors |= {k.removeprefix("ema."): v for k, v in loaded.tensors.items() if k.startswith("ema.")}
    return loaded.config["objective"], tensors


def read_lm(name_or_folder: str | Path) -> TrainedLM:
    """Return the language model of a run, adapters merged, or of a model; raises InputError for neither."""
    if not (Path(name_or_folder) / "checkpoint").is_dir():
        engine = load_engine(str(name_or_folder))
        assert isinstance(engine.lm, orders.AnyLM)
        return TrainedLM(engine.lm, engine.layout.vocabulary, engine.tasks, engine.codec.config.frame_rate)
    described, tensors = averaged(Path(name_or_folder))
    if "lm" not in described:
        raise InputError(f"{name_or_folder} is no run of a language model: give one of those")
    lm = orders.build(orders.read_config(described["lm"]))
    tuned = described.get("finetune")
    if tuned is None:
        checkpoint.load_into(lm, tensors)
        return TrainedLM(lm, _standard_vocabulary(lm), ())
    vocabulary = Vocabulary.from_json(json.dumps(tuned["vocabulary"]))
    adapter = config.from_dict(lora.LoraConfig, tuned["lora"])
    if adapter.rank:
        lora.adapt(lm, adapter, vocabulary.section("marks").size)
    checkpoint.load_into(lm, tensors)
    if adapter.rank:
        lora.merge(lm)
    return TrainedLM(lm, vocabulary, tuple(tuned["tasks"]))


def _standard_vocabulary(lm: orders.AnyLM) -> Vocabulary:
    """Return the vocabulary that a new model of these sizes has."""
    slots = lm.config.num_slots
    size, left = divmod(lm.config.num_ids - Vocabulary.new(slots, 0).num_ids, slots)
    if size < 1 or left:
        raise InputError(
            f"a model of {slots} codebooks cannot have {lm.config.num_ids} ids: its run is of another kind"
        )
    return Vocabulary.new(slots, size)
