"""The command of AudioLM: a recording goes on, sound comes from nothing, a recording is said again."""

import os
import time
from argparse import Namespace
from pathlib import Path

from uniaudio.audio.io import Audio, check_writable, read_audio
from uniaudio.cli.command import Command, Parser, number, seed
from uniaudio.cli.models import check_trained
from uniaudio.errors import InputError

DEFAULT_SECONDS = 7.0
DEFAULT_MODEL = "audiolm-mini"
MIN_DETECTED_SECONDS = 1.0  # the limit of `evaluate.detector`
MIN_SECONDS, MAX_SECONDS = 0.5, 60.0  # the limits of `engines.audiolm`, which cannot be asked without torch


def _options(parser: Parser) -> None:
    parser.option("--prompt", metavar="AUDIO", help="the recording that goes on; without one, sound from nothing")
    about = "say what this recording says, in the voice of the prompt (without one: in any voice)"
    parser.option("--source", metavar="AUDIO", help=about)
    about = f"how long it goes on ({DEFAULT_SECONDS:g}); a source gives its own length"
    parser.option("--seconds", type=number(float, 0, MAX_SECONDS, above=True), metavar="S", help=about)
    parser.option(
        "-o", "--out", required=True, type=Path, metavar="OUT.wav", help="the file to write: .wav, .flac or .ogg"
    )
    parser.option("--model", default=DEFAULT_MODEL, metavar="NAME|DIR", help=f"an AudioLM model ({DEFAULT_MODEL})")
    parser.option("--seed", type=seed, default=0, metavar="N", help="the same seed gives the same audio (0)")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _run(options: Namespace) -> None:
    """Check everything that is cheap, load the model, generate and write."""
    check_writable(options.out)
    check_trained(options.model, "continuation")
    if options.source is not None and options.seconds is not None:
        raise InputError("--seconds and --source do not go together: a source gives the length")
    prompt, source = _read(options.prompt, "--prompt"), _read(options.source, "--source")

    from uniaudio.engines.audiolm_folder import load_audiolm

    engine = load_audiolm(options.model)
    started = time.perf_counter()
    if source is not None:
        audio = engine.say_again(source, prompt, options.seed)
    else:
        audio = engine.continuation(prompt, options.seconds or DEFAULT_SECONDS, options.seed)
    made = audio.seconds - (prompt.seconds if prompt is not None and source is None else 0.0)
    elapsed = time.perf_counter() - started
    audio.write(options.out)
    if not options.quiet:
        name = os.fsencode(options.out).decode(errors="replace")  # a name need not be text
        print(f"{name}  {audio.seconds:.2f} s of audio, {made:.2f} s of it new, real-time factor {elapsed / made:.2f}")


def _read(path: str | None, option: str) -> Audio | None:
    if path is None:
        return None
    try:
        return read_audio(path, min_seconds=MIN_SECONDS, max_seconds=MAX_SECONDS)
    except InputError as error:
        raise InputError(f"{option}: {error}") from error


def _detect_options(parser: Parser) -> None:
    parser.add_argument("file", metavar="AUDIO", help="the recording to judge, 1 to 60 s")
    parser.option("--model", default=DEFAULT_MODEL, metavar="NAME|DIR", help=f"an AudioLM model ({DEFAULT_MODEL})")
    parser.add_argument("--each-second", action="store_true", help="print the probability of every second too")


def _detect(options: Namespace) -> None:
    """Pass a file through the model's codec and print what its detector says, with its scope."""
    check_trained(options.model, "continuation")
    audio = read_audio(options.file, min_seconds=MIN_DETECTED_SECONDS, max_seconds=MAX_SECONDS)

    from uniaudio.evaluate.detector import load_detector

    verdict = load_detector(options.model).judge(audio)
    name = os.fsencode(options.file).decode(errors="replace")
    what = f"made by {options.model}" if verdict.made else "a recording"
    print(f"{name}: {what}, probability of being made {verdict.probability:.2f}")
    if options.each_second:
        print("every half second: " + " ".join(f"{value:.2f}" for value in verdict.seconds))
    print(
        f"scope: tells speech that {options.model} made from synthetic speech, both through its codec; says nothing "
        "reliable of other models, of recordings of the world, or of music"
    )


AUDIOLM_COMMANDS = (
    Command(
        name="continuation",
        about="Go on with a recording of speech or piano, without any text.",
        add_options=_options,
        run=_run,
    ),
    Command(
        name="detect",
        about="Say whether an AudioLM model made a recording of speech.",
        add_options=_detect_options,
        run=_detect,
    ),
)
