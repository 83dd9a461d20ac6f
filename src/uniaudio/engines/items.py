"""Request fields to items: which tokenizer reads which field, loaded when first needed.

T frames, K codebooks, P phones
"""

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uniaudio.audio.io import Audio, read_audio
from uniaudio.codec.model import Codec
from uniaudio.engines.edit import edited_source, edited_times
from uniaudio.errors import InputError
from uniaudio.lm.duration import DurationPredictor
from uniaudio.sequence.layout import Items
from uniaudio.tasks import Task
from uniaudio.tokenizers.base import Item
from uniaudio.tokenizers.caption import CaptionTokenizer
from uniaudio.tokenizers.codec import CodecTokenizer
from uniaudio.tokenizers.midi import MidiTokenizer, Note, parse_score, score_phonemes
from uniaudio.tokenizers.phoneme import PHONEME_IDS, PhonemeDurationTokenizer, PhonemeTokenizer, TimedPhone, phonemes
from uniaudio.tokenizers.score_files import read_score_file
from uniaudio.tokenizers.semantic import SemanticTokenizer
from uniaudio.tokenizers.voice import VoiceTokenizer

MAX_SECONDS = 60.0  # of a recording that is given
MIN_SECONDS = 0.1
_SILENCE_SECONDS = 0.08  # before the first phone, as in the corpus


class ItemReader:
    """Reads the fields of a request into the items of a task."""

    def __init__(
        self, codec: Codec, durations: DurationPredictor | None, semantic: SemanticTokenizer | None, caption: str | None
    ) -> None:
        self.codec, self.durations, self.semantic, self.caption_model = codec, durations, semantic, caption
        self.frame_rate = codec.config.frame_rate
        self.timing = PhonemeDurationTokenizer(self.frame_rate, codec.config.num_codebooks)

    def read(self, task: Task, request: Mapping[str, Any]) -> Items:
        """Return the items of a request; raises InputError for a value that cannot be used."""
        return self._read(task, request, {})

    def read_parts(self, task: Task, request: Mapping[str, Any], texts: Sequence[str]) -> list[Items]:
        """Return the items of a request for each of some texts; the other fields are read only once."""
        first = self.read(task, {**request, "text": texts[0]})
        shared = {key: item for key, item in first.items() if key[0] != "text"}
        return [first, *(self._read(task, {**request, "text": text}, shared) for text in texts[1:])]

    def _read(self, task: Task, request: Mapping[str, Any], known: Items) -> Items:
        """Return the items of a request, those that are `known` as they are."""
        if task.name == "speech_edit":
            return self._speech_edit(request)
        items = dict(known)
        for field, modality in task.items:
            if (field, modality) not in items:
                if modality == "phoneme":
                    items[field, modality] = self._phoneme(request[field], self._style(task, request))
                else:
                    items[field, modality] = getattr(self, f"_{modality}")(request[field])
        return items

    def _style(self, task: Task, request: Mapping[str, Any]) -> Tensor | None:
        """Return the mean [D] of the description of how to speak; None where there is none, or nobody listens."""
        described = [request[field] for field, modality in task.items if modality == "caption"]
        if not described or self.durations is None or not self.durations.config.caption_dim:
            return None
        vectors = self._caption(described[0]).vectors
        assert vectors is not None
        return vectors.mean(0)

    def times(self, text: str, style: Tensor | None = None) -> list[TimedPhone]:
        """Return the phones of a text with predicted times; raises InputError if this model has no durations.

        `style` [D] is the mean of the vectors of a description.
        """
        if self.durations is None:
            raise InputError("this model has no duration predictor, so it cannot lay a text out in time")
        return lay_out(self.durations, text, style)

    def _audio(self, value: Any) -> Audio:
        if isinstance(value, Audio):
            if not MIN_SECONDS <= value.seconds <= MAX_SECONDS:
                raise InputError(f"the recording lasts {value.seconds:.2f} s; give {MIN_SECONDS} to {MAX_SECONDS:g} s")
            return value
        if not isinstance(value, str | os.PathLike):
            raise InputError(f"a recording is needed (an Audio or the name of a file), not {type(value).__name__}")
        return read_audio(Path(value), max_seconds=MAX_SECONDS, min_seconds=MIN_SECONDS)

    def _codec(self, value: Any) -> Item:
        return CodecTokenizer(self.codec).encode(self._audio(value))

    def _voice(self, value: Any) -> Item:
        return VoiceTokenizer(self.codec).encode(self._audio(value))

    def _phoneme(self, value: Any, style: Tensor | None = None) -> Item:
        if self.durations is None:
            return PhonemeTokenizer().encode(as_text(value))
        ids = self.timing.encode(self.times(as_text(value), style)).ids
        return Item(ids=ids, aligned=True)

    def _phoneme_duration(self, value: Any) -> Item:
        return self.timing.encode(score_phonemes(_score(value)))

    def _midi(self, value: Any) -> Item:
        return MidiTokenizer(self.frame_rate).encode(_score(value))

    def _semantic(self, value: Any) -> Item:
        if self.semantic is None:
            raise InputError("this model has no semantic tokenizer; train one or choose a model that has one")
        return self.semantic.encode(self._audio(value))

    def _caption(self, value: Any) -> Item:
        return self.captions.encode(as_text(value))

    @functools.cached_property
    def captions(self) -> CaptionTokenizer:
        """The caption tokenizer, loaded when first asked for."""
        return CaptionTokenizer(self.caption_model)

    def _speech_edit(self, request: Mapping[str, Any]) -> Items:
        """Lay source, transcript and edited text on the time line of the result."""
        source = self._codec(request["source"]).ids
        assert source is not None
        text, edited = as_text(request["text"]), as_text(request["edited_text"])
        plan = edited_times(text, edited, self.times, len(source) / self.frame_rate)
        timing = self.timing.encode(plan.timed)
        return {
            ("edited_text", "phoneme_duration"): timing,
            ("source", "codec"): Item(ids=self._masked(source, plan.removed, plan.inserted_seconds, len(timing))),
            ("text", "phoneme"): PhonemeTokenizer().encode(text),
        }

    def _masked(self, source: Tensor, removed: tuple[float, float], inserted: float, length: int) -> Tensor:
        first, last = (round(seconds * self.frame_rate) for seconds in removed)
        return edited_source(source, first, last, round(inserted * self.frame_rate), length)


def lay_out(durations: DurationPredictor, text: str, style: Tensor | None = None) -> list[TimedPhone]:
    """Return the phones of a text with the times that a network predicts; `style` [D] as in `ItemReader.times`."""
    phones = phonemes(text)
    ids = torch.tensor([PHONEME_IDS["sil"], *(PHONEME_IDS[phone] for phone in phones)])
    timed: list[TimedPhone] = []
    start = 0.0
    for phone, length in zip(["sil", *phones], durations.seconds(ids, style).tolist(), strict=True):
        length = _SILENCE_SECONDS if phone == "sil" else length
        if length > 1e-4:
            timed.append((phone, start, start + length))
            start += length
    return timed


def as_text(value: Any) -> str:
    """Return a value if it is a text; raises InputError otherwise."""
    if not isinstance(value, str):
        raise InputError(f"a text is needed, not {type(value).__name__}")
    return value


def _score(value: Any) -> list[Note]:
    if isinstance(value, str | Path):
        return read_score_file(Path(value))
    if isinstance(value, list):
        value = [asdict(note) if isinstance(note, Note) else note for note in value]
    return parse_score(value)
