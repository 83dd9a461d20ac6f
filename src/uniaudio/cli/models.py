"""What the config of a model tells without its weights: which tasks it was trained on."""

import json
import os
from argparse import SUPPRESS, ArgumentTypeError, Namespace

from uniaudio import weights
from uniaudio.cli.command import Command, Parser, did_you_mean, typed
from uniaudio.engines.kinds import ENGINES, PUBLIC_INDEX, public_tasks
from uniaudio.errors import InputError
from uniaudio.tasks import TASKS

DEFAULT_MODEL = ENGINES["uniaudio"]
PRECISIONS = ("float32", "int8")  # those of `lm.compiled`, which cannot be asked without torch; a test compares


def add_model_option(parser: Parser, default: str = DEFAULT_MODEL) -> None:
    """Add --model, and --engine for the model that ships for one."""
    about = f"a shipped model or the folder of a checkpoint ({default})"
    parser.option("--model", metavar="NAME|DIR", default=default, help=about)
    about = f"{' or '.join(ENGINES)}: the model that ships for it, in place of --model"
    parser.option("--engine", dest="model", type=_shipped, metavar="NAME", default=SUPPRESS, help=about)


def _shipped(engine: str) -> str:
    """Return the model that ships for an engine."""
    if engine not in ENGINES:
        raise ArgumentTypeError(f"must be one of {', '.join(ENGINES)}{did_you_mean(engine, ENGINES)}, not {engine!r}")
    return ENGINES[engine]


def add_precision_option(parser: Parser) -> None:
    """Add --precision."""
    about = "int8 computes with 8-bit weights: faster, and not quite the same result (float32)"
    parser.option("--precision", choices=PRECISIONS, default=PRECISIONS[0], help=about)


def trained_tasks(model: str) -> list[str]:
    """Return the tasks of a shipped model or of a checkpoint folder, from its config.json alone.

    Those of a public folder are in its model_index.json. Raises InputError for an unknown model and for a folder
    without a config that names tasks.
    """
    folder = weights.find(model)
    if (folder / PUBLIC_INDEX).is_file():
        return public_tasks(folder)
    path = folder / "config.json"
    try:
        tasks = json.loads(path.read_text(encoding="utf-8"))["tasks"]
    except OSError as error:
        raise InputError(f"{model!r} is not a model, its config.json cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise InputError(f"{str(path)!r} is damaged or not the config of a model: copy or train it again") from error
    if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
        raise InputError(f"{str(path)!r} does not list the tasks of a model: copy or train it again")
    return tasks


def check_trained(model: str, task: str) -> None:
    """Raise InputError unless the model was trained on the task."""
    tasks = trained_tasks(model)
    if task not in tasks:
        raise InputError(f"{model} was not trained on {task}; it knows: {', '.join(tasks) or 'none'}")


def check_codec(name: str) -> None:
    """Raise InputError for what can be no codec, before long work; a name with a slash may be one of a hub."""
    if "/" not in name or os.path.exists(name):
        weights.find(name)


def _list_tasks(options: Namespace) -> None:
    trained = trained_tasks(options.model)
    names = [typed(name) for name in TASKS]
    fields = [" ".join(f"--{typed(field)}" for field in task.given) for task in TASKS.values()]
    name_width, field_width = (max(map(len, column)) for column in (names, fields))
    print(f"The tasks marked * are those that {options.model} was trained on.")
    for name, field, task in zip(names, fields, TASKS.values(), strict=True):
        star = "*" if task.name in trained else " "
        print(f"{star} {name:{name_width}}  {field:{field_width}}  {task.about}")


TASKS_COMMAND = Command(
    name="tasks",
    about="List the tasks, and which of them a model knows.",
    add_options=add_model_option,
    run=_list_tasks,
)
