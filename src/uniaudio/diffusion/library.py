"""The one place that imports diffusers: late, because it takes a second, and by the names of its top level."""

import importlib
from typing import Any


def diffusers_class(name: str) -> Any:
    """Return a class of diffusers. Its modules move from version to version, its top level does not."""
    return getattr(importlib.import_module("diffusers"), name)
