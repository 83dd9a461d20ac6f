"""Two stages in small: a model learns seven tasks, then four more by fine-tuning; do the seven get worse?

python benchmarks/stages.py --tokens corpora/tokens --examples corpora/examples --out runs/stages

As in the paper (UniAudio, 2310.00704), the second stage draws tasks with shares ~ size^0.05, so that the old ones are
replayed beside the new. A control goes on with the seven for as many steps.
"""

import argparse
from pathlib import Path

from small_runs import Job, Place, run_all

from uniaudio.evaluate.report import ratio_with_interval
from uniaudio.recipes.codec import load_codec
from uniaudio.tasks import TASKS

FIRST = (
    "tts",
    "voice_conversion",
    "speech_enhancement",
    "target_speaker_extraction",
    "singing_synthesis",
    "text_to_sound",
    "text_to_music",
)
ALPHA = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=Path, default=Path("corpora/tokens"))
    parser.add_argument("--examples", type=Path, default=Path("corpora/examples"))
    parser.add_argument("--codec", default="uniaudio-codec", help="the model that made the tokens")
    parser.add_argument("--out", type=Path, default=Path("runs/stages"))
    parser.add_argument("--steps", type=int, default=600, help="of the first stage")
    parser.add_argument("--more", type=int, default=300, help="steps of the second stage")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--frames", type=int, default=1500, help="frames of a batch")
    options = parser.parse_args()
    found = [task for task in TASKS if (options.tokens / task / "train").is_dir()]
    first = tuple(task for task in found if task in FIRST)
    place = Place(tokens=options.tokens, examples=options.examples, codec=options.codec, durations="", out=options.out)
    codebooks = load_codec(options.codec)[0].config.num_codebooks
    sizes = {"width": options.width, "layers": options.layers, "num_codebooks": codebooks}
    sizes |= {"local_width": options.width // 2, "frame_budget": options.frames, "measured": tuple(found)}
    jobs = [
        Job(name="stage 1", tasks=first, steps=options.steps, **sizes),
        Job(name="stage 2", tasks=tuple(found), steps=options.more, alpha=ALPHA, start="stage 1", **sizes),
        Job(name="control", tasks=first, steps=options.more, start="stage 1", **sizes),
    ]
    results = run_all(jobs, place, lambda result: None)
    names = [job.name for job in jobs]
    print(
        f"stage 1: {len(first)} tasks, {options.steps} steps; stage 2: {len(found)} tasks, {options.more} steps more;"
    )
    print(f"control: the {len(first)} for {options.more} steps more; nats a frame of the dev split")
    print(f"{'task':26} {'':4} {'stage 1':>22}  {'stage 2':>22}  {'control':>22}  {'stage 2 - stage 1':>22}")
    for task in found:
        cells = [results[name]["dev"][task]["all"] for name in names]
        pairs = zip(*(results[name]["dev"][task]["batches"] for name in ("stage 2", "stage 1")), strict=True)
        cells.append(ratio_with_interval([(new[0] - old[0], new[1]) for new, old in pairs]))
        texts = [f"{one['mean']:6.2f} [{one['low']:6.2f}, {one['high']:6.2f}]" for one in cells]
        print(f"{task:26} {'' if task in first else 'new':4} {'  '.join(texts)}")


if __name__ == "__main__":
    main()
