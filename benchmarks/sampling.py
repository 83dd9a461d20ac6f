"""How each task is best sampled: temperatures and guidance judged on the dev split, never on the test split.

`python benchmarks/sampling.py [TASK ...] --model DIR --data corpora/examples` prints a row a setting; `TASK_SAMPLING`
in `uniaudio/recipes/ship.py` holds what was chosen. Clips that are there are kept, so a stopped run goes on.
"""

import argparse
import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from uniaudio.engines import load
from uniaudio.engines.tokens import TokenEngine
from uniaudio.evaluate.cases import Case, read_cases
from uniaudio.evaluate.columns import model_column, reference_column
from uniaudio.evaluate.scoring import figures, score_columns
from uniaudio.tasks import TASKS


def judged(engine: TokenEngine, cases: list[Case], folder: Path, name: str, workers: int) -> str:
    """Return the figures of the cases as the engine now samples them, in one line."""
    task = cases[0].example.task
    reference = reference_column(cases, folder)
    column = model_column(cases, folder / name, engine, 0)
    scored = score_columns(cases, [reference, column], workers, folder / name / "heard")
    return in_one_line(figures(task, column, scored))


def in_one_line(found: Mapping[str, Any]) -> str:
    """Return the means of figures as text."""
    return "  ".join(f"{metric} {value['mean']:.3f}" for metric, value in found.items() if isinstance(value, dict))


def main() -> None:
    """Print the figures of every task and setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", default=[])
    parser.add_argument("--model", default="uniaudio-mini")
    parser.add_argument("--data", type=Path, default=Path("corpora/examples"))
    parser.add_argument("--out", type=Path, default=Path("runs/sampling"))
    parser.add_argument("--limit", type=int, default=16)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.4, 0.8])
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument("--candidates", type=int, nargs="+", default=[1])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    engine = load(options.model)
    for task in options.tasks or engine.tasks:
        assert task in TASKS, task
        cases = read_cases(options.data, task, options.limit, split="dev")
        for temperature in options.temperatures:
            for guidance, count in itertools.product(options.guidance, options.candidates):
                settings = {"temperature": temperature, "guidance": guidance, "candidates": count}
                engine.task_sampling[task] = replace(engine.sampling, **settings)
                name = f"temperature-{temperature:g}-guidance-{guidance:g}" + f"-of-{count}" * (count > 1)
                line = judged(engine, cases, options.out / task, name, options.workers)
                print(f"{task:26} {name:32} {line}", flush=True)


if __name__ == "__main__":
    main()
