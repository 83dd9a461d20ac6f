"""The commands of a run: tokenize data, train on it, judge the result."""

from argparse import Namespace
from pathlib import Path

from uniaudio import weights
from uniaudio.cli.command import Command, Parser, check_folder, check_is_folder, number, seed, typed
from uniaudio.cli.corpora import add_workers, check_name
from uniaudio.cli.models import add_model_option, check_trained, trained_tasks
from uniaudio.tasks import TASKS

CODEC = "codec"  # what can be judged besides the tasks


# tokenize


def _tokenize_options(parser: Parser) -> None:
    parser.add_argument(
        "manifest", type=Path, metavar="MANIFEST", help="a corpus (a folder with cuts.jsonl) or examples of a task"
    )
    parser.option("--out", required=True, type=Path, metavar="DIR", help="the folder for the tokens")
    parser.option("--ray", metavar="ADDRESS", help="work on this Ray cluster (`local` starts one here)")
    add_workers(parser)
    add_model_option(parser)


def _tokenize(options: Namespace) -> None:
    from uniaudio import recipes

    if not options.manifest.is_file():
        check_is_folder(options.manifest, "a corpus or examples")
    check_folder(options.out)
    weights.find(options.model)
    recipes.tokenize(options.manifest, options.out, options.model, options.workers, options.ray)
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
        check_name(name, known, "task")
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
    Command(
        name="tokenize",
        about="Turn a corpus into the codes of a model.",
        add_options=_tokenize_options,
        run=_tokenize,
    ),
    Command(name="train", about="Train a network, or go on training it.", add_options=_train_options, run=_train),
    Command(name="evaluate", about="Judge what a model generates.", add_options=_evaluate_options, run=_evaluate),
)
