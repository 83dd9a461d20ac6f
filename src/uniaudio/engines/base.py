"""What every engine offers: a task and a request in, audio out."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError
from uniaudio.lm.sampling import Sampling
from uniaudio.tasks import TASKS, Task

Progress = Callable[[int, int], None]  # (frames done, frames in all)


class Engine(Protocol):
    """A loaded model that generates audio for the tasks it was trained on."""

    name: str
    tasks: tuple[str, ...]

    @property
    def sample_rate(self) -> int:
        """Samples per second of what it generates."""
        ...

    def generate(
        self,
        task_name: str,
        request: Mapping[str, Any],
        *,
        sampling: Sampling | None = None,
        seconds: float | None = None,
        on_frame: Progress | None = None,
    ) -> Audio:
        """Return the audio for one request; raises InputError for a task or a field that does not fit."""
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
