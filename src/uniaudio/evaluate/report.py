"""Figures with their uncertainty, as a table for the terminal and as `results.json`."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

BESIDE = "beside"  # the key of figures of the same names by other systems, each a column of the table
_WIDEST = 60  # a longer text, as of a figure that is left out, runs on through the columns


def mean_with_interval(values: Sequence[float], seed: int = 0) -> dict[str, float]:
    """Return the mean and its 95 % bootstrap interval (1000 resamples, fixed seed); raises ValueError for no values."""
    if not values:
        raise ValueError("there are no values to average")
    return ratio_with_interval([(value, 1.0) for value in values], seed)


def ratio_with_interval(scores: Sequence[tuple[float, float]], seed: int = 0) -> dict[str, float]:
    """Return sum of values / sum of weights of (value, weight) pairs, one a clip, and its 95 % bootstrap interval.

    Clips are resampled whole (1000 times, fixed seed); raises ValueError for no pairs.
    """
    if not scores:
        raise ValueError("there are no scores to put together")
    values, weights = np.asarray(scores, dtype=float).T
    picks = np.random.default_rng(seed).integers(len(values), size=(1000, len(values)))
    low, high = np.percentile(values[picks].sum(axis=1) / weights[picks].sum(axis=1), [2.5, 97.5])
    mean = values.sum() / weights.sum()
    return {"mean": round(float(mean), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def table(results: dict[str, Any]) -> str:
    """Return the results as aligned text: one line per figure, grouped by task and kind, a column per system."""
    lines: list[str] = []
    for title, figures in _sections(results):
        columns = {"": figures, **figures.get(BESIDE, {})}
        names = [name for name in figures if name != BESIDE]
        cells = [list(columns), *([_text(name, column.get(name)) for column in columns.values()] for name in names)]
        widths = [max(len(cell) for cell in column if len(cell) <= _WIDEST) for column in zip(*cells, strict=True)]
        heads = [f"{title:<36}", *(f"  {name:<34}" for name in names)]
        for head, row in zip(heads, cells, strict=True):
            padded = "   ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            lines.append(f"{head} {padded}".rstrip())
    return "\n".join(lines)


def _sections(results: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (title, figures) of every group of figures, however deep."""
    groups = {name: part for name, part in results.items() if _is_group(part) and name != BESIDE}
    if len(groups) < len(results):
        yield above, {name: part for name, part in results.items() if name not in groups}
    for name, part in groups.items():
        yield from _sections(part, f"{above}, {name}" if above else name)


def _is_group(value: Any) -> bool:
    return isinstance(value, dict) and "mean" not in value


def _text(name: str, value: Any) -> str:
    """Return a figure as the table shows it; "" where there is none."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return f"{value['mean']:.3f}  [{value['low']:.3f}, {value['high']:.3f}]"
    if isinstance(value, list):
        return " ".join(f"{part:g}" for part in value)
    if name == "real_time_factor" and isinstance(value, float) and value > 0:
        return f"{value:.4f}  ({1 / value:.0f} x real time)"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Write the results as JSON, under a temporary name first."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1), encoding="utf-8")
    part.replace(path)
