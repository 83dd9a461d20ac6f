"""The commands beside the tasks: make a corpus, tokenize it, train on it, judge the result."""

import os
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path

from uniaudio import weights
from uniaudio.cli.command import Command, Parser, check_folder, check_is_folder, did_you_mean, number, seed, typed
from uniaudio.cli.models import TASKS_COMMAND, add_model_option, check_trained, trained_tasks
from uniaudio.errors import InputError
from uniaudio.tasks import TASKS

MAX_HOURS = 1000.0
CORPORA = {"speech": "English sentences spoken by flite and espeak-ng, with speakers and phone times"}
CODEC = "codec"  # what can be judged besides the tasks


def _check_name(name: str, known: Mapping[str, object], what: str) -> None:
    if name not in known:
        raise InputError(f"unknown {what} {name!r}{did_you_mean(name, known)}: choose {_listed(known)}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


# synthesize


def _synthesize_options(parser: Parser) -> None:
    parser.add_argument(
        "corpus", metavar="CORPUS", help="; ".join(f"{name}: {about}" for name, about in CORPORA.items())
    )
    parser.option("--out", required=True, type=Path, metavar="DIR", help="the folder to make or to finish")
    hours = number(float, 0, MAX_HOURS, above=True)
    parser.option("--hours", type=hours, default=1.0, metavar="H", help="how much audio (1)")
    parser.option("--seed", type=seed, default=0, metavar="N", help="the same seed gives the same corpus (0)")
    workers = number(int, 1, 256)
    parser.option("--workers", type=workers, default=os.cpu_count() or 1, metavar="W", help="processes (one per core)")


def _synthesize(options: Namespace) -> None:
    _check_name(options.corpus, CORPORA, "corpus")
    check_folder(options.out)

    from uniaudio.data.synthesize.speech import make_speech

    print(make_speech(options.out, options.hours, options.seed, options.workers))


# tokenize


def _tokenize_options(parser: Parser) -> None:
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="a folder with manifest.jsonl")
    parser.option("--out", required=True, type=Path, metavar="DIR", help="the folder for the tokens")
    add_model_option(parser)


def _tokenize(options: Namespace) -> None:
    from uniaudio import recipes
    from uniaudio.data.manifests import read_manifest

    check_is_folder(options.corpus, "a corpus")
    check_folder(options.out)
    read_manifest(options.corpus)  # a bad row is told before weights are loaded
    weights.find(options.model)
    recipes.tokenize(options.corpus, options.out, options.model)
    print(options.out)


# train


def _train_options(parser: Parser) -> None:
    from uniaudio import recipes

    width = max(map(len, recipes.RECIPES), default=0)
    parser.epilog = "\n".join(["recipes:", *(f"  {name:{width}}  {about}" for name, about in recipes.RECIPES.items())])
    parser.add_argument("recipe", metavar="RECIPE", help="what to train")
    parser.add_argument(
        "changes", nargs="*", default=[], metavar="KEY=VALUE", help="changes to its config, as in loop.steps=500"
    )
    parser.option("--corpus", type=Path, metavar="DIR", help="the corpus to train on")
    parser.option(
        "--run", type=Path, metavar="DIR", help="the folder of the run (runs/RECIPE); the same folder again resumes it"
    )
    parser.option("--minutes", type=number(float, 0, above=True), metavar="N", help="stop after this time")


def _train(options: Namespace) -> None:
    from uniaudio import recipes

    _check_name(options.recipe, recipes.RECIPES, "recipe")
    if options.corpus is not None:
        check_is_folder(options.corpus, "a corpus")
    check_folder(options.run or Path("runs"))
    recipes.run(options.recipe, options.changes, corpus=options.corpus, run=options.run, minutes=options.minutes)


# evaluate


def _evaluate_options(parser: Parser) -> None:
    about = f"tasks to judge, or `{CODEC}` (all that the model knows)"
    parser.add_argument("tasks", nargs="*", default=[], metavar="TASK", help=about)
    parser.option("--out", required=True, type=Path, metavar="DIR", help="the folder for the report")
    parser.option("--data", type=Path, metavar="DIR", help="the corpus whose test set is used")
    parser.option("--limit", type=number(int, 1), metavar="N", help="judge at most this many requests of a task")
    parser.option("--seed", type=seed, default=0, metavar="N", help="the same seed gives the same figures (0)")
    add_model_option(parser)


def _evaluate(options: Namespace) -> None:
    known = {typed(name): name for name in (*TASKS, CODEC)}
    for name in options.tasks:
        _check_name(name, known, "task")
    weights.find(options.model)
    tasks = [known[name] for name in options.tasks]
    for task in tasks:
        if task != CODEC:
            check_trained(options.model, task)
    if options.data is not None:
        check_is_folder(options.data, "a corpus")
    check_folder(options.out)
    tasks = tasks or [CODEC, *trained_tasks(options.model)]

    from uniaudio import recipes

    recipes.evaluate(tasks, options.model, options.data, options.out, options.limit, options.seed)
    print(options.out)


RUN_COMMANDS = (
    TASKS_COMMAND,
    Command(
        name="synthesize",
        about="Make a corpus of audio whose content is known.",
        add_options=_synthesize_options,
        run=_synthesize,
    ),
    Command(
        name="tokenize",
        about="Turn a corpus into the codes of a model.",
        add_options=_tokenize_options,
        run=_tokenize,
    ),
    Command(name="train", about="Train a network, or go on training it.", add_options=_train_options, run=_train),
    Command(name="evaluate", about="Judge what a model generates.", add_options=_evaluate_options, run=_evaluate),
)
