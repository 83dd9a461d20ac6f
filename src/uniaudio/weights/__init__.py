"""The checkpoints that ship with the package, one folder each."""

from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the names of the shipped models."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))
