"""Figures with their uncertainty, as a table for the terminal and as `results.json`."""

import json
from collections.abc import Iterator, Mapping, Sequence
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


def task_table(tasks: Mapping[str, Any]) -> str:
    """Return the results of tasks as aligned text: figures down, columns across, and below why a cell is empty."""
    lines: list[str] = []
    for task, result in tasks.items():
        columns = result["columns"]
        names = list(next(iter(columns.values()))["figures"])
        cells = [[f"{task}, {result['clips']} clips", *columns]]
        cells += [[f"  {name}", *(_cell(column["figures"][name]) for column in columns.values())] for name in names]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines += [
            "   ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        lines += [f"  - {name}: {why}" for name, column in columns.items() for why in _reasons(column["figures"])]
        lines += [
            f"  {name}: real-time factor {column['real_time_factor']:.2f}"
            for name, column in columns.items()
            if "real_time_factor" in column
        ]
        lines.append("")
    return "\n".join(lines)


def _cell(figure: Any) -> str:
    if isinstance(figure, str):
        return "-"
    interval = f" [{figure['low']:.2f}, {figure['high']:.2f}]" if "low" in figure else ""
    return f"{figure['mean']:.3f}{interval}"


def _reasons(figures: Mapping[str, Any]) -> list[str]:
    """Return why figures are missing; one reason for all of a column stands once."""
    missing = {name: why for name, why in figures.items() if isinstance(why, str)}
    if len(missing) == len(figures) and len(set(missing.values())) == 1:
        return list(set(missing.values()))
    return [f"{name}: {why}" for name, why in missing.items()]


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
