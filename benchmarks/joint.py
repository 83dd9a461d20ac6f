"""One task alone against all together: models of the same sizes that saw as many examples of that task.

python benchmarks/joint.py --tokens corpora/tokens --examples corpora/examples --out runs/joint

The joint model is trained first; each single model then gets as many steps as it takes to draw as many of its examples.
"""

import numpy as np
from small_runs import Job, Place, chosen, make_batches, options_of, run_all

from uniaudio.evaluate.report import ratio_with_interval
from uniaudio.recipes.codec import load_codec
from uniaudio.sequence.layout import Layout
from uniaudio.sequence.vocabulary import Vocabulary


def examples_drawn(job: Job, place: Place, steps: int) -> dict[str, int]:
    """Return how many examples of each task the first steps of a job draw."""
    codec = load_codec(place.codec)[0]
    layout = Layout(Vocabulary.new(job.num_codebooks, codec.config.codebook_size))
    batches = make_batches(job, place, layout, codec.config.frame_rate, "train", job.tasks)
    sizes = np.cumsum([len(source) for source in batches.sources])
    drawn = np.concatenate([batches.plan.indices(job.seed, step) for step in range(steps)])
    counts = np.bincount(np.searchsorted(sizes, drawn, side="right"), minlength=len(sizes))
    return dict(zip(job.tasks, counts.tolist(), strict=True))


def steps_for(job: Job, place: Place, examples: int) -> int:
    """Return after how many steps a job has drawn at least this many examples of its only task."""
    steps = 8
    while examples_drawn(job, place, steps)[job.tasks[0]] < examples:
        steps *= 2
    low, high = 0, steps
    while high - low > 1:
        middle = (low + high) // 2
        enough = examples_drawn(job, place, middle)[job.tasks[0]] >= examples
        low, high = (low, middle) if enough else (middle, high)
    return high


def main() -> None:
    parser = options_of(__doc__, "runs/joint")
    parser.add_argument("--steps", type=int, default=400, help="of the joint model")
    parser.add_argument("--alone", default="tts,speech_enhancement,text_to_music", help="tasks that are trained alone")
    options = parser.parse_args()
    place, sizes, tasks = chosen(options)
    found, alone = tuple(tasks), [task for task in options.alone.split(",") if task in tasks]
    joint = Job(name="joint", tasks=found, steps=options.steps, **sizes)
    drawn = examples_drawn(joint, place, options.steps)
    single = [Job(name=task, tasks=(task,), **sizes) for task in alone]
    single = [Job(**{**vars(job), "steps": steps_for(job, place, drawn[job.tasks[0]])}) for job in single]
    results = run_all([joint, *single], place, lambda result: None)
    print(
        f"joint: {len(found)} tasks, {options.steps} steps, {results['joint']['parameters'] / 1e6:.1f} million weights"
    )
    print(
        f"{'task':26} examples  steps alone  {'nats/frame alone':>22}  {'nats/frame joint':>22}  {'alone - joint':>22}"
    )
    for task in alone:
        cells = [results[name]["dev"][task]["all"] for name in (task, "joint")]
        pairs = zip(*(results[name]["dev"][task]["batches"] for name in (task, "joint")), strict=True)
        cells.append(ratio_with_interval([(own[0] - other[0], own[1]) for own, other in pairs]))
        texts = [f"{one['mean']:6.2f} [{one['low']:6.2f}, {one['high']:6.2f}]" for one in cells]
        print(f"{task:26} {drawn[task]:8d}  {results[task]['steps']:11d}  {'  '.join(texts)}")


if __name__ == "__main__":
    main()
