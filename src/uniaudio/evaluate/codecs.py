"""Judge a codec by its round trip of held-out speech, singing, sound and music, with Opus at low rates beside it.

B batch (here 1), K codebooks, T frames, C channels, N samples
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from uniaudio.audio.io import Audio, read_audio
from uniaudio.data.manifests import Row
from uniaudio.errors import InputError
from uniaudio.evaluate.heard import RATE, Heard, like
from uniaudio.evaluate.held_out import MAX_SECONDS, Clip, keep_clip
from uniaudio.evaluate.metrics import left_out
from uniaudio.evaluate.metrics.codes import CodeCounts
from uniaudio.evaluate.metrics.mel_distance import mel_distance
from uniaudio.evaluate.metrics.pesq import pesq
from uniaudio.evaluate.metrics.pitch import pitch_error, voicing_error
from uniaudio.evaluate.metrics.speaker_similarity import similarity
from uniaudio.evaluate.metrics.stoi import stoi
from uniaudio.evaluate.metrics.visqol import visqol
from uniaudio.evaluate.metrics.wer import word_error_rate
from uniaudio.evaluate.opus import opus_round_trip
from uniaudio.evaluate.report import BESIDE, mean_with_interval
from uniaudio.tokenizers.codec import AudioCodec, CodecTokenizer, round_trip

OPUS_KBPS = (6, 12)
PAGE_CLIPS = 10


# THE METRIC TABLE of round trips: figure -> how it judges (original, processed). It raises ValueError for a clip that
# it cannot judge, which is then left out of its mean.
METRICS: dict[str, Callable[[Heard, Heard], float]] = {
    "stoi": lambda original, made: stoi(original.audio, made.audio),
    "pesq": lambda original, made: pesq(original.audio, made.audio),
    "visqol": lambda original, made: visqol(original.audio, made.audio),
    "mel_distance_db": lambda original, made: mel_distance(original.audio, made.audio),
    "pitch_error": lambda original, made: pitch_error(original.pitch, made.pitch),
    "voicing_error": lambda original, made: voicing_error(original.pitch, made.pitch),
    "speaker_similarity": lambda original, made: similarity(original.voice, made.voice),
}
# The figures of each audio type. PESQ, ViSQOL and the recogniser were made for speech and say nothing of the rest.
FIGURES: dict[str, tuple[str, ...]] = {
    "speech": tuple(METRICS),
    "singing": ("stoi", "mel_distance_db", "pitch_error", "voicing_error", "speaker_similarity"),
    "sound": ("mel_distance_db",),
    "music": ("mel_distance_db",),
}
_NEEDS = {"pesq": "pesq", "visqol": "visqol", "pitch_error": "parselmouth", "voicing_error": "parselmouth"}


class _System(Protocol):
    """Whatever takes a recording down to few bits and back, and has figures of its own."""

    def round_trip(self, audio: Audio) -> Audio: ...

    def figures(self) -> dict[str, Any]: ...


class _Neural:
    """A codec with its code counts and its time."""

    def __init__(self, codec: AudioCodec, counts: CodeCounts) -> None:
        self.tokenizer, self.config, self.counts = CodecTokenizer(codec), codec.config, counts
        self.spent = self.spoken = 0.0
        round_trip(codec, Audio(np.zeros((1, RATE), np.float32), RATE))  # the first call is slow: not timed

    def round_trip(self, audio: Audio) -> Audio:
        begun = time.perf_counter()
        ids = self.tokenizer.encode(audio).ids  # [T, K]
        assert ids is not None
        decoded = self.tokenizer.decode(ids)
        self.spent += time.perf_counter() - begun
        self.spoken += audio.seconds
        self.counts.add(ids.T.numpy())
        return decoded

    def figures(self) -> dict[str, Any]:
        return {**_code_figures(self.counts, self.config.frame_rate), "real_time_factor": self.spent / self.spoken}


class _Opus:
    """Opus, with the bits that it took."""

    def __init__(self, kbps: float) -> None:
        self.kbps, self.bits, self.spoken = kbps, 0, 0.0

    def round_trip(self, audio: Audio) -> Audio:
        decoded, bits = opus_round_trip(audio, self.kbps)
        self.bits += bits
        self.spoken += audio.seconds
        return decoded

    def figures(self) -> dict[str, Any]:
        return {"bits_per_second": round(self.bits / self.spoken, 1)}


class _Scores:
    """What the judges say of one system, clip by clip."""

    def __init__(self, names: Sequence[str]) -> None:
        self.values: dict[str, list[float]] = {name: [] for name in names}
        self.words: list[str] = []

    def add(self, original: Heard, made: Heard) -> None:
        for name, values in self.values.items():
            try:
                values.append(METRICS[name](original, made))
            except InputError:
                raise
            except ValueError:  # the metric says why; fewer clips show in the figure
                continue

    def figures(self, num_clips: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, values in self.values.items():
            found[name] = mean_with_interval(values) if values else "no clip can be judged"
            if 0 < len(values) < num_clips:
                found[name]["clips"] = len(values)
        return found


def evaluate_codec(
    codec: AudioCodec, rows: Mapping[str, Sequence[Row]], out: Path
) -> tuple[dict[str, dict[str, Any]], list[Clip]]:
    """Return the figures of a codec by audio type, those of Opus under BESIDE in each; decoded clips go into `out`.

    `rows` are held-out recordings by audio type (`held_out`). Figures are means with 95 % bootstrap intervals, except
    word error rates and what is counted over all clips. A figure whose judge is not installed is a line that says so.
    Of several types, "all" has the use of the codebooks by all of them together.
    """
    results: dict[str, dict[str, Any]] = {}
    clips: list[Clip] = []
    shape = codec.config
    together = CodeCounts(shape.num_codebooks, shape.codebook_size)
    for kind, chosen in rows.items():
        counted = CodeCounts(shape.num_codebooks, shape.codebook_size)
        results[kind], kept = _evaluate_type(_Neural(codec, counted), kind, chosen, out / kind)
        together.counts += counted.counts
        clips += kept
    if len(rows) > 1:
        results["all"] = _code_figures(together, shape.frame_rate)
    return results, clips


def _code_figures(counts: CodeCounts, frame_rate: float) -> dict[str, Any]:
    bits, coded_bits = counts.bits_per_second(frame_rate)
    return {
        "bits_per_second": bits,
        "entropy_bits_per_second": coded_bits,
        "code_frames": counts.frames,
        "codebook_use": [round(float(share), 4) for share in counts.use()],
        "codebook_entropy_bits": [round(float(bits), 3) for bits in counts.entropy()],
        "codebook_perplexity": [round(float(many), 1) for many in counts.perplexity()],
    }


def _evaluate_type(neural: _Neural, kind: str, rows: Sequence[Row], out: Path) -> tuple[dict[str, Any], list[Clip]]:
    from tqdm import tqdm

    missing = {name: why for name in FIGURES[kind] if name in _NEEDS and (why := left_out(_NEEDS[name]))}
    names = [name for name in FIGURES[kind] if name not in missing]
    spoken = kind == "speech" and all(row.text for row in rows)
    systems: dict[str, _System] = {"codec": neural}
    systems |= {f"opus {kbps} kbps": _Opus(kbps) for kbps in OPUS_KBPS}
    scores = {system: _Scores(names) for system in systems}
    heard: list[str] = []
    clips: list[Clip] = []
    for index, row in enumerate(tqdm(rows, desc=f"codec, {kind}", unit="clip")):
        original = Heard(_first_seconds(read_audio(row.audio, sample_rate=RATE, mono=True)))
        heard += [original.words] if spoken else []
        for name, system in systems.items():
            decoded = system.round_trip(original.audio)
            made = Heard(like(original.audio, decoded))
            scores[name].add(original, made)
            scores[name].words += [made.words] if spoken else []
            if name == "codec" and index < PAGE_CLIPS:
                clips.append(keep_clip(out / f"{row.id}.wav", decoded, row, "codec", {"original": row.audio}))
    texts = [row.text for row in rows]
    columns = {
        name: {
            **scores[name].figures(len(rows)),
            **(_word_errors(texts, heard, scores[name].words) if spoken else {}),
            **system.figures(),
        }
        for name, system in systems.items()
    }
    return {"clips": len(rows), **columns.pop("codec"), **missing, BESIDE: columns}, clips


def _first_seconds(audio: Audio) -> Audio:
    return Audio(np.ascontiguousarray(audio.samples[:, : round(MAX_SECONDS * audio.sample_rate)]), audio.sample_rate)


def _word_errors(texts: list[str], before: list[str], after: list[str]) -> dict[str, float]:
    """Return word error rates before and after the round trip, and how many times worse it is after."""
    original, made = word_error_rate(texts, before), word_error_rate(texts, after)
    return {"wer_original": original, "wer_codec": made, "wer_ratio": made / max(original, 1e-9)}
