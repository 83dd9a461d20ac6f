"""The named, versioned vocabulary: which id means what, and that it never changes (standard library only)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from uniaudio.errors import InputError
from uniaudio.tasks import AUDIO_TYPES, MODALITIES, TASKS

VERSION = 1
_NUM_MARKS = 128  # room for marks that later tasks and modalities bring
_SECTIONS = (("phoneme", 192), ("semantic", 1024), ("midi", 138))  # after the marks and the codec, in this order


@dataclass(frozen=True)
class Section:
    """Ids [start, start + size) belong to `name`."""

    name: str
    start: int
    size: int


@dataclass
class Vocabulary:
    """Marks and sections of ids; adding a mark or a section never moves an id that exists.

    The codec section holds `num_codebooks` levels of `codebook_size` ids and one fill id for frames that are hidden.
    """

    num_codebooks: int
    codebook_size: int
    marks: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    @classmethod
    def new(cls, num_codebooks: int, codebook_size: int) -> "Vocabulary":
        """Return a fresh vocabulary with a mark for every task and modality of the tables."""
        vocabulary = cls(num_codebooks, codebook_size)
        vocabulary.sections.append(Section("marks", 0, _NUM_MARKS))
        vocabulary.add_section("codec", num_codebooks * codebook_size + 1)
        for name, size in _SECTIONS:
            vocabulary.add_section(name, size)
        vocabulary.add_marks(standard_marks())
        return vocabulary

    def extended(self) -> "Vocabulary":
        """Return a copy with the marks and sections that the tables have by now and this one lacks, at the end.

        No id of this one moves. Raises InputError when the room for marks is used up.
        """
        vocabulary = Vocabulary.from_json(self.to_json())
        known = [section.name for section in self.sections]
        for name, size in _SECTIONS:
            if name not in known:
                vocabulary.add_section(name, size)
        vocabulary.add_marks(standard_marks())
        return vocabulary

    @property
    def num_ids(self) -> int:
        return self.sections[-1].start + self.sections[-1].size

    @property
    def fill(self) -> int:
        """The id of a codec frame that is hidden (a masked span of an edit)."""
        return self.section("codec").start + self.num_codebooks * self.codebook_size

    def section(self, name: str) -> Section:
        """Return the section of ids called `name`."""
        for section in self.sections:
            if section.name == name:
                return section
        raise KeyError(f"no section {name!r}; there are {[s.name for s in self.sections]}")

    def add_section(self, name: str, size: int) -> None:
        """Append a section after all others."""
        start = self.num_ids
        self.sections.append(Section(name, start, size))

    def add_marks(self, names: Iterable[str]) -> None:
        """Append the marks that are not there yet; raises InputError when the room for marks is used up."""
        for name in names:
            if name not in self.marks:
                self.marks.append(name)
        if len(self.marks) > _NUM_MARKS:
            raise InputError(f"{len(self.marks)} marks do not fit in {_NUM_MARKS}: a model cannot know so many tasks")

    def mark(self, name: str) -> int:
        """Return the id of a mark; raises InputError for one that this vocabulary has not."""
        if name not in self.marks:
            raise InputError(f"this model's vocabulary has no mark {name!r}; it was trained without that task")
        return self.marks.index(name)

    def level(self, codebook: int) -> tuple[int, int]:
        """Return the ids [start, stop) of the codes of one codebook."""
        start = self.section("codec").start + codebook * self.codebook_size
        return start, start + self.codebook_size

    def to_json(self) -> str:
        """Return the vocabulary as JSON, for `vocabulary.json` in a checkpoint."""
        data = {
            "version": VERSION,
            "num_codebooks": self.num_codebooks,
            "codebook_size": self.codebook_size,
            "marks": self.marks,
            "sections": [[s.name, s.start, s.size] for s in self.sections],
        }
        return json.dumps(data, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Read what `to_json` wrote; raises InputError for anything else, an overlap or another version."""
        try:
            data: dict[str, Any] = json.loads(text)
            sections = [Section(*entry) for entry in data["sections"]]
            if data["version"] != VERSION:
                raise InputError(f"vocabulary.json has version {data['version']}, this program reads {VERSION}")
            vocabulary = cls(data["num_codebooks"], data["codebook_size"], list(data["marks"]), sections)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError(f"vocabulary.json is damaged ({error}); fetch the checkpoint again") from error
        ends = [0, *(s.start + s.size for s in sections)]
        if any(s.start != end for s, end in zip(sections, ends, strict=False)):
            raise InputError("vocabulary.json has sections that overlap or leave gaps; fetch the checkpoint again")
        return vocabulary


def standard_marks() -> list[str]:
    """Return the marks of the tables, in a fixed order: general, then modalities, then tasks."""
    marks = ["start", "end", "vector"]
    for modality in MODALITIES:
        marks += [f"{modality}_start", f"{modality}_end"]
    marks += [f"{kind}_start" for kind in AUDIO_TYPES]
    return marks + [f"{task}_task" for task in TASKS]
