"""Every kind of audio generation as one problem: given some conditions, predict a target.

The public names are imported when they are first used, so that `import uniaudio` takes no time.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uniaudio.audio.io import Audio
    from uniaudio.engines import load
    from uniaudio.lm.sampling import Sampling
    from uniaudio.tasks import TASKS

__version__ = "0.1.0"
__all__ = ["TASKS", "Audio", "Sampling", "__version__", "load"]

_HOMES = {
    "TASKS": "uniaudio.tasks",
    "Audio": "uniaudio.audio.io",
    "Sampling": "uniaudio.lm.sampling",
    "load": "uniaudio.engines",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
