"""`make demo`: clips by the shipped model for every task that it knows, and a page to listen to."""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from uniaudio import weights
from uniaudio.engines import load
from uniaudio.engines.base import Engine
from uniaudio.errors import InputError
from uniaudio.tasks import TASKS
from uniaudio.ui import Clip, write_page

_FOLDERS = (weights.FOLDER / "voices", weights.FOLDER / "demo")
_REQUESTS: dict[str, list[dict[str, str]]] = {
    "tts": [
        {"text": "The old man bought a boat, and sailed it down the river.", "speaker": "slt-0970-158.flac"},
        {"text": "Welcome. This voice was made by a small model on this computer.", "speaker": "awb-0920-098.flac"},
        {"text": "My sister reads three books every week.", "speaker": "awb-1130-166.flac"},
    ],
    "voice_conversion": [{"source": "spoken.flac", "speaker": "slt-0970-158.flac"}],
    "speech_enhancement": [{"noisy": "noisy.flac"}],
    "target_speaker_extraction": [{"mixture": "two-talkers.flac", "speaker": "wanted-talker.flac"}],
    "singing_synthesis": [{"score": "song.json", "speaker": "singer.flac"}],
    "text_to_sound": [{"caption": "A dog barks three times"}, {"caption": "Heavy rain is falling"}],
    "text_to_music": [{"caption": "A slow folk piece played by a solo piano, peaceful in mood."}],
    "audio_edit": [{"caption": "Now drop in a helicopter hovering in the distance too", "source": "scene.flac"}],
    "dereverberation": [{"reverberant": "reverberant.flac"}],
    "instructed_tts": [
        {
            "text": "He talked to his superior.",
            "instruction": "Please speak quickly and in a high register, with a voice of a woman.",
        }
    ],
    "speech_edit": [
        {
            "source": "spoken.flac",
            "text": "And the inspiration of the Almighty giveth them understanding.",
            "edited_text": "And the inspiration of the morning giveth them understanding.",
        }
    ],
}
_ABOUT_VOICES = (
    "The voices are new variants of voices that training knows: pitch, formants and tempo were never heard together."
)


def make_demo(out: Path, model: str = "uniaudio-mini", seed: int = 0) -> list[Clip]:
    """Generate the demo clips into `out` with `index.html`; tasks that the model was not trained on are named.

    Raises InputError for a folder that cannot be written and for an unknown model.
    """
    _check_writable(out)
    engine = load(model)
    clips: list[Clip] = []
    for task_name in engine.tasks:
        for number, fields in enumerate(_REQUESTS.get(task_name, []), 1):
            clips.append(_make(engine, task_name, fields, out / f"{task_name}-{number}.wav", seed))
            print(
                f"{clips[-1].path}: {clips[-1].title} (real-time factor {clips[-1].real_time_factor:.2f})", flush=True
            )
    missing = [name for name in TASKS if name not in engine.tasks]
    notes = [f"Model {engine.name}, seed {seed}. {_ABOUT_VOICES}"]
    if missing:
        notes.append(f"{engine.name} is not trained on these tasks yet: {', '.join(missing)}.")
    write_page(out, "uniaudio demo", clips, notes)
    return clips


def _check_writable(out: Path) -> None:
    """Make the folder; raises InputError when no file can be written in it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(f"cannot write in the folder {str(out)!r} ({error.strerror}): choose another --out") from error


def _make(engine: Engine, task_name: str, fields: dict[str, str], path: Path, seed: int) -> Clip:
    task = TASKS[task_name]
    request: dict[str, Any] = dict(fields)
    inputs: dict[str, Path] = {}
    for field, modality in task.items:
        if modality in ("codec", "voice", "semantic", "midi"):
            request[field] = next(place / fields[field] for place in _FOLDERS if (place / fields[field]).exists())
        if modality in ("codec", "voice", "semantic"):
            inputs[field] = request[field]
    begun = time.perf_counter()
    audio = engine.generate(task_name, request, sampling=replace(engine.sampling_for(task_name), seed=seed))
    factor = (time.perf_counter() - begun) / audio.seconds
    audio.write(path)
    title = fields.get("edited_text") or fields.get("text") or fields.get("caption") or task.about
    shown = {name: value for name, value in fields.items() if name not in inputs}
    return Clip(
        title=title, task=task_name, path=path, request=shown, inputs=inputs, seed=seed, model=engine.name,
        real_time_factor=factor,
    )  # fmt: skip


def main() -> int:
    """Make the demo from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--model", default="uniaudio-mini")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        make_demo(options.out, options.model, options.seed)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"listen: {options.out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
