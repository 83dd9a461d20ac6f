"""Speed of the shipped codec against transformers' EnCodec 24 kHz, Mimi and DAC 16 kHz, all in the same run.

python benchmarks/codec.py --codec uniaudio-mini --repeats 5 --threads 2

Each codes the same seconds of noise at its own rate, in turn within each repeat, so that whatever else the machine does
hits all alike. The peers have the sizes of the published models and random weights, which take the same time. They
use few codebooks where the published model has a choice: EnCodec 2 (1.5 kbps) and Mimi 8; DAC has 12. Prints the median
times real time of encoding, decoding and both, how many times as fast we are, and one line of JSON. Each is measured
in float32, as it comes, and with its products in bfloat16: ours by `Codec.in_bfloat16`, the peers under autocast.
"""

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from uniaudio.recipes.codec import load_codec

MIMI_CODEBOOKS = 8
BF16 = ", bf16"
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Coder = tuple[int, Callable[[Tensor], Any], Callable[[Any], Any]]  # (sample rate, encode, decode)


def ours(name: str, bfloat16: bool) -> Coder:
    codec = load_codec(name)[0]
    codec = codec.in_bfloat16() if bfloat16 else codec
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


def in_bfloat16(coder: Coder) -> Coder:
    """Return the coder with its matrix products and convolutions in bfloat16, as autocast does it."""
    rate, encode, decode = coder

    def lowered(work: Callable[[Any], Any], given: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return work(given)

    return rate, functools.partial(lowered, encode), functools.partial(lowered, decode)


PEERS: dict[str, Callable[[], Coder]] = {"EnCodec 24 kHz": encodec, "Mimi": mimi, "DAC 16 kHz": dac}


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
    with torch.inference_mode():
        own = {options.codec: ours(options.codec, False), f"{options.codec}{BF16}": ours(options.codec, True)}
        others = {name: build() for name, build in PEERS.items()}
        others |= {f"{name}{BF16}": in_bfloat16(coder) for name, coder in others.items()}
        speeds = measure(own | others, options.seconds, options.repeats, CLOCKS[options.clock])
    ratios = {
        name: {other: speeds[name]["round_trip"] / speeds[other]["round_trip"] for other in others} for name in own
    }
    print(
        f"{options.seconds:g} s of audio, {options.threads} threads, {options.clock} clock, median of {options.repeats}"
    )
    print(f"{'x real time':<24} {'encode':>8} {'decode':>8} {'both':>8}")
    for name, speed in speeds.items():
        print(f"{name:<24} {speed['encode']:8.1f} {speed['decode']:8.1f} {speed['round_trip']:8.1f}")
    print(f"\n{'both, ours / theirs':<24}" + "".join(f" {name:>22}" for name in own))
    for other in others:
        print(f"{other:<24}" + "".join(f" {ratios[name][other]:22.1f}" for name in own))
    settings = {name: getattr(options, name) for name in ("seconds", "threads", "clock", "repeats")}
    rounded = [
        {name: {what: round(value, 2) for what, value in row.items()} for name, row in rows.items()}
        for rows in (speeds, ratios)
    ]
    print(json.dumps({**settings, "times_real_time": rounded[0], "ratio": rounded[1]}))


if __name__ == "__main__":
    main()
