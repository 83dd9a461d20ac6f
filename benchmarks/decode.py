"""Frames per second of the language model, beside transformers' CSM and MusicGen of equal sizes and the memory's limit.

python benchmarks/decode.py --sizes mini,300M,1B --frames 100 --rounds 3

All have random weights, the same prompt length, frames, codebooks, top-k and threads. CSM has our two Transformers (its
gated feed-forward of 2/3 of the width, so with as many weights); MusicGen has one, with the layers of both, and only
its decoder runs, step by step without `generate`. The systems take turns, and the lower quartile of the frames counts,
in the best round of each. The limit is the bandwidth, measured in the same run by a matrix-vector product over 256 MB
with all threads, over the bytes that a frame has to read: the keys and values, and each matrix once (the local ones
can stay in the processor's last cache from slot to slot) or, in the next column, as often as it is read.
"""

import argparse
import functools
import gc
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from uniaudio.lm.compiled import PRECISIONS, CompiledLM
from uniaudio.lm.interface import GenerationRequest, Legal
from uniaudio.lm.multiscale import MultiScaleConfig, MultiScaleLM
from uniaudio.lm.sampling import Sampling, make_generators
from uniaudio.nn.transformer import TransformerConfig
from uniaudio.recipes.lm import LMRecipe, lm_config
from uniaudio.sequence.batch import Batch
from uniaudio.sequence.layout import ROLES
from uniaudio.sequence.vocabulary import Vocabulary

FRAME_RATE, PROMPT, TOP_K = 25.0, 64, 30
_RECIPE = LMRecipe()
SIZES = {
    "mini": (_RECIPE.global_, _RECIPE.local_),
    "300M": (TransformerConfig(width=1024, layers=20, heads=16), TransformerConfig(width=512, layers=6, heads=8)),
    "1B": (TransformerConfig(width=1536, layers=32, heads=24), TransformerConfig(width=768, layers=6, heads=12)),
}
VOCABULARY = Vocabulary.new(_RECIPE.num_codebooks, _RECIPE.codebook_size)
SLOTS, SIZE = VOCABULARY.num_codebooks, VOCABULARY.codebook_size
LEGAL = Legal(tuple(VOCABULARY.level(slot) for slot in range(SLOTS)), VOCABULARY.mark("end"))
Run = Callable[[int], float]  # frames -> seconds per frame
System = tuple[Run, int, tuple[int, int]]  # its weights, and the bytes of its matrices: stored, read by a frame


def our_model(size: str) -> MultiScaleLM:
    """Return a model of a size with random weights."""
    sizes = lm_config(_RECIPE, VOCABULARY)
    assert isinstance(sizes, MultiScaleConfig)
    torch.manual_seed(0)
    return MultiScaleLM(replace(sizes, global_=SIZES[size][0], local_=SIZES[size][1])).eval().requires_grad_(False)


def run_ours(lm: MultiScaleLM | CompiledLM, rows: int = 1) -> Run:
    """Return a run of a batch of `rows` ragged prompts."""
    torch.manual_seed(1)
    batch = Batch(
        frames=torch.randint(128, VOCABULARY.num_ids, (rows, PROMPT, SLOTS)),
        positions=torch.arange(PROMPT).expand(rows, PROMPT),
        roles=torch.zeros(rows, PROMPT, dtype=torch.long),
        lengths=torch.tensor([PROMPT - 3 * row for row in range(rows)]),
        target=torch.zeros(rows, PROMPT, dtype=torch.bool),
    )

    def run(frames: int) -> float:
        stamps: list[float] = []
        bounds = torch.full((rows,), frames)
        request = GenerationRequest(
            LEGAL, bounds, bounds, ROLES.index("target"), Sampling(top_k=TOP_K), make_generators(list(range(rows)))
        )
        request.on_frame = lambda count: stamps.append(time.perf_counter())
        lm.generate(batch, request)
        return _quarter(stamps)

    return run


def run_csm(size: str) -> tuple[Run, int]:
    """Return a run of transformers' CSM, and how many weights it has."""
    from transformers import CsmConfig, CsmForConditionalGeneration, MimiConfig
    from transformers.generation.streamers import BaseStreamer

    global_, local = SIZES[size]
    vocabulary = SIZE + 3
    depth = {
        "num_codebooks": SLOTS,
        "backbone_hidden_size": global_.width,
        "vocab_size": vocabulary,
        "hidden_size": local.width,
        "intermediate_size": round(local.width * local.expansion * 2 / 3),
        "num_hidden_layers": local.layers,
        "num_attention_heads": local.heads,
        "num_key_value_heads": local.heads,
        "max_position_embeddings": SLOTS + 1,
    }
    codec = MimiConfig(hidden_size=32, num_filters=2, num_hidden_layers=1, num_attention_heads=2, upsample_groups=32)
    config = CsmConfig(
        num_codebooks=SLOTS,
        vocab_size=vocabulary,
        text_vocab_size=256,
        hidden_size=global_.width,
        intermediate_size=round(global_.width * global_.expansion * 2 / 3),
        num_hidden_layers=global_.layers,
        num_attention_heads=global_.heads,
        num_key_value_heads=global_.heads,
        pad_token_id=0,
        bos_token_id=1,
        audio_token_id=2,
        audio_eos_token_id=3,
        codebook_pad_token_id=SIZE + 1,
        codebook_eos_token_id=SIZE + 2,
        depth_decoder_config=depth,
        codec_config=codec.to_dict(),
    )
    model = CsmForConditionalGeneration(config).eval()
    prompt = torch.randint(4, 256, (1, PROMPT))
    model.depth_decoder.generation_config.update(do_sample=True, top_k=TOP_K)

    class Stamps(BaseStreamer):
        def __init__(self) -> None:
            self.stamps: list[float] = []

        def put(self, value: torch.Tensor) -> None:
            self.stamps.append(time.perf_counter())

        def end(self) -> None:
            pass

    @torch.no_grad()
    def run(frames: int) -> float:
        stamps = Stamps()
        model.generate(prompt, do_sample=True, top_k=TOP_K, max_new_tokens=frames, streamer=stamps, output_audio=False)
        return _quarter(stamps.stamps[-frames:])

    counted = [*model.backbone_model.parameters(), *model.depth_decoder.parameters(), *model.lm_head.parameters()]
    return run, sum({id(one): one.numel() for one in counted}.values())


def run_musicgen(size: str) -> tuple[Run, int]:
    """Return a run of the decoder of transformers' MusicGen, and how many weights it has."""
    from transformers import DynamicCache, MusicgenDecoderConfig, MusicgenForCausalLM

    global_, local = SIZES[size]
    config = MusicgenDecoderConfig(
        vocab_size=SIZE,
        num_codebooks=SLOTS,
        hidden_size=global_.width,
        ffn_dim=round(global_.width * global_.expansion),
        num_hidden_layers=global_.layers + local.layers,
        num_attention_heads=global_.heads,
        pad_token_id=None,
        bos_token_id=None,
    )
    model = MusicgenForCausalLM(config).eval()
    for layer in model.model.decoder.layers:  # cross attention has nothing to see here and is skipped
        del layer.encoder_attn, layer.encoder_attn_layer_norm

    @torch.no_grad()
    def run(frames: int) -> float:
        stamps: list[float] = []
        cache = DynamicCache(config=config)
        ids = torch.randint(0, SIZE, (SLOTS, PROMPT))
        for _ in range(frames):
            logits = model(ids, past_key_values=cache, use_cache=True).logits[:, -1]
            best, index = logits.topk(TOP_K, dim=-1)
            choice = torch.multinomial(best.softmax(-1), 1)
            ids = index.gather(1, choice)
            stamps.append(time.perf_counter())
        return _quarter(stamps)

    return run, sum(parameter.numel() for parameter in model.parameters())


def _quarter(stamps: list[float]) -> float:
    """Return the lower quartile of the seconds per frame: other programs on the machine slow the rest."""
    return statistics.quantiles((b - a for a, b in itertools.pairwise(stamps)), n=4)[0]


def bandwidth() -> float:
    """Return the bytes per second that all threads read."""
    matrix, vector = torch.randn(8192, 8192), torch.randn(8192)
    best = float("inf")
    for _ in range(12):
        begun = time.perf_counter()
        torch.mv(matrix, vector)
        best = min(best, time.perf_counter() - begun)
    return matrix.nbytes / best


def systems(size: str) -> dict[str, Callable[[], System]]:
    """Return what makes each system: its run, its weights and, where limits are told, the bytes of its matrices."""

    def ours(precision: str | None, rows: int = 1) -> System:
        lm = our_model(size)
        model = lm if precision is None else CompiledLM(lm, precision)
        needed = (0, 0)
        if isinstance(model, CompiledLM) and rows == 1:
            needed = model.weight_bytes(LEGAL, Sampling(top_k=TOP_K))
        return run_ours(model, rows), sum(parameter.numel() for parameter in lm.parameters()), needed

    made: dict[str, Callable[[], System]] = {
        "CSM": lambda: (*run_csm(size), (0, 0)),
        "MusicGen decoder": lambda: (*run_musicgen(size), (0, 0)),
        "ours, plain": lambda: ours(None),
    }
    for precision in PRECISIONS:
        made[f"ours, {precision}"] = functools.partial(ours, precision)
        made[f"ours, {precision}, batch 8"] = functools.partial(ours, precision, 8)
    return made


def measure(size: str, frames: int, rounds: int) -> None:
    """Print the table of a size; one system is in memory at a time."""
    made = systems(size)
    best, speed = dict.fromkeys(made, float("inf")), 0.0
    weights: dict[str, int] = {}
    needed: dict[str, tuple[int, int]] = {}
    for _ in range(rounds):
        for name, make in made.items():
            run, weights[name], needed[name] = make()
            best[name] = min(best[name], run(frames))
            del run
            gc.collect()
            speed = max(speed, bandwidth())
    cache = 2 * 4 * SIZES[size][0].layers * SIZES[size][0].width * (PROMPT + frames / 2)
    print(f"\n{size}: {frames} frames after {PROMPT}, {rounds} rounds, {torch.get_num_threads()} threads, ", end="")
    print(f"{speed / 1e9:.1f} GB/s")
    print("| | weights | frames/s | x CSM | x MusicGen | of the limit | of that as read | real-time factor |")
    print("|---|---|---|---|---|---|---|---|")
    for name, seconds in best.items():
        rate = (8 if name.endswith("batch 8") else 1) / seconds
        shares = [f"{rate * (n + cache) / speed:.0%} of {speed / (n + cache):.0f}" if n else "" for n in needed[name]]
        print(
            f"| {name} | {weights[name] / 1e6:.0f} M | {rate:.1f} | {rate * best['CSM']:.1f} "
            f"| {rate * best['MusicGen decoder']:.1f} | {shares[0]} | {shares[1]} | {FRAME_RATE / rate:.3f} |"
        )
    for precision in PRECISIONS:
        ratio = 8 * best[f"ours, {precision}"] / best[f"ours, {precision}, batch 8"]
        print(f"batch 8, {precision}: {ratio:.1f} x the throughput of batch 1", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="mini")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for size in options.sizes.split(","):
        measure(size, options.frames, options.rounds)


if __name__ == "__main__":
    main()
