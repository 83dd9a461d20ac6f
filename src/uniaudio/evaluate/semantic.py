"""Judge semantic tokens beside a codec's: what they say of the phones, and what of the speaker.

T frames, K ids per frame, D width, R recordings
"""

import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uniaudio.audio.io import read_audio
from uniaudio.codec.model import Codec
from uniaudio.data.manifests import Row, read_manifest
from uniaudio.data.phone_frames import frame_phones
from uniaudio.errors import InputError
from uniaudio.evaluate.metrics.phones import (
    abx,
    histograms,
    phone_figures,
    speaker_probe,
    triphones,
)
from uniaudio.tokenizers.codec import encode_samples
from uniaudio.tokenizers.semantic import SemanticTokenizer


@dataclass(frozen=True, eq=False)
class _View:
    """One way to write the recordings down: ids [T, K] and their vectors [T, D] of each; `num_ids` at each of K."""

    ids: list[Tensor]
    vectors: list[Tensor]
    num_ids: int


def evaluate_semantic(
    tokenizer: SemanticTokenizer, codec: Codec, corpus: Path, limit: int = 800, seed: int = 0
) -> dict[str, Any]:
    """Return the figures of `tokenizer`, of the first codebook of `codec` and of all of them, on aligned test speech.

    "semantic", "codec_first" and "codec" each have the ABX errors within and across speakers on the tokens' vectors
    (centroids, sums of code vectors) and on the bare ids, and the accuracy of a linear probe for the speaker on token
    histograms and on the recording's mean vector; those with one id per frame also the purities and the
    phone-normalised mutual information. "features" is the semantic network before the clusters. Raises InputError when
    fewer than two speakers have aligned test recordings.
    """
    rows = held_out(corpus, limit, seed)
    views = _views(tokenizer, codec, rows)
    names: dict[str, int] = {}
    labels = [
        frame_phones(row.segments or [], len(ids), tokenizer.frame_rate, names)
        for row, ids in zip(rows, views["semantic"].ids, strict=True)
    ]
    results: dict[str, Any] = {
        "recordings": len(rows),
        "speakers": len({row.speaker for row in rows}),
        "frames": sum(map(len, labels)),
        "frame_rate": tokenizer.frame_rate,
    }
    for name, view in views.items():
        figures = {f"abx_{kind}": error for kind, error in _abx(view.vectors, rows, tokenizer.frame_rate, seed).items()}
        if name != "features":
            by_ids = _abx(view.ids, rows, tokenizer.frame_rate, seed)
            figures |= {f"abx_{kind}_ids": error for kind, error in by_ids.items() if kind != "cells"}
            probed = speaker_probe(histograms(view.ids, view.num_ids), [row.speaker for row in rows], seed)
            figures |= {f"speaker_{name}": value for name, value in probed.items()}
            if view.ids[0].shape[1] == 1:
                figures |= phone_figures(torch.cat(view.ids)[:, 0], torch.cat(labels))
                figures["ids_used"] = len(torch.cat(view.ids).unique()) / view.num_ids
        means = torch.stack([own.mean(0) for own in view.vectors])
        figures["speaker_accuracy_mean"] = speaker_probe(means, [row.speaker for row in rows], seed)["accuracy"]
        results[name] = {key: round(value, 4) for key, value in figures.items()}
    return results


def held_out(corpus: Path, limit: int, seed: int = 0, split: str = "test") -> list[Row]:
    """Return up to `limit` random recordings with phone times, as many of each speaker as there are.

    Raises InputError for fewer than two speakers.
    """
    by_speaker: dict[str, list[Row]] = defaultdict(list)
    for row in read_manifest(corpus, split):
        if row.segments:
            by_speaker[row.speaker].append(row)
    if len(by_speaker) < 2:
        raise InputError(f"{corpus} has aligned {split} speech of {len(by_speaker)} speakers: two or more are needed")
    chooser, chosen = random.Random(seed), []
    groups = [chooser.sample(own, len(own)) for _, own in sorted(by_speaker.items())]
    for turn in range(max(map(len, groups))):
        chosen += [group[turn] for group in groups if turn < len(group)]
    return chosen[:limit]


def _views(tokenizer: SemanticTokenizer, codec: Codec, rows: list[Row]) -> dict[str, _View]:
    """Return the recordings as semantic tokens and features, first codes, and all codes."""
    size = codec.config.codebook_size
    views = {
        "semantic": _View([], [], tokenizer.num_ids),
        "features": _View([], [], tokenizer.num_ids),
        "codec_first": _View([], [], size),
        "codec": _View([], [], size),
    }
    if codec.config.frame_rate != tokenizer.frame_rate:
        rates = f"{codec.config.frame_rate:g} and {tokenizer.frame_rate:g}"
        raise InputError(f"codec and semantic tokens differ in frames per second ({rates}): fit at the codec's rate")
    for row in rows:
        audio = read_audio(row.audio, mono=True)
        vectors = tokenizer.vectors(audio)  # [T, D]
        ids = tokenizer.lookup(vectors)
        samples = torch.from_numpy(audio.resample(codec.config.sample_rate).samples[0])
        codes = encode_samples(codec, samples).ids
        assert codes is not None
        _keep(views["semantic"], ids, tokenizer.centroids[ids[:, 0]])
        _keep(views["features"], ids, (vectors - tokenizer.mean) / tokenizer.std)
        for name, own in (("codec_first", codes[:, :1]), ("codec", codes)):
            _keep(views[name], own, codec.quantizer.decode(own.T[None])[0].T)
    return views


def _keep(view: _View, ids: Tensor, vectors: Tensor) -> None:
    view.ids.append(ids)
    view.vectors.append(vectors)


def _abx(frames: list[Tensor], rows: list[Row], frame_rate: float, seed: int) -> dict[str, float]:
    """Return the ABX errors "within" and "across" speakers and the number of "cells" within."""
    items = [
        item
        for own, row in zip(frames, rows, strict=True)
        for item in triphones(own, row.segments or [], row.speaker, frame_rate)
    ]
    within, across = (abx(items, across, seed) for across in (False, True))
    return {"within": within["error"], "across": across["error"], "cells": within["cells"]}
