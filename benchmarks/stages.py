"""Two stages in small: a model learns seven tasks, then four more by fine-tuning; do the seven get worse?

python benchmarks/stages.py --tokens corpora/tokens --examples corpora/examples --out runs/stages

As in the paper (UniAudio, 2310.00704), the second stage draws tasks with shares ~ size^0.05, so that the old ones are
replayed beside the new. A control goes on with the seven for as many steps.
"""

from small_runs import Job, chosen, options_of, run_all

from uniaudio.evaluate.report import ratio_with_interval

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
    parser = options_of(__doc__, "runs/stages")
    parser.add_argument("--steps", type=int, default=600, help="of the first stage")
    parser.add_argument("--more", type=int, default=300, help="steps of the second stage")
    options = parser.parse_args()
    place, sizes, found = chosen(options)
    first, shared = tuple(task for task in found if task in FIRST), {**sizes, "measured": tuple(found)}
    jobs = [
        Job(name="stage 1", tasks=first, steps=options.steps, **shared),
        Job(name="stage 2", tasks=tuple(found), steps=options.more, alpha=ALPHA, start="stage 1", **shared),
        Job(name="control", tasks=first, steps=options.more, start="stage 1", **shared),
    ]
    results = run_all(jobs, place, lambda result: None)
    names = [job.name for job in jobs]
    about = f"{len(first)} tasks, {options.steps} steps, {results['stage 1']['parameters'] / 1e6:.1f} million weights"
    print(f"stage 1: {about}; stage 2: {len(found)} tasks, {options.more} steps more;")
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
