"""Make a corpus from a plan: any kind of audio, in parallel, the same from the same seed, and resumable."""

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from uniaudio.data.manifests import CUTS, cut_line, recording_cut
from uniaudio.errors import InputError

SAMPLE_RATE = 16000
SHARES = {"train": 0.95, "dev": 0.02, "test": 0.03}  # of the recordings of a corpus


class Job(Protocol):
    """One planned recording: a frozen dataclass of JSON values that says everything about it."""

    @property
    def id(self) -> str: ...
    @property
    def split(self) -> str: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Rendered:
    """What a job became: samples [N] float32 in [-1, 1] at SAMPLE_RATE, and what is known of them.

    `phones` are [phone, start s, end s]; `custom` holds further JSON values (caption, score, class, rt60, ...).
    """

    samples: Any
    text: str = ""
    speaker: str = ""
    phones: list[list[Any]] | None = None
    custom: Mapping[str, Any] = field(default_factory=dict)


def make_corpus(
    out: Path,
    kind: str,
    jobs: Sequence[Job],
    render: Callable[[Any], Rendered],
    settings: Mapping[str, Any],
    workers: int,
) -> Path:
    """Make (or finish) the corpus of `jobs` in `out`: the manifest `cuts.jsonl` (returned), `corpus.json`, `audio/`.

    `render` is a module's own function (workers import it); `settings` (hours, seed) tell one corpus from another.
    `workers` counts processes, 0 is this one alone. Raises InputError when the folder holds another corpus.
    """
    from tqdm import tqdm

    out.mkdir(parents=True, exist_ok=True)
    manifest = out / CUTS
    rows = list(_rows(manifest))
    _claim(out, kind, jobs, rows, settings)
    done = {row["id"] for row in rows}
    left = [(render, job, str(out)) for job in jobs if job.id not in done]
    with manifest.open("a", encoding="utf-8") as file, closing(_made(left, workers)) as made:
        for line in tqdm(made, total=len(left), desc=kind, unit="clip"):
            file.write(line)
    return manifest


def _made(jobs: list[tuple[Callable[[Any], Rendered], Job, str]], workers: int) -> Generator[str, None, None]:
    """Yield the manifest line of each job, made by `workers` processes or, for 0, here."""
    if workers == 0:
        yield from map(_make, jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        try:
            yield from pool.map(_make, jobs, chunksize=8)
        finally:
            pool.shutdown(cancel_futures=True)


def _make(work: tuple[Callable[[Any], Rendered], Job, str]) -> str:
    """Render one job into its FLAC file; return its manifest line."""
    import numpy as np
    import soundfile

    render, job, folder = work
    made = render(job)
    samples = np.asarray(made.samples, np.float32)
    if samples.ndim != 1 or not samples.size or not np.isfinite(samples).all() or np.abs(samples).max() > 1:
        raise InputError(f"{job.id} did not become mono samples in [-1, 1]: shape {samples.shape}")
    path = Path(folder) / "audio" / job.id[-2:] / f"{job.id}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    soundfile.write(part, samples, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
    part.replace(path)
    cut = recording_cut(
        job.id,
        str(path.relative_to(folder)),
        len(samples),
        SAMPLE_RATE,
        job.split,
        text=made.text,
        speaker=made.speaker,
        phones=made.phones,
        custom=made.custom,
    )
    return cut_line(cut)


def _claim(out: Path, kind: str, jobs: Sequence[Job], rows: list[dict[str, Any]], settings: Mapping[str, Any]) -> None:
    """Write `corpus.json` or compare with the one that is there; recordings without it belong to no known corpus."""
    planned = json.dumps([asdict(job) for job in jobs], sort_keys=True)  # type: ignore[call-overload]
    plan = hashlib.sha256(planned.encode()).hexdigest()
    ours = {"kind": kind, **settings, "jobs": len(jobs), "plan_sha256": plan}
    path = out / "corpus.json"
    if path.exists():
        try:
            theirs = json.loads(path.read_text(encoding="utf-8"))
            differing = [name for name, value in ours.items() if theirs.get(name) != value]
        except (ValueError, AttributeError) as error:
            raise InputError(f"{path} is damaged: make the corpus anew in another folder") from error
        named = [name for name in differing if name not in ("jobs", "plan_sha256")] or ["content"]
        if differing:
            raise InputError(f"{out} holds a corpus of other {' and '.join(named)}; name another folder")
        return
    if rows:
        raise InputError(f"{out} holds recordings ({rows[0]['id']}, ...) but no corpus.json; name another folder")
    write_json(path, ours)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")
    part.replace(path)


def _rows(manifest: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows already made; a last line cut by a kill is dropped from the file."""
    if not manifest.exists():
        return
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        manifest.write_text("".join(lines[:-1]), encoding="utf-8")
        lines = lines[:-1]
    for line in lines:
        yield json.loads(line)
