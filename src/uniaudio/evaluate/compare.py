"""Which differences between two evaluations are real: a paired bootstrap over the clips that both judged."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uniaudio.errors import InputError
from uniaudio.evaluate.columns import MODEL
from uniaudio.evaluate.judges import METRICS

RESAMPLES = 2000
FORMAT = 2  # of the results that can be compared


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How a figure changed from the first evaluation to the second; `low` to `high` is its 95 % interval."""

    task: str
    metric: str
    clips: int
    first: float
    second: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """ "better", "worse", or "no difference" where the interval holds 0."""
        if self.low <= 0 <= self.high:
            return "no difference"
        return "better" if (self.low > 0) == (METRICS[self.metric].better == "higher") else "worse"


def read_results(path: Path) -> dict[str, Any]:
    """Return what `uniaudio evaluate` wrote; raises InputError for a missing, damaged or older file."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        if results["format"] != FORMAT:
            raise ValueError(f"format {results['format']}")
        _ = [task["columns"] for task in results["tasks"].values()]
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): give a results.json of uniaudio evaluate"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no results.json of this version of uniaudio evaluate: evaluate again") from error
    return results


def compare(first: dict[str, Any], second: dict[str, Any], column: str = MODEL, seed: int = 0) -> list[Difference]:
    """Return the differences of a column in every figure of every task that both evaluations have.

    Raises InputError when they have no clip in common.
    """
    found = [
        _difference(task, metric, pairs, seed)
        for task in first["tasks"]
        if task in second["tasks"]
        for metric, pairs in _pairs(*(one["tasks"][task]["columns"].get(column, {}) for one in (first, second)))
    ]
    if not found:
        raise InputError(f"the two evaluations have no clip of {column!r} in common: evaluate both on the same data")
    return found


def _pairs(first: dict[str, Any], second: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (metric, [clips, 2, (value, weight)]) of the clips that have a score in both."""
    sides = first.get("scores", {}), second.get("scores", {})
    shared = [name for name in sides[0] if name in sides[1]]
    for metric in METRICS:
        scores = [[side[name][metric] for side in sides] for name in shared if all(metric in s[name] for s in sides)]
        if scores:
            yield metric, np.asarray(scores, dtype=float)


def _difference(task: str, metric: str, pairs: np.ndarray, seed: int) -> Difference:
    picks = np.random.default_rng(seed).integers(len(pairs), size=(RESAMPLES, len(pairs)))
    sums = pairs[picks].sum(axis=1)  # [resamples, 2, (value, weight)]
    change = sums[:, 1, 0] / sums[:, 1, 1] - sums[:, 0, 0] / sums[:, 0, 1]
    low, high = np.percentile(change, [2.5, 97.5])
    values = pairs.sum(axis=0)
    means = values[:, 0] / values[:, 1]
    return Difference(
        task=task, metric=metric, clips=len(pairs), first=float(means[0]), second=float(means[1]),
        low=float(low), high=float(high),
    )  # fmt: skip


def table(differences: list[Difference]) -> str:
    """Return the differences as aligned text, a line each."""
    lines = [f"{'task':<26} {'figure':<26} {'clips':>5} {'first':>9} {'second':>9}   change, 95 %"]
    for one in differences:
        change = f"{one.second - one.first:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
        figures = f"{one.clips:>5} {one.first:>9.3f} {one.second:>9.3f}"
        lines.append(f"{one.task:<26} {one.metric:<26} {figures}   {change:<28} {one.verdict}")
    return "\n".join(lines)
