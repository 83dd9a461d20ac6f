"""The task table: what each task is given, what it predicts, and how it is judged (standard library only).

A user's own tasks join the table from JSON files that the environment variable UNIAUDIO_TASKS names: data, no code.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from uniaudio.errors import InputError

ENVIRONMENT = "UNIAUDIO_TASKS"  # names files of a user's tasks, separated as in PATH; worker processes inherit it
AUDIO_TYPES = ("speech", "singing", "sound", "music")


@dataclass(frozen=True, kw_only=True)
class Task:
    """One kind of generation, as data.

    `given` maps each request field to its modality (or modalities, where one field gives several items), in
    sequence order. `target` is (audio type, modality): the only part of the sequence that carries loss.
    `length` says where the number of target frames comes from: "text" (spoken length of the phonemes), "seconds"
    (asked for by the user) or the name of the field whose frames the target follows one to one.
    """

    name: str
    about: str
    given: Mapping[str, str | tuple[str, ...]]
    target: tuple[str, str]
    length: str
    metrics: tuple[str, ...]
    stage: int = 1
    help: Mapping[str, str] = field(default_factory=dict)

    @property
    def items(self) -> list[tuple[str, str]]:
        """(field, modality) pairs in sequence order; a field with two modalities appears twice."""
        pairs: list[tuple[str, str]] = []
        for name, modalities in self.given.items():
            for modality in (modalities,) if isinstance(modalities, str) else modalities:
                pairs.append((name, modality))
        return pairs


# Modality -> whether its frames run in step with the target (frame t of one belongs to frame t of the other).
MODALITIES: dict[str, bool] = {
    "codec": True,
    "voice": False,
    "phoneme": False,
    "phoneme_duration": True,
    "midi": True,
    "semantic": True,
    "caption": False,
}

_SPEAKER = "a recording of the voice to use (about 3 s)"

_TABLE = (
    Task(
        name="tts",
        about="Speak a text in a given voice.",
        given={"text": "phoneme", "speaker": "voice"},
        target=("speech", "codec"),
        length="text",
        metrics=("wer", "speaker_similarity", "nearest_voice", "dnsmos"),
        help={"text": "the English text to speak", "speaker": _SPEAKER},
    ),
    Task(
        name="voice_conversion",
        about="Say what a recording says, in another voice.",
        given={"source": "semantic", "speaker": "voice"},
        target=("speech", "codec"),
        length="source",
        metrics=("wer", "speaker_similarity", "nearest_voice", "dnsmos"),
        help={"source": "the recording whose words are kept", "speaker": _SPEAKER},
    ),
    Task(
        name="speech_enhancement",
        about="Remove the noise from a recording of speech.",
        given={"noisy": "codec"},
        target=("speech", "codec"),
        length="noisy",
        metrics=("dnsmos", "wer", "pesq", "stoi", "si_sdr"),
        help={"noisy": "the noisy recording"},
    ),
    Task(
        name="target_speaker_extraction",
        about="Keep one talker out of a mixture.",
        given={"mixture": "codec", "speaker": "voice"},
        target=("speech", "codec"),
        length="mixture",
        metrics=("wer", "speaker_similarity", "nearest_voice", "stoi"),
        help={"mixture": "a recording with several talkers", "speaker": "a recording of the talker to keep"},
    ),
    Task(
        name="singing_synthesis",
        about="Sing a score in a given voice.",
        given={"score": ("phoneme_duration", "midi"), "speaker": "voice"},
        target=("singing", "codec"),
        length="score",
        metrics=("pitch", "voicing", "wer", "speaker_similarity"),
        help={"score": "a score with lyrics (JSON, MusicXML or MIDI)", "speaker": _SPEAKER},
    ),
    Task(
        name="text_to_sound",
        about="Make the sound that a caption describes.",
        given={"caption": "caption"},
        target=("sound", "codec"),
        length="seconds",
        metrics=("class_accuracy", "caption_agreement", "kl_divergence", "frechet_distance", "diversity"),
        help={"caption": "a description of the sound"},
    ),
    Task(
        name="text_to_music",
        about="Make the music that a caption describes.",
        given={"caption": "caption"},
        target=("music", "codec"),
        length="seconds",
        metrics=("class_accuracy", "caption_agreement", "tempo_error", "frechet_distance", "diversity"),
        help={"caption": "a description of the music"},
    ),
    Task(
        name="audio_edit",
        about="Change a recording as an instruction says.",
        given={"caption": "caption", "source": "codec"},
        target=("sound", "codec"),
        length="source",
        metrics=("edit_accuracy", "mel_distance"),
        stage=2,
        help={"caption": "what to add, remove or replace", "source": "the recording to change"},
    ),
    Task(
        name="dereverberation",
        about="Remove the room from a recording of speech.",
        given={"reverberant": "codec"},
        target=("speech", "codec"),
        length="reverberant",
        metrics=("dnsmos", "wer", "srmr", "speech_to_reverberation"),
        stage=2,
        help={"reverberant": "the reverberant recording"},
    ),
    Task(
        name="instructed_tts",
        about="Speak a text in the way an instruction describes.",
        given={"text": "phoneme", "instruction": "caption"},
        target=("speech", "codec"),
        length="text",
        metrics=("wer", "rate_class", "pitch_class", "dnsmos"),
        stage=2,
        help={"text": "the English text to speak", "instruction": "how to speak, for example 'a low, slow voice'"},
    ),
    Task(
        name="speech_edit",
        about="Change words inside a recording of speech.",
        given={"edited_text": "phoneme_duration", "source": "codec", "text": "phoneme"},
        target=("speech", "codec"),
        length="edited_text",
        metrics=("wer", "mel_cepstral_distortion", "speaker_similarity", "join_click"),
        stage=2,
        help={
            "source": "the recording to change",
            "text": "what the recording says now",
            "edited_text": "what it should say",
        },
    ),
)

TASKS: dict[str, Task] = {task.name: task for task in _TABLE}
SHIPPED: tuple[str, ...] = tuple(TASKS)

# AudioLM's three language models (2209.03143): steps of `engines.audiolm`, no requests of a user. They need no text.
_STAGES = (
    Task(
        name="semantic",
        about="What is said or played, as semantic tokens, from those before.",
        given={},
        target=("audio", "semantic"),
        length="seconds",
        metrics=(),
    ),
    Task(
        name="coarse",
        about="The codec's first codebooks from the semantic tokens.",
        given={"semantic": "semantic"},
        target=("audio", "codec"),
        length="semantic",
        metrics=(),
    ),
    Task(
        name="fine",
        about="The codec's other codebooks from its first ones.",
        given={"coarse": "codec"},
        target=("audio", "codec"),
        length="coarse",
        metrics=(),
    ),
)
STAGES: dict[str, Task] = {task.name: task for task in _STAGES}


def register(task: Task) -> None:
    """Add a user's task at the end of the table; the same one again changes nothing.

    Raises InputError for a task that cannot be laid out, and for the name of another one.
    """
    _check(task)
    if TASKS.setdefault(task.name, task) != task:
        raise InputError(f"there is another task {task.name!r} already: choose another name")


def read_tasks(path: Path) -> list[Task]:
    """Return the tasks of a JSON file: a list of objects with the fields of `Task`; `stage` and `help` are optional.

    Raises InputError that names the file and what is wrong in it.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, list):
            raise InputError("it must hold a list of tasks")
        tasks = [_task(entry) for entry in entries]
        for task in tasks:
            _check(task)
    except OSError as error:
        raise InputError(
            f"the task file {str(path)!r} cannot be read ({error.strerror}): check {ENVIRONMENT}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"the task file {str(path)!r} is wrong: {error}") from error
    return tasks


def to_json(names: list[str]) -> str:
    """Return some tasks of the table as `read_tasks` reads them."""
    return json.dumps([asdict(TASKS[name]) for name in names], indent=1, ensure_ascii=False) + "\n"


def _task(entry: Any) -> Task:
    """Return the task of a JSON object; raises InputError for an unknown, missing or wrong entry."""
    known = {one.name for one in fields(Task)}
    if not isinstance(entry, dict) or not entry.keys() <= known:
        raise InputError(f"a task has only the keys {', '.join(sorted(known))}")
    if missing := known - {"stage", "help"} - entry.keys():
        raise InputError(f"a task lacks {min(missing)!r}")
    texts = all(isinstance(entry[name], str) for name in ("name", "about", "length"))
    lists = all(_is_texts(entry[name]) for name in ("target", "metrics"))
    given, help_ = entry["given"], entry.get("help", {})
    objects = isinstance(given, dict) and isinstance(help_, dict) and all(isinstance(v, str) for v in help_.values())
    if not texts or not lists or not objects or not all(isinstance(v, str) or _is_texts(v) for v in given.values()):
        raise InputError(f"task {entry['name']!r} has a value of the wrong kind: write it like those of the table")
    given = {name: value if isinstance(value, str) else tuple(value) for name, value in given.items()}
    lists = {"target": tuple(entry["target"]), "metrics": tuple(entry["metrics"])}
    return Task(**{**entry, **lists, "given": given})


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _check(task: Task) -> None:
    """Raise InputError for a task that the sequence layout or the engines could not work with."""
    names = (task.name, *task.given)
    wrong = next((name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)), None)
    if wrong is not None:
        raise InputError(f"{wrong!r} is no name of a task or a field: use small letters, digits and _")
    unknown = next((modality for _, modality in task.items if modality not in MODALITIES), None)
    if unknown is not None or not task.given:
        raise InputError(f"task {task.name!r} is given {unknown or 'nothing'}: use some of {', '.join(MODALITIES)}")
    if len(task.target) != 2 or task.target[0] not in AUDIO_TYPES or task.target[1] != "codec":
        raise InputError(f"task {task.name!r} must predict [one of {', '.join(AUDIO_TYPES)}; codec]")
    in_step = [name for name, modality in task.items if MODALITIES[modality]]
    lengths = ["seconds", *(["text"] if task.given.get("text") == "phoneme" else []), *in_step]
    if task.length not in lengths:
        raise InputError(f"task {task.name!r} cannot take its length from {task.length!r}: use {', '.join(lengths)}")
    if unknown_help := [name for name in task.help if name not in task.given]:
        raise InputError(f"task {task.name!r} has help for {unknown_help[0]!r}, which it is not given")


for _path in filter(None, os.environ.get(ENVIRONMENT, "").split(os.pathsep)):
    for _one in read_tasks(Path(_path)):
        register(_one)
