"""Judge a model on held-out recordings: the codec's round trip, and speech made from text."""

import hashlib
import json
import time
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from uniaudio.audio.io import Audio, read_audio
from uniaudio.data.manifests import Row, read_manifest
from uniaudio.engines import load
from uniaudio.engines.tokens import TokenEngine
from uniaudio.errors import InputError
from uniaudio.evaluate.metrics import PACKAGES, judge_package
from uniaudio.evaluate.metrics.speaker_similarity import similarity, speaker_embedding
from uniaudio.evaluate.metrics.stoi import stoi
from uniaudio.evaluate.metrics.wer import recognise, word_error_rate
from uniaudio.evaluate.report import mean_with_interval, write_results
from uniaudio.tokenizers.codec import CodecTokenizer

DEFAULT_LIMIT = 48
_MIN_SECONDS, _MAX_SECONDS = 1.2, 8.0
_PAGE_CLIPS = 10


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip to listen to: what it says, the task, the file, and the recordings that it was made from."""

    title: str
    task: str
    path: Path
    inputs: dict[str, Path]


def evaluate_tasks(
    tasks: Sequence[str], model: str, data: Path | None, out: Path, limit: int | None, seed: int
) -> tuple[dict[str, Any], list[Clip]]:
    """Judge `tasks` ("codec", "tts") of a model on the test split of `data`; return figures by task, and clips.

    What was already generated into `out` (same seed) is kept, so that an interrupted run goes on. Raises InputError
    for a task that cannot be judged, missing data, a missing judge or a model without the task.
    """
    if data is None:
        raise InputError("evaluation needs held-out recordings: uniaudio synthesize speech --out DIR, then --data DIR")
    for package in PACKAGES:
        judge_package(package)
    engine = load(model)
    for task in tasks:
        if task not in _JUDGES:
            raise InputError(f"{task} cannot be evaluated yet; choose from: {', '.join(_JUDGES)}")
        if task != "codec" and task not in engine.tasks:
            raise InputError(f"{engine.name} was not trained on {task}; it knows: {', '.join(engine.tasks)}")
    rows = _chosen(read_manifest(data, "test"), DEFAULT_LIMIT if limit is None else limit)
    out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    clips: list[Clip] = []
    for task in tasks:
        figures, made = _JUDGES[task](engine, rows, out, seed)
        results[task] = {"clips": len(rows), "seed": seed, **figures}
        clips += made
    write_results(out / "results.json", {"model": engine.name, **results})
    return results, clips


def _chosen(rows: list[Row], limit: int) -> list[Row]:
    """Return up to `limit` rows of fitting length, speakers in turn."""
    by_speaker: dict[str, list[Row]] = {}
    for row in rows:
        if _MIN_SECONDS <= row.seconds <= _MAX_SECONDS:
            by_speaker.setdefault(row.speaker, []).append(row)
    chosen: list[Row] = []
    for turn in range(max((len(group) for group in by_speaker.values()), default=0)):
        chosen += [group[turn] for _, group in sorted(by_speaker.items()) if turn < len(group)]
    if not chosen:
        raise InputError(f"no test recording lasts {_MIN_SECONDS} to {_MAX_SECONDS} s")
    return chosen[:limit]


@dataclass
class _Heard:
    """What the judges say of one recording."""

    words: str
    voice: np.ndarray


def _judge(audio: Audio) -> _Heard:
    try:
        voice = speaker_embedding(audio)
    except ValueError:  # no voice in it: as far from every speaker as can be
        voice = np.zeros(256)
    return _Heard(recognise(audio), voice)


def _round_trip(engine: TokenEngine, audio: Audio) -> Audio:
    tokenizer = CodecTokenizer(engine.codec)
    ids = tokenizer.encode(audio).ids
    assert ids is not None
    return tokenizer.decode(ids)


def _evaluate_codec(engine: TokenEngine, rows: list[Row], out: Path, seed: int) -> tuple[dict[str, Any], list[Clip]]:
    from tqdm import tqdm

    quality: list[float] = []
    alike: list[float] = []
    before: list[str] = []
    after: list[str] = []
    clips: list[Clip] = []
    spent = spoken = 0.0
    for index, row in enumerate(tqdm(rows, desc="codec", unit="clip")):
        original = read_audio(row.audio, sample_rate=engine.sample_rate, mono=True)
        begun = time.perf_counter()
        decoded = _round_trip(engine, original)
        spent += time.perf_counter() - begun
        spoken += original.seconds
        first, second = _judge(original), _judge(decoded)
        quality.append(stoi(original, decoded))
        alike.append(similarity(first.voice, second.voice))
        before.append(first.words)
        after.append(second.words)
        if index < _PAGE_CLIPS:
            clips.append(_keep(out / "codec" / f"{row.id}.wav", decoded, row, "codec", {"original": row.audio}))
    texts = [row.text for row in rows]
    wers = word_error_rate(texts, before), word_error_rate(texts, after)
    config = engine.codec.config
    return {
        "bits_per_second": config.frame_rate * config.num_codebooks * float(np.log2(config.codebook_size)),
        "stoi": mean_with_interval(quality),
        "wer_original": wers[0],
        "wer_codec": wers[1],
        "wer_ratio": wers[1] / max(wers[0], 1e-9),
        "speaker_similarity": mean_with_interval(alike),
        "real_time_factor": spent / spoken,
    }, clips


def _evaluate_tts(engine: TokenEngine, rows: list[Row], out: Path, seed: int) -> tuple[dict[str, Any], list[Clip]]:
    from tqdm import tqdm

    voices = {row.speaker: row for row in reversed(rows)}  # the first recording of each speaker gives the voice
    judged = [row for row in rows if voices[row.speaker].id != row.id]
    if not judged:
        raise InputError("evaluating tts needs at least two test recordings of a speaker; raise --limit")
    _same_settings(out / "tts" / "settings.json", engine, {name: row.id for name, row in voices.items()}, seed)
    paths = [out / "tts" / f"{row.id}.wav" for row in judged]
    factor = _speak(engine, judged, voices, paths, seed)
    embeddings = {name: _voice_of(row) for name, row in voices.items()}
    heard: dict[str, list[str]] = {"model": [], "reference": [], "codec": []}
    own: list[float] = []
    nearest: list[float] = []
    lengths: list[float] = []
    for row, path in zip(tqdm(judged, desc="judge", unit="clip"), paths, strict=True):
        made, reference = read_audio(path), read_audio(row.audio)
        judgement = _judge(made)
        heard["model"].append(judgement.words)
        heard["reference"].append(recognise(reference))
        heard["codec"].append(recognise(_round_trip(engine, reference)))
        scores = {name: similarity(judgement.voice, other) for name, other in embeddings.items()}
        own.append(scores[row.speaker])
        nearest.append(float(max(scores, key=lambda name: scores[name]) == row.speaker))
        lengths.append(made.seconds / reference.seconds)
    texts = [row.text for row in judged]
    figures: dict[str, Any] = {f"wer_{name}": word_error_rate(texts, words) for name, words in heard.items()}
    figures["wer_ratio"] = figures["wer_model"] / max(figures["wer_reference"], 1e-9)
    figures["speaker_similarity"] = mean_with_interval(own)
    figures["nearest_voice_is_the_prompt"] = mean_with_interval(nearest)
    figures["voices"] = len(voices)
    figures["length_ratio"] = mean_with_interval(lengths)
    figures["real_time_factor"] = factor
    clips = [
        Clip(title=row.text, task="tts", path=path, inputs={"voice": voices[row.speaker].audio, "reference": row.audio})
        for row, path in list(zip(judged, paths, strict=True))[:_PAGE_CLIPS]
    ]
    return figures, clips


def _voice_of(row: Row) -> np.ndarray:
    try:
        return speaker_embedding(read_audio(row.audio))
    except ValueError as error:
        raise InputError(f"{row.audio} cannot give a voice ({error}); take it out of the manifest") from error


def _same_settings(path: Path, engine: TokenEngine, prompts: dict[str, str], seed: int) -> None:
    """Keep what was generated only if it came from the same weights, sampling, seed and prompts."""
    digest = hashlib.sha256()
    for part in (engine.codec, engine.lm, engine.reader.durations):
        for value in part.state_dict().values() if isinstance(part, nn.Module) else ():
            digest.update(value.numpy().tobytes())
    settings = {"weights": digest.hexdigest(), "sampling": asdict(engine.sampling), "seed": seed, "prompts": prompts}
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != settings:
        raise InputError(f"{path.parent} holds clips of another model, seed or set of voices; give another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=1), encoding="utf-8")


def _speak(engine: TokenEngine, rows: list[Row], voices: dict[str, Row], paths: list[Path], seed: int) -> float | str:
    """Generate what is not there yet; return seconds of work per second of audio."""
    from tqdm import tqdm

    spent = spoken = 0.0
    for row, path in zip(tqdm(rows, desc="tts", unit="clip"), paths, strict=True):
        if path.exists():
            continue
        prompt = read_audio(voices[row.speaker].audio)
        begun = time.perf_counter()
        sampling = replace(engine.sampling, seed=seed + zlib.crc32(row.id.encode()))
        made = engine.generate("tts", {"text": row.text, "speaker": prompt}, sampling=sampling)
        spent += time.perf_counter() - begun
        spoken += made.seconds
        _keep(path, made, row, "tts", {})
    return spent / spoken if spoken else "not measured (nothing was generated anew)"


def _keep(path: Path, audio: Audio, row: Row, task: str, inputs: dict[str, Path]) -> Clip:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path)
    return Clip(title=row.text, task=task, path=path, inputs=inputs)


_JUDGES = {"codec": _evaluate_codec, "tts": _evaluate_tts}
