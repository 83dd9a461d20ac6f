"""What every command is made of: its parser, the values that options read, and the checks that need no weights."""

import argparse
import difflib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from uniaudio.errors import InputError


class Parser(argparse.ArgumentParser):
    """argparse with one-line answers: a mistyped option is named before what is missing without it."""

    def __init__(self, command: str, about: str) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        prog = f"uniaudio {command}".strip()
        super().__init__(prog=prog, description=about, formatter_class=formatter, allow_abbrev=False)

    def option(self, *flags: str, **settings: Any) -> None:
        """Add an option with one value that may be given once."""
        self.add_argument(*flags, action=_Once, **settings)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Return the values by name; raises InputError for an unknown, repeated, malformed or missing option."""
        self._check_known(arguments)
        values, rest = self.parse_known_intermixed_args(arguments)
        if rest:
            raise InputError(f"unexpected {rest[0]!r}: `{self.prog} --help` shows what to give")
        return values

    def _check_known(self, arguments: Sequence[str]) -> None:
        """Raise InputError for an unknown option; argparse itself would first name what is missing without it."""
        known = self._option_string_actions
        is_value = False
        for argument in arguments:
            name = argument.partition("=")[0]
            if not is_value and re.fullmatch(r"--[^\s=]+", name) and name not in known:
                options = [option for option in known if option.startswith("--")]
                hint = did_you_mean(name, options)
                raise InputError(f"{self.prog} has no option {name!r}{hint}: its options are {', '.join(options)}")
            is_value = argument in known and known[argument].nargs is None

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"^argument (\S+): ", r"\1 ", message)
        message = re.sub(r"^the following arguments are required: (.*)", rf"{self.prog} needs \1", message)
        raise InputError(f"{message}: see `{self.prog} --help`")


class _Once(argparse.Action):
    """Store a value, and refuse a second one."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        given = vars(namespace).setdefault("given", set())
        if self.dest in given:
            raise argparse.ArgumentError(self, "is given twice: keep one")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command: its name as typed, what it does, its options, and the function that runs it."""

    name: str
    about: str
    add_options: Callable[[Parser], None]
    run: Callable[[argparse.Namespace], None]


def typed(name: str) -> str:
    """Return how the name of a task or a field is written on the command line."""
    return name.replace("_", "-")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean ...?)" with the one or two known names that are close, else ""."""
    close = difflib.get_close_matches(name, list(known), n=2)
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def number(kind: type, low: float, high: float = sys.float_info.max, *, above: bool = False) -> Callable[[str], Any]:
    """Return a reader of a finite number of `kind` (int or float) from `low`, or above it, to `high`."""
    what = "a whole number" if kind is int else "a number"
    most = "" if high == sys.float_info.max else f" to {high if kind is int else f'{high:g}'}"
    expected = f"must be {what} {'above' if above else 'from'} {low:g}{most}"

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high or (above and value == low):
            raise argparse.ArgumentTypeError(f"{expected}, not {text[:40]!r}")
        return value

    return read


def seed(text: str) -> int:
    """Read a seed."""
    return number(int, 0, 2**63 - 1)(text)


def check_folder(folder: Path) -> None:
    """Raise InputError unless files can be written in `folder`, which need not exist yet; it leaves nothing."""
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise InputError(f"{str(folder)!r} is not a folder: choose another name")
    made = [part for part in (folder, *folder.parents) if not os.path.exists(part)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"cannot write in the folder {str(folder)!r} ({why}): choose another place") from error
    finally:
        for part in made:
            with suppress(OSError, ValueError):
                part.rmdir()


def check_is_folder(folder: Path, what: str) -> None:
    """Raise InputError unless `folder`, which holds `what`, is there."""
    if not os.path.isdir(folder):
        raise InputError(f"there is no folder {str(folder)!r} with {what}: check the name")
