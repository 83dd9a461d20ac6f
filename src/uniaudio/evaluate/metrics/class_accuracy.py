"""Are the classes that were asked for the ones that a judge hears? Over the probabilities of `Heard`, kind by kind.

N clips, L labels
"""

from collections.abc import Mapping, Sequence

import numpy as np

HEARD = 0.1


def class_accuracy(probabilities: Mapping[str, float], asked: Sequence[str]) -> float:
    """Return the share of the asked labels that are among the k most probable ones, k being how many are asked.

    Raises ValueError when none is asked, and for a label that the judge does not know.
    """
    wanted = set(asked)
    _check(probabilities, wanted)
    heard = sorted(probabilities, key=lambda label: -probabilities[label])[: len(wanted)]
    return len(wanted.intersection(heard)) / len(wanted)


def contains(probabilities: Mapping[str, float], label: str, threshold: float = HEARD) -> bool:
    """Return whether a label is heard: what an edit adds must be there after it, what it removes must not.

    It is asked after a label that is there as often as not, far more often than in the scenes that the judge has heard,
    so it may be less sure than by half: the threshold is the best for the true edits of the dev split.

    Raises ValueError for a label that the judge does not know.
    """
    _check(probabilities, {label})
    return probabilities[label] >= threshold


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean, over the labels that occur, of the precision averaged over the ranks of their clips.

    `scores` [N, L] are of any scale, `truth` [N, L] is bool. Raises ValueError when no label occurs.
    """
    found = []
    for column in np.flatnonzero(truth.any(0)):
        ranked = truth[np.argsort(-scores[:, column], kind="stable"), column]
        precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
        found.append(float(precision[ranked].mean()))
    if not found:
        raise ValueError("no clip has a label")
    return float(np.mean(found))


def _check(probabilities: Mapping[str, float], wanted: set[str]) -> None:
    if not wanted:
        raise ValueError("no class is asked for")
    unknown = wanted - probabilities.keys()
    if unknown:
        raise ValueError(f"the judge does not know {min(unknown)!r}")
