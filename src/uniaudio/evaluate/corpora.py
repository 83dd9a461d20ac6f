"""Independent judges of the labels of made corpora: pitch, signal-to-noise ratio, rooms, speakers, words."""

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uniaudio.audio.io import Audio, read_audio
from uniaudio.data.examples import EXAMPLES, load, read_examples
from uniaudio.data.manifests import Row, read_manifest
from uniaudio.data.pairs.corpora import find_corpora
from uniaudio.errors import InputError

CENTS = 50.0
SNR_TOLERANCE_DB = 1.0
RT60_TOLERANCE = 0.2
_RATE = 16000


def judge(corpora: Path, examples: Path, limit: int, seed: int = 0) -> dict[str, Any]:
    """Return what the judges say of `limit` recordings of each kind that is there.

    `corpora` and `examples` are what `uniaudio data pair` reads and writes. Raises InputError when a judge's package
    is missing or nothing is there to judge.
    """
    folders = find_corpora(corpora)
    random_ = random.Random(seed)

    def rows(kind: str) -> list[Row]:
        found = [row for path in folders[kind] for row in read_manifest(path)]
        return random_.sample(found, min(limit, len(found)))

    results: dict[str, Any] = {}
    if folders["singing"]:
        results["singing_pitch"] = _pitch(rows("singing"))
    if folders["rooms"]:
        results["rt60"] = _rt60(rows("rooms"))
    if folders["speech"]:
        speech = [row for path in folders["speech"] for row in read_manifest(path)]
        results["speakers"] = _speakers(speech, random_, limit)
        results["wer"] = _words(speech, random_, max(1, limit // 10))
    for task, label in (("speech_enhancement", "snr_db"), ("target_speaker_extraction", "ratio_db")):
        if (examples / task / EXAMPLES).exists():
            results[label] = judge_ratio(examples / task, label, random_, limit)
    if not results:
        raise InputError(f"there is nothing to judge below {corpora}: make singing, speech or rooms first")
    return results


def _pitch(rows: Sequence[Row]) -> dict[str, float]:
    """Return the share of voiced frames within `CENTS` of the score, by Praat's tracker."""
    from uniaudio.data.synthesize.vocoder import pitch_agreement
    from uniaudio.tokenizers.midi import parse_score

    shares = [
        pitch_agreement(read_audio(row.audio, mono=True).samples[0], parse_score(row.custom["score"])) for row in rows
    ]
    return {"clips": len(rows), "within_50_cents": round(float(np.mean(shares)), 4), "lowest": round(min(shares), 4)}


def _rt60(rows: Sequence[Row]) -> dict[str, float]:
    """Return the share of impulse responses whose decay is within 20 % of the label, by pyroomacoustics."""
    from pyroomacoustics.experimental.rt60 import measure_rt60

    errors = []
    for row in rows:
        samples = read_audio(row.audio, mono=True).samples[0]
        measured = float(measure_rt60(samples[int(row.custom["direct_sample"]) :], fs=_RATE, decay_db=30))
        errors.append(abs(measured / float(row.custom["rt60"]) - 1))
    within = float(np.mean(np.array(errors) <= RT60_TOLERANCE))
    return {
        "responses": len(rows),
        "within_20_percent": round(within, 4),
        "median_error": round(float(np.median(errors)), 4),
    }


def judge_ratio(folder: Path, label: str, random_: random.Random, limit: int) -> dict[str, float]:
    """Return the share of mixtures whose measured ratio of target to rest is within 1 dB of the label."""
    found = list(read_examples(folder))
    errors = []
    for example in random_.sample(found, min(limit, len(found))):
        mixed = load(next(iter(example.given.values())), _RATE).samples[0].astype(np.float64)
        clean = load(example.target, _RATE).samples[0].astype(np.float64)
        gain = mixed @ clean / (clean @ clean)  # a mixture that would clip was turned down
        rest = mixed / gain - clean
        errors.append(abs(10 * np.log10(np.sum(clean**2) / np.sum(rest**2)) - example.labels[label]))
    within = float(np.mean(np.array(errors) <= SNR_TOLERANCE_DB))
    return {"mixtures": len(errors), "within_1_db": round(within, 4), "worst_db": round(float(max(errors)), 3)}


def _speakers(rows: Sequence[Row], random_: random.Random, limit: int) -> dict[str, Any]:
    """Return how well similarity tells speakers apart: pairs of one speaker above, of two below the best threshold.

    The threshold is that of equal errors on one half of the pairs; the shares are those of the other half.
    """
    from uniaudio.evaluate.metrics.speaker_similarity import speaker_embedding

    by_speaker: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.seconds >= 2.0:
            by_speaker[row.speaker].append(row)
    several = {name: random_.sample(own, 4) for name, own in sorted(by_speaker.items()) if len(own) >= 4}
    if len(several) < 2:
        raise InputError("the speech has fewer than two speakers with four recordings of 2 s: make more")
    embeddings = {
        name: np.stack([speaker_embedding(_long(pair)) for pair in (own[:2], own[2:])]) for name, own in several.items()
    }
    names = sorted(embeddings)
    same = np.array([float(embeddings[name][0] @ embeddings[name][1]) for name in names])
    centres = np.stack([embeddings[name].mean(0) / np.linalg.norm(embeddings[name].mean(0)) for name in names])
    between = centres @ centres.T - 2 * np.eye(len(names))
    other = np.array([between[i, j] for i in range(len(names)) for j in range(i)])
    order = np.random.default_rng(0).permutation(len(other))
    other = other[order]
    threshold = _equal_error(same[::2], other[::2])
    return {
        "speakers": len(names),
        "distinct": int(np.sum(same > between.max(axis=1))),
        "threshold": round(threshold, 3),
        "same_above": round(float(np.mean(same[1::2] > threshold)), 4),
        "different_below": round(float(np.mean(other[1::2] < threshold)), 4),
        "same_mean": round(float(same.mean()), 3),
        "different_mean": round(float(other.mean()), 3),
    }


def _long(rows: Sequence[Row]) -> Audio:
    """Return some recordings of a speaker one after another: short ones say little about a voice."""
    return Audio(np.concatenate([read_audio(row.audio, mono=True).samples for row in rows], axis=1), _RATE)


def _equal_error(same: np.ndarray, other: np.ndarray) -> float:
    candidates = np.unique(np.concatenate((same, other)))
    errors = [abs(float(np.mean(same <= c)) - float(np.mean(other >= c))) for c in candidates]
    return float(candidates[int(np.argmin(errors))])


def _words(rows: Sequence[Row], random_: random.Random, each: int) -> dict[str, float]:
    """Return the recogniser's word error rate by voice, `each` sentences of every speaker."""
    from uniaudio.evaluate.metrics.wer import recognise, word_error_rate

    by_speaker: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_speaker[row.speaker].append(row)
    found = {}
    for name, own in sorted(by_speaker.items()):
        chosen = random_.sample(own, min(each, len(own)))
        heard = [recognise(read_audio(row.audio, mono=True)) for row in chosen]
        found[name] = round(word_error_rate([row.text for row in chosen], heard), 3)
    return found
