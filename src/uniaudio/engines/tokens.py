"""The UniAudio engine: request -> items -> prompt -> frames of the language model -> codes -> audio.

B batch, T frames, K codebooks
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from uniaudio.audio.io import Audio
from uniaudio.codec.model import Codec
from uniaudio.engines.base import Progress, check_request
from uniaudio.engines.choice import best
from uniaudio.engines.edit import keep_source
from uniaudio.engines.items import ItemReader, as_text
from uniaudio.engines.stream import audio_chunks, codes_one_by_one, is_long
from uniaudio.errors import InputError
from uniaudio.lm.compiled import CompiledLM, can_compile
from uniaudio.lm.interface import GenerationRequest, LanguageModel, Legal
from uniaudio.lm.multiscale import MultiScaleLM
from uniaudio.lm.sampling import Sampling, make_generators
from uniaudio.sequence.batch import Batch, collate, hide_conditions
from uniaudio.sequence.layout import ROLES, Items, Layout, is_aligned
from uniaudio.sequence.layout import Sequence as Prompt
from uniaudio.tasks import Task
from uniaudio.tokenizers.codec import round_trip
from uniaudio.tokenizers.text import NOTHING_TO_SPEAK, clean_text, split_clauses

MAX_PART_CHARACTERS = 90  # a text is spoken in parts of about the length that training saw
_FRAMES_PER_PHONE = 2.2  # at 25 frames per second, where no durations are known
_PAUSE_SECONDS = 0.12
_APART = 104729  # between the seeds of the candidates of a request
DEFAULT_SECONDS, MAX_SECONDS = 5.0, 60.0
ENDLESS = sys.maxsize  # frames of a stream without an end


class TokenEngine:
    """Generates audio with a codec and a language model over its codes."""

    def __init__(
        self,
        name: str,
        tasks: tuple[str, ...],
        codec: Codec,
        lm: LanguageModel,
        layout: Layout,
        reader: ItemReader,
        sampling: Sampling,
        task_sampling: Mapping[str, Sampling] | None = None,
    ) -> None:
        self.name, self.tasks, self.codec, self.lm = name, tasks, codec, lm
        self.layout, self.reader, self.sampling = layout, reader, sampling
        self.task_sampling = dict(task_sampling or {})
        self.generator, self.precision = lm, "float32"  # what makes the frames: `lm` itself, or its compiled form

    @property
    def sample_rate(self) -> int:
        return self.codec.config.sample_rate

    def compile(self, precision: str = "float32") -> None:
        """Make frames with the compiled form of the language model from now on, where it has one.

        Raises InputError for an unknown precision, and for another one than float32 where there is none.
        """
        if can_compile(self.lm):
            self.generator = CompiledLM(cast(MultiScaleLM, self.lm), precision)
        elif precision != "float32":
            raise InputError(
                f"{self.name} cannot be computed in {precision}: that needs a multi-scale model and the packages onnx "
                "and onnxruntime; leave the precision out"
            )
        self.precision = precision

    def sampling_for(self, task_name: str) -> Sampling:
        """Return how a task is sampled unless a call says otherwise."""
        return self.task_sampling.get(task_name, self.sampling)

    def generate(
        self,
        task_name: str,
        request: Mapping[str, Any],
        *,
        sampling: Sampling | None = None,
        seconds: float | None = None,
        on_frame: Progress | None = None,
    ) -> Audio:
        """Return the audio [1, N] for one request; a long text is spoken part by part, all parts in one batch.

        `seconds` is the length of the result, for the tasks where it is free. Raises InputError for a task or a value
        that does not fit.
        """
        task, items, samplings = self._parts(task_name, request, sampling, seconds)
        frames = self.generate_frames(task, items, samplings, seconds, on_frame)
        pieces = [self.decode(codes) for codes in frames]
        if len(pieces) == 1:
            return pieces[0]
        joined = [array for piece in pieces for array in (piece.samples, self._pause)][:-1]
        return Audio(np.concatenate(joined, axis=1), self.sample_rate)

    def stream(
        self,
        task_name: str,
        request: Mapping[str, Any],
        *,
        sampling: Sampling | None = None,
        seconds: float | None = None,
    ) -> Iterator[Audio]:
        """Return an iterator over chunks of audio [1, N], made while it is read; they are what `generate` makes.

        Where the length is free, `seconds` may be anything above 0, `math.inf` too. A model in another order than
        multi-scale, or a codec that decodes whole recordings only, gives each part of a text in one chunk. Raises as
        `generate` does, before the first chunk, and InputError for several candidates that are asked for.
        """
        if sampling is not None and sampling.candidates > 1:
            raise InputError("a stream cannot choose among candidates: leave them out")
        task, items, samplings = self._parts(task_name, request, sampling, seconds, math.inf)

        def chunks() -> Iterator[Audio]:
            for index, (item, one) in enumerate(zip(items, samplings, strict=True)):
                if index:
                    yield Audio(self._pause, self.sample_rate)
                yield from audio_chunks(self.codec, codes_one_by_one(self, task, item, one, seconds))

        return chunks()

    def _parts(
        self,
        task_name: str,
        request: Mapping[str, Any],
        sampling: Sampling | None,
        seconds: float | None,
        longest: float = MAX_SECONDS,
    ) -> tuple[Task, list[Items], list[Sampling]]:
        """Return the task, and the items and the sampling of each part of a request: a long text has several."""
        task = check_request(self, task_name, request)
        _check_seconds(task, seconds, longest)
        sampling = sampling or self.sampling_for(task_name)
        if task.length == "text":
            items = self.reader.read_parts(task, request, split_text(as_text(request["text"])))
        else:
            items = [self.reader.read(task, request)]
        return task, items, [replace(sampling, seed=sampling.seed + 7919 * index) for index in range(len(items))]

    @property
    def _pause(self) -> np.ndarray:
        """The silence [1, N] between two parts of a text."""
        return np.zeros((1, round(_PAUSE_SECONDS * self.sample_rate)), np.float32)

    def generate_batch(
        self,
        task_name: str,
        requests: Sequence[Mapping[str, Any]],
        samplings: Sequence[Sampling],
        *,
        seconds: float | None = None,
        on_frame: Progress | None = None,
    ) -> list[Audio]:
        """Return the audio of several requests of one task, generated together; each draws from its own seed.

        Raises ValueError unless there is one sampling per request and they differ in their seeds only.
        """
        if not requests or len(requests) != len(samplings):
            raise ValueError(f"need one sampling per request, got {len(samplings)} for {len(requests)} requests")
        if any(replace(sampling, seed=samplings[0].seed) != samplings[0] for sampling in samplings):
            raise ValueError("the samplings of a batch may differ in their seeds only")
        tasks = [check_request(self, task_name, request) for request in requests]
        _check_seconds(tasks[0], seconds, MAX_SECONDS)
        items = [self.reader.read(tasks[0], request) for request in requests]
        frames = self.generate_frames(tasks[0], items, samplings, seconds, on_frame)
        return [self.decode(codes) for codes in frames]

    @torch.no_grad()
    def generate_frames(
        self,
        task: Task,
        items: Sequence[Items],
        samplings: Sequence[Sampling],
        seconds: float | None,
        on_frame: Progress | None = None,
    ) -> list[Tensor]:
        """Return the codes [K, T] that the language model predicts for each set of items, long ones by windows.

        With several `candidates` all of them are made in one batch, and the best one of each set of items is returned.
        """
        count = samplings[0].candidates
        if count > 1:
            every = [one for one in items for _ in range(count)]
            seeds = [replace(one, seed=one.seed + _APART * n, candidates=1) for one in samplings for n in range(count)]
            made = self.generate_frames(task, every, seeds, seconds, on_frame)
            groups = [made[first : first + count] for first in range(0, len(made), count)]
            return [best(self, task, *pair) for pair in zip(items, groups, strict=True)]
        bounds = [self.num_frames(task, item, samplings[0], seconds) for item in items]
        longest = max(high for _, high in bounds)
        told = None if on_frame is None else lambda done: on_frame(done, longest)
        if is_long(self, task, longest):
            return [self._long(task, *one, seconds, told) for one in zip(items, samplings, strict=True)]
        sequences = [self.layout.prompt(task, item) for item in items]
        batch, request = self.ask(task, sequences, bounds, samplings[0])
        request.generators, request.on_frame = make_generators([one.seed for one in samplings]), told
        made = [self.layout.codes(frames) for frames in self.generator.generate(batch, request)]
        return [keep_source(task, *pair) for pair in zip(items, made, strict=True)]

    def _long(
        self, task: Task, items: Items, sampling: Sampling, seconds: float | None, told: Callable[[int], None] | None
    ) -> Tensor:
        codes: list[Tensor] = []
        for one in codes_one_by_one(self, task, items, sampling, seconds):
            codes.append(one)
            if told is not None:
                told(len(codes))
        return torch.stack(codes, dim=1)

    def ask(
        self, task: Task, sequences: Sequence[Prompt], bounds: Sequence[tuple[int, int]], sampling: Sampling
    ) -> tuple[Batch, GenerationRequest]:
        """Return what the language model is given to continue some prompts; all streams are those of one seed."""
        widths = {vectors.shape[1] for sequence in sequences for _, vectors in sequence.vectors}
        batch = collate(sequences, widths.pop() if widths else 0)
        if sampling.guidance != 1:
            batch = batch.twice()
            rows = torch.arange(len(batch.lengths)) >= len(sequences)
            batch.frames = hide_conditions(batch, rows, self.layout.vocabulary.fill)
        request = GenerationRequest(
            legal=self.legal(task),
            min_frames=torch.tensor([low for low, _ in bounds]),
            max_frames=torch.tensor([high for _, high in bounds]),
            target_role=ROLES.index("target"),
            sampling=sampling,
            generators=make_generators([sampling.seed] * len(sequences)),
        )
        return batch, request

    def legal(self, task: Task) -> Legal:
        """Return the ids that the target of a task may have."""
        return Legal(tuple(self.layout.allowed(task)), self.layout.vocabulary.mark("end"))

    def num_frames(self, task: Task, items: Items, sampling: Sampling, seconds: float | None) -> tuple[int, int]:
        """Return the least and the greatest number of target frames.

        A target that follows an item has exactly its length. Else the sampling's ratios bound the expected length; with
        ratios of 1, a text without predicted times may take from half to twice of it.
        """
        rate, low, high = self.codec.config.frame_rate, sampling.min_ratio, sampling.max_ratio
        followed = [
            item for (field, modality), item in items.items() if field == task.length and is_aligned(modality, item)
        ]
        if followed:
            exact = max(1, *(len(item) for item in followed))
            return exact, exact
        if task.length == "text":
            item = next(item for (field, _), item in items.items() if field == "text")
            expected = round(len(item) * _FRAMES_PER_PHONE * rate / 25)
            if low == high == 1.0:
                return max(1, expected // 2), max(1, expected * 2)
        else:
            wanted = DEFAULT_SECONDS if seconds is None else seconds
            if wanted == math.inf:
                return ENDLESS, ENDLESS
            expected = round(wanted * rate)
        return max(1, round(expected * low)), max(1, round(expected * high))

    def round_trip(self, audio: Audio) -> Audio:
        """Return a recording encoded and decoded: [1, T * hop]."""
        return round_trip(self.codec, audio)

    def networks(self) -> list[nn.Module]:
        """Return the networks that decide what is generated."""
        parts = (self.codec, self.lm, self.reader.durations)
        return [part for part in parts if isinstance(part, nn.Module)]

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Audio:
        """Return the audio [1, N] of codes [K, T]."""
        samples = self.codec.decode(codes[None])[0].clamp(-1, 1)
        return Audio(samples.float().cpu().numpy(), self.sample_rate)


def split_text(text: str, limit: int = MAX_PART_CHARACTERS) -> list[str]:
    """Cut a text into parts of at most about `limit` characters, at sentence ends, else commas, else spaces.

    What ends a sentence is decided as in `tokenizers.text`: no abbreviation is parted from the word that follows it.
    A part without words, such as a lone "...", is left out. Raises InputError for a text that cannot be spoken.
    """
    words = clean_text(text).split()
    parts: list[str] = []
    current: list[str] = []
    for index, word in enumerate(words):
        current.append(word)
        size = len(" ".join(current))
        mark = _mark_after(word)
        ends_part = bool(mark) and size >= limit * (0.6 if mark == "," else 0.3)
        following = len(words[index + 1]) + 1 if index + 1 < len(words) else 0
        if ends_part or size + following > limit:
            is_abbreviation = word[-1] == "." and not mark and following > 0 and len(current) > 1
            cut = len(current) - 1 if is_abbreviation else len(current)
            parts.append(" ".join(current[:cut]))
            current = current[cut:]
    if current:
        parts.append(" ".join(current))
    spoken = [part for part in parts if any(said for said, _ in split_clauses(part))]  # not "..." on its own
    if not spoken:
        raise InputError(NOTHING_TO_SPEAK)
    return spoken


def _mark_after(word: str) -> str:
    """Return the pause after a word inside a text: "," "." "?" "!", or "" for none or the period of an abbreviation."""
    marks = [mark for _, mark in split_clauses(f"{word} x")][:-1]  # the last one belongs to the x
    sentence_ends = [mark for mark in marks if mark != ","]
    if sentence_ends:
        return sentence_ends[-1]
    return "," if marks and not word[-1].isalnum() else ""  # a dash inside the word is no place to cut


def _check_seconds(task: Task, seconds: float | None, longest: float) -> None:
    if seconds is not None and task.length != "seconds":
        raise InputError(f"the length of {task.name} follows from its {task.length}: leave `seconds` out")
    if seconds is not None and not 0 < seconds <= longest:
        most = "" if longest == math.inf else f" and at most {longest:g}"
        raise InputError(f"seconds must be above 0{most}, not {seconds}")
