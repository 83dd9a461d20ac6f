"""The commands of a run: tokenize data, train on it, judge the result."""

import os
from argparse import Namespace
from pathlib import Path

from uniaudio import weights
from uniaudio.cli.command import Command, Parser, check_folder, check_is_folder, number, seed, typed
from uniaudio.cli.corpora import add_workers, check_name
from uniaudio.cli.models import add_model_option, add_precision_option, check_codec
from uniaudio.errors import InputError
from uniaudio.tasks import TASKS

CODEC = "codec"  # what can be judged besides the tasks


# tokenize


def _tokenize_options(parser: Parser) -> None:
    parser.add_argument(
        "manifest", type=Path, metavar="MANIFEST", help="a corpus (a folder with cuts.jsonl) or examples of a task"
    )
    parser.option("--out", required=True, type=Path, metavar="DIR", help="the folder for the tokens")
    parser.option("--ray", metavar="ADDRESS", help="work on this Ray cluster (`local` starts one here)")
    parser.add_argument("--bfloat16", action="store_true", help="faster on many processors; some codes differ")
    about = "semantic tokens of recordings and no codes: fast, and enough for audiolm_semantic"
    parser.add_argument("--only-semantic", action="store_true", help=about)
    add_workers(parser)
    add_model_option(parser)


def _tokenize(options: Namespace) -> None:
    from uniaudio import recipes

    if not options.manifest.is_file():
        check_is_folder(options.manifest, "a corpus or examples")
    check_folder(options.out)
    weights.find(options.model)
    recipes.tokenize(
        options.manifest,
        options.out,
        options.model,
        options.workers,
        options.ray,
        options.bfloat16,
        options.only_semantic,
    )
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

    check_name(options.recipe, recipes.RECIPES, "recipe")
    if options.corpus is not None:
        check_is_folder(options.corpus, "a corpus")
    if os.environ.get("RANK", "0") == "0":  # of several processes one: checking makes a folder and removes it again
        check_folder(options.run or Path("runs"))
    recipes.run(options.recipe, options.changes, corpus=options.corpus, run=options.run, minutes=options.minutes)


# evaluate


def _evaluate_options(parser: Parser) -> None:
    about = f"tasks to judge, or `{CODEC}` (all tasks)"
    parser.add_argument("tasks", nargs="*", default=[], metavar="TASK", help=about)
    parser.option("--out", required=True, type=Path, metavar="DIR", help="the folder for the report")
    parser.option("--data", type=Path, metavar="DIR", help="held-out examples, a corpus, or the folder of both")
    parser.option("--limit", type=number(int, 1), metavar="N", help="judge at most this many requests of a task")
    parser.option("--seed", type=seed, default=0, metavar="N", help="the same seed gives the same figures (0)")
    add_workers(parser)
    add_model_option(parser)
    add_precision_option(parser)


def _evaluate(options: Namespace) -> None:
    known = {typed(name): name for name in (*TASKS, CODEC)}
    for name in options.tasks:
        check_name(name, known, "task")
    tasks = [known[name] for name in options.tasks] or list(TASKS)
    if tasks == [CODEC]:
        check_codec(options.model)
    else:
        weights.find(options.model)
    if options.data is not None:
        check_is_folder(options.data, "a corpus")
    check_folder(options.out)

    from uniaudio import recipes

    limits = options.limit, options.seed, options.workers, options.precision
    recipes.evaluate(tasks, options.model, options.data, options.out, *limits)
    print(options.out)


# compare


def _compare_options(parser: Parser) -> None:
    parser.add_argument("first", type=Path, metavar="A.json", help="the results.json of one evaluation")
    parser.add_argument("second", type=Path, metavar="B.json", help="that of another one, of the same examples")
    parser.option("--column", default="model", metavar="NAME", help="whose figures are compared (model)")
    parser.add_argument("--gate", action="store_true", help="end with an error when a figure is worse in B")


def _compare(options: Namespace) -> None:
    from uniaudio import recipes

    worse = recipes.compare(options.first, options.second, options.column)
    if options.gate and worse:
        raise InputError(f"{options.second} is worse than {options.first} in: {', '.join(worse)}")


RUN_COMMANDS = (
    Command(
        name="tokenize",
        about="Turn a corpus into the codes of a model.",
        add_options=_tokenize_options,
        run=_tokenize,
    ),
    Command(name="train", about="Train a network, or go on training it.", add_options=_train_options, run=_train),
    Command(name="evaluate", about="Judge what a model generates.", add_options=_evaluate_options, run=_evaluate),
    Command(
        name="compare",
        about="Tell which differences of two evaluations are real.",
        add_options=_compare_options,
        run=_compare,
    ),
)
