"""Token shards: tar files of tokenised examples, each with an index beside it; any example can be read alone.

`shard-000000.tar` holds one `ID.safetensors` an example, `shard-000000.json` says where each begins, and the hash of
the tar. The index is written last: a shard without one does not exist.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from uniaudio.errors import InputError
from uniaudio.tasks import ENVIRONMENT, TASKS

ABOUT = "tokens.json"
_AGAIN = "delete it and tokenize again"


def kinds() -> tuple[str, ...]:
    """Return what an example can be: a plain recording, or one of a task."""
    return ("recording", *TASKS)


@dataclass(frozen=True, kw_only=True)
class Tokenized:
    """One tokenised example: `tensors` by name, `kind` of `kinds()`, and the frames of its target."""

    id: str
    kind: str
    num_frames: int
    tensors: Mapping[str, Tensor]


def write_shard(path: Path, examples: Iterable[Tokenized]) -> None:
    """Write a shard, the same bytes for the same examples; it appears whole or not at all."""
    index: dict[str, list] = {"id": [], "kind": [], "frames": [], "offset": [], "size": []}
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with part.open("wb") as file:
        tar = tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)
        for example in examples:
            data = save(
                dict(example.tensors), {"example": f"{example.kind} {example.id}"}
            )  # two keys have no fixed order
            member = tarfile.TarInfo(f"{example.id}.safetensors")  # its time and owner stay 0
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
            start = tar.offset - -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            for name, value in zip(
                index, (example.id, example.kind, example.num_frames, start, len(data)), strict=True
            ):
                index[name].append(value)
        tar.close()
        file.flush()
        os.fsync(file.fileno())
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    about = {"sha256": digest, "bytes": part.stat().st_size, **index}
    part.replace(path)
    part.write_text(json.dumps(about), encoding="utf-8")
    part.replace(path.with_suffix(".json"))


def is_done(path: Path) -> bool:
    """Is this shard there, whole (by its size) and indexed?"""
    try:
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return path.stat().st_size == about["bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def verify(path: Path) -> None:
    """Raise InputError unless a shard has the hash that its index says."""
    about = _index(path)
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != about["sha256"]:
            raise InputError(f"{path} differs from its hash, so it is damaged: {_AGAIN}")


class Shards:
    """The examples of one split of a token folder, by number; only sizes and places are kept in memory.

    `kind` [N] int8 (index in `kinds()`), `frames` [N] int32. Raises InputError for a folder without finished shards,
    and for examples of a task that is not in the table.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = sorted(folder.glob("shard-*.tar"))
        indices = [_index(path) for path in self.paths]
        if not sum(len(index["id"]) for index in indices):
            raise InputError(f"{folder} has no token shards: make them with uniaudio tokenize")

        def column(name: str, dtype: type) -> np.ndarray:
            return np.concatenate([np.asarray(index[name], dtype) for index in indices])

        number = {kind: place for place, kind in enumerate(kinds())}
        unknown = {kind for index in indices for kind in index["kind"]} - number.keys()
        if unknown:
            raise InputError(f"{folder} holds examples of {min(unknown)!r}, which is no task: {ENVIRONMENT} adds some")
        self.kind = np.concatenate([np.array([number[kind] for kind in i["kind"]], np.int8) for i in indices])
        self.frames, self._size = column("frames", np.int32), column("size", np.int32)
        self._offset = column("offset", np.int64)
        self._shard = np.repeat(np.arange(len(indices), dtype=np.int32), [len(index["id"]) for index in indices])
        self._open: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.frames)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_open": {}}  # a file descriptor belongs to one process

    def read(self, index: int) -> dict[str, Tensor]:
        """Return the tensors of an example; raises InputError when its bytes are damaged."""
        shard = int(self._shard[index])
        if shard not in self._open:
            if len(self._open) >= 64:
                os.close(self._open.pop(next(iter(self._open))))
            self._open[shard] = os.open(self.paths[shard], os.O_RDONLY)
        data = os.pread(self._open[shard], int(self._size[index]), int(self._offset[index]))
        try:
            return load(data)
        except SafetensorError as error:
            raise InputError(f"{self.paths[shard]} is damaged at byte {self._offset[index]}: {_AGAIN}") from error

    def of_kinds(self, wanted: Sequence[str]) -> np.ndarray:
        """Return the numbers of the examples of some kinds, in order."""
        return np.flatnonzero(np.isin(self.kind, [kinds().index(kind) for kind in wanted]))


def read_about(folder: Path) -> dict:
    """Return what a token folder says of itself (tokens.json); raises InputError where that is missing or damaged."""
    try:
        return dict(json.loads((folder / ABOUT).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputError(f"{folder} is no token folder (no {ABOUT}): make one with uniaudio tokenize") from error
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{folder / ABOUT} is damaged: tokenize into a new folder") from error


def _index(path: Path) -> dict:
    if not is_done(path):
        raise InputError(f"{path} is not finished or damaged: run the same uniaudio tokenize command again")
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
