"""Real-time factor of `tts` in steady state: seconds of work per second of audio, after one warm-up call.

python benchmarks/real_time.py --model uniaudio-mini --repeats 5 --threads 2
"""

import argparse
import statistics
import time

import torch

import uniaudio
from uniaudio.audio.io import read_audio
from uniaudio.weights import FOLDER

TEXT = "My sister reads three books every week, and she never forgets a single one."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="uniaudio-mini")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="float32", help="float32 or int8")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    engine = uniaudio.load(options.model, precision=options.precision)
    request = {"text": TEXT, "speaker": read_audio(FOLDER / "voices" / "awb-0920-098.flac")}
    engine.generate("tts", request)
    factors = []
    for _ in range(options.repeats):
        begun = time.perf_counter()
        audio = engine.generate("tts", request)
        factors.append((time.perf_counter() - begun) / audio.seconds)
    about = f"{options.precision}, {options.threads} threads, {options.repeats} repeats"
    print(f"{engine.name}: {audio.seconds:.2f} s of audio, {about}")
    print(
        f"real-time factor: median {statistics.median(factors):.3f}, best {min(factors):.3f}, worst {max(factors):.3f}"
    )


if __name__ == "__main__":
    main()
