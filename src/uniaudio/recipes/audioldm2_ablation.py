"""The paper's ablations in one table: without joint fine-tuning, with the true language of audio, and variation."""

import argparse
import json
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uniaudio.audio.io import Audio, read_audio
from uniaudio.engines.latent import LatentEngine, Work
from uniaudio.engines.latent_folder import load_latent
from uniaudio.engines.latent_modes import Edit, variation
from uniaudio.engines.latent_parts import Told
from uniaudio.errors import InputError
from uniaudio.evaluate.cases import Case, read_cases
from uniaudio.evaluate.columns import Column, codec_column, kept_column, model_column, reference_column
from uniaudio.evaluate.metrics.mel_distance import mel_distance
from uniaudio.evaluate.scoring import figures, score_columns
from uniaudio.tasks import TASKS
from uniaudio.tokenizers.codec import codec_samples

TASK_NAMES = ("text_to_sound", "text_to_music")
FIGURES = ("class_accuracy", "frechet_distance")


def true_language(engine: LatentEngine, seed: int, case: Case) -> Audio:
    """Return what the denoiser makes of a caption and the true language of audio of the reference."""
    task, reference = TASKS[case.example.task], case.reference.audio
    samples = codec_samples(reference, engine.sample_rate)[None]
    hop = round(engine.sample_rate / engine.model.shape.rate)

    def heard(first: int, last: int, told: Told) -> Tensor:
        return engine.model.loa(samples[:, first * hop : last * hop])

    sampling = replace(engine.sampling_for(task.name), seed=seed + zlib.crc32(case.id.encode()), candidates=1)
    frames = engine.frames_of(reference.seconds)
    plan = engine.model.plan(task, case.request)
    latent = engine.make(Work(plans=[plan], samplings=[sampling], frames=frames, loa=heard))[0]
    return engine.audio(engine.samples(latent)[0], reference.seconds)


def varied(engine: LatentEngine, seed: int, case: Case) -> Audio:
    """Return a variation of the reference, without its caption."""
    sampling = replace(engine.sampling, seed=seed + zlib.crc32(case.id.encode()), candidates=1)
    return variation(engine, case.reference.audio, Edit(sampling=sampling))


MADE_OF_REFERENCE = {"true language of audio": true_language, "variation": varied}


def judge(
    model: LatentEngine, apart: LatentEngine | None, data: Path, out: Path, limit: int, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Return task -> column -> figures on held-out examples; clips are kept in `out`.

    `apart` is the model before joint fine-tuning.
    """
    table: dict[str, dict[str, Any]] = {}
    for task in TASK_NAMES:
        cases, folder = read_cases(data, task, limit), out / task
        columns = [
            reference_column(cases, folder),
            codec_column(cases, folder, model),
            replace(model_column(cases, folder / "joint", model, seed), name="jointly fine-tuned"),
        ]
        if apart is not None:
            before = model_column(cases, folder / "apart", apart, seed)
            columns.append(replace(before, name="without joint fine-tuning"))
        for name, make in MADE_OF_REFERENCE.items():
            columns.append(kept_column(name, name, cases, folder / name.replace(" ", "-"), partial(make, model, seed)))
        scored = score_columns(cases, columns, 0, out / "heard")
        table[task] = {column.name: _figures(task, column, scored, cases) for column in columns}
        (out / "ablation.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return table


def _figures(task: str, column: Column, scored: Mapping[str, Any], cases: Sequence[Case]) -> dict[str, Any]:
    """Return the figures of a column, and its mean mel distance from the references in dB."""
    found = {name: value for name, value in figures(task, column, scored).items() if name in FIGURES}
    made = [(case.reference.audio, read_audio(column.clips[case.id])) for case in cases if case.id in column.clips]
    distances = [mel_distance(reference, audio) for reference, audio in made]
    return {**found, "mel_distance": {"mean": sum(distances) / max(1, len(distances))}}


def rows(table: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the lines of the table."""
    names = (*FIGURES, "mel_distance")
    lines = [f"| task | from | {' | '.join(name.replace('_', ' ') for name in names)} |", "|---|---|---|---|---|"]
    for task, columns in table.items():
        for column, found in columns.items():
            values = [found.get(name) for name in names]
            shown = [f"{one['mean']:.3f}" if isinstance(one, dict) else "-" for one in values]
            lines.append(f"| {task} | {column} | {' | '.join(shown)} |")
    return lines


def main() -> int:
    """Print the table of a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="the model")
    parser.add_argument("--apart", help="the folder of the model before joint fine-tuning")
    parser.add_argument("--data", type=Path, required=True, help="held-out examples")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the clips and ablation.json")
    parser.add_argument("--limit", type=int, default=24, help="examples of each task (24)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        apart = None if options.apart is None else load_latent(options.apart)
        with torch.no_grad():
            table = judge(load_latent(options.model), apart, options.data, options.out, options.limit, options.seed)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(rows(table)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
