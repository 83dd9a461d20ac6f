"""A checkpoint is a folder: config.json, model.safetensors, other small files, and sha256.json with the hash of each.

It knows tensors by name, not the networks that they belong to. Nothing is ever unpickled.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniaudio.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG, MODEL, HASHES = "config.json", "model.safetensors", "sha256.json"
_ANATOMY = f"a checkpoint is a folder with {CONFIG}, {MODEL} and {HASHES}"
_AGAIN = "copy or download the checkpoint again"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What `load` read: the config as plain JSON values, the tensors by name (on the CPU), and where they were."""

    config: dict[str, Any]
    tensors: "dict[str, Tensor]"
    folder: Path


def save(
    folder: str | Path,
    tensors: "Mapping[str, Tensor]",
    config: Mapping[str, Any],
    *,
    extra: Mapping[str, str | bytes] | None = None,
) -> None:
    """Write a checkpoint folder; `extra` holds further files by name (vocabulary.json, README.md, ...).

    The folder appears whole or not at all: it is written under a temporary name beside it and renamed. An older
    checkpoint there is replaced, but never a folder that holds anything else (InputError). Tensors keep their dtype;
    two names for one tensor are stored as two. Raises ValueError for an extra file name that cannot be used.
    """
    folder = Path(os.path.realpath(folder))
    _check_replaceable(folder)
    files = {CONFIG: _dump(dict(config))}
    for name, content in (extra or {}).items():
        if not _is_plain_name(name) or name in (CONFIG, MODEL, HASHES):
            raise ValueError(f"{name!r} cannot be an extra file of a checkpoint: use another, plain file name")
        files[name] = content if isinstance(content, bytes) else content.encode()
    _write_folder(folder, files, _separate(tensors))


def load(folder: str | Path) -> Checkpoint:
    """Read a checkpoint folder, after comparing every listed file with its hash.

    Raises InputError for a folder that is no checkpoint, and for a missing, changed or cut-off file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    _check_is_checkpoint(folder)
    for name, expected in _read_hashes(folder).items():
        _check_hash(folder / name, expected)
    config = _read_json(folder / CONFIG)
    try:
        tensors = load_file(folder / MODEL)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{_quote(folder / MODEL)} is damaged or no safetensors file: {_AGAIN}") from error
    return Checkpoint(config, tensors, folder)


def load_into(module: "nn.Module", tensors: "Mapping[str, Tensor]", prefix: str = "") -> None:
    """Copy the tensors whose names start with `prefix` (with its dot: "codec.") into `module`, all or none.

    Values are converted to the module's dtype and device, but floats never to integers or back. Raises InputError
    that names the first missing, unexpected or wrongly shaped tensor.
    """
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    expected = module.state_dict()
    what = type(module).__name__
    for problem, names in (
        ("lacks", expected.keys() - own.keys()),
        ("has an unexpected", own.keys() - expected.keys()),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise InputError(f"the checkpoint {problem} {prefix + min(names)!r}{more}: it was not made for this {what}")
    for name, tensor in own.items():
        target = expected[name]
        found, wanted = f"{tensor.dtype} {list(tensor.shape)}", f"{target.dtype} {list(target.shape)}"
        if tensor.shape != target.shape or tensor.is_floating_point() != target.is_floating_point():
            raise InputError(f"{prefix + name!r} of the checkpoint is {found}, but this {what} needs {wanted}")
    module.load_state_dict(own)


# Writing


def _separate(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Detach and move to the CPU, giving each its own memory: safetensors refuses tensors that share it."""
    separate: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        address = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if address in seen else tensor
        seen.add(address)
    return separate


def _dump(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _is_plain_name(name: Any) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0")


def _check_replaceable(folder: Path) -> None:
    """Refuse to delete anything but an older checkpoint."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise InputError(f"{_quote(folder)} is a file, and {_ANATOMY}: choose another name")
    others = {path.name for path in folder.iterdir()}
    if others and (folder / HASHES).is_file():
        others -= {HASHES, *_read_hashes(folder)}
    if others:
        raise InputError(
            f"{_quote(folder)} already holds {min(others)!r}, not only a checkpoint: choose another folder"
        )


def _write_folder(folder: Path, files: Mapping[str, bytes], tensors: "dict[str, Tensor]") -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    temporary = folder.with_name(f".{folder.name}.tmp")
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)  # of a save that was killed
        temporary.mkdir()
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        save_file(tensors, temporary / MODEL, {"format": "pt"})
        shutil.copymode(temporary / CONFIG, temporary / MODEL)  # safetensors lets only the owner read
        hashes = {name: _hash(temporary / name) for name in sorted([*files, MODEL])}
        (temporary / HASHES).write_bytes(_dump(hashes))
        _swap_in(temporary, folder)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
        place = "choose another place or free some space"
        raise InputError(f"cannot write the checkpoint {_quote(folder)} ({why}): {place}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap_in(temporary: Path, folder: Path) -> None:
    """Give `temporary` the name `folder`; an older checkpoint steps aside first, and comes back if that fails."""
    old = _aside(folder)
    try:
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.rename(folder, old)
        os.rename(temporary, folder)
    except BaseException:
        if old.exists() and not folder.exists():
            os.rename(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def recover(folder: Path) -> None:
    """Bring back the older checkpoint if a save was killed in the moment between its two renames."""
    if not folder.exists() and _aside(folder).exists():
        os.rename(_aside(folder), folder)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


# Reading


def _check_is_checkpoint(folder: Path) -> None:
    if not os.path.exists(folder):
        raise InputError(f"there is no checkpoint folder {_quote(folder)}: check the name")
    if not os.path.isdir(folder):
        raise InputError(f"{_quote(folder)} is a file, but {_ANATOMY}: give the folder")
    for name in (CONFIG, MODEL, HASHES):
        if not os.path.isfile(folder / name):
            raise InputError(f"{_quote(folder)} is not a whole checkpoint, it has no {name}: {_ANATOMY}")


def _read_hashes(folder: Path) -> dict[str, str]:
    hashes = _read_json(folder / HASHES)
    for name in hashes:
        if not _is_plain_name(name):
            raise InputError(f"{_quote(folder / HASHES)} lists {name!r}, which is not in this folder: {_AGAIN}")
    for name in (CONFIG, MODEL):
        if name not in hashes:
            raise InputError(f"{_quote(folder / HASHES)} does not list {name}: {_AGAIN}")
    return hashes


def _check_hash(path: Path, expected: str) -> None:
    if not os.path.isfile(path):
        raise InputError(f"{_quote(path)} is missing, though {HASHES} lists it: {_AGAIN}")
    try:
        found = _hash(path)
    except OSError as error:
        raise InputError(f"{_quote(path)} cannot be read ({error.strerror}): change its permissions") from error
    if found != expected:
        raise InputError(f"{_quote(path)} differs from its hash in {HASHES}, so it is damaged or was edited: {_AGAIN}")


def _hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{_quote(path)} cannot be read ({error.strerror}): change its permissions") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{_quote(path)} is not JSON: {_AGAIN}") from error
    if not isinstance(value, dict):
        raise InputError(f"{_quote(path)} must hold named values in braces: {_AGAIN}")
    return value


def _quote(path: Path) -> str:
    """A path in quotes, on one line whatever its characters."""
    return repr(str(path))
