"""Judge a model on held-out recordings: the round trip of its codec, and speech made from text."""

import hashlib
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from uniaudio.audio.io import read_audio
from uniaudio.data.manifests import Row
from uniaudio.engines import load
from uniaudio.engines.tokens import TokenEngine
from uniaudio.errors import InputError
from uniaudio.evaluate.codecs import PAGE_CLIPS, Heard, evaluate_codec, round_trip
from uniaudio.evaluate.held_out import Clip, held_out, is_corpus, keep_clip
from uniaudio.evaluate.metrics import PACKAGES, judge_package
from uniaudio.evaluate.metrics.speaker_similarity import similarity, speaker_embedding
from uniaudio.evaluate.metrics.wer import recognise, word_error_rate
from uniaudio.evaluate.report import mean_with_interval, write_results
from uniaudio.tokenizers.codec import AudioCodec

DEFAULT_LIMIT = 48
CODEC = "codec"  # what can be judged besides tasks
_TASKS = ("tts",)


def evaluate_tasks(
    tasks: Sequence[str],
    model: str,
    data: Path | None,
    out: Path,
    limit: int | None,
    seed: int,
    codec: AudioCodec | None = None,
) -> tuple[dict[str, Any], list[Clip]]:
    """Judge `tasks` ("codec", "tts") of a model on the test split of `data`; return figures by task, and clips.

    `data` is a corpus or a folder of corpora; of a folder, the codec is judged on every audio type (figures by type)
    and tts on speech. `codec` is judged in place of the model's own; when nothing else is asked for, `model` is only
    its name. What was already generated into `out` (same seed) is kept, so that an interrupted run goes on.
    Raises InputError for a task that cannot be judged, missing data, a missing judge or a model without the task.
    """
    if data is None:
        raise InputError("evaluation needs held-out recordings: uniaudio synthesize speech --out DIR, then --data DIR")
    for package in PACKAGES:
        judge_package(package)
    for task in tasks:
        if task not in (CODEC, *_TASKS):
            raise InputError(f"{task} cannot be evaluated yet; choose from: {', '.join((CODEC, *_TASKS))}")
    engine, judged = _loaded(tasks, model, codec)
    rows = held_out(data, DEFAULT_LIMIT if limit is None else limit)
    out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    clips: list[Clip] = []
    for task in tasks:
        if task == CODEC:
            by_type, made = evaluate_codec(judged, rows, out / CODEC)
            figures = next(iter(by_type.values())) if is_corpus(data) else by_type
        else:
            assert engine is not None
            figures, made = _evaluate_tts(engine, _speech(rows, data), out, seed)
        results[task] = {"seed": seed, **figures}
        clips += made
    write_results(out / "results.json", {"model": model if engine is None else engine.name, **results})
    return results, clips


def _loaded(tasks: Sequence[str], model: str, codec: AudioCodec | None) -> tuple[TokenEngine | None, AudioCodec]:
    """Return the engine, if any is needed, and the codec to judge; raises InputError for a task it does not know."""
    if codec is not None and set(tasks) <= {CODEC}:
        return None, codec
    engine = load(model)
    for task in tasks:
        if task != CODEC and task not in engine.tasks:
            raise InputError(f"{engine.name} was not trained on {task}; it knows: {', '.join(engine.tasks)}")
    return engine, engine.codec if codec is None else codec


def _speech(rows: Mapping[str, list[Row]], data: Path) -> list[Row]:
    if "speech" not in rows:
        raise InputError(f"evaluating tts needs speech, and {data} has none: give the folder of a corpus of speech")
    return rows["speech"]


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
        judgement = Heard(made)
        heard["model"].append(judgement.words)
        heard["reference"].append(recognise(reference))
        heard["codec"].append(recognise(round_trip(engine.codec, reference)))
        scores = {name: similarity(judgement.voice, other) for name, other in embeddings.items()}
        own.append(scores[row.speaker])
        nearest.append(float(max(scores, key=lambda name: scores[name]) == row.speaker))
        lengths.append(made.seconds / reference.seconds)
    texts = [row.text for row in judged]
    figures: dict[str, Any] = {"clips": len(rows)}
    figures |= {f"wer_{name}": word_error_rate(texts, words) for name, words in heard.items()}
    figures["wer_ratio"] = figures["wer_model"] / max(figures["wer_reference"], 1e-9)
    figures["speaker_similarity"] = mean_with_interval(own)
    figures["nearest_voice_is_the_prompt"] = mean_with_interval(nearest)
    figures["voices"] = len(voices)
    figures["length_ratio"] = mean_with_interval(lengths)
    figures["real_time_factor"] = factor
    clips = [
        Clip(title=row.text, task="tts", path=path, inputs={"voice": voices[row.speaker].audio, "reference": row.audio})
        for row, path in list(zip(judged, paths, strict=True))[:PAGE_CLIPS]
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
        keep_clip(path, made, row, "tts", {})
    return spent / spoken if spoken else "not measured (nothing was generated anew)"
