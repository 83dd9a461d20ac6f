"""What a piano continuation keeps of its prompt: the key, the pitch classes, the tempo; and how the seam sounds.

12 pitch classes from C
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from uniaudio.audio.io import Audio, read_audio
from uniaudio.data.manifests import Row, read_manifest
from uniaudio.engines.audiolm import AudioLMEngine
from uniaudio.errors import InputError
from uniaudio.evaluate.audiolm import seam
from uniaudio.evaluate.metrics.chroma_similarity import chroma
from uniaudio.evaluate.metrics.tempo import tempo_bpm, tempo_error

PITCHES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
# How well each degree of the scale fits a key (Krumhansl and Kessler 1982), from the tonic.
_MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
_MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
SAME_TEMPO = 0.08  # the largest error that passes for the same tempo
_MIN_SECONDS = 10.0


def pitch_classes(audio: Audio) -> np.ndarray:
    """Return the share of each pitch class [12]; raises ValueError as `chroma` does."""
    total = chroma(audio).sum(0)
    return total / total.sum()


def key_scores(shares: np.ndarray) -> np.ndarray:
    """Return the correlation of shares [12] with the profiles of C ... B major, then C ... B minor, [24]."""
    profiles = [np.roll(profile, tonic) for profile in (_MAJOR, _MINOR) for tonic in range(12)]
    return np.array([np.corrcoef(shares, profile)[0, 1] for profile in profiles])


def scale_of(key: int) -> int:
    """Return the tonic of the major key that has the notes of a key (0 ... 23 as in `key_scores`)."""
    return key if key < 12 else (key - 12 + 3) % 12


def piano_rows(corpus: Path, limit: int, split: str = "test") -> list[Row]:
    """Return up to `limit` recordings of solo piano of at least 10 s; raises InputError where there are none."""
    rows = [row for row in read_manifest(corpus, split) if row.custom.get("instruments") == ["piano"]]
    rows = [row for row in rows if row.seconds >= _MIN_SECONDS]
    if not rows:
        raise InputError(f"{corpus} has no {split} recording of solo piano of {_MIN_SECONDS:g} s: give the made music")
    return rows[:limit]


def agreement(prompt: Audio, rest: Audio, bpm: float) -> dict[str, float]:
    """Return what of a prompt its continuation keeps: "key" (of the same notes), "chroma" (correlation of the pitch
    classes), "tempo" (within 8 % of `bpm` at some metrical level) as 0 or 1, or for chroma in [-1, 1].

    What cannot be judged (silence, no onset) keeps nothing.
    """
    try:
        before, after = pitch_classes(prompt), pitch_classes(rest)
    except ValueError:
        return {"key": 0.0, "chroma": 0.0, "tempo": 0.0}
    keys = [scale_of(int(key_scores(shares).argmax())) for shares in (before, after)]
    try:
        tempo = float(tempo_error(tempo_bpm(rest), bpm) <= SAME_TEMPO)
    except ValueError:
        tempo = 0.0
    return {"key": float(keys[0] == keys[1]), "chroma": float(np.corrcoef(before, after)[0, 1]), "tempo": tempo}


def piano_continued(
    engine: AudioLMEngine, rows: Sequence[Row], seconds: float = 7.0, prompt_seconds: float = 3.0, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Return the means of `agreement` and `seam` of "model", "acoustic only" (its coarse stage, which sees no semantic
    tokens) and "recording" (what really follows) over prompts of some recordings."""
    figures: dict[str, dict[str, list[float]]] = {}
    for index, row in enumerate(rows):
        audio = read_audio(row.audio, sample_rate=engine.sample_rate, mono=True)
        size, most = (round(length * audio.sample_rate) for length in (prompt_seconds, prompt_seconds + seconds))
        prompt = Audio(np.ascontiguousarray(audio.samples[:, :size]), audio.sample_rate)
        ways = {
            "recording": Audio(np.ascontiguousarray(audio.samples[:, :most]), audio.sample_rate),
            "model": engine.continuation(prompt, seconds, seed + index),
            "acoustic only": engine.acoustic_only().continuation(prompt, seconds, seed + index),
        }
        for way, made in ways.items():
            rest = Audio(np.ascontiguousarray(made.samples[:, size:]), made.sample_rate)
            one = agreement(prompt, rest, float(row.custom["tempo_bpm"])) | seam(made, prompt_seconds)
            for name, value in one.items():
                figures.setdefault(way, {}).setdefault(name, []).append(value)
    return {way: {name: float(np.mean(values)) for name, values in own.items()} for way, own in figures.items()}
