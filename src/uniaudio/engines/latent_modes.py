"""What the AudioLDM 2 engine does with a recording: variation, style transfer, inpainting, continuation, in context.

B batch (here 1), N samples, T latent frames, C channels and F bins of a latent, L vectors of the language of audio,
D width
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from uniaudio.audio.io import Audio
from uniaudio.diffusion.samplers import Keep, Start
from uniaudio.engines.base import Progress
from uniaudio.engines.latent import LatentEngine, LatentSampling, Work, check_seconds
from uniaudio.engines.latent_parts import Told
from uniaudio.errors import InputError
from uniaudio.tokenizers.codec import codec_samples

MIN_SECONDS, MAX_SECONDS = 0.1, 60.0  # of a recording
_FADE_SECONDS = 0.01
_CONTEXT = 2  # a continuation hears up to one such part of a window
_PROMPT = 4  # in-context generation takes over one such part of a window, as the original does

Heard = Callable[[int, int, Told], Tensor]


@dataclass(frozen=True, kw_only=True)
class Edit:
    """How a mode makes its result: an optional `caption`, the sampling (the engine's own by default), who is told."""

    caption: str | None = None
    sampling: LatentSampling | None = None
    on_frame: Progress | None = None


def variation(engine: LatentEngine, source: Audio, edit: Edit) -> Audio:
    """Return another recording with the source's own language of audio: the same kind of sound, not a copy."""
    samples, frames = _prepared(engine, source)
    return _result(engine, _work(engine, edit, frames, loa=_hears(engine, samples)), source.seconds)


def style_transfer(engine: LatentEngine, source: Audio, strength: float, edit: Edit) -> Audio:
    """Return the source turned into what the caption says (SDEdit, 2108.01073).

    `strength` from 0 (almost the source) to 1 (almost nothing of it) is the share of the steps. Raises InputError for
    another one.
    """
    if not 0 < strength <= 1:
        raise InputError(f"strength must be above 0 and at most 1, not {strength:g}")
    samples, frames = _prepared(engine, source)
    start = Start(latent=_latent(engine, samples, frames), strength=strength)
    return _result(engine, replace(_work(engine, edit, frames), start=start), source.seconds)


def inpaint(engine: LatentEngine, source: Audio, start: float, end: float, edit: Edit) -> Audio:
    """Return the source with the seconds from `start` to `end` made anew; the others are the source's own samples.

    Without a caption they become what is around them: the language of audio is heard with the gap filled by what comes
    before it. Raises InputError for times that do not fit the source.
    """
    if not 0 <= start < end <= source.seconds + 1e-6:
        raise InputError(
            f"the part to make anew, {start:g} to {end:g} s, must lie within the {source.seconds:.2f} s of the source"
        )
    if end - start >= source.seconds - 1e-6:
        raise InputError("the whole source would be made anew: keep a part of it, or give its caption to text-to-sound")
    samples, frames = _prepared(engine, source)
    rate, sample_rate = engine.model.shape.rate, engine.sample_rate
    first, last = math.floor(start * rate + 1e-6), math.ceil(end * rate - 1e-6)
    mask = torch.ones(1, 1, frames, 1)
    mask[:, :, first:last] = 0
    low, high = round(start * sample_rate), round(end * sample_rate)
    filled = _filled(samples[:, : round(source.seconds * sample_rate)], low, high)
    heard = None if edit.caption is not None else _hears(engine, _to_length(filled, samples.shape[1]))
    keep = Keep(latent=_latent(engine, samples, frames), mask=mask)
    made = _result(engine, replace(_work(engine, edit, frames, loa=heard), keep=keep), source.seconds)
    kept = samples[0, : made.samples.shape[1]].numpy()
    return Audio(_spliced(kept, made.samples[0], low, high, sample_rate)[None], sample_rate)


def continuation(engine: LatentEngine, source: Audio, seconds: float, edit: Edit) -> Audio:
    """Return the source's own samples and `seconds` more, made in one piece with its end.

    With a caption the language of audio goes on from what is heard (in context), else it stays what it is.
    """
    check_seconds(seconds)
    shape, sample_rate = engine.model.shape, engine.sample_rate
    everything = codec_samples(_checked(source), sample_rate)[None]
    known = min(int(everything.shape[1] / sample_rate * shape.rate), shape.window // _CONTEXT)
    if known < 1:
        raise InputError(f"the source must have {1 / shape.rate:.2f} s or more to be continued")
    hop = round(sample_rate / shape.rate)
    context = everything[:, -known * hop :]
    frames = engine.frames_of(known / shape.rate + seconds)
    looped = _filled(context, context.shape[1], frames * hop)
    heard = _hears(engine, looped) if edit.caption is None else _goes_on(engine, looped, known)
    mask = torch.zeros(1, 1, frames, 1)
    mask[:, :, :known] = 1
    keep = Keep(latent=_latent(engine, _to_length(context, frames * hop), frames), mask=mask)
    work = replace(_work(engine, edit, frames, loa=heard), keep=keep)
    made = _result(engine, work, known / shape.rate + seconds).samples[0]
    before = everything[0].numpy()
    joined = np.concatenate((before[: -known * hop], made))
    end = len(before)
    return Audio(_spliced(_longer(before, len(joined)), joined, end, len(joined), sample_rate)[None], sample_rate)


def in_context(engine: LatentEngine, prompt: Audio, seconds: float, edit: Edit) -> Audio:
    """Return new audio whose language of audio begins as the prompt's does, and goes on as the caption says."""
    frames = engine.frames_of(check_seconds(seconds))
    hop = round(engine.sample_rate / engine.model.shape.rate)
    samples = codec_samples(_checked(prompt), engine.sample_rate)[None]
    looped = _filled(samples, samples.shape[1], max(samples.shape[1], engine.model.shape.window * hop))
    share = engine.model.shape.window // _PROMPT
    return _result(engine, _work(engine, edit, frames, loa=_goes_on(engine, looped, share)), seconds)


def _prepared(engine: LatentEngine, source: Audio) -> tuple[Tensor, int]:
    """Return a source as samples [1, N], with silence to whole latent frames, and how many those are."""
    samples = codec_samples(_checked(source), engine.sample_rate)[None]
    frames = engine.frames_of(source.seconds)
    return _to_length(samples, frames * round(engine.sample_rate / engine.model.shape.rate)), frames


def _checked(source: Audio) -> Audio:
    if not MIN_SECONDS <= source.seconds <= MAX_SECONDS:
        raise InputError(f"the recording lasts {source.seconds:.2f} s; give {MIN_SECONDS} to {MAX_SECONDS:g} s")
    return source


def _work(engine: LatentEngine, edit: Edit, frames: int, loa: Heard | None = None) -> Work:
    sampling = replace(edit.sampling or engine.sampling, candidates=1)
    plan = engine.model.words(edit.caption)
    return Work(plans=[plan], samplings=[sampling], frames=frames, loa=loa, on_step=edit.on_frame)


def _result(engine: LatentEngine, work: Work, seconds: float) -> Audio:
    return engine.audio(engine.samples(engine.make(work)[0])[0], seconds)


def _latent(engine: LatentEngine, samples: Tensor, frames: int) -> Tensor:
    """Return the latent [1, C, T, F] of samples [1, N] that were prepared."""
    latent = engine.model.to_latent(samples)
    assert latent.shape[2] >= frames
    return latent[:, :, :frames]


def _hears(engine: LatentEngine, samples: Tensor) -> Heard:
    """Return what gives the language of audio of a window as it is in samples [1, N]."""
    hop = round(engine.sample_rate / engine.model.shape.rate)
    return lambda first, last, told: engine.model.loa(samples[:, first * hop : last * hop])


def _goes_on(engine: LatentEngine, samples: Tensor, known: int) -> Heard:
    """Return what rolls the language of audio out from what is heard in the first `known` latent frames.

    Windows after those are rolled out from nothing.
    """
    heard = _hears(engine, samples)

    def loa(first: int, last: int, told: Told) -> Tensor:
        count = engine.model.shape.num_tokens * max(0, known - first) // (last - first)
        prefix = heard(first, last, told)[:, :count] if count else None
        return engine.roll_out(told, prefix=prefix)

    return loa


def _filled(samples: Tensor, first: int, last: int) -> Tensor:
    """Return samples [1, N] whose part from `first` to `last`, or more behind their end, repeats what is before it.

    Every other time it runs backwards, so that it has no jumps; a gap at the beginning repeats what is behind it.
    """
    around = samples[0, :first].flip(0) if first else samples[0, last:]  # from the gap on
    once = torch.cat((around, around.flip(0)))
    gap = once.repeat(-(-(last - first) // len(once)))[: last - first]
    return torch.cat((samples[0, :first], gap if first else gap.flip(0), samples[0, last:]))[None]


def _to_length(samples: Tensor, length: int) -> Tensor:
    """Return samples [1, N] cut, or with silence, to a length."""
    return torch.nn.functional.pad(samples[:, :length], (0, max(0, length - samples.shape[1])))


def _longer(samples: np.ndarray, length: int) -> np.ndarray:
    """Return samples [N] turned about their last one, to a length: a fade out of them begins without a jump."""
    return np.pad(samples, (0, length - len(samples)), mode="reflect", reflect_type="odd")


def _spliced(kept: np.ndarray, made: np.ndarray, first: int, last: int, sample_rate: int) -> np.ndarray:
    """Return `kept` [N] with the samples from `first` to `last` of `made` [N], faded over inside them."""
    fade = min(round(_FADE_SECONDS * sample_rate), (last - first) // 2)
    weight = np.zeros(len(kept), np.float32)
    weight[first:last] = 1
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    if first:
        weight[first : first + fade] = ramp
    if last < len(kept):
        weight[last - fade : last] = ramp[::-1]
    return kept * (1 - weight) + made * weight
