"""THE COMMAND TABLE: one command for each task, and the others; finds the command and runs it."""

from uniaudio import __version__
from uniaudio.cli.audiolm import AUDIOLM_COMMANDS
from uniaudio.cli.codec import CODEC_COMMANDS
from uniaudio.cli.command import Command, Parser, did_you_mean
from uniaudio.cli.corpora import CORPUS_COMMANDS
from uniaudio.cli.generate import task_command
from uniaudio.cli.latent import LATENT_COMMANDS
from uniaudio.cli.models import TASKS_COMMAND
from uniaudio.cli.runs import RUN_COMMANDS
from uniaudio.errors import InputError
from uniaudio.tasks import TASKS

TASK_COMMANDS = tuple(task_command(task) for task in TASKS.values())
OTHER_COMMANDS = (TASKS_COMMAND, *AUDIOLM_COMMANDS, *LATENT_COMMANDS, *CORPUS_COMMANDS, *RUN_COMMANDS, *CODEC_COMMANDS)
if _taken := {command.name for command in TASK_COMMANDS} & {command.name for command in OTHER_COMMANDS}:
    raise InputError(f"a task cannot be called {min(_taken)!r}, which is another command: choose another name")
COMMANDS: dict[str, Command] = {command.name: command for command in (*TASK_COMMANDS, *OTHER_COMMANDS)}


def run(arguments: list[str]) -> None:
    """Run a command line (without the program's name); raises InputError for bad input."""
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
