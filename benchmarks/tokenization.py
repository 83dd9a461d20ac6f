"""How fast examples become tokens, and how many bytes they take; carried to 165,000 hours.

    python benchmarks/tokenization.py corpora/examples [--limit 256] [--model uniaudio-mini]

For every task below the folder (that the model has tokenizers for), `--limit` examples are tokenised in this process on
one thread: seconds of target audio per second of processor time, bytes of tokens and of audio (FLAC) per hour. Prints a
table and one line of JSON.
"""

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path

import torch

from uniaudio.data.examples import EXAMPLES, read_examples, to_cut
from uniaudio.data.shards import write_shard
from uniaudio.errors import InputError
from uniaudio.recipes.codec import load_encoder

HOURS = 165_000
SHARD = 256


def measure(folder: Path, model: str, limit: int) -> dict[str, float]:
    """Return the throughput of one task's examples."""
    examples = list(itertools.islice(read_examples(folder), limit))
    encoder = load_encoder(model)
    encoder.encode(examples[:2])  # what is loaded when first needed
    size, begun = 0, time.process_time()
    with tempfile.TemporaryDirectory() as out:
        for first in range(0, len(examples), SHARD):
            path = Path(out) / f"shard-{first:06d}.tar"
            write_shard(path, encoder.encode(examples[first : first + SHARD]))
            size += path.stat().st_size + path.with_suffix(".json").stat().st_size
    seconds = time.process_time() - begun
    hours = sum(example.seconds for example in examples) / 3600
    plain = [to_cut(example.target) for example in examples[:50]]
    files = {Path(cut.recording.sources[0].source) for cut in plain if hasattr(cut, "recording")}
    audio = sum(path.stat().st_size for path in files)
    return {
        "x_real_time": hours * 3600 / seconds,
        "token_mb_per_hour": size / 1e6 / hours,
        "flac_mb_per_hour": audio / 1e6 / max(1e-9, sum(cut.duration for cut in plain) / 3600),
    }


def main() -> None:
    """Measure every task and print what it means for the paper's hours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("examples", type=Path)
    parser.add_argument("--model", default="uniaudio-mini")
    parser.add_argument("--limit", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for path in sorted(options.examples.glob(f"*/{EXAMPLES}")):
        try:
            found[path.parent.name] = measure(path.parent, options.model, options.limit)
        except InputError as error:
            print(f"{path.parent.name}: left out ({error})")
    print(f"{'task':28} {'x real time':>11} {'tokens MB/h':>12} {'FLAC MB/h':>10} {'core-days':>10} {'tokens TB':>10}")
    for task, one in found.items():
        days, terabytes = HOURS / one["x_real_time"] / 24, HOURS * one["token_mb_per_hour"] / 1e6
        rates = f"{one['x_real_time']:11.1f} {one['token_mb_per_hour']:12.2f} {one['flac_mb_per_hour']:10.1f}"
        print(f"{task:28} {rates} {days:10.0f} {terabytes:10.3f}")
    print(json.dumps({task: {name: round(value, 3) for name, value in one.items()} for task, one in found.items()}))


if __name__ == "__main__":
    main()
