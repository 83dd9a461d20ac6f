"""Engines: request -> audio."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uniaudio.engines.tokens import TokenEngine


def load(name_or_folder: str) -> "TokenEngine":
    """Return the engine of a shipped model (by name) or of a checkpoint folder; raises InputError if there is none."""
    from uniaudio.engines.bundle import load_engine

    return load_engine(name_or_folder)
