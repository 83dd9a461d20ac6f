"""What tokens say of the phones and of the speaker: purities, phone-normalised information, ABX, a speaker probe.

T frames, K ids per frame, D width, R recordings
"""

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uniaudio.data.phone_frames import UNKNOWN, Segments, frames_between

PAUSES = frozenset({"pau", "sil"})


def phone_figures(tokens: Tensor, phones: Tensor) -> dict[str, float]:
    """Return how well tokens [T] and phones [T] (UNKNOWN is left out) say one another (HuBERT, 2106.07447, IV-D).

    `phone_purity` is the share of frames whose phone is the most frequent one of their token, `cluster_purity` the
    share whose token is the most frequent one of their phone, `pnmi` I(phone; token) / H(phone). `pnmi_corrected` is
    less what chance adds with few frames (Miller and Madow's estimate). All in [0, 1]. Raises ValueError for no frame.
    """
    known = phones != UNKNOWN
    tokens, phones = tokens[known], phones[known]
    if not len(tokens):
        raise ValueError("there is no frame with a known phone")
    joint = torch.zeros(int(phones.max()) + 1, int(tokens.max()) + 1, dtype=torch.float64)
    joint.index_put_((phones, tokens), torch.ones(len(tokens), dtype=torch.float64), accumulate=True)
    used = [int((joint.sum(axis) > 0).sum()) for axis in (1, 0)]  # phones, tokens
    chance = (int((joint > 0).sum()) - sum(used) + 1) / (2 * len(tokens))
    joint /= joint.sum()
    entropy = _entropy(joint.sum(1))
    information = entropy + _entropy(joint.sum(0)) - _entropy(joint.flatten())
    return {
        "phone_purity": float(joint.amax(0).sum()),
        "cluster_purity": float(joint.amax(1).sum()),
        "pnmi": information / max(entropy, 1e-12),
        "pnmi_corrected": max(0.0, information - chance) / max(entropy, 1e-12),
    }


def _entropy(shares: Tensor) -> float:
    return float(-torch.xlogy(shares, shares).sum())


@dataclass(frozen=True, eq=False)
class Triphone:
    """Three phones of one recording and their frames: vectors [T, D], or ids (int64 [T, K])."""

    phones: tuple[str, str, str]
    speaker: str
    frames: Tensor


def triphones(frames: Tensor, segments: Segments, speaker: str, frame_rate: float) -> list[Triphone]:
    """Return every three phones in a row without a pause that have two frames of [T, D] or [T, K] or more."""
    found: list[Triphone] = []
    for three in zip(segments, segments[1:], segments[2:], strict=False):
        phones = tuple(str(segment[0]) for segment in three)
        first, last = frames_between(three[0][1], three[2][2], frame_rate)
        part = frames[first:last]
        if len(part) >= 2 and not PAUSES.intersection(phones):
            found.append(Triphone((phones[0], phones[1], phones[2]), speaker, part))
    return found


def abx(
    items: Sequence[Triphone], across: bool, seed: int = 0, max_cells: int = 4000, per_cell: int = 5
) -> dict[str, float]:
    """Return the ABX error in [0, 0.5 by chance] over triphones that differ in the middle phone alone.

    A and X say the same, B another middle phone, in the same context; A and B have one speaker, X too or (`across`)
    another one. An error is an X nearer to B; equal distances count half. The distance is dynamic time warping over
    angles between vectors (over the share of ids that differ, for ids), by the length of the path. Of the cells
    (context, two phones, speaker) at most `max_cells` random ones are judged, with `per_cell` triples each; cells are
    averaged by pair of phones, then pairs (Schatz et al., 2013). "cells" says how many; the error is NaN without one.
    """
    chooser = random.Random(seed)
    groups: dict[tuple[str, str], dict[str, dict[str, list[Tensor]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for item in items:
        before, middle, after = item.phones
        groups[before, after][middle][item.speaker].append(_ready(item.frames))
    cells = [
        (by_phone[a], by_phone[b], speaker, (a, b))
        for by_phone in groups.values()
        for a, b in itertools.permutations(sorted(by_phone), 2)
        for speaker in sorted(by_phone[a].keys() & by_phone[b].keys())
        if (len(by_phone[a]) > 1 if across else len(by_phone[a][speaker]) > 1)
    ]
    errors: dict[tuple[str, str], list[float]] = defaultdict(list)
    for same, other, speaker, pair in chooser.sample(cells, min(max_cells, len(cells))):
        wrong = [_is_wrong(same, other[speaker], speaker, across, chooser) for _ in range(per_cell)]
        errors[pair].append(sum(wrong) / per_cell)
    means = [sum(values) / len(values) for values in errors.values()]
    error = sum(means) / len(means) if means else math.nan
    return {"error": error, "cells": float(min(max_cells, len(cells)))}


def _is_wrong(
    same: dict[str, list[Tensor]], other: list[Tensor], speaker: str, across: bool, chooser: random.Random
) -> float:
    """Draw a triple and return 1 where X is nearer to B than to A, 0.5 where it is as near."""
    if across:
        stranger = chooser.choice(sorted(same.keys() - {speaker}))
        a, x = chooser.choice(same[speaker]), chooser.choice(same[stranger])
    else:
        a, x = chooser.sample(same[speaker], 2)
    to_a, to_b = warped_distance(a, x), warped_distance(chooser.choice(other), x)
    return 0.5 if abs(to_a - to_b) < 1e-9 else float(to_a > to_b)


def _ready(frames: Tensor) -> Tensor:
    return torch.nn.functional.normalize(frames.float(), dim=1) if frames.is_floating_point() else frames


def warped_distance(first: Tensor, second: Tensor) -> float:
    """Return the mean distance along the best path through two pieces: unit vectors [T, D], or ids (int64 [T, K])."""
    if first.is_floating_point():
        cost = ((first @ second.T).clamp(-1, 1).arccos() / math.pi).tolist()
    else:
        cost = (first[:, None] != second[None]).float().mean(2).tolist()
    best: list[list[tuple[float, int]]] = []  # (cost of the path so far, its length)
    for i, row in enumerate(cost):
        line: list[tuple[float, int]] = []
        for j, here in enumerate(row):
            came = [best[i - 1][j - 1]] if i and j else []
            came += [best[i - 1][j]] if i else []
            came += [line[j - 1]] if j else []
            total, length = min(came, default=(0.0, 0))
            line.append((total + here, length + 1))
        best.append(line)
    total, length = best[-1][-1]
    return total / length


def histograms(ids: Sequence[Tensor], num_ids: int) -> Tensor:
    """Return how often each id occurs in each recording [R, K * num_ids], as roots of shares; ids are [T, K] each."""
    rows = []
    for own in ids:
        offset = own + num_ids * torch.arange(own.shape[1])  # [T, K]
        counts = torch.bincount(offset.flatten(), minlength=num_ids * own.shape[1])
        rows.append((counts / len(own)).sqrt())  # roots: the distance of histograms is Hellinger's
    return torch.stack(rows)


def speaker_probe(vectors: Tensor, speakers: Sequence[str], seed: int = 0, folds: int = 4) -> dict[str, float]:
    """Return how often logistic regression names the speaker of unseen recordings, vectors [R, D], and "chance".

    Each fold is judged by a probe of the others; "chance" is the share of the most frequent speaker.
    """
    names = {name: index for index, name in enumerate(sorted(set(speakers)))}
    labels = torch.tensor([names[speaker] for speaker in speakers])
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    fold_of = torch.empty_like(labels)
    fold_of[order] = torch.arange(len(labels)) % folds
    right = 0
    for fold in range(folds):
        known = fold_of != fold
        right += int((_classify(vectors[known], labels[known], vectors[~known]) == labels[~known]).sum())
    return {"accuracy": right / len(labels), "chance": max(Counter(speakers).values()) / len(labels)}


def _classify(vectors: Tensor, labels: Tensor, asked: Tensor) -> Tensor:
    """Return the labels [R'] of `asked` [R', D] by L2-regularised logistic regression on vectors [R, D]."""
    mean, scale = vectors.mean(0), vectors.std(correction=0).clamp(min=1e-6)  # one scale: rare ids stay small
    known, asked = ((part - mean) / scale for part in (vectors.float(), asked.float()))
    weight = torch.zeros(vectors.shape[1], int(labels.max()) + 1, requires_grad=True)
    bias = torch.zeros(weight.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(known @ weight + bias, labels) + 1e-3 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        return (asked @ weight + bias).argmax(1)
