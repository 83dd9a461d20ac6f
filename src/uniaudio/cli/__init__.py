"""The command line: finds the command, runs it, and turns bad input into one line and exit code 2."""

import os
import sys
from collections.abc import Sequence

from uniaudio import __version__
from uniaudio.cli.codec import CODEC_COMMANDS
from uniaudio.cli.command import Command, Parser, did_you_mean
from uniaudio.cli.corpora import CORPUS_COMMANDS
from uniaudio.cli.generate import task_command
from uniaudio.cli.models import TASKS_COMMAND
from uniaudio.cli.runs import RUN_COMMANDS
from uniaudio.errors import InputError
from uniaudio.tasks import TASKS

DONE, BAD_INPUT, STOPPED, PIPE_CLOSED = 0, 2, 130, 141

TASK_COMMANDS = tuple(task_command(task) for task in TASKS.values())
OTHER_COMMANDS = (TASKS_COMMAND, *CORPUS_COMMANDS, *RUN_COMMANDS, *CODEC_COMMANDS)
COMMANDS: dict[str, Command] = {command.name: command for command in (*TASK_COMMANDS, *OTHER_COMMANDS)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (without the program's name; sys.argv's by default); return the exit code.

    0 done, 2 bad input (one line on stderr), 130 stopped by Ctrl-C. A defect of ours keeps its traceback.
    """
    try:
        _run(list(sys.argv[1:] if arguments is None else arguments))
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


def _run(arguments: list[str]) -> None:
    name = arguments[0] if arguments else ""
    if not name or name.startswith("-"):
        _overview().parse(arguments)  # --help and --version end here
        raise InputError("give a task or another command first: `uniaudio --help` lists them")
    if name not in COMMANDS:
        raise InputError(f"unknown task or command {name!r}{did_you_mean(name, COMMANDS)}: see `uniaudio --help`")
    command = COMMANDS[name]
    parser = Parser(command.name, command.about)
    command.add_options(parser)
    command.run(parser.parse(arguments[1:]))


def _overview() -> Parser:
    """The parser of `uniaudio` without a command: it knows only --help and --version."""
    width = max(map(len, COMMANDS))
    parser = Parser("", "Generate audio: one command per task, `uniaudio TASK --help` lists its fields.")
    parser.usage = "uniaudio TASK --FIELD VALUE ... -o OUT.wav"
    parser.epilog = "\n".join(
        [
            "tasks:",
            *(f"  {command.name:{width}}  {command.about}" for command in TASK_COMMANDS),
            "",
            "other commands:",
            *(f"  {command.name:{width}}  {command.about}" for command in OTHER_COMMANDS),
            "",
            "exit codes: 0 done, 2 bad input (one line on stderr), 130 stopped by Ctrl-C, 1 a defect of the program",
        ]
    )
    parser.add_argument("--version", action="version", version=f"uniaudio {__version__}")
    return parser
