"""One metric a file; the packages that judge are imported when a metric is asked for."""

import importlib
from typing import Any

from uniaudio.errors import InputError

PACKAGES = ("jiwer", "pocketsphinx", "pystoi", "resemblyzer")


def judge_package(name: str) -> Any:
    """Return the package `name` of PACKAGES, imported; raises InputError with the way to install what is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        how = "pip install 'uniaudio[evaluate]' && pip install --no-deps resemblyzer"
        raise InputError(f"evaluation needs the package {error.name}, which is not installed: {how}") from error
