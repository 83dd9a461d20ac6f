"""Audio while it is generated: codes one by one, in windows where they are many, and chunks of samples out of them.

T frames, K codebooks, N samples
"""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from uniaudio.audio.io import Audio
from uniaudio.codec.model import Codec
from uniaudio.codec.streaming import StreamingDecoder
from uniaudio.engines.edit import keep_source
from uniaudio.lm.interface import Batch, FrameByFrame, GenerationRequest
from uniaudio.lm.sampling import Sampling, make_generators
from uniaudio.sequence.layout import Items
from uniaudio.tasks import Task

if TYPE_CHECKING:
    from uniaudio.engines.tokens import TokenEngine

WINDOW_SECONDS, OVERLAP_SECONDS = 16.0, 6.0  # what the model sees of a long target, and how much of it is old
FIRST_SECONDS, CHUNK_SECONDS = 0.12, 0.48  # of audio in the first chunk and in the others


def is_long(engine: "TokenEngine", task: Task, num_frames: int) -> bool:
    """Is a target generated window by window? Those are whose length is free and more than one window."""
    return task.length == "seconds" and num_frames > round(WINDOW_SECONDS * engine.codec.config.frame_rate)


@torch.no_grad()
def codes_one_by_one(
    engine: "TokenEngine", task: Task, items: Items, sampling: Sampling, seconds: float | None
) -> Iterator[Tensor]:
    """Yield the codes [K] of a target as they are made.

    A long target is made in windows: each sees the conditions, the end of what there is, and no more, so that neither
    memory nor the cost of a frame grows. The random stream goes on from one to the next.
    """
    low, high = engine.num_frames(task, items, sampling, seconds)
    rate = engine.codec.config.frame_rate
    window = round(WINDOW_SECONDS * rate) if is_long(engine, task, high) else high
    overlap = round(OVERLAP_SECONDS * rate)
    generators = make_generators([sampling.seed])
    made, recent = 0, deque[Tensor](maxlen=overlap)
    while made < high:
        prompt = engine.layout.continued(task, items, torch.stack(tuple(recent), 1)) if recent else None
        size = min(high - made, window - len(recent))
        bounds = min(max(low - made, 0), size), size
        batch, request = engine.ask(task, [prompt or engine.layout.prompt(task, items)], [bounds], sampling)
        request.generators = generators
        before = made
        for codes in _steps(engine, batch, request):
            yield keep_source(task, items, codes[:, None], made)[:, 0]
            made += 1
            recent.append(codes)
        if made - before < size:
            return  # it has ended itself


def _steps(engine: "TokenEngine", batch: Batch, request: GenerationRequest) -> Iterator[Tensor]:
    """Yield the codes [K] of the one request of a batch."""
    if isinstance(engine.generator, FrameByFrame):
        for frames in engine.generator.frames(batch, request):
            yield from (engine.layout.codes(frame[None])[:, 0] for frame in frames.values())
    else:
        yield from engine.layout.codes(engine.generator.generate(batch, request)[0]).t()


def audio_chunks(codec: Codec, codes: Iterator[Tensor]) -> Iterator[Audio]:
    """Yield audio [1, N] of codes [K] that come one by one: what decoding them at once gives, but for rounding."""
    rate = codec.config.frame_rate
    whole = codec.config.shape != "convnext"
    decoder = None if whole else StreamingDecoder(codec)
    behind = 0.0 if decoder is None else decoder.latency / codec.config.hop_length
    waiting: list[Tensor] = []
    wanted = behind + FIRST_SECONDS * rate
    for one in codes:
        waiting.append(one)
        if decoder is not None and len(waiting) >= wanted:
            yield _audio(codec, decoder.push(torch.stack(waiting, dim=1)[None]))
            waiting, wanted = [], CHUNK_SECONDS * rate
    if decoder is None:
        yield _audio(codec, codec.decode(torch.stack(waiting, dim=1)[None]))
        return
    if waiting:
        yield _audio(codec, decoder.push(torch.stack(waiting, dim=1)[None]))
    yield _audio(codec, decoder.finish())


def _audio(codec: Codec, samples: Tensor) -> Audio:
    """Return samples [1, 1, N] as audio."""
    return Audio(samples[0].clamp(-1, 1).float().numpy(), codec.config.sample_rate)
