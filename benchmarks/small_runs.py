"""Small language models, each trained and judged in a process of its own: what ablation.py and joint.py are made of."""

import argparse
import json
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from uniaudio.data.loader import Batches
from uniaudio.data.sequences import SequenceReader
from uniaudio.data.shards import Shards
from uniaudio.engines import load
from uniaudio.engines.items import ItemReader
from uniaudio.engines.tokens import TokenEngine
from uniaudio.evaluate.cases import read_cases
from uniaudio.evaluate.judges import LEAST_VECTORS, SET_METRICS
from uniaudio.evaluate.report import ratio_with_interval, write_results
from uniaudio.evaluate.scoring import score_clip
from uniaudio.lm.interface import Legal
from uniaudio.lm.multiscale import MultiScaleConfig
from uniaudio.lm.orders import AnyLM, build
from uniaudio.lm.pattern_lm import PatternConfig
from uniaudio.lm.sampling import Sampling
from uniaudio.nn.transformer import TransformerConfig
from uniaudio.recipes.codec import load_codec
from uniaudio.recipes.trained import averaged
from uniaudio.sequence.layout import ROLES, Layout
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS
from uniaudio.train.loop import LoopConfig, train
from uniaudio.train.objectives.lm import LMObjective, LMObjectiveConfig
from uniaudio.train.optim import OptimConfig

CAPTION_DIM = 384
DEV_BUDGET = 1200  # frames of a batch whose loss is one value of the interval
SHARED = 3  # codebooks that every model of an ablation has
SAMPLING = {"text_to_music": Sampling(temperature=0.9, top_k=50), "tts": Sampling(temperature=0.4, top_k=30)}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where tokens and examples lie (a folder of tasks each), the models of codec and durations, and the output."""

    tokens: Path
    examples: Path
    codec: str
    durations: str
    out: Path


@dataclass(frozen=True, kw_only=True)
class Job:
    """One model: its order, codebooks and sizes, and how long it trains: `flops` in all, or `steps`.

    It begins with the weights of the job `start`, if that is named; its loss is taken on the tasks `measured`, by
    default on those that it learns.
    """

    name: str
    tasks: tuple[str, ...]
    order: str = "multiscale"
    num_codebooks: int = 6
    flops: float = 0.0
    steps: int = 0
    width: int = 256
    layers: int = 4
    local_width: int = 128
    local_layers: int = 2
    frame_budget: int = 1500
    alpha: float = 0.0
    clips: int = 16  # to generate and judge for each of `judged`
    judged: tuple[str, ...] = ()
    dev_batches: int = 24
    seed: int = 0
    start: str = ""
    measured: tuple[str, ...] = ()


def options_of(about: str | None, out: str) -> argparse.ArgumentParser:
    """Return a parser with the options that joint.py and stages.py share: where everything lies, and the sizes."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--tokens", type=Path, default=Path("corpora/tokens"))
    parser.add_argument("--examples", type=Path, default=Path("corpora/examples"))
    parser.add_argument("--codec", default="uniaudio-codec", help="the model that made the tokens")
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--frames", type=int, default=1500, help="frames of a batch")
    return parser


def chosen(options: argparse.Namespace) -> tuple[Place, dict[str, int], list[str]]:
    """Return the place, the sizes of a job, and the tasks that have tokens, of parsed `options_of`."""
    place = Place(tokens=options.tokens, examples=options.examples, codec=options.codec, durations="", out=options.out)
    sizes = {"width": options.width, "layers": options.layers, "local_width": options.width // 2}
    sizes |= {"num_codebooks": load_codec(options.codec)[0].config.num_codebooks, "frame_budget": options.frames}
    return place, sizes, [task for task in TASKS if (options.tokens / task / "train").is_dir()]


def run_all(jobs: Sequence[Job], place: Place, show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run the jobs that results.json does not have yet, one after the other; return the results by name."""
    path = place.out / "results.json"
    place.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for job in jobs:
        settings = json.loads(json.dumps(asdict(job)))
        if results.get(job.name, {}).get("job") != settings:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # a fresh process has a peak of its own
                results[job.name] = {"job": settings, **pool.submit(run_job, job, place).result()}
            write_results(path, results)
        show(results[job.name])
    return {job.name: results[job.name] for job in jobs}


def run_job(job: Job, place: Place) -> dict[str, Any]:
    """Train a model, measure it, generate with it, and return all figures."""
    torch.set_num_threads(1)
    codec = load_codec(place.codec)[0]
    layout = Layout(Vocabulary.new(job.num_codebooks, codec.config.codebook_size))
    batches = make_batches(job, place, layout, codec.config.frame_rate, "train", job.tasks)
    batches.draw(job.seed, 0)
    before = _resident()
    torch.manual_seed(job.seed)
    model = build(sizes(job, layout.vocabulary))
    if job.start:
        model.load_state_dict(averaged(run_folder(place, job.start))[1])
    legal = Legal(tuple(layout.allowed(TASKS[job.tasks[0]])), layout.vocabulary.mark("end"))
    settings = LMObjectiveConfig(history_dropout=0.1)
    objective = LMObjective(model, legal, batches.draw, settings, fill=layout.vocabulary.fill)
    flops = flops_per_step(objective, job.seed)
    steps = job.steps or max(1, round(job.flops / flops))
    optim = OptimConfig(
        name="muon",
        lr=2e-3,
        warmup_steps=min(20, steps // 4),
        schedule="wsd",
        decay_share=0.4,
    )
    loop = LoopConfig(steps=steps, ema_decay=0.95, log_every=10, seed=job.seed, bf16=False, optim=optim)
    folder = place.out / "runs" / f"{job.name}-{steps}"
    begun, at = time.process_time(), _step(folder)
    if train(objective, loop, folder) < steps:
        raise KeyboardInterrupt  # stopped: the same command goes on from here
    spent = time.process_time() - begun
    figures: dict[str, Any] = {
        "steps": steps,
        "flops": flops * steps,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds_per_step": spent / max(1, steps - at) if steps > at else None,
        "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024) - before,
    }
    model.load_state_dict(averaged(folder)[1])
    model.eval().requires_grad_(False)
    measured = [task for task in job.measured or job.tasks if (place.tokens / task / "dev").is_dir()]
    figures["dev"] = {task: dev_loss(model, job, place, layout, legal, task) for task in measured}
    durations = load(place.durations).reader.durations if job.judged else None
    reader = ItemReader(codec.cut(job.num_codebooks), durations, None, None)
    engine = TokenEngine(job.name, job.tasks, reader.codec, model, layout, reader, Sampling(), SAMPLING)
    figures["made"] = {task: generate_and_judge(engine, job, place, task) for task in job.judged}
    return figures


def run_folder(place: Place, name: str) -> Path:
    """Return the folder of the only run of a job."""
    (folder,) = (place.out / "runs").glob(f"{name}-*")
    return folder


def sizes(job: Job, vocabulary: Vocabulary) -> MultiScaleConfig | PatternConfig:
    """Return a model's sizes: the flat orders have one Transformer, as large as the global one of multi-scale."""
    shared: dict[str, Any] = {
        "num_ids": vocabulary.num_ids,
        "num_slots": job.num_codebooks,
        "num_roles": len(ROLES),
        "vector_dim": CAPTION_DIM,
    }
    large = TransformerConfig(width=job.width, layers=job.layers, heads=4)
    if job.order != "multiscale":
        return PatternConfig(pattern=job.order, transformer=large, **shared)
    small = TransformerConfig(width=job.local_width, layers=job.local_layers, heads=4)
    return MultiScaleConfig(global_=large, local_=small, **shared)


def make_batches(
    job: Job, place: Place, layout: Layout, frame_rate: float, split: str, tasks: Sequence[str]
) -> Batches:
    """Return the batches of a split; those of `dev` are small, so that their losses give an interval."""
    sources = [Shards(place.tokens / task / split) for task in tasks]
    budget = job.frame_budget if split == "train" else DEV_BUDGET
    reader = SequenceReader(layout, frame_rate)
    return Batches(sources, reader, tasks, budget, alpha=job.alpha, max_seconds=12.0, vector_dim=CAPTION_DIM)


def flops_per_step(objective: LMObjective, seed: int, steps: int = 6) -> float:
    """Return the mean number of floating-point operations of a step, forward and backward, over the first ones."""
    counter = FlopCounterMode(display=False)
    with counter:
        for step in range(steps):
            objective.loss(objective.batch(seed, step), step)[0].backward()
    objective.module.zero_grad(set_to_none=True)
    return counter.get_total_flops() / steps


@torch.no_grad()
def dev_loss(model: AnyLM, job: Job, place: Place, layout: Layout, legal: Legal, task: str) -> dict[str, Any]:
    """Return nats per frame over all codebooks and over the first three, with 95 % intervals over batches.

    "batches" are the (nats, frames) of each, which are the same ones for every model of the task.
    """
    frame_rate = load_codec(place.codec)[0].config.frame_rate
    batches = make_batches(job, place, layout, frame_rate, "dev", [task])
    scores: dict[str, list[tuple[float, float]]] = {"all": [], "shared": []}
    count = min(job.dev_batches, len(batches.plan.epoch(0, 0)))
    for step in range(count):
        batch = batches.draw(0, step)
        slots, frames = [float(one) for one in model.losses(batch, legal)], float(batch.target.sum())
        scores["all"].append((sum(slots) * frames, frames))
        scores["shared"].append((sum(slots[:SHARED]) * frames, frames))
    return {**{name: ratio_with_interval(pairs) for name, pairs in scores.items()}, "batches": scores["all"]}


def generate_and_judge(engine: TokenEngine, job: Job, place: Place, task: str) -> dict[str, Any]:
    """Generate held-out requests one by one; return figures and the CPU seconds per generated second."""
    cases = read_cases(place.examples, task, job.clips)
    folder = place.out / "clips" / job.name / task
    folder.mkdir(parents=True, exist_ok=True)
    names = ("wer", "mel_cepstral_distortion") if task == "tts" else ("class_accuracy",)
    with_vectors = task != "tts"
    scored, references, spent, seconds = [], [], 0.0, 0.0
    for number, case in enumerate(cases):
        sampling = replace(engine.sampling_for(task), seed=number)
        length = case.example.seconds if TASKS[task].length == "seconds" else None
        items = engine.reader.read(TASKS[task], case.request)
        begun = time.process_time()
        codes = engine.generate_frames(TASKS[task], [items], [sampling], length)[0]
        spent, audio = spent + time.process_time() - begun, engine.decode(codes)
        seconds += audio.seconds
        audio.write(folder / f"{case.id}.wav")
        scored.append(score_clip((case, folder / f"{case.id}.wav"), names, with_vectors, place.out / "heard"))
        if with_vectors:
            references.append(case.reference.events.seconds)
    figures: dict[str, Any] = {"seconds_per_second": spent / seconds, "clips": len(cases)}
    for name in names:
        pairs = [one.scores[name] for one in scored if name in one.scores]
        figures[name] = ratio_with_interval(pairs) if pairs else None
    if with_vectors:
        made = [one.vectors for one in scored]
        figures["frechet_distance"] = _frechet(made, references)
    return figures


def _frechet(made: Sequence[np.ndarray | None], references: Sequence[np.ndarray]) -> dict[str, float] | None:
    """Return the distance of all clips that are not silent, with an interval over resampled clips."""
    heard = [one for one in made if one is not None]
    judge, reference = SET_METRICS["frechet_distance"].judge, np.concatenate(list(references))
    if sum(map(len, heard)) < LEAST_VECTORS or len(reference) < LEAST_VECTORS:
        return None  # seconds that are too few for a covariance
    random, drawn = np.random.default_rng(0), []
    for _ in range(50):
        chosen = np.concatenate([heard[i] for i in random.integers(len(heard), size=len(heard))])
        if len(chosen) >= LEAST_VECTORS:
            drawn.append(judge(chosen, reference))
    low, high = np.percentile(drawn or [np.nan], [2.5, 97.5])
    return {"mean": float(judge(np.concatenate(heard), reference)), "low": float(low), "high": float(high)}


def _resident() -> float:
    """Return the megabytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize() / 2**20


def _step(folder: Path) -> int:
    """Return how many steps of a run are done."""
    path = folder / "checkpoint" / "config.json"
    return int(json.loads(path.read_text(encoding="utf-8"))["step"]) if path.exists() else 0
