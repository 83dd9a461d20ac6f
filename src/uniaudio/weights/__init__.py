"""The checkpoints that ship with the package, one folder each, and how a model is found by name or folder."""

import difflib
import os
from pathlib import Path

from uniaudio.errors import InputError

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the names of the shipped models."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def find(name_or_folder: str | Path) -> Path:
    """Return the folder of a shipped model, or of a path; raises InputError if there is none."""
    model, shipped = str(name_or_folder), names()
    if model in shipped:
        return FOLDER / model
    if model and os.path.isdir(model):
        return Path(model)
    close = difflib.get_close_matches(model, shipped, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    known = ", ".join(shipped) or "none"
    raise InputError(f"unknown model {model!r}{hint}: give a shipped model ({known}) or the folder of one")
