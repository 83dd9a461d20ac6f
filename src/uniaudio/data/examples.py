"""Examples: what a task is given and what it must predict, as texts, scores and lhotse cuts that are not mixed yet.

`examples.jsonl` holds one JSON object a line; paths of recordings are relative to its folder. Mixtures, rooms and cuts
are lhotse's (`MixedCut`, transforms), so audio is made only when it is read.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniaudio.data.manifests import SPLITS, read_lines
from uniaudio.errors import InputError
from uniaudio.tasks import TASKS

if TYPE_CHECKING:
    from lhotse.cut import Cut

    from uniaudio.audio.io import Audio

EXAMPLES = "examples.jsonl"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One example of a task. `given` maps each field to a text, a score or, for audio, a cut (as its JSON value);
    `target` is a cut; `labels` says how the example was made (snr_db, rt60, ...); `phones` are the target's
    [phone, start s, end s], if known."""

    id: str
    task: str
    split: str
    seconds: float
    target: Mapping[str, Any]
    given: Mapping[str, Any]
    labels: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    phones: list[list[Any]] | None = None

    def to_line(self) -> str:
        """Return the line of a manifest, with its newline."""
        return json.dumps({k: v for k, v in vars(self).items() if v not in (None, "")}, ensure_ascii=False) + "\n"


def read_examples(path: Path) -> Iterator[Example]:
    """Yield the examples of a folder or file lazily, the paths of their recordings made whole.

    Raises InputError that names the file and line of a bad one.
    """
    path = examples_path(path)
    for number, line in read_lines(path):
        yield parse_example(line, path, number)


def parse_example(line: str, path: Path, number: int) -> Example:
    """Return the example of a line; raises InputError that names the file and line of a bad one."""
    try:
        data = json.loads(line)
        example = Example(**with_folder(data, path.parent))
        task = TASKS[example.task]
        missing = [name for name in task.given if name not in example.given]
        if missing:
            raise ValueError(f"{example.task} needs {missing[0]!r}")
        if example.split not in SPLITS:
            raise ValueError(f"split {example.split!r} is none of {', '.join(SPLITS)}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = " ".join(str(error).split())
        raise InputError(f"{path}:{number}: not an example ({type(error).__name__}: {what})") from error
    return example


def examples_path(path: Path) -> Path:
    """Return the examples file of a folder (or the file itself); raises InputError when there is none."""
    path = path / EXAMPLES if path.is_dir() else path
    if not path.exists():
        raise InputError(f"no examples at {path}; make them with: uniaudio data pair CORPORA --out {path.parent}")
    return path


def write_examples(path: Path, examples: Iterable[Example]) -> int:
    """Write examples (with whole paths) to a file, whole or not at all; returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    count = 0
    with part.open("w", encoding="utf-8") as file:
        for example in examples:
            moved = _relative(vars(example), path.parent.resolve())
            file.write(Example(**moved).to_line())
            count += 1
    part.replace(path)
    return count


def with_folder(data: Any, folder: Path) -> Any:
    """Return JSON data in which the path of every recording, however deep, is joined to `folder`."""
    return _each_source(data, lambda source: str(folder / source))


def _relative(data: Any, folder: Path) -> Any:
    return _each_source(data, lambda source: os.path.relpath(Path(source).resolve(), folder))


def _each_source(data: Any, change: Any) -> Any:
    if isinstance(data, list):
        return [_each_source(value, change) for value in data]
    if not isinstance(data, Mapping):
        return data
    if data.get("type") == "file" and "source" in data:
        return {**data, "source": change(data["source"])}
    return {key: _each_source(value, change) for key, value in data.items()}


def to_cut(data: Mapping[str, Any]) -> "Cut":
    """Return the lhotse cut of its JSON value, which is left as it was."""
    from lhotse.serialization import deserialize_item

    return deserialize_item(json.loads(json.dumps(data)))  # lhotse takes the value apart


def load(data: Mapping[str, Any], sample_rate: int) -> "Audio":
    """Return the mono sound of a cut's JSON value; mixtures that would clip are turned down to 0.99.

    Raises InputError for a recording that cannot be read or holds NaN.
    """
    import numpy as np

    from uniaudio.audio.io import Audio

    cut = to_cut(data)
    try:
        samples = np.asarray(cut.load_audio(), np.float32)
    except Exception as error:  # lhotse passes on whatever its reader raised
        what = " ".join(str(error).split())[:200]
        raise InputError(f"{cut.id}: its audio cannot be read ({type(error).__name__}: {what})") from error
    if not samples.size or not np.isfinite(samples).all():
        raise InputError(f"{cut.id}: its audio is empty or holds values that are not numbers; remove it")
    peak = float(np.abs(samples).max())
    audio = Audio(samples if peak <= 1 else samples * (0.99 / peak), cut.sampling_rate).mono()
    return audio if cut.sampling_rate == sample_rate else audio.resample(sample_rate)
