"""The AudioLM engine: semantic tokens go on, codes follow them, the codec makes sound (2209.03143).

N samples, T frames, n semantic tokens, K codebooks
"""

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from uniaudio.audio.io import Audio
from uniaudio.audio.loudness import active_db
from uniaudio.codec.model import Codec
from uniaudio.errors import InputError
from uniaudio.lm.interface import GenerationRequest, LanguageModel
from uniaudio.lm.sampling import Sampling, make_generators
from uniaudio.sequence.batch import Batch, collate, hide_conditions
from uniaudio.sequence.layout import ROLES
from uniaudio.sequence.stages import Stage, Stages
from uniaudio.tokenizers.codec import codec_samples, encode_samples
from uniaudio.tokenizers.semantic import SemanticTokenizer

MIN_PROMPT_SECONDS, MAX_SECONDS = 0.5, 60.0
ORDER: tuple[Stage, ...] = ("semantic", "coarse", "fine")
_MIRROR_SECONDS = 0.5  # of the prompt, played backwards behind it: the tokenizers must not hear silence come
_JOIN_SECONDS = 0.01
_LEVEL_STEP_DB = 2.0
_LEVEL_RANGE = 4.0  # the continuation is made at most this much louder or softer (12 dB) to fit the prompt
_STAGE_SPACING, _WINDOW_SPACING = 104729, 7919  # between the seeds of two stages, and of two windows of one
_CANDIDATE_SPACING = 1299709


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """How a stage generates: its `window` (frames; kept tokens in the semantic stage), as in training, and how many of
    them (`overlap`) it still sees when the window moves on. `sampling.seed` is not used."""

    window: int
    overlap: int
    sampling: Sampling

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.window:
            raise InputError(f"a window of {self.window} cannot overlap {self.overlap}: use 0 to {self.window - 1}")


@dataclass(frozen=True, eq=False)
class Part:
    """What a stage is to make: `count` frames after a prefix [K, T], whose first `num_prompt` frames are a prompt's."""

    given: Tensor | None
    prefix: Tensor
    count: int
    num_prompt: int = 0


class AudioLMEngine:
    """Goes on with a recording, makes sound from nothing, or says what a recording says in another voice.

    `mean_run` is how many frames a semantic token lasts where repeats are removed: the generated ones have no time.
    """

    tasks = ("continuation",)

    def __init__(
        self,
        name: str,
        codec: Codec,
        semantic: SemanticTokenizer,
        stages: Stages,
        models: Mapping[str, LanguageModel],
        configs: Mapping[str, StageConfig],
        mean_run: float = 2.0,
    ) -> None:
        wanted = {"semantic", *stages.layouts}
        assert wanted == set(models) == set(configs), "one model and one config per stage"
        self.name, self.codec, self.semantic, self.stages = name, codec, semantic, stages
        self.models, self.configs, self.mean_run = dict(models), dict(configs), mean_run
        self.frame_rate = codec.config.frame_rate
        self.blind = False

    @property
    def sample_rate(self) -> int:
        return self.codec.config.sample_rate

    def acoustic_only(self) -> "AudioLMEngine":
        """Return this engine with a coarse stage that sees no semantic tokens, as in a part of its training."""
        other = copy(self)
        other.blind = True
        return other

    def continuation(self, prompt: Audio | None, seconds: float, seed: int = 0) -> Audio:
        """Return the prompt, its samples as they are, and `seconds` more; without a prompt, sound from nothing.

        Raises InputError for a prompt that is too short or too long, and for seconds out of range.
        """
        if not 0 < seconds <= MAX_SECONDS:
            raise InputError(f"seconds must be above 0 and at most {MAX_SECONDS:g}, not {seconds:g}")
        samples, semantic, codes = self.read(prompt)
        num_prompt = codes.shape[1]
        total = math.ceil((len(samples) / self.sample_rate + seconds) * self.frame_rate)
        tokens, starts = self.go_on(semantic, total, seed)
        codes = self.acoustics(tokens, starts, codes, total, seed)
        made = self.decode(codes)[: len(samples) + round(seconds * self.sample_rate)]
        return Audio(joined(samples, made, self.sample_rate)[None] if num_prompt else made[None], self.sample_rate)

    def say_again(self, source: Audio, voice: Audio | None = None, seed: int = 0) -> Audio:
        """Return what the source says (acoustic generation), in the voice of a recording or in any voice.

        Raises InputError for recordings that are too short or too long.
        """
        _, spoken, source_codes = self.read(source)
        _, before, codes = self.read(voice)
        total = codes.shape[1] + source_codes.shape[1]
        tokens, starts = self.stages.tokens(torch.cat((before, spoken)))
        made = self.acoustics(tokens, starts, codes, total, seed)
        return Audio(self.decode(made)[None, codes.shape[1] * self.codec.config.hop_length :], self.sample_rate)

    def go_on(self, semantic: Tensor, total: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Return the tokens [n] of `total` frames and where each begins [n], after the ids [T] of a prompt.

        Repeats are removed once, over prompt and continuation: a token never follows itself across the seam either.
        """
        tokens, starts = self.stages.tokens(semantic)
        missing = total - len(semantic)
        count = math.ceil(missing / self.mean_run) if self.stages.dedup else missing
        tokens = self._extend("semantic", None, tokens[None], len(tokens) + count, seed)[0]
        run = missing / max(1, count)
        new = len(semantic) + (torch.arange(count) * run).long()
        return tokens, torch.cat((starts, new))

    def acoustics(
        self,
        tokens: Tensor,
        starts: Tensor,
        codes: Tensor,
        total: int,
        seed: int = 0,
    ) -> Tensor:
        """Return the codes [K, total] of semantic tokens [n], which begin at frames [n], after a prompt's [K, T]."""
        split = self.stages.num_coarse
        made = self._extend("coarse", (tokens, starts), codes[:split], total, seed)
        if "fine" in self.models:
            made = torch.cat((made, self._extend("fine", made, codes[split:], total, seed)))
        return made

    def _extend(
        self,
        stage: Stage,
        given: Tensor | tuple[Tensor, Tensor] | None,
        target: Tensor,
        total: int,
        seed: int,
    ) -> Tensor:
        """Return a target [K, total] that goes on after [K, T], window by window."""
        window, overlap = self.configs[stage].window, self.configs[stage].overlap
        number, num_prompt = ORDER.index(stage), target.shape[1]
        while target.shape[1] < total:
            done = target.shape[1]
            if overlap == 0:
                first = done - done % window  # windows that do not depend on what was there before
            else:
                first = 0 if done < window else done - overlap
            stop = min(total, first + window)
            part = _between(given, first, stop)
            draw = seed + _STAGE_SPACING * number + _WINDOW_SPACING * (first // (window - overlap))
            before = target[:, first:]
            made = self._generate(stage, part, before, stop - done, draw, max(0, num_prompt - first))
            target = torch.cat((target, made), dim=1)
        return target

    def _generate(
        self, stage: Stage, given: Tensor | None, prefix: Tensor, count: int, seed: int, num_prompt: int = 0
    ) -> Tensor:
        """Return `count` new frames [K, count] of one window, after a prefix [K, T] that begins with a prompt.

        Of several candidates it is the one that the prompt makes likeliest, by its evidence.
        """
        number = self.configs[stage].sampling.candidates if num_prompt else 1
        part = Part(given, prefix, count, num_prompt)
        made = self.generate_many(stage, [part] * number, [seed + _CANDIDATE_SPACING * n for n in range(number)])
        return max(made, key=lambda codes: self._evidence(stage, part, codes)) if number > 1 else made[0]

    @torch.no_grad()
    def generate_many(self, stage: Stage, parts: Sequence[Part], seeds: Sequence[int]) -> list[Tensor]:
        """Return the new frames [K, count] of some parts, each within a window, all at once."""
        counts = torch.tensor([part.count for part in parts])
        batch = self._batch(stage, parts)
        if self.configs[stage].sampling.guidance != 1:
            without = self._without(batch, [part.num_prompt for part in parts])
            batch = batch.twice()
            batch.frames = torch.cat((batch.frames[: len(parts)], without))
        request = GenerationRequest(
            legal=self.stages.legal(stage),
            min_frames=counts,
            max_frames=counts,
            target_role=ROLES.index("target"),
            sampling=replace(self.configs[stage].sampling, seed=seeds[0]),
            generators=make_generators(list(seeds)),
        )
        return [self.stages.codes(stage, frames) for frames in self.models[stage].generate(batch, request)]

    def _batch(self, stage: Stage, parts: Sequence[Part]) -> Batch:
        batch = collate([self.stages.sequence(stage, part.given, part.prefix, ended=False) for part in parts])
        blind = torch.full((len(parts),), stage == "coarse" and self.blind)
        batch.frames = hide_conditions(batch, blind, self.stages.vocabulary.fill)
        return batch

    def _without(self, batch: Batch, num_prompt: Sequence[int]) -> Tensor:
        """Return the frames [B, T, K] of a batch without what guidance strengthens: the prompt, or, where there is
        none, the conditions."""
        fill, prompts = self.stages.vocabulary.fill, torch.tensor(num_prompt)[:, None]
        frames = hide_conditions(batch, prompts[:, 0] == 0, fill)
        return torch.where((batch.target & (batch.target.cumsum(1) <= prompts))[..., None], fill, frames)

    @torch.no_grad()
    def _evidence(self, stage: Stage, part: Part, made: Tensor) -> float:
        """Return how much likelier the prompt makes new frames [K, count]: the difference of the mean losses."""
        whole = replace(part, prefix=torch.cat((part.prefix, made), dim=1))
        batch, legal = self._batch(stage, [whole]), self.stages.legal(stage)
        given = sum(self.models[stage].losses(batch, legal))
        batch.inputs = self._without(batch, [part.num_prompt])
        return float(sum(self.models[stage].losses(batch, legal)) - given)

    def read(self, prompt: Audio | None) -> tuple[np.ndarray, Tensor, Tensor]:
        """Return the samples [N], the semantic ids [T] and the codes [K, T] of a recording; its whole frames alone."""
        num_codebooks = self.stages.vocabulary.num_codebooks
        if prompt is None:
            empty = torch.zeros(0, dtype=torch.long)
            return np.zeros(0, np.float32), empty, torch.zeros(num_codebooks, 0, dtype=torch.long)
        if not MIN_PROMPT_SECONDS <= prompt.seconds <= MAX_SECONDS:
            limits = f"{MIN_PROMPT_SECONDS} to {MAX_SECONDS:g} s"
            raise InputError(f"the recording lasts {prompt.seconds:.2f} s: give {limits}")
        samples = codec_samples(prompt, self.sample_rate)
        count = len(samples) // self.codec.config.hop_length
        mirror = samples.flip(0)[: round(_MIRROR_SECONDS * self.sample_rate)]
        longer = torch.cat((samples, mirror))
        codes, ids = encode_samples(self.codec, longer).ids, None
        ids = self.semantic.encode(Audio(longer[None].numpy(), self.sample_rate)).ids
        assert codes is not None and ids is not None
        return samples.numpy(), ids[:count, 0], codes[:count].t()

    @torch.no_grad()
    def decode(self, codes: Tensor) -> np.ndarray:
        """Return the samples [N] of codes [K, T]."""
        return self.codec.decode(codes[None])[0, 0].float().clamp(-1, 1).cpu().numpy()


def joined(prompt: np.ndarray, made: np.ndarray, rate: int = 16000) -> np.ndarray:
    """Return the prompt [N] followed by what samples [M] have after its end, at about the prompt's level.

    What follows may be 2 dB louder or softer where it sounds, by its first seconds, and is brought there otherwise.
    For 10 ms after the seam the prompt, turned about its last sample, fades into the continuation: value and
    slope go on, so that nothing clicks.
    """
    size = len(prompt)
    there, wanted = (float(np.sqrt(np.mean(np.square(x[:size], dtype=np.float64)))) for x in (made, prompt))
    gain = np.clip(wanted / max(there, 1e-5), 1 / _LEVEL_RANGE, _LEVEL_RANGE)
    rest = made[size:] * gain
    if len(rest):
        step = active_db(rest[: max(1, size)], rate) - active_db(prompt, rate)
        gain = 10 ** ((np.clip(step, -_LEVEL_STEP_DB, _LEVEL_STEP_DB) - step) / 20)
        rest = (rest * np.clip(gain, 1 / _LEVEL_RANGE, _LEVEL_RANGE)).clip(-1, 1)
    join = min(round(_JOIN_SECONDS * rate), len(rest), size - 1)
    if join > 0:
        turned = (2 * prompt[-1] - prompt[-2 : -2 - join : -1]).clip(-1, 1)
        fade = 0.5 + 0.5 * np.cos(np.pi * (np.arange(join) + 1) / (join + 1))
        rest[:join] = fade * turned + (1 - fade) * rest[:join]
    return np.concatenate((prompt, rest.astype(np.float32)))


def _between(given: Tensor | tuple[Tensor, Tensor] | None, first: int, stop: int) -> Tensor | None:
    """Return the part of what is given that belongs to frames [first, stop): codes [K, T], or tokens with starts."""
    if given is None:
        return None
    if isinstance(given, Tensor):
        return given[:, first:stop]
    tokens, starts = given
    begin = max(0, int(torch.searchsorted(starts, first, right=True)) - 1)
    return tokens[begin : int(torch.searchsorted(starts, stop))]
