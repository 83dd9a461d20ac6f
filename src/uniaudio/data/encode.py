"""Examples and recordings to tensors: what `sequence.layout` needs to order them, without the order.

K codebooks, T frames, P phones, D width of a caption vector
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from uniaudio.codec.model import Codec
from uniaudio.data.alignment import timed_phones
from uniaudio.data.examples import Example, load
from uniaudio.data.manifests import Row
from uniaudio.data.shards import Tokenized
from uniaudio.errors import InputError
from uniaudio.tasks import TASKS
from uniaudio.tokenizers.caption import CaptionTokenizer
from uniaudio.tokenizers.midi import MidiTokenizer, parse_score, score_phonemes
from uniaudio.tokenizers.phoneme import PHONEME_IDS, TimedPhone, phonemes
from uniaudio.tokenizers.semantic import SemanticTokenizer
from uniaudio.tokenizers.voice import level

BATCH = 16


@dataclass
class Encoder:
    """The tokenizers of a model, applied to whole shards: clips of equal length go through the codec together.

    `captions` makes the caption tokenizer when the first caption comes. With `only_semantic`, recordings get their
    semantic tokens and no codes, which takes a tenth of the time.
    """

    codec: Codec
    semantic: SemanticTokenizer | None = None
    captions: Callable[[], CaptionTokenizer] | None = None
    device: str = "cpu"
    only_semantic: bool = False
    _caption: CaptionTokenizer | None = field(default=None, repr=False)

    def encode(self, examples: Sequence[Example]) -> list[Tokenized]:
        """Return the examples' tensors.

        "target" is int16 [K, T]. Fields in step with it or not: "FIELD.codec" and "FIELD.voice" int16 [K, T],
        "FIELD.semantic" and "FIELD.midi" int16 [T], "FIELD.caption" float16 [T, D], "FIELD.phoneme" uint8 [P] of our
        phones, with "FIELD.ends" float32 [P] (seconds) where their times are known. A plain recording has "semantic"
        int16 [T], where the model has such tokens, and "speaker", its name as uint8.
        Raises InputError that names the example which cannot be used.
        """
        wanted = [] if self.only_semantic else [wanted for example in examples for wanted in _wanted(example)]
        codes = self._codes(wanted)
        return [self._one(example, codes) for example in examples]

    def _one(self, example: Example, codes: Mapping[str, Tensor]) -> Tokenized:
        try:
            if self.only_semantic and example.task != "recording":
                raise InputError("semantic tokens alone are made of recordings: give a corpus, not examples of a task")
            tensors = {} if self.only_semantic else {"target": codes[_key(example.target)]}
            if example.task == "recording":
                tensors |= self._phones("text", _timed(example)) if example.phones else {}
                tensors |= {} if self.semantic is None else {"semantic": self._semantic(example.target)}
                tensors["speaker"] = torch.tensor(list(example.labels.get("speaker", "").encode()), dtype=torch.uint8)
            else:
                for name, modality in TASKS[example.task].items:
                    tensors |= self._field(example, name, modality, codes)
        except InputError as error:
            raise InputError(f"example {example.id!r}: {error}") from error
        count = tensors["semantic" if self.only_semantic else "target"].shape[-1]
        return Tokenized(id=example.id, kind=example.task, num_frames=count, tensors=tensors)

    def _field(self, example: Example, name: str, modality: str, codes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        value = example.given[name]
        if modality in ("codec", "voice"):
            return {f"{name}.{modality}": codes[_key(value, modality)].clone(), **self._hidden(example, name)}
        if modality == "semantic":
            return {f"{name}.{modality}": self._semantic(value)}
        if modality == "caption":
            return {f"{name}.{modality}": self._caption_vectors(value)}
        if modality == "midi":
            ids = MidiTokenizer(self.codec.config.frame_rate).encode(parse_score(value)).ids
            assert ids is not None
            return {f"{name}.{modality}": ids[:, 0].short()}
        if name == "score":
            return self._phones(name, score_phonemes(parse_score(value)))
        timed = _timed(example) if value == example.text and example.phones else None
        return self._phones(name, timed) if timed else {f"{name}.phoneme": _ids(phonemes(value))}

    def _hidden(self, example: Example, name: str) -> dict[str, Tensor]:
        """Return which frames of an edited source the model does not see: "FIELD.hidden" int32 [2]."""
        if example.task != "speech_edit":
            return {}
        rate = self.codec.config.frame_rate
        return {f"{name}.hidden": torch.tensor([round(s * rate) for s in example.labels["removed"]], dtype=torch.int32)}

    def _phones(self, name: str, timed: Sequence[TimedPhone]) -> dict[str, Tensor]:
        ends = torch.tensor([end for _, _, end in timed], dtype=torch.float32)
        return {f"{name}.phoneme": _ids([phone for phone, _, _ in timed]), f"{name}.ends": ends}

    def _semantic(self, value: Mapping[str, Any]) -> Tensor:
        if self.semantic is None:
            raise InputError("this model has no semantic tokenizer; choose one that has, or leave voice_conversion out")
        ids = self.semantic.encode(load(value, self.codec.config.sample_rate)).ids
        assert ids is not None
        return ids[:, 0].short()

    def _caption_vectors(self, text: str) -> Tensor:
        if self._caption is None:
            self._caption = CaptionTokenizer() if self.captions is None else self.captions()
        vectors = self._caption.encode(text).vectors
        assert vectors is not None
        return vectors.half()

    def _codes(self, wanted: Sequence[tuple[Mapping[str, Any], str]]) -> dict[str, Tensor]:
        """Return the codes [K, T] int16 of every different (cut, modality), by its key."""
        waiting: dict[int, list[tuple[str, Tensor]]] = {}
        shape = self.codec.config
        for key, (cut, modality) in {_key(*pair): pair for pair in wanted}.items():
            samples = torch.from_numpy(load(cut, shape.sample_rate).samples)  # [1, N]
            samples = level(samples) if modality == "voice" else samples
            samples = functional.pad(samples, (0, -samples.shape[1] % shape.hop_length))
            waiting.setdefault(samples.shape[1], []).append((key, samples))
        codes: dict[str, Tensor] = {}
        for group in waiting.values():
            for first in range(0, len(group), BATCH):
                part = group[first : first + BATCH]
                batch = torch.stack([samples for _, samples in part]).to(self.device)  # [B, 1, N]
                encoded = self.codec.encode(batch).short().cpu()
                codes |= {key: encoded[row].clone() for row, (key, _) in enumerate(part)}
        return codes


def as_recording(row: Row, cut: Mapping[str, Any]) -> Example:
    """Return a plain recording as an example of nothing: it has a target and perhaps timed phones."""
    return Example(
        id=row.id,
        task="recording",
        split=row.split,
        seconds=row.seconds,
        target=cut,
        given={},
        labels={"speaker": row.speaker},
        text=row.text,
        phones=row.segments,
    )


def _timed(example: Example) -> list[TimedPhone]:
    return timed_phones(example.text, example.phones or [])


def _ids(phones: Sequence[str]) -> Tensor:
    return torch.tensor([PHONEME_IDS[phone] for phone in phones], dtype=torch.uint8)


def _wanted(example: Example) -> list[tuple[Mapping[str, Any], str]]:
    """Return the (cut, modality) pairs whose codes an example needs."""
    if example.task == "recording":
        return [(example.target, "codec")]
    pairs = [(example.given[name], modality) for name, modality in TASKS[example.task].items]
    return [(example.target, "codec"), *(pair for pair in pairs if pair[1] in ("codec", "voice"))]


def _key(cut: Mapping[str, Any], modality: str = "codec") -> str:
    return f"{modality} {json.dumps(cut, sort_keys=True)}"
