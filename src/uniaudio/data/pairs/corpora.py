"""The recordings that examples are made of: every corpus folder below one folder, by kind and split."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uniaudio.data.examples import Example, with_folder
from uniaudio.data.manifests import CUTS, Row, manifest_path, parse_row, read_lines
from uniaudio.errors import InputError

KINDS = ("speech", "singing", "sound", "music", "noise", "rooms")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recording of a corpus: its row, and the JSON value of its lhotse cut with whole paths."""

    row: Row
    cut: Mapping[str, Any]

    def example(self, task: str, given: Mapping[str, Any], labels: Mapping[str, Any], suffix: str = "") -> Example:
        """Return an example of `task` whose target is this recording; the speaker, if any, is among its labels."""
        row = self.row
        named = {"speaker": row.speaker} if row.speaker else {}
        return Example(
            id=f"{task}-{row.id}{suffix}",
            task=task,
            split=row.split,
            seconds=row.seconds,
            target=self.cut,
            given=given,
            labels={**named, **labels},
            text=row.text,
            phones=row.segments,
        )


def read_recordings(corpus: Path) -> list[Recording]:
    """Return the recordings of a corpus, sorted by id; raises InputError for a missing or bad manifest."""
    path = manifest_path(corpus)
    found: list[Recording] = []
    for number, line in read_lines(path):
        row = parse_row(line, path, number)
        found.append(Recording(row=row, cut=_bare(with_folder(json.loads(line), path.parent))))
    if not found:
        raise InputError(f"{path} has no rows")
    return sorted(found, key=lambda one: one.row.id)


def _bare(cut: dict[str, Any]) -> dict[str, Any]:
    """Return a cut without what its row already says: mixtures repeat it for every part."""
    return {**{key: value for key, value in cut.items() if key != "custom"}, "supervisions": []}


def find_corpora(folder: Path) -> dict[str, list[Path]]:
    """Return kind -> corpus folders directly below `folder`: made ones say their kind in corpus.json, others by name.

    Raises InputError when there is none.
    """
    found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for path in sorted(folder.iterdir()):
        if (path / CUTS).exists():
            found[_kind(path)].append(path)
    if not any(found.values()):
        raise InputError(f"{folder} has no corpus below it (a folder with {CUTS}): make or prepare one first")
    return found


def _kind(path: Path) -> str:
    about = path / "corpus.json"
    if about.exists():
        try:
            kind = json.loads(about.read_text(encoding="utf-8"))["kind"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{about} is damaged: make or prepare this corpus again") from error
    else:
        kind = path.name
    if kind not in KINDS:
        raise InputError(f"{path} is a corpus of unknown kind {kind!r}: use one of {', '.join(KINDS)}")
    return kind
