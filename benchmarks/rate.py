"""How many codebooks a language model should predict: runs that differ in nothing else, judged by the speech they make.

for K in 3 4 6; do uniaudio train mini --corpus corpora/tokens/tts --run runs/rate_$K num_codebooks=$K ...; done
python benchmarks/rate.py runs/rate_3 runs/rate_4 runs/rate_6 --data corpora/examples

Each row is a run on the dev split, never the test split, and below it the recordings after as many codebooks: the
ceiling. Clips that are there are kept, so a stopped run goes on.
"""

import argparse
from pathlib import Path

from sampling import in_one_line, judged

from uniaudio.engines import load
from uniaudio.engines.items import ItemReader
from uniaudio.engines.tokens import TokenEngine
from uniaudio.evaluate.cases import Case, read_cases
from uniaudio.evaluate.columns import codec_column, reference_column
from uniaudio.evaluate.scoring import figures, score_columns
from uniaudio.recipes.ship import SAMPLING
from uniaudio.recipes.trained import read_lm
from uniaudio.sequence.layout import Layout

TASK = "tts"


def engine_of(run: Path, base: TokenEngine) -> TokenEngine:
    """Return the engine of a run on the first codebooks of a model's codec, with the model's durations."""
    trained = read_lm(run)
    codec = base.codec.cut(trained.lm.config.num_slots)
    trained.lm.eval().requires_grad_(False)
    reader = ItemReader(codec, base.reader.durations, None, None)
    return TokenEngine(run.name, (TASK,), codec, trained.lm, Layout(trained.vocabulary), reader, SAMPLING)


def ceiling(engine: TokenEngine, cases: list[Case], folder: Path, workers: int) -> str:
    """Return the figures of the recordings after the engine's codec, in one line."""
    columns = [reference_column(cases, folder), codec_column(cases, folder / engine.name, engine)]
    scored = score_columns(cases, columns, workers, folder / engine.name / "heard")
    return in_one_line(figures(TASK, columns[1], scored))


def main() -> None:
    """Print the figures of every run, and of its ceiling."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--base", default="uniaudio-mini", help="the model whose codec and durations are used")
    parser.add_argument("--data", type=Path, default=Path("corpora/examples"))
    parser.add_argument("--out", type=Path, default=Path("runs/rate"))
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    base = load(options.base)
    assert isinstance(base, TokenEngine), "a model without a codec has no codebooks to choose from"
    cases = read_cases(options.data, TASK, options.limit, split="dev")
    for run in options.runs:
        engine = engine_of(run, base)
        codec = engine.codec.config
        print(
            f"{run.name}: {codec.num_codebooks} codebooks, {codec.num_codebooks * codec.frame_rate:.0f} codes a second"
        )
        print(f"  made     {judged(engine, cases, options.out, run.name, options.workers)}", flush=True)
        print(f"  ceiling  {ceiling(engine, cases, options.out, options.workers)}", flush=True)


if __name__ == "__main__":
    main()
