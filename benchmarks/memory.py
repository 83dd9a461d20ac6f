"""Cost of a frame and memory over time: one window to 60 s, and a stream in windows to 10 minutes.

python benchmarks/memory.py --seconds 60 --long 600

The model has the sizes of the recipe `mini`, and random weights, as the codec behind it. Memory is that of the process
(resident), with the weights of the plain model, which reads the prompts, and of the graph.
"""

import argparse
import itertools
import statistics
import time

import torch

from uniaudio.codec.model import Codec, CodecConfig
from uniaudio.engines.items import ItemReader
from uniaudio.engines.tokens import TokenEngine
from uniaudio.lm.orders import build
from uniaudio.lm.sampling import Sampling
from uniaudio.recipes.lm import LMRecipe, lm_config
from uniaudio.sequence.layout import Layout
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS
from uniaudio.tokenizers.base import Item

TASK = TASKS["text_to_music"]
PAGE = 4096


def mini_engine(precision: str) -> TokenEngine:
    """Return an engine of the sizes of the recipe `mini` with random weights; it needs no text encoder."""
    torch.manual_seed(0)
    recipe = LMRecipe()
    vocabulary = Vocabulary.new(recipe.num_codebooks, recipe.codebook_size)
    codec = Codec(CodecConfig()).eval().requires_grad_(False)
    lm = build(lm_config(recipe, vocabulary)).eval().requires_grad_(False)
    engine = TokenEngine(
        "mini", tuple(TASKS), codec, lm, Layout(vocabulary), ItemReader(codec, None, None, None), Sampling()
    )
    engine.reader.read = lambda task, request: {("caption", "caption"): Item(vectors=torch.randn(12, 384))}
    engine.compile(precision)
    return engine


def resident() -> float:
    """Return the memory of this process in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--long", type=int, default=600)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    engine = mini_engine(options.precision)
    items = engine.reader.read(TASK, {})
    batch, request = engine.ask(TASK, [engine.layout.prompt(TASK, items)], [(25 * options.seconds,) * 2], Sampling())
    engine.generator.session(request.legal, request.sampling)
    print(f"mini, {options.precision}, {options.threads} threads; before: {resident():.0f} MB")
    print("one window:\n| to second | ms per frame (lower quartile) | resident MB |\n|---|---|---|")
    stamps = [time.perf_counter()]
    for count, _ in enumerate(engine.generator.frames(batch, request), 1):
        stamps.append(time.perf_counter())
        if count % 250 == 0:
            spent = [later - earlier for earlier, later in itertools.pairwise(stamps[-250:])]
            print(f"| {count // 25} | {1e3 * statistics.quantiles(spent, n=4)[0]:.2f} | {resident():.0f} |", flush=True)
    print("a stream:\n| to minute | ms per frame, with the codec (mean) | resident MB |\n|---|---|---|")
    heard, begun, minute = 0.0, time.perf_counter(), 1
    asked = time.perf_counter()
    for number, chunk in enumerate(engine.stream(TASK.name, {"caption": ""}, seconds=options.long)):
        if number == 0:
            first = f"first chunk of {chunk.seconds:.2f} s after {time.perf_counter() - asked:.3f} s"
        heard += chunk.seconds
        if heard >= 60 * minute:
            now = time.perf_counter()
            print(f"| {minute} | {1e3 * (now - begun) / 1500:.2f} | {resident():.0f} |", flush=True)
            begun, minute = now, minute + 1
    print(first)


if __name__ == "__main__":
    main()
