"""What a model folder holds, from its small files alone; it loads no network."""

import json

from uniaudio import weights

LATENT_FORMAT = "uniaudio-latent-1"
PUBLIC_INDEX = "model_index.json"


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
