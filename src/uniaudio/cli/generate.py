"""One command per task: its options come from the task table, and bad requests fail before weights are loaded."""

import functools
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from uniaudio.audio.io import Audio, check_writable, read_audio
from uniaudio.cli.command import Command, Parser, number, seed, typed
from uniaudio.cli.models import add_model_option, add_precision_option, check_trained
from uniaudio.engines.kinds import is_latent
from uniaudio.errors import InputError
from uniaudio.tasks import Task

# The limits of `engines`, which cannot be asked without torch; a test compares them.
MIN_SECONDS, MIN_VOICE_SECONDS, MAX_SECONDS = 0.1, 0.5, 60.0
MAX_CANDIDATES, MAX_STEPS = 16, 500

Progress = Callable[[int, int], None]  # (frames done, frames in all)

_SAMPLING: dict[str, tuple[Callable[[str], Any], str]] = {
    "seed": (seed, "the same seed gives the same audio"),
    "temperature": (number(float, 0), "0 always takes the likeliest code; higher is more varied"),
    "top_k": (number(int, 0), "sample from this many likeliest codes; 0 from all"),
    "guidance": (number(float, 1), "how much the conditions count; 1 is plain sampling, more takes twice as long"),
    "candidates": (number(int, 1, MAX_CANDIDATES), "make this many and keep the one that the conditions explain best"),
    "top_p": (number(float, 0, 1, above=True), "sample from the likeliest codes of this probability in all"),
    "steps": (number(int, 1, MAX_STEPS), "how often the latent is denoised"),
}
_TOKENS_ONLY, _LATENT_ONLY = ("temperature", "top_k", "top_p"), ("steps",)  # which kind of model has no use for which


def task_command(task: Task) -> Command:
    """Return the command of a task."""
    return Command(
        name=typed(task.name),
        about=task.about,
        add_options=functools.partial(_add_options, task),
        run=functools.partial(_run, task),
    )


def _add_options(task: Task, parser: Parser) -> None:
    for field in task.given:
        metavar, about = _reading(task, field)[0], task.help.get(field, field)
        parser.option(f"--{typed(field)}", required=True, dest=field, metavar=metavar, help=about)
    parser.option(
        "-o", "--out", required=True, type=Path, metavar="OUT.wav", help="the file to write: .wav, .flac or .ogg"
    )
    if task.length == "seconds":
        about = "how long the result is"
        parser.option("--seconds", type=number(float, 0, MAX_SECONDS, above=True), metavar="S", help=about)
    add_model_option(parser)
    add_precision_option(parser)
    for name, (read, about) in _SAMPLING.items():
        parser.option(f"--{typed(name)}", dest=name, type=read, metavar="N", help=f"{about} (the model's own)")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _run(task: Task, options: Namespace) -> None:
    """Check everything that is cheap, load the model, generate and write."""
    check_writable(options.out)
    check_trained(options.model, task.name)
    given = given_sampling(options, _SAMPLING)
    request = read_request(task, vars(options))

    from uniaudio import engines

    engine = engines.load(options.model, precision=options.precision)
    sampling = replace(engine.sampling_for(task.name), **given)
    seconds = getattr(options, "seconds", None)
    with progress(task.name, options.quiet) as on_frame:
        started = time.perf_counter()
        audio = engine.generate(task.name, request, sampling=sampling, seconds=seconds, on_frame=on_frame)
        elapsed = time.perf_counter() - started
    audio.write(options.out)
    if not options.quiet:
        name = os.fsencode(options.out).decode(errors="replace")  # a name need not be text
        print(f"{name}  {audio.seconds:.2f} s of audio, real-time factor {elapsed / audio.seconds:.2f}")


def given_sampling(options: Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Return the sampling options that are given; raises InputError for one that the kind of model has no use for."""
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    latent = is_latent(options.model)
    if wrong := [name for name in given if name in (_TOKENS_ONLY if latent else _LATENT_ONLY)]:
        kind = "a latent diffusion model" if latent else "a language model of codes"
        raise InputError(f"{options.model} is {kind}, which has no --{typed(wrong[0])}: leave it out")
    return given


def read_request(task: Task, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the task's fields as an engine takes them: recordings read, texts and scores checked.

    Raises InputError for a file or a text that no model could use. Recordings come first: they need no torch.
    """
    request: dict[str, Any] = {}
    for field in sorted(task.given, key=lambda field: _reading(task, field)[0] != "AUDIO"):
        try:
            request[field] = _reading(task, field)[1](values[field])
        except InputError as error:
            raise InputError(f"--{typed(field)}: {error}") from error
    return request


def _reading(task: Task, field: str) -> tuple[str, Callable[[str], Any]]:
    """Return (metavar, reader) of a field, by its last modality: a score gives phones first, and then its notes."""
    modality = [modality for name, modality in task.items if name == field][-1]
    return _READINGS.get(modality, ("VALUE", str))


def _read_recording(path: str, min_seconds: float = MIN_SECONDS) -> Audio:
    with _quiet_libraries():
        return read_audio(path, min_seconds=min_seconds, max_seconds=MAX_SECONDS)


def _read_voice(path: str) -> Audio:
    return _read_recording(path, MIN_VOICE_SECONDS)


def _read_text(text: str) -> str:
    from uniaudio.tokenizers.text import clauses

    clauses(text)  # most of what can be wrong is known without torch, and told at once
    from uniaudio.tokenizers.phoneme import phonemes

    phonemes(text)
    return text


def _read_caption(text: str) -> str:
    from uniaudio.tokenizers.text import check_caption

    check_caption(text)
    return text


def _read_score(path: str) -> Any:
    from uniaudio.tokenizers.score_files import read_score_file

    return read_score_file(path)


# Modality -> how a value is called in the help, and what reads it; any other is left to the engine as it is.
_READINGS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "codec": ("AUDIO", _read_recording),
    "semantic": ("AUDIO", _read_recording),
    "voice": ("AUDIO", _read_voice),
    "phoneme": ("TEXT", _read_text),
    "phoneme_duration": ("TEXT", _read_text),
    "caption": ("TEXT", _read_caption),
    "midi": ("SCORE", _read_score),
}


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Turn off stderr below Python, where libmpg123 writes notes of its own about a damaged MP3."""
    if sys.stderr is None:
        yield
        return
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


@contextmanager
def progress(title: str, quiet: bool) -> Iterator[Progress | None]:
    """Give a callback that draws a bar on stderr, or None where nobody watches."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=title, unit="frame", leave=False) as bar:

        def on_frame(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield on_frame
