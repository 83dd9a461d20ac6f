"""One metric a file; the packages that judge are imported when a metric is asked for."""

import importlib
from typing import Any

from uniaudio.errors import InputError

PACKAGES = ("jiwer", "pocketsphinx", "pystoi", "resemblyzer")
# Judges that not everyone has: without one its figures are left out. Package -> how to get it.
OPTIONAL = {
    "onnxruntime": "pip install onnxruntime",
    "parselmouth": "pip install praat-parselmouth",
    "pesq": "pip install pesq (it has no wheel, so a C compiler is needed)",
    "speechmos": "pip install speechmos",
    "visqol": "pip install --no-deps visqol-python",
}


def judge_package(name: str) -> Any:
    """Return the judge `name`, imported; raises InputError with the way to install what is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        how = OPTIONAL.get(name, "pip install 'uniaudio[evaluate]' && pip install --no-deps resemblyzer")
        raise InputError(f"evaluation needs the package {error.name}, which is not installed: {how}") from error


def left_out(name: str) -> str | None:
    """Return why the figures of the optional judge `name` are left out and how to get it; None when it is there."""
    try:
        judge_package(name)
    except InputError as error:
        return f"left out: {error}"
    return None
