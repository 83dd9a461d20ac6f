"""Speed of the shipped codec against transformers' EnCodec 24 kHz, Mimi and DAC 16 kHz, all in the same run.

python benchmarks/codec.py --codec uniaudio-mini --repeats 5 --threads 2

Each codes the same seconds of noise at its own rate, in turn within each repeat, so that whatever else the machine does
hits all alike. The peers have the sizes of the published models and random weights, which take the same time. They
use few codebooks where the published model has a choice: EnCodec 2 (1.5 kbps) and Mimi 8; DAC has 12. Prints the median
times real time of encoding, decoding and both, how many times as fast we are, and one line of JSON.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from uniaudio.recipes.codec import load_codec

MIMI_CODEBOOKS = 8
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Coder = tuple[int, Callable[[Tensor], Any], Callable[[Any], Any]]  # (sample rate, encode, decode)


def ours(name: str) -> Coder:
    codec = load_codec(name)[0]
    return codec.config.sample_rate, codec.encode, codec.decode


def encodec() -> Coder:
    from transformers import EncodecConfig, EncodecModel

    model: Any = EncodecModel(EncodecConfig()).eval()

    def encode(samples: Tensor) -> Tensor:
        return model.encode(samples, bandwidth=1.5).audio_codes

    return model.config.sampling_rate, encode, lambda codes: model.decode(codes, [None]).audio_values


def mimi() -> Coder:
    from transformers import MimiConfig, MimiModel

    model: Any = MimiModel(MimiConfig()).eval()

    def encode(samples: Tensor) -> Tensor:
        return model.encode(samples, num_quantizers=MIMI_CODEBOOKS).audio_codes

    return model.config.sampling_rate, encode, lambda codes: model.decode(codes).audio_values


def dac() -> Coder:
    from transformers import DacConfig, DacModel

    model: Any = DacModel(DacConfig(n_codebooks=12)).eval()  # the other defaults are those of the 16 kHz model

    def encode(samples: Tensor) -> Tensor:
        return model.encode(samples).audio_codes

    return model.config.sampling_rate, encode, lambda codes: model.decode(audio_codes=codes).audio_values


def clocked(clock: Callable[[], float], work: Callable[[Any], Any], given: Any) -> tuple[float, Any]:
    """Return the seconds that `work` took by a clock, and what it returned."""
    begun = clock()
    made = work(given)
    return clock() - begun, made


def measure(
    coders: dict[str, Coder], seconds: float, repeats: int, clock: Callable[[], float]
) -> dict[str, dict[str, float]]:
    """Return the median times real time of each coder, after one call that does not count."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in coders}
    for repeat in range(repeats + 1):
        for name, (rate, encode, decode) in coders.items():
            samples = 0.1 * torch.randn(1, 1, round(seconds * rate), generator=torch.Generator().manual_seed(repeat))
            encoding, codes = clocked(clock, encode, samples)
            decoding, made = clocked(clock, decode, codes)
            assert made.shape[-1] >= 0.99 * samples.shape[-1], f"{name} returned only {made.shape[-1]} samples"
            if repeat:
                spent[name].append((encoding, decoding))
    return {
        name: {
            "encode": seconds / statistics.median(encoding for encoding, _ in times),
            "decode": seconds / statistics.median(decoding for _, decoding in times),
            "round_trip": seconds / statistics.median(sum(both) for both in times),
        }
        for name, times in spent.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", default="uniaudio-mini", help="a shipped model, or the folder of a codec run")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    about = "cpu: processor seconds of all threads, for a machine that is busy with other things"
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help=about)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    peers = {"EnCodec 24 kHz": encodec, "Mimi": mimi, "DAC 16 kHz": dac}
    with torch.inference_mode():
        coders = {options.codec: ours(options.codec), **{name: build() for name, build in peers.items()}}
        speeds = measure(coders, options.seconds, options.repeats, CLOCKS[options.clock])
    own = speeds[options.codec]
    ratios = {name: {what: own[what] / speeds[name][what] for what in own} for name in peers}
    how = f"{options.threads} threads, {options.clock} clock, median of {options.repeats}"
    print(f"{options.seconds:g} s of audio, {how}; x real time")
    print(f"{'':<20} {'encode':>8} {'decode':>8} {'both':>8}   ours / theirs, both")
    for name, speed in speeds.items():
        ratio = f"{ratios[name]['round_trip']:10.1f}" if name in ratios else ""
        print(f"{name:<20} {speed['encode']:8.1f} {speed['decode']:8.1f} {speed['round_trip']:8.1f}   {ratio}")
    settings = {name: getattr(options, name) for name in ("seconds", "threads", "clock", "repeats")}
    rounded = [
        {name: {what: round(value, 2) for what, value in row.items()} for name, row in rows.items()}
        for rows in (speeds, ratios)
    ]
    print(json.dumps({**settings, "times_real_time": rounded[0], "ratio": rounded[1]}))


if __name__ == "__main__":
    main()
