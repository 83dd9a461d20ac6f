"""Error of `align` in milliseconds per voice, against the phone times that the engine of a made corpus gave.

python benchmarks/alignment.py --data corpora/speech --limit 160 --learn 150

Phones that share one segment of the engine are left out: where they start is a guess. `--learn N` also aligns with
models of the phones that are learnt, without times, from N recordings of the training voices.
"""

import argparse
import json
import random
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from uniaudio.audio.io import read_audio
from uniaudio.data.align import PhoneModels, align, boundary_errors, learn_models
from uniaudio.data.manifests import Row, read_manifest
from uniaudio.errors import InputError

SAMPLE_RATE = 16000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, default=160, help="utterances, spread evenly over the voices")
    parser.add_argument("--learn", type=int, default=0, help="training recordings to learn phone models from")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    rows = spread(read_manifest(options.data, options.split), options.limit)
    results = {"time warping": measure(rows)}
    if options.learn:
        train = spread(read_manifest(options.data, "train"), options.learn)
        models = learn_models((load(row), row.text) for row in train)
        results[f"models of {len(train)} training recordings"] = measure(rows, models)
    print(json.dumps(results, indent=1) if options.json else table(results))


def spread(rows: list[Row], limit: int) -> list[Row]:
    """Return up to `limit` rows with flite's phone times, as many of each speaker, always the same ones.

    Times that `uniaudio data align` added are in our symbols, without flite's "pau": they must not judge themselves.
    """
    voices: dict[str, list[Row]] = defaultdict(list)
    timed = [row for row in rows if any(segment[0] == "pau" for segment in row.segments or [])]
    for row in random.Random(0).sample(timed, len(timed)):
        voices[row.speaker].append(row)
    each = -(-limit // max(1, len(voices)))
    chosen = [row for index in range(each) for voice in sorted(voices) for row in voices[voice][index : index + 1]]
    if not chosen:
        raise InputError("no recording of this corpus has phone times: make one with uniaudio synthesize speech")
    return chosen[:limit]


def load(row: Row) -> np.ndarray:
    return read_audio(row.audio).mono().resample(SAMPLE_RATE).samples[0]


def measure(rows: list[Row], models: PhoneModels | None = None) -> dict[str, dict[str, float]]:
    """Return median, mean and 90th percentile error (ms), number of phones and speed, per voice and overall.

    The speed is in seconds of audio per second of processor time.
    """
    errors: dict[str, list[np.ndarray]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    spent: dict[str, float] = defaultdict(float)
    for row in rows:
        samples = load(row)
        begun = time.process_time()
        timed = align(samples, row.text, models)
        elapsed = time.process_time() - begun
        found = boundary_errors(timed, row.text, row.segments or [])
        for name in (row.speaker, "overall"):
            errors[name].append(found)
            seconds[name] += row.seconds
            spent[name] += elapsed
    names = [*sorted(name for name in errors if name != "overall"), "overall"]
    return {name: figures(np.concatenate(errors[name]), seconds[name] / spent[name]) for name in names}


def figures(errors: np.ndarray, speed: float) -> dict[str, float]:
    size = 1000 * np.abs(errors)
    values = {"median": np.median(size), "mean": size.mean(), "p90": np.percentile(size, 90)}
    return {
        **{name: round(float(value), 1) for name, value in values.items()},
        "phones": len(size),
        "x": round(speed, 1),
    }


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    lines: list[str] = []
    for method, voices in results.items():
        lines.append(f"{method}: boundary error (ms)")
        lines.append(f"{'voice':24}{'median':>8}{'mean':>8}{'p90':>8}{'phones':>8}{'x real time':>13}")
        for voice, values in voices.items():
            numbers = "".join(f"{values[key]:8}" for key in ("median", "mean", "p90", "phones"))
            lines.append(f"{voice:24}{numbers}{values['x']:13}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
