"""A fixed evaluation set: a few held-out examples of every task, their sound in plain files, small enough to ship."""

import argparse
import functools
import hashlib
import itertools
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from uniaudio.audio.io import Audio, encode_audio
from uniaudio.data.examples import EXAMPLES, Example, load, write_examples
from uniaudio.data.manifests import recording_cut
from uniaudio.data.synthesize.speech import Utterance, plan, render
from uniaudio.errors import InputError
from uniaudio.evaluate.baselines.retrieval import Training
from uniaudio.evaluate.cases import Case, find_examples, read_cases
from uniaudio.evaluate.columns import NEAREST
from uniaudio.evaluate.heard import RATE
from uniaudio.tasks import TASKS

MIN_SECONDS, MAX_SECONDS = 1.2, 6.0
QUIET = 0.02  # peak
VERSION = 1
_FREE = ("text_to_sound", "text_to_music")  # their clips may be cut, and they have a retrieval baseline


def write_set(data: Path, out: Path, each: int, tasks: list[str]) -> int:
    """Write `each` test examples of every task into `out`/TASK, their sound into `out`/audio; return its bytes.

    Voices of espeak-ng are left out: the offline recogniser understands them too badly for word errors to mean much.
    Silent ones are, too. Sound that several examples share is written once. Raises InputError for a task without test
    examples.
    """
    files = _Files(out / "audio")
    for task in tasks:
        cases = itertools.islice((case for case in read_cases(data, task, 3 * each, _fits) if _sounds(case)), each)
        examples = [_frozen(case.example, files) for case in cases]
        if task == "speech_edit":
            examples = [_with_real_source(example, utterances(data), files) for example in examples]
        if task in _FREE:
            training = Training(find_examples(data, task), task)
            examples = [_with_nearest(example, training, files) for example in examples]
        write_examples(out / task / EXAMPLES, examples)
        print(f"{task}: {len(examples)} examples", flush=True)
    about = {"version": VERSION, "each": each, "max_seconds": MAX_SECONDS, "files": len(files.sizes)}
    (out / "set.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return sum(files.sizes.values())


class _Files:
    """The sound files of a set, named by what is in them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.sizes = folder, dict[str, int]()
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, audio: Audio) -> dict[str, Any]:
        """Write a recording [1, N] and return the JSON value of its cut."""
        content = encode_audio(audio, ".flac")
        name = hashlib.sha256(content).hexdigest()[:16]
        path = self.folder / f"{name}.flac"
        if name not in self.sizes:
            path.write_bytes(content)
            self.sizes[name] = len(content)
        cut = recording_cut(name, str(path.resolve()), audio.samples.shape[1], audio.sample_rate, "test").to_dict()
        return {**{key: value for key, value in cut.items() if key != "custom"}, "supervisions": []}


def _fits(example: Example) -> bool:
    is_short = MIN_SECONDS <= example.seconds <= MAX_SECONDS or example.task in _FREE
    return is_short and not str(example.labels.get("speaker", "")).startswith("espeak")


def _sounds(case: Case) -> bool:
    """Is there something to hear in the part that is kept? Some scenes and pieces begin with silence."""
    return bool(abs(_short(case.reference.audio).samples).max() > QUIET)


def _frozen(example: Example, files: _Files) -> Example:
    """Return the example with every recording, mixed and reverberated as it is, in a file of its own."""
    given = {
        name: files.keep(_short(load(value, RATE))) if isinstance(value, Mapping) and "id" in value else value
        for name, value in example.given.items()
    }
    target = _short(load(example.target, RATE))
    return replace(example, target=files.keep(target), given=given, seconds=round(target.seconds, 4))


@functools.cache
def utterances(data: Path) -> dict[str, Utterance]:
    """Return what the made speech beside the examples was rendered from, by id; nothing where there is none."""
    about = data.parent / "made" / "speech" / "corpus.json"
    if not about.exists():
        return {}
    try:
        settings = json.loads(about.read_text(encoding="utf-8"))
        return {one.id: one for one in plan(settings["hours"], settings["seed"])}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{about} is damaged: make this corpus again") from error


def _with_real_source(example: Example, spoken: Mapping[str, Utterance], files: _Files) -> Example:
    """Let the same voice really say the transcript: training examples of speech_edit have the target as their source.

    A recording that was not made here keeps its source.
    """
    utterance = spoken.get(example.id.removeprefix("speech_edit-"))
    if utterance is None:
        return example
    style = replace(utterance.style, emphasis=None)  # it marks a word of the other text
    made = render(replace(utterance, text=example.given["text"], style=style)).samples
    source = files.keep(_short(Audio(made[None], RATE)))
    return replace(example, given={**example.given, "source": source})


def _with_nearest(example: Example, training: Training, files: _Files) -> Example:
    """Add the training clip with the nearest caption, so that retrieval needs no training corpus."""
    clip = load(training.clips[training.nearest(example.given["caption"])][1], RATE)
    return replace(example, labels={**example.labels, NEAREST: files.keep(_short(clip))})


def _short(audio: Audio) -> Audio:
    return Audio(audio.samples[:, : round(MAX_SECONDS * audio.sample_rate)], audio.sample_rate)


def main() -> int:
    """Write a set from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the folder of the examples, as `uniaudio data pair` writes it")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--each", type=int, default=10, help="examples of every task")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS))
    options = parser.parse_args()
    try:
        size = write_set(options.data, options.out, options.each, options.tasks)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {size / 1e6:.1f} MB of sound")
    return 0


if __name__ == "__main__":
    sys.exit(main())
