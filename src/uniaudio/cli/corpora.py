"""The commands that make and inspect data: synthesize, prepare, data."""

import os
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path

from uniaudio.cli.command import Command, Parser, check_folder, check_is_folder, did_you_mean, number, seed
from uniaudio.data import prepare, synthesize
from uniaudio.errors import InputError
from uniaudio.tasks import TASKS

MAX_HOURS = 1000.0
ACTIONS = {
    "pair": "make the examples of the tasks from the corpora below FOLDER",
    "align": "add phone times to the speech corpus FOLDER where they are missing",
    "report": "show what the corpora and examples below FOLDER hold, and every bad row",
    "judge": "let independent judges check the labels of the corpora below FOLDER/made",
}


def check_name(name: str, known: Mapping[str, object], what: str) -> None:
    """Raise InputError for a name that is not known."""
    if name not in known:
        raise InputError(f"unknown {what} {name!r}{did_you_mean(name, known)}: choose {listed(known)}")


def listed(names: Iterable[str]) -> str:
    """Return names one after another, or "none"."""
    return ", ".join(names) or "none"


def add_workers(parser: Parser) -> None:
    """Add the option --workers."""
    workers = number(int, 1, 256)
    parser.option("--workers", type=workers, default=os.cpu_count() or 1, metavar="W", help="processes (one per core)")


# synthesize


def _synthesize_options(parser: Parser) -> None:
    kinds = "; ".join(f"{name}: {about}" for name, about in synthesize.KINDS.items())
    parser.add_argument("corpus", metavar="CORPUS", help=kinds)
    parser.option("--out", required=True, type=Path, metavar="DIR", help="the folder to make or to finish")
    hours = number(float, 0, MAX_HOURS, above=True)
    default = ", ".join(f"{name} {hours:g}" for name, hours in synthesize.DEFAULT_HOURS.items())
    parser.option("--hours", type=hours, metavar="H", help=f"how much audio ({default})")
    parser.option("--seed", type=seed, default=0, metavar="N", help="the same seed gives the same corpus (0)")
    add_workers(parser)


def _synthesize(options: Namespace) -> None:
    check_name(options.corpus, synthesize.KINDS, "corpus")
    check_folder(options.out)
    hours = synthesize.DEFAULT_HOURS[options.corpus] if options.hours is None else options.hours
    print(synthesize.synthesize(options.corpus, options.out, hours, options.seed, options.workers))


# prepare


def _prepare_options(parser: Parser) -> None:
    width = max(map(len, prepare.CORPORA))
    lines = (f"  {name:{width}}  {corpus.about}" for name, corpus in prepare.CORPORA.items())
    parser.epilog = "\n".join(["corpora:", *lines])
    parser.add_argument("corpus", metavar="CORPUS", help="a public corpus that you have downloaded")
    parser.option("--source", required=True, type=Path, metavar="DIR", help="where it lies")
    parser.option("--out", required=True, type=Path, metavar="DIR", help="the folder for its manifest")


def _prepare(options: Namespace) -> None:
    check_name(options.corpus, prepare.CORPORA, "corpus")
    check_folder(options.out)
    print(prepare.prepare(options.corpus, options.source, options.out))


# data


def _data_options(parser: Parser) -> None:
    parser.add_argument("action", metavar="ACTION", help="; ".join(f"{name}: {what}" for name, what in ACTIONS.items()))
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder with the data")
    parser.option("--out", type=Path, metavar="DIR", help="where to write (pair: needed; report: FOLDER/report)")
    parser.option("--tasks", metavar="A,B", help="pair only these tasks (all that the corpora allow)")
    parser.option("--most", type=number(int, 1), metavar="N", help="pair: a random choice of N examples of each split")
    parser.option("--examples", type=Path, metavar="DIR", help="judge: the examples (FOLDER/examples)")
    limit = number(int, 0)
    parser.option("--limit", type=limit, default=200, metavar="N", help="listen to N recordings of each kind, 0: all")
    parser.option("--seed", type=seed, default=0, metavar="N", help="the same seed makes the same choice (0)")
    add_workers(parser)


def _data(options: Namespace) -> None:
    check_name(options.action, ACTIONS, "action")
    check_is_folder(options.folder, "data")
    from uniaudio import recipes

    if options.action == "pair":
        if options.out is None:
            raise InputError("uniaudio data pair needs --out DIR, the folder for the examples")
        tasks = [task.strip().replace("-", "_") for task in (options.tasks or "").split(",") if task.strip()]
        for task in tasks:
            check_name(task, TASKS, "task")
        check_folder(options.out)
        recipes.pair(options.folder, options.out, tasks, options.seed, options.most)
    elif options.action == "align":
        recipes.align(options.folder, options.workers)
    elif options.action == "report":
        out = options.out or options.folder / "report"
        check_folder(out)
        recipes.report(options.folder, out, options.limit or None, options.workers)
    else:
        recipes.judge(
            options.folder, options.examples or options.folder / "examples", options.limit or 10**9, options.seed
        )


CORPUS_COMMANDS = (
    Command(
        name="synthesize",
        about="Make a corpus of audio whose content is known.",
        add_options=_synthesize_options,
        run=_synthesize,
    ),
    Command(name="prepare", about="Take in a public corpus.", add_options=_prepare_options, run=_prepare),
    Command(name="data", about="Pair, align, inspect and judge data.", add_options=_data_options, run=_data),
)
