"""The command line: runs a command, and turns bad input into one line and exit code 2."""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from uniaudio.errors import InputError

if TYPE_CHECKING:
    from uniaudio.cli.commands import COMMANDS, OTHER_COMMANDS, TASK_COMMANDS

__all__ = ["COMMANDS", "OTHER_COMMANDS", "TASK_COMMANDS", "main"]

DONE, BAD_INPUT, STOPPED, PIPE_CLOSED = 0, 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (without the program's name; sys.argv's by default); return the exit code.

    0 done, 2 bad input (one line on stderr), 130 stopped by Ctrl-C. A defect of ours keeps its traceback.
    """
    try:
        from uniaudio.cli.commands import run  # here, because a task file of the user's may be wrong

        run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except InputError as error:
        print(f"uniaudio: error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("uniaudio: stopped", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # `uniaudio tasks | head`: nobody reads on, and Python must not try again at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    return DONE


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("uniaudio.cli.commands"), name)
