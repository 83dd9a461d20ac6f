"""What the recipes of real corpora share: the folder as downloaded, cuts of its recordings, splits and the manifest."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniaudio.data.manifests import CUTS, cut_line, recording_cut
from uniaudio.data.synthesize.corpus import write_json
from uniaudio.errors import InputError

if TYPE_CHECKING:
    from lhotse import MonoCut, Recording

_SOUNDS = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus"})  # what libsndfile reads


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One public corpus. `download` says in plain words what to get and where to put it.

    `kind` is one of the kinds of corpus that examples are made of. `expects` are glob patterns below the source folder,
    each of which must match something. `may_miss` is the share of the listed recordings that may be absent: clips of
    public videos vanish. `module` has `cuts(source)`, which yields the cuts.
    """

    about: str
    kind: str
    tasks: tuple[str, ...]
    licence: str
    download: str
    expects: tuple[str, ...]
    module: str
    may_miss: float = 0.01


class Source:
    """The folder of a corpus as its authors publish it; every complaint says what is missing and how to get it."""

    def __init__(self, name: str, corpus: Corpus, folder: Path):
        self.name, self.corpus, self.folder = name, corpus, folder
        self.listed = 0
        self.missing: list[str] = []

    def problem(self, what: str) -> InputError:
        """Return the error that says what is wrong with the folder and what to do, in one line."""
        return InputError(" ".join(f"{self.name}: {what} in {self.folder}; {self.corpus.download}".split()))

    def parts(self, names: Iterable[str]) -> list[str]:
        """Return the folders that are there, of the official parts `names`; raises InputError when none is."""
        names = sorted(names)
        there = [name for name in names if (self.folder / name).is_dir()]
        if not there:
            raise self.problem(f"there is no part ({', '.join(names)})")
        return there

    def read(self, path: Path) -> str:
        """Return the text of a file; raises InputError where it is missing or not UTF-8."""
        try:
            return path.read_text(encoding="utf-8-sig")
        except FileNotFoundError as error:
            raise self.problem(f"{self._short(path)} is missing") from error
        except UnicodeDecodeError as error:
            raise self.problem(f"{self._short(path)} is not UTF-8 text") from error

    def lines(self, path: Path) -> list[str]:
        """Return the lines of a text file that are not blank."""
        return [line for line in self.read(path).split("\n") if line.strip()]

    def json(self, path: Path) -> Any:
        """Return the value of a JSON file."""
        try:
            return json.loads(self.read(path))
        except json.JSONDecodeError as error:
            raise self.problem(f"{self._short(path)} is not JSON (line {error.lineno})") from error

    def table(self, path: Path, *columns: str) -> list[dict[str, str]]:
        """Return the rows of a CSV file with a header; raises InputError for a missing column."""
        reader = csv.DictReader(io.StringIO(self.read(path)))
        absent = [column for column in columns if column not in (reader.fieldnames or ())]
        if absent:
            raise self.problem(f"{self._short(path)} has no column {absent[0]!r}")
        return [{key: value or "" for key, value in row.items() if key} for row in reader]

    def sounds(self) -> dict[str, Path]:
        """Return name without extension -> path of every sound file, however deep."""
        return {path.stem: path for path in sorted(self.folder.rglob("*")) if path.suffix.lower() in _SOUNDS}

    def expect(self, path: Path) -> bool:
        """Is a file there that the corpus lists? What is not is counted, and refused by `check` if it is too much."""
        self.listed += 1
        if not path.is_file():
            self.missing.append(self._short(path))
        return path.is_file()

    def recording(self, path: Path, id: str = "") -> "Recording | None":
        """Return the header of a sound file (id: its name by default), or None, counted, if it is missing or broken."""
        from lhotse import Recording
        from lhotse.audio.utils import AudioLoadingError

        if not self.expect(path):
            return None
        try:
            found = Recording.from_file(path, recording_id=id or path.stem)
        except (AudioLoadingError, OSError):
            found = None
        if found is None or not found.num_samples:
            self.missing.append(f"{self._short(path)} (damaged)")
            return None
        return found

    def check(self) -> None:
        """Raise InputError when more recordings are missing than the corpus may miss."""
        if len(self.missing) > self.corpus.may_miss * self.listed:
            count = f"{len(self.missing)} of {self.listed} listed files"
            raise self.problem(f"{count} are missing, first {self.missing[0]},")

    def clip(
        self,
        id: str,
        recording: "Recording",
        split: str,
        span: tuple[float, float] | None = None,
        text: str | None = "",
        speaker: str | None = "",
        phones: Sequence[Sequence[Any]] | None = None,
        **custom: Any,
    ) -> "MonoCut":
        """Return the cut of (the first channel of) a recording or, with `span` = (start s, end s), of a part of it.

        The id gets the corpus's name in front; `phones` are [phone, start s, end s]; empty `custom` values are left
        out.
        """
        cut = recording_cut(
            "_".join(f"{self.name}-{id}".replace("/", "-").split()),
            str(recording.sources[0].source),
            recording.num_samples,
            recording.sampling_rate,
            split,
            text=text or "",
            speaker=speaker or "",
            phones=phones,
            custom={key: value for key, value in custom.items() if value not in (None, "", [], {})},
        )
        cut.recording = recording  # with all its channels
        cut.supervisions[0].recording_id = recording.id
        if span is not None:
            cut.start = max(0.0, float(span[0]))
            cut.duration = cut.supervisions[0].duration = round(min(span[1], recording.duration) - cut.start, 8)
        return cut

    def _short(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else str(path)


def open_source(name: str, corpus: Corpus, folder: Path) -> Source:
    """Return the source folder (or the one folder inside it that holds the corpus).

    Raises InputError for a folder that is missing, empty, of something else, or lacks a needed file.
    """
    folder = folder.expanduser().resolve()
    source = Source(name, corpus, folder)
    if not folder.is_dir() or not any(folder.iterdir()):
        raise source.problem("there is nothing")
    partial: list[tuple[int, str, Path]] = []
    for root in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        absent = [pattern for pattern in corpus.expects if next(root.glob(pattern), None) is None]
        if not absent:
            return Source(name, corpus, root)
        if len(absent) < len(corpus.expects):
            partial.append((len(absent), absent[0], root))
    if partial:
        _, pattern, root = min(partial)
        raise Source(name, corpus, root).problem(f"there is no {pattern}")
    raise source.problem(f"this is not the corpus: there is no {', no '.join(corpus.expects)}")


def lhotse_pairs(sets: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield (recording, its supervision or None) of what a lhotse recipe made of one part, sorted by id."""
    said = {one.recording_id: one for one in sets.get("supervisions") or ()}
    for recording in sorted(sets["recordings"], key=lambda recording: recording.id):
        yield recording, said.get(recording.id)


def split_by_hash(group: str) -> str:
    """Return "train", "dev" or "test" (90, 5, 5 %) from a name alone: the same wherever, however much is on disk."""
    bucket = _rank(group) % 100
    return "test" if bucket < 5 else "dev" if bucket < 10 else "train"


def split_by_rank(groups: Iterable[str], share: float = 0.05) -> dict[str, str]:
    """Return the split of each of a few groups: `share` of them for test and for dev, at least one each.

    Two groups are train and test, one is train.
    """
    ranked = sorted(set(groups), key=_rank)
    count = max(1, round(share * len(ranked)))
    held_out = ["test"] * count * (len(ranked) > 1) + ["dev"] * count * (len(ranked) > 2)
    return dict(zip(ranked, held_out + ["train"] * len(ranked), strict=False))


def _rank(group: str) -> int:
    return int(hashlib.sha256(group.encode()).hexdigest(), 16)


def write_manifest(out: Path, source: Source, cuts: Iterable["MonoCut"]) -> Path:
    """Write `cuts.jsonl` (returned) and `corpus.json` to `out`, whole or not at all: a failure leaves nothing behind.

    Raises InputError when `out` holds another corpus, and for whatever is wrong with the source.
    """
    _claim(out, source.name)
    new = [path for path in (out, *out.parents) if not path.exists()]
    out.mkdir(parents=True, exist_ok=True)
    part = out / f"{CUTS}.part"
    try:
        count = _write(part, _readable(cuts, source), source)
    except BaseException:
        part.unlink(missing_ok=True)
        for path in new:
            path.rmdir()
        raise
    about = {"kind": source.corpus.kind, "corpus": source.name, "source": str(source.folder), "cuts": count}
    write_json(out / "corpus.json", {**about, "missing": len(source.missing)})
    return part.replace(out / CUTS)


def _claim(out: Path, name: str) -> None:
    """Refuse to write over a manifest that this recipe did not make."""
    about = out / "corpus.json"
    if not (out / CUTS).exists() and not about.exists():
        return
    try:
        theirs = json.loads(about.read_text(encoding="utf-8")).get("corpus")
    except (OSError, ValueError, AttributeError):
        theirs = None
    if theirs != name:
        raise InputError(f"{out} holds another corpus; name another folder for {name}")


def _write(part: Path, cuts: Iterable["MonoCut"], source: Source) -> int:
    from tqdm import tqdm

    seen: set[str] = set()
    with part.open("w", encoding="utf-8") as file:
        for cut in tqdm(cuts, desc=source.name, unit="cut"):
            if cut.id in seen:
                raise source.problem(f"two recordings are called {cut.id}: one is a copy; remove it")
            seen.add(cut.id)
            file.write(cut_line(cut))
    source.check()
    if not seen:
        raise source.problem("there is no recording that the corpus lists")
    return len(seen)


def _readable(cuts: Iterable["MonoCut"], source: Source) -> Iterator["MonoCut"]:
    """Yield the cuts; whatever a recipe stumbles over becomes an InputError."""
    try:
        yield from cuts
    except InputError:
        raise
    except Exception as error:  # a lhotse recipe or a parser met what the true corpus does not have
        source.check()
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise source.problem(f"the files are not as published ({what})") from error
