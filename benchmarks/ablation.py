"""The paper's ablation in the small: five code orders and the number of codebooks, at equal floating-point operations.

python benchmarks/ablation.py --tokens corpora/tokens --examples corpora/examples --out runs/ablation \
  --figure docs/figures/ablation.svg

It goes on where it was stopped. With `--seeds 2` every model is trained twice, from other weights and batches.
"""

import argparse
from pathlib import Path
from typing import Any

from figure import Panel, bars
from small_runs import SHARED, Job, Place, run_all

ORDERS = ("flatten", "parallel", "delay", "coarse_first", "multiscale")
# Task -> the judge of what is generated that the figure shows, and how the table calls it.
JUDGES = {"tts": ("mel_cepstral_distortion", "MCD dB"), "text_to_music": ("frechet_distance", "Frechet")}
SECOND = {"tts": ("wer", "WER"), "text_to_music": ("class_accuracy", "classes")}


def jobs(options: argparse.Namespace) -> list[Job]:
    """Return a model of each order with three codebooks, and multi-scale with all of them, for each task."""
    wanted = [(order, SHARED) for order in ORDERS] + [("multiscale", options.codebooks)]
    sizes = {"width": options.width, "layers": options.layers, "flops": options.gigaflops * 1e9}
    sizes |= {"frame_budget": options.frames}
    sizes |= {"local_width": options.width // 2, "local_layers": max(1, options.layers // 2), "clips": options.clips}
    return [
        Job(
            name=f"{task}-{order}-{count}" + (f"-seed{seed}" if seed else ""),
            tasks=(task,),
            judged=(task,),
            order=order,
            num_codebooks=count,
            seed=seed,
            **sizes,
        )
        for seed in range(options.seeds)
        for task in options.tasks.split(",")
        for order, count in wanted
    ]


def line(result: dict[str, Any]) -> str:
    """Return the row of a model as text."""
    job, dev = result["job"], next(iter(result["dev"].values()))
    task = job["tasks"][0]
    made = result["made"][task]
    cells = [f"{task:13} {job['order']:12} {job['num_codebooks']}", f"{result['steps']:5d}"]
    cells += [with_interval(dev["shared"]), with_interval(dev["all"])]
    cells += [with_interval(made[JUDGES[task][0]]), with_interval(made[SECOND[task][0]])]
    step = result["seconds_per_step"]
    cells += [f"{step:6.3f}" if step else "     -", f"{made['seconds_per_second']:6.3f}", f"{result['megabytes']:5.0f}"]
    return "  ".join(cells)


def with_interval(figure: dict[str, float] | None) -> str:
    """Return a figure with its 95 % interval."""
    if figure is None:
        return f"{'-':>22}"
    return f"{figure['mean']:6.2f} [{figure['low']:6.2f}, {figure['high']:6.2f}]"


def head() -> str:
    """Return the names of the columns."""
    names = ["task          order        K", "steps", f"{'nats/frame, first 3':>22}", f"{'nats/frame, all':>22}"]
    names += [f"{'MCD dB | Frechet':>22}", f"{'WER | classes right':>22}", "s/step", "s/s   ", "   MB"]
    return "  ".join(names)


def panels(results: dict[str, Any]) -> list[Panel]:
    """Return the panels of the figure: each task's loss and judge, and what a second of sound costs."""
    made = {name: one for name, one in results.items() if not one["job"]["seed"]}

    def named(task: str) -> dict[str, Any]:
        own = [one for one in made.values() if one["job"]["tasks"] == [task]]
        return {f"{one['job']['order'].replace('_', ' ')}, {one['job']['num_codebooks']}": one for one in own}

    found: list[Panel] = []
    for task in JUDGES:
        own, judge = named(task), JUDGES[task]
        title = task.replace("_", " ")
        if not own:
            continue
        found.append(Panel(f"{title}: nats a frame", {n: one["dev"][task]["shared"] for n, one in own.items()}))
        found.append(Panel(f"{title}: {judge[1]}", {n: one["made"][task][judge[0]] for n, one in own.items()}))
        cost = {n: {"mean": one["made"][task]["seconds_per_second"]} for n, one in own.items()}
        found.append(Panel(f"{title}: CPU s per s", cost))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=Path, default=Path("corpora/tokens"))
    parser.add_argument("--examples", type=Path, default=Path("corpora/examples"))
    parser.add_argument("--codec", default="uniaudio-codec", help="the model that made the tokens")
    parser.add_argument("--durations", default="uniaudio-mini", help="the model whose durations lay a text out")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--figure", type=Path, help="where to draw the figure (.svg)")
    parser.add_argument("--tasks", default=",".join(JUDGES))
    parser.add_argument("--gigaflops", type=float, default=2500.0, help="operations of each training, in 1e9")
    parser.add_argument("--codebooks", type=int, default=6, help="all of the codec's")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--frames", type=int, default=1500, help="frames of a batch")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    place = Place(
        tokens=options.tokens,
        examples=options.examples,
        codec=options.codec,
        durations=options.durations,
        out=options.out,
    )
    print(head(), flush=True)
    results = run_all(jobs(options), place, lambda result: print(line(result), flush=True))
    if options.figure is not None:
        options.figure.parent.mkdir(parents=True, exist_ok=True)
        options.figure.write_text(bars(panels(results)), encoding="utf-8")
        print(options.figure)


if __name__ == "__main__":
    main()
