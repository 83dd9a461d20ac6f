"""Judges of transformers by name: a local folder, or a model on the hub where one is reachable."""

from pathlib import Path
from typing import Any

from uniaudio.errors import InputError


def load_part(kind: Any, name: str, **options: Any) -> Any:
    """Return `kind.from_pretrained(name)`; raises InputError for what is no folder of such a model, nor on the hub."""
    is_folder = Path(name).is_dir()
    try:
        return kind.from_pretrained(name, local_files_only=is_folder, **options)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        what = "holds no whole model of this kind" if is_folder else "is no folder, nor a model that can be fetched"
        raise InputError(f"the judge {name} {what}: give another, or its folder ({reason})") from error


def load_network(kind: Any, name: str) -> Any:
    """Return a network in float32 and evaluation mode, from safetensors only.

    Raises InputError as `load_part`, and for weights that lack a part, which transformers would make up.
    """
    import torch

    options = {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
    network, info = load_part(kind, name, **options)
    if info["missing_keys"]:
        raise InputError(f"the judge {name} lacks the weights {min(info['missing_keys'])!r}: it is of another kind")
    return network.eval().requires_grad_(False)
