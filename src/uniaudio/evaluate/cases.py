"""Held-out examples as the judges need them: what a task is asked, and what the truth sounds like."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from uniaudio.audio.io import Audio
from uniaudio.data.examples import EXAMPLES, Example, load, read_examples
from uniaudio.errors import InputError
from uniaudio.evaluate.heard import RATE, Heard
from uniaudio.tasks import TASKS

_AUDIO = ("codec", "voice", "semantic")  # modalities of recordings
_FOLDER = "examples"  # where `make corpus` puts the tasks' examples, beside the corpora


@dataclass(frozen=True, eq=False)
class Case:
    """One held-out example; its recordings are read when they are asked for. `voices` are all speakers' prompts."""

    example: Example
    voices: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The name of the example."""
        return self.example.id

    @property
    def text(self) -> str:
        """What is to be heard; "" where no words are."""
        return str(self.example.given.get("edited_text") or self.example.text or self.example.given.get("text") or "")

    @property
    def speaker(self) -> str:
        """The name of the speaker who is to be heard; "" where nobody knows."""
        return str(self.labels.get("speaker") or "")

    @property
    def labels(self) -> Mapping[str, Any]:
        """How the example was made."""
        return self.example.labels

    @cached_property
    def request(self) -> dict[str, Any]:
        """What the model is given: texts, scores and recordings."""
        return {name: self.given(name) for name in TASKS[self.example.task].given}

    def given(self, name: str) -> Any:
        """Return the value of one field of the request."""
        return load(self.example.given[name], RATE) if name in self.recordings else self.example.given[name]

    @property
    def recordings(self) -> list[str]:
        """The fields of the request that are recordings."""
        items = TASKS[self.example.task].items
        return [name for name, modality in items if modality in _AUDIO]

    @cached_property
    def reference(self) -> Heard:
        """What a perfect model would make; for voice_conversion, which has none, the source."""
        return Heard(load(self.example.target, RATE))

    @cached_property
    def unprocessed(self) -> Audio | None:
        """The recording that the task changes, as it was given; None where there is none."""
        task = TASKS[self.example.task]
        changed = task.length if task.length in self.recordings else "source"
        return self.given(changed) if changed in self.recordings else None


def find_examples(data: Path, task: str) -> Path:
    """Return the folder of a task's examples in `data`, or in `data`/examples; raises InputError for neither."""
    for folder in (data / task, data / _FOLDER / task):
        if (folder / EXAMPLES).exists():
            return folder
    raise InputError(f"{data} has no examples of {task}: make them with `uniaudio data pair CORPORA --out {data}`")


def read_cases(
    data: Path, task: str, limit: int, fitting: Callable[[Example], bool] = lambda example: True, split: str = "test"
) -> list[Case]:
    """Return up to `limit` fitting examples of a split, always the same ones, speakers in turn.

    For voice_conversion every source gets the prompt of another speaker: training pairs have the source's own. Raises
    InputError where there is no example.
    """
    examples = read_examples(find_examples(data, task))
    found = [example for example in examples if example.split == split and fitting(example)]
    if not found:
        raise InputError(f"{find_examples(data, task)} has no example of the {split} split: give one that has")
    chosen = _in_turn(found)[:limit]
    if task == "voice_conversion":
        chosen = _converted(chosen)
    return [Case(example, {}) for example in chosen]


def _in_turn(examples: list[Example]) -> list[Example]:
    """Order examples by a hash of their targets' names, the first of every speaker before the second of any."""

    def place(example: Example) -> int:
        return zlib.crc32(example.id.removeprefix(f"{example.task}-").encode())  # tasks share their recordings

    by_speaker: dict[str, list[Example]] = {}
    for example in sorted(examples, key=place):
        by_speaker.setdefault(str(example.labels.get("speaker")), []).append(example)
    turns = [(turn, group[turn]) for group in by_speaker.values() for turn in range(len(group))]
    return [example for _, example in sorted(turns, key=lambda pair: pair[0])]


def _converted(examples: list[Example]) -> list[Example]:
    """Give every source the prompt of the next example that has another speaker.

    Raises InputError when there is only one speaker.
    """
    if all("source_speaker" in example.labels for example in examples):
        return examples  # a fixed set, in which this was done
    converted = []
    for index, example in enumerate(examples):
        after = examples[index + 1 :] + examples[:index]
        other = next((one for one in after if one.labels.get("speaker") != example.labels.get("speaker")), None)
        if other is None:
            raise InputError("voice_conversion needs test recordings of two speakers or more: give a larger corpus")
        labels = {**example.labels, "source_speaker": example.labels.get("speaker"), "speaker": other.labels["speaker"]}
        given = {**example.given, "speaker": other.given["speaker"]}
        converted.append(replace(example, given=given, labels=labels))
    return converted
