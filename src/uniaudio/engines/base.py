"""What every engine offers: a task and a request in, audio out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import nn

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError
from uniaudio.tasks import TASKS, Task

Progress = Callable[[int, int], None]  # (frames or steps done, those in all)


class Engine(Protocol):
    """A loaded model that generates audio for the tasks it was trained on.

    Each kind has its own sampling, a dataclass that has at least `seed`, `guidance` and `candidates`.
    """

    name: str
    tasks: tuple[str, ...]
    precision: str

    @property
    def sample_rate(self) -> int:
        """Samples per second of what it generates."""
        ...

    def generate(
        self,
        task_name: str,
        request: Mapping[str, Any],
        *,
        sampling: Any = None,
        seconds: float | None = None,
        on_frame: Progress | None = None,
    ) -> Audio:
        """Return the audio for one request; raises InputError for a task or a field that does not fit."""
        ...

    def generate_batch(
        self,
        task_name: str,
        requests: Sequence[Mapping[str, Any]],
        samplings: Sequence[Any],
        *,
        seconds: float | None = None,
        on_frame: Progress | None = None,
    ) -> list[Audio]:
        """Return the audio of several requests of one task, which are generated together."""
        ...

    def sampling_for(self, task_name: str) -> Any:
        """Return how a task is sampled unless a call says otherwise."""
        ...

    def round_trip(self, audio: Audio) -> Audio:
        """Return a recording after the model's own coding: what none of its results can surpass."""
        ...

    def networks(self) -> list[nn.Module]:
        """Return the networks that decide what is generated."""
        ...


def check_request(engine: Engine, task_name: str, request: Mapping[str, Any]) -> Task:
    """Return the task if the engine knows it and the request has exactly its fields; raises InputError otherwise."""
    if task_name not in TASKS:
        raise InputError(f"unknown task {task_name!r}; the tasks are: {', '.join(TASKS)}")
    if task_name not in engine.tasks:
        raise InputError(f"{engine.name} was not trained on {task_name}; it knows: {', '.join(engine.tasks)}")
    task = TASKS[task_name]
    missing = [name for name in task.given if name not in request]
    unknown = [name for name in request if name not in task.given]
    if missing or unknown:
        what = f"lacks {', '.join(missing)}" if missing else f"has unknown fields: {', '.join(unknown)}"
        raise InputError(f"the request for {task_name} {what}; its fields are: {', '.join(task.given)}")
    return task
