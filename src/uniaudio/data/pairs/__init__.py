"""From corpora to examples of every task: recordings of one split are only ever paired with their own split."""

import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from uniaudio.data.examples import EXAMPLES, Example, write_examples
from uniaudio.data.manifests import SPLITS
from uniaudio.data.pairs import captioned, mixtures, speech
from uniaudio.data.pairs.corpora import KINDS, Recording, find_corpora, read_recordings
from uniaudio.errors import InputError

_Recordings = Mapping[str, list[Recording]]  # kind -> the recordings of one split

NEEDS = {  # task -> the kinds of corpus that it is made of
    "tts": ("speech",),
    "voice_conversion": ("speech",),
    "speech_enhancement": ("speech", "noise"),
    "target_speaker_extraction": ("speech",),
    "singing_synthesis": ("singing",),
    "text_to_sound": ("sound",),
    "text_to_music": ("music",),
    "audio_edit": ("sound",),
    "dereverberation": ("speech", "rooms"),
    "instructed_tts": ("speech",),
    "speech_edit": ("speech",),
}


def pair(corpora: Path, out: Path, tasks: Iterable[str] = (), seed: int = 0, most: int | None = None) -> dict[str, int]:
    """Write `out`/TASK/examples.jsonl for the tasks (all that the corpora below `corpora` allow); returns their sizes.

    Deterministic for a seed; `most` keeps a random choice of that many of a split. Raises InputError for a task whose
    corpora are missing, one that nothing here makes, and when nothing can be made.
    """
    folders, tasks = find_corpora(corpora), list(tasks)
    if strange := [task for task in tasks if task not in NEEDS]:
        raise InputError(f"nothing here makes examples of {strange[0]}: write them yourself (docs/adding-a-task.md)")
    missing = {task: [kind for kind in NEEDS[task] if not folders[kind]] for task in tasks}
    for task, kinds in missing.items():
        if kinds:
            raise InputError(f"{task} needs a corpus of {kinds[0]} below {corpora}: make or prepare one first")
    chosen = tasks or [task for task in NEEDS if all(folders[kind] for kind in NEEDS[task])]
    if not chosen:
        raise InputError(f"the corpora below {corpora} are not enough for any task: add one of speech, sound or music")
    kinds = {kind for task in chosen for kind in NEEDS[task]}
    recordings = {
        kind: [one for path in folders[kind] for one in read_recordings(path)] for kind in KINDS if kind in kinds
    }
    return {task: write_examples(out / task / EXAMPLES, _examples(task, recordings, seed, most)) for task in chosen}


def _examples(task: str, recordings: _Recordings, seed: int, most: int | None) -> Iterator[Example]:
    """Yield the examples of a task, split by split, shown as they are made."""
    from tqdm import tqdm

    for split in SPLITS:
        own = {kind: [one for one in every if one.row.split == split] for kind, every in recordings.items()}
        random_ = random.Random(f"{seed} {task} {split}")
        made = tqdm(_of_split(task, own, random_), desc=f"{task} {split}", unit="", leave=False)
        if most is None:
            yield from made
        else:
            every = list(made)
            yield from random_.sample(every, min(most, len(every)))


def _of_split(task: str, own: _Recordings, random_: random.Random) -> Iterator[Example]:
    if task in ("text_to_sound", "text_to_music"):
        return captioned.captioned(task, own[NEEDS[task][0]], random_)
    if task == "audio_edit":
        return captioned.audio_edit(own["sound"], random_)
    makers = {
        "tts": speech.tts,
        "voice_conversion": speech.voice_conversion,
        "speech_enhancement": mixtures.speech_enhancement,
        "target_speaker_extraction": mixtures.target_speaker_extraction,
        "singing_synthesis": speech.singing_synthesis,
        "dereverberation": mixtures.dereverberation,
        "instructed_tts": speech.instructed_tts,
        "speech_edit": speech.speech_edit,
    }
    return makers[task](*(own[kind] for kind in NEEDS[task]), random_)
