"""The commands of latent diffusion models on a recording: vary, restyle, fill in, go on, take as an example."""

import functools
import os
import time
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uniaudio.audio.io import check_writable, read_audio
from uniaudio.cli.command import Command, Parser, number, seed
from uniaudio.cli.generate import MAX_SECONDS, MAX_STEPS, MIN_SECONDS, progress
from uniaudio.cli.models import add_model_option
from uniaudio.engines.kinds import ENGINES, is_latent
from uniaudio.errors import InputError

_SECONDS = {"type": number(float, 0, MAX_SECONDS, above=True), "metavar": "S"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "strength": {
        "type": number(float, 0, 1, above=True), "metavar": "N", "default": 0.5,
        "help": "how much of the recording is lost: near 0 nothing, 1 all (0.5)",
    },
    "start": {"type": number(float, 0, MAX_SECONDS), "metavar": "S", "help": "where the part to make anew begins"},
    "end": {**_SECONDS, "help": "where it ends"},
    "seconds": {**_SECONDS, "default": 3.0, "help": "how long the new part is (3)"},
}  # fmt: skip


@dataclass(frozen=True)
class _Mode:
    """One command: the function of `engines.latent_modes` that makes its sound, and the options that this is given, in
    its order, between the recording and the rest; all may be told a caption, and some must."""

    name: str
    about: str
    function: str
    options: tuple[str, ...] = ()
    needs_caption: bool = False


_MODES = (
    _Mode("variation", "Make another recording of the same kind.", "variation"),
    _Mode("style-transfer", "Turn a recording into what a caption says.", "style_transfer", ("strength",), True),
    _Mode("inpaint", "Make a part of a recording anew.", "inpaint", ("start", "end")),
    _Mode("extend", "Go on with a recording of sound or music.", "continuation", ("seconds",)),
    _Mode(
        "in-context", "Make what a caption says, after the example of a recording.", "in_context", ("seconds",), True
    ),
)


def _add_options(mode: _Mode, parser: Parser) -> None:
    parser.option("--source", required=True, metavar="AUDIO", help="the recording")
    for name in mode.options:
        parser.option(f"--{name}", required="default" not in _OPTIONS[name], **_OPTIONS[name])
    about = "what it is to sound like" + ("" if mode.needs_caption else " (without one: like the recording)")
    parser.option("--caption", required=mode.needs_caption, metavar="TEXT", help=about)
    about = "the file to write: .wav, .flac or .ogg"
    parser.option("-o", "--out", required=True, type=Path, metavar="OUT.wav", help=about)
    add_model_option(parser, ENGINES["audioldm2"])
    parser.option("--seed", type=seed, metavar="N", help="the same seed gives the same audio (0)")
    about = "how often the latent is denoised (the model's own)"
    parser.option("--steps", type=number(int, 1, MAX_STEPS), metavar="N", help=about)
    about = "how much the conditions count; 1 is plain sampling (the model's own)"
    parser.option("--guidance", type=number(float, 1), metavar="N", help=about)
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _run(mode: _Mode, options: Namespace) -> None:
    """Check everything that is cheap, load the model, generate and write."""
    check_writable(options.out)
    if not is_latent(options.model):
        shipped = ENGINES["audioldm2"]
        raise InputError(f"{options.model} is no latent diffusion model, which {mode.name} needs: give {shipped}")
    if options.caption is not None:
        from uniaudio.tokenizers.text import check_caption

        check_caption(options.caption)
    try:
        source = read_audio(options.source, min_seconds=MIN_SECONDS, max_seconds=MAX_SECONDS)
    except InputError as error:
        raise InputError(f"--source: {error}") from error

    from uniaudio.engines import latent_modes
    from uniaudio.engines.latent_folder import load_latent

    engine = load_latent(options.model)
    named = ((name, getattr(options, name)) for name in ("seed", "steps", "guidance"))
    given = {name: value for name, value in named if value is not None}
    with progress(mode.name, options.quiet) as on_frame:
        edit = latent_modes.Edit(caption=options.caption, sampling=replace(engine.sampling, **given), on_frame=on_frame)
        started = time.perf_counter()
        make = getattr(latent_modes, mode.function)
        audio = make(engine, source, *(getattr(options, name) for name in mode.options), edit)
        elapsed = time.perf_counter() - started
    audio.write(options.out)
    if not options.quiet:
        name = os.fsencode(options.out).decode(errors="replace")  # a name need not be text
        print(f"{name}  {audio.seconds:.2f} s of audio, real-time factor {elapsed / audio.seconds:.2f}")


LATENT_COMMANDS = tuple(
    Command(
        name=mode.name,
        about=mode.about,
        add_options=functools.partial(_add_options, mode),
        run=functools.partial(_run, mode),
    )
    for mode in _MODES
)
