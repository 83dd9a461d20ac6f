"""Figures with their uncertainty, as a table for the terminal and as `results.json`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def mean_with_interval(values: Sequence[float], seed: int = 0) -> dict[str, float]:
    """Return the mean and its 95 % bootstrap interval (1000 resamples, fixed seed); raises ValueError for no values."""
    if not values:
        raise ValueError("there are no values to average")
    data = np.asarray(values, dtype=float)
    picks = np.random.default_rng(seed).integers(len(data), size=(1000, len(data)))
    low, high = np.percentile(data[picks].mean(axis=1), [2.5, 97.5])
    return {"mean": round(float(data.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def table(results: dict[str, Any]) -> str:
    """Return the results as aligned text: one line per figure, grouped by task."""
    lines: list[str] = []
    for task, figures in results.items():
        lines.append(task)
        for name, value in figures.items():
            if isinstance(value, dict):
                text = f"{value['mean']:.3f}  [{value['low']:.3f}, {value['high']:.3f}]"
            else:
                text = f"{value:.3f}" if isinstance(value, float) else str(value)
            lines.append(f"  {name:<34} {text}")
    return "\n".join(lines)


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Write the results as JSON, under a temporary name first."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1), encoding="utf-8")
    part.replace(path)
