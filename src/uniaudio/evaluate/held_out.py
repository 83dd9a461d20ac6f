"""Which held-out recordings are judged, by audio type, and the clips that are kept for listening."""

import json
from dataclasses import dataclass
from pathlib import Path

from uniaudio.audio.io import Audio
from uniaudio.data.manifests import CUTS, Row, read_manifest
from uniaudio.data.pairs.corpora import find_corpora
from uniaudio.errors import InputError

AUDIO_TYPES = ("speech", "singing", "sound", "music")
MIN_SECONDS = 1.2
MAX_SECONDS = 8.0  # speech is judged whole, of anything else the first seconds


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip to listen to: what it says, the task, the file, and the recordings that it was made from."""

    title: str
    task: str
    path: Path
    inputs: dict[str, Path]


def keep_clip(path: Path, audio: Audio, row: Row, task: str, inputs: dict[str, Path]) -> Clip:
    """Write what was made of a row, and return it as a clip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path)
    return Clip(title=row.text or row.custom.get("caption") or row.id, task=task, path=path, inputs=inputs)


def is_corpus(data: Path) -> bool:
    """Is this one corpus, and not a folder of them?"""
    return not data.is_dir() or (data / CUTS).exists()


def held_out(data: Path, limit: int) -> dict[str, list[Row]]:
    """Return audio type -> up to `limit` test rows, speakers in turn, of a corpus or of all directly below a folder.

    Raises InputError where there is no manifest, and for a type without test rows of fitting length.
    """
    corpora = {_audio_type(data): [data]} if is_corpus(data) else find_corpora(data)
    rows = {
        kind: [row for corpus in corpora[kind] for row in read_manifest(corpus, "test")]
        for kind in AUDIO_TYPES
        if corpora.get(kind)
    }
    if not rows:
        raise InputError(f"{data} has no corpus of {', '.join(AUDIO_TYPES)} below it: make or prepare one first")
    return {kind: _chosen(kind, found, limit) for kind, found in rows.items()}


def _audio_type(corpus: Path) -> str:
    """Return what a corpus holds, by its corpus.json or else its name; noise is sound, anything unknown is speech."""
    about, name = corpus / "corpus.json", corpus.name
    if about.exists():
        try:
            name = json.loads(about.read_text(encoding="utf-8"))["kind"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{about} is damaged: make or prepare this corpus again") from error
    return "sound" if name == "noise" else name if name in AUDIO_TYPES else "speech"


def _chosen(kind: str, rows: list[Row], limit: int) -> list[Row]:
    """Return up to `limit` rows of fitting length, speakers in turn."""
    longest = MAX_SECONDS if kind == "speech" else float("inf")
    by_speaker: dict[str, list[Row]] = {}
    for row in rows:
        if MIN_SECONDS <= row.seconds <= longest:
            by_speaker.setdefault(row.speaker, []).append(row)
    chosen: list[Row] = []
    for turn in range(max((len(group) for group in by_speaker.values()), default=0)):
        chosen += [group[turn] for _, group in sorted(by_speaker.items()) if turn < len(group)]
    if not chosen:
        raise InputError(f"no test recording of {kind} lasts {MIN_SECONDS} to {longest:g} s")
    return chosen[:limit]
