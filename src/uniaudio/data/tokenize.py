"""Turn examples or recordings into token shards: in processes here, or on a Ray cluster; finished shards are kept.

A shard depends on its lines of the manifest and on the tokenizers alone, so whatever is killed, the next run makes
what is missing, and the result has the same bytes.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from uniaudio.data.encode import Encoder, as_recording
from uniaudio.data.examples import EXAMPLES, Example, parse_example, with_folder
from uniaudio.data.manifests import SPLITS, manifest_path, parse_row
from uniaudio.data.shards import ABOUT, is_done, read_about, write_shard
from uniaudio.errors import InputError

SHARD_EXAMPLES = 256
_MAX_DEATHS = 3  # of worker pools in a row without one shard finished

LoadEncoder = Callable[[], Encoder]  # picklable: every worker makes its own


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One shard to make: the lines (byte offset, number from 1) of a manifest that go into `path`."""

    manifest: Path
    path: Path
    lines: tuple[tuple[int, int], ...]


def plan_shards(manifest: Path, out: Path, size: int = SHARD_EXAMPLES) -> list[Shard]:
    """Return the shards of a manifest, split by split, in the order of its lines.

    Raises InputError for a manifest that is missing, empty or has a line without a split.
    """
    lines: dict[str, list[tuple[int, int]]] = {split: [] for split in SPLITS}
    offset = 0
    with manifest.open("rb") as file:
        for number, line in enumerate(file, 1):
            lines[_split_of(line, manifest, number)].append((offset, number))
            offset += len(line)
    shards = [
        Shard(
            manifest=manifest,
            path=out / split / f"shard-{first // size:06d}.tar",
            lines=tuple(own[first : first + size]),
        )
        for split, own in lines.items()
        for first in range(0, len(own), size)
    ]
    if not shards:
        raise InputError(f"{manifest} has no lines: there is nothing to tokenize")
    return shards


def _split_of(line: bytes, manifest: Path, number: int) -> str:
    try:
        data = json.loads(line)
        split = data["split"] if "task" in data else data["custom"]["split"]
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{manifest}:{number}: not a line of a manifest ({type(error).__name__}: {error})") from error
    return split


def read_shard(shard: Shard) -> list[Example]:
    """Return the examples of a shard; raises InputError that names the file and line of a bad one."""
    examples: list[Example] = []
    with shard.manifest.open("rb") as file:
        for offset, number in shard.lines:
            file.seek(offset)
            line = file.readline().decode("utf-8")
            if shard.manifest.name == EXAMPLES:
                examples.append(parse_example(line, shard.manifest, number))
            else:
                row = parse_row(line, shard.manifest, number)
                cut = with_folder({**json.loads(line), "custom": None, "supervisions": []}, shard.manifest.parent)
                examples.append(as_recording(row, cut))
    return examples


def tokenize(
    manifest: Path, out: Path, load_encoder: LoadEncoder, digest: str, *, workers: int = 1, ray: str | None = None
) -> None:
    """Write the token shards of a corpus or of examples (a folder or its manifest) that are not in `out` yet.

    `digest` says which tokenizers make the ids. `workers` counts processes here (0: this one); `ray` is the address of
    a cluster instead ("local" starts one). Raises InputError when `out` holds tokens of something else, and for an
    example that cannot be used (finished shards stay).
    """
    from tqdm import tqdm

    manifest = manifest / EXAMPLES if (manifest / EXAMPLES).exists() else manifest_path(manifest)
    shards = plan_shards(manifest, out)
    _claim(out, manifest, digest)
    left = [shard for shard in shards if not is_done(shard.path)]
    _sweep(out)
    progress = tqdm(total=len(shards), initial=len(shards) - len(left), desc="tokenize", unit="shard")
    with progress:
        for _ in _run(left, load_encoder, workers, ray):
            progress.update()


def _run(shards: list[Shard], load_encoder: LoadEncoder, workers: int, ray: str | None) -> Iterator[Path]:
    """Make shards, yielding each path when it is done."""
    if not shards:
        return
    if ray is not None:
        from uniaudio.data.cluster import make_on_cluster

        yield from make_on_cluster(shards, load_encoder, ray)
    elif workers == 0:
        encoder = load_encoder()
        yield from (make_shard(shard, encoder) for shard in shards)
    else:
        yield from _in_processes(shards, load_encoder, workers)


def make_shard(shard: Shard, encoder: Encoder) -> Path:
    """Tokenise the examples of a shard and write it."""
    write_shard(shard.path, encoder.encode(read_shard(shard)))
    return shard.path


_ENCODER: list[Encoder] = []  # of a worker process


def _start_worker(load_encoder: LoadEncoder) -> None:
    import torch

    torch.set_num_threads(1)
    _ENCODER.append(load_encoder())


def _work(shard: Shard) -> Path:
    return make_shard(shard, _ENCODER[0])


def _in_processes(shards: list[Shard], load_encoder: LoadEncoder, workers: int) -> Iterator[Path]:
    """Make shards in processes; a pool whose worker was killed is replaced, with the shards that are not done."""
    deaths = 0
    while shards:
        try:
            for path in _in_one_pool(shards, load_encoder, workers):
                yield path
                deaths = 0
        except BrokenProcessPool as error:
            deaths += 1
            if deaths == _MAX_DEATHS:
                raise InputError(f"workers die again and again ({error}): give fewer workers or more memory") from error
        shards = [shard for shard in shards if not is_done(shard.path)]


def _in_one_pool(shards: list[Shard], load_encoder: LoadEncoder, workers: int) -> Iterator[Path]:
    import multiprocessing

    context = multiprocessing.get_context("spawn")  # a forked child would inherit torch's threads
    with ProcessPoolExecutor(workers, context, _start_worker, (load_encoder,)) as pool:
        try:
            for done in as_completed([pool.submit(_work, shard) for shard in shards]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _claim(out: Path, manifest: Path, digest: str) -> None:
    """Write tokens.json, or compare with the one that is there."""
    with manifest.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    ours = {"tokenizers": digest, "manifest_sha256": content, "shard_examples": SHARD_EXAMPLES}
    if (out / ABOUT).exists():
        theirs = read_about(out)
        if theirs.get("tokenizers") != digest:
            raise InputError(f"{out} was tokenised by another codec; tokenize into another folder")
        if theirs != ours:
            raise InputError(f"{out} holds the tokens of another manifest; tokenize into another folder")
        return
    out.mkdir(parents=True, exist_ok=True)
    part = out / f".{ABOUT}.part"
    part.write_text(json.dumps(ours, indent=1), encoding="utf-8")
    part.replace(out / ABOUT)


def _sweep(out: Path) -> None:
    """Remove what killed runs left half-written."""
    for part in out.glob("*/.shard-*.part"):
        part.unlink(missing_ok=True)
