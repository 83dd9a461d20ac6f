"""What a model folder holds, from its small files alone; it loads no network, and needs the standard library only."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uniaudio import weights
from uniaudio.errors import InputError

LATENT_FORMAT = "uniaudio-latent-1"
PUBLIC_INDEX, PIPELINE = "model_index.json", "AudioLDM2Pipeline"
ENGINES = {"uniaudio": "uniaudio-mini", "audioldm2": "audioldm2-mini"}  # and the model that ships for each


def is_latent(name_or_folder: str) -> bool:
    """Is this a latent diffusion model, ours or a public one? Raises InputError for an unknown model."""
    folder = weights.find(name_or_folder)
    if (folder / PUBLIC_INDEX).is_file():
        return True
    try:
        described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False  # whoever loads it says what is wrong
    return isinstance(described, dict) and described.get("format") == LATENT_FORMAT


def public_tasks(folder: Path) -> list[str]:
    """Return the tasks of a public AudioLDM 2 folder; raises InputError for one of another pipeline."""
    index = read_json(folder / PUBLIC_INDEX)
    if index.get("_class_name") != PIPELINE:
        raise InputError(f"{folder} holds a {index.get('_class_name')}: only an {PIPELINE} can be used")
    return ["tts"] if class_name(index, "text_encoder_2") == "VitsModel" else ["text_to_sound", "text_to_music"]


def class_name(index: Mapping[str, Any], part: str) -> str:
    """Return the class that an index of diffusers names for a part; raises InputError if it names none."""
    named = index.get(part)
    if not isinstance(named, list) or len(named) != 2 or not isinstance(named[1], str):
        raise InputError(f"{PUBLIC_INDEX} names no {part}: download the model again")
    return named[1]


def read_json(path: Path) -> dict[str, Any]:
    """Return the named values of a JSON file; raises InputError for a file that holds none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{str(path)!r} cannot be read or is no JSON: download the model again") from error
    if not isinstance(value, dict):
        raise InputError(f"{str(path)!r} must hold named values: download the model again")
    return value
