"""The codes of one recording as a file: `.safetensors` with codes [K, T] and, as metadata, what decodes them.

K codebooks, T frames
"""

import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniaudio.errors import InputError

if TYPE_CHECKING:
    import numpy as np

FORMAT = "uniaudio-codes-1"
EXTENSION = ".safetensors"
_AGAIN = "encode the recording again"


@dataclass(frozen=True, kw_only=True)
class CodesHeader:
    """What a file of codes says of them; `codec` is the name that was given, `digest` that of the codebooks.

    `num_samples` at `sample_rate` is the length of the recording; the codes last until the end of their last frame.
    """

    codec: str
    digest: str
    sample_rate: int
    frame_rate: float
    codebook_size: int
    num_samples: int


def write_codes(path: Path, codes: "np.ndarray", header: CodesHeader) -> None:
    """Write integer codes [K, T]; the file appears whole or not at all, with the same bytes for the same values.

    Raises InputError as `check_codes_target` does, and when the disk is full.
    """
    import numpy as np
    from safetensors.numpy import save

    check_codes_target(path)
    about = json.dumps({"format": FORMAT, **asdict(header)}, sort_keys=True)
    content = save({"codes": np.ascontiguousarray(codes, np.int32)}, {"codes": about})
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, target)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_codes_target(path: Path) -> None:
    """Raise InputError unless `write_codes(path, ...)` can work; call it before long work. It leaves no file."""
    if path.suffix != EXTENSION:
        raise InputError(f"cannot write {str(path)!r}: the name must end in {EXTENSION}")
    if os.path.isdir(path):
        raise InputError(f"{str(path)!r} is a folder: give the name of a file in it")
    if not os.path.isdir(path.parent):
        raise InputError(f"the folder {str(path.parent)!r} does not exist: create it or choose another")
    probe = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with suppress(FileNotFoundError):
            path.stat()  # a name that is too long fails here
        probe.open("xb").close()
        probe.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def read_codes(path: Path) -> "tuple[np.ndarray, CodesHeader]":
    """Return the codes [K, T] int64 of a file, and its header.

    Raises InputError for a file that is missing, damaged, or holds anything but codes that fit its header.
    """
    import numpy as np
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):
        raise InputError(f"there is no file {str(path)!r}: check the name")
    try:
        with safe_open(path, "np") as file:
            about: dict[str, Any] = json.loads((file.metadata() or {})["codes"])
            codes = file.get_tensor("codes")
            if about.pop("format") != FORMAT:
                raise ValueError(f"it is not {FORMAT}")
            header = CodesHeader(**about)
            _check(codes, header)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise InputError(f"{str(path)!r} is damaged or holds no codes ({why}): {_AGAIN}") from error
    return codes.astype(np.int64), header


def _check(codes: "np.ndarray", header: CodesHeader) -> None:
    """Raise ValueError or TypeError unless the codes and their header can be true."""
    for name, value in asdict(header).items():
        kind = {"codec": str, "digest": str, "frame_rate": (int, float)}.get(name, int)
        if not isinstance(value, kind) or (not isinstance(value, str) and not 0 < value < float("inf")):
            raise ValueError(f"its {name} is {value!r}")
    if codes.ndim != 2 or not codes.size or codes.dtype.kind != "i":
        raise ValueError(f"its codes are {codes.dtype} {list(codes.shape)}")
    if codes.min() < 0 or codes.max() >= header.codebook_size:
        raise ValueError(f"a code lies outside 0..{header.codebook_size - 1}")


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot write {str(path)!r} ({error.strerror}): choose another place or free some space")
