"""The benchmarks of code orders and of joint training: their counts are right, and an interrupted one goes on."""

import json
import math
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from tests.corpora import small_corpora

from uniaudio import recipes
from uniaudio.engines.bundle import save_engine
from uniaudio.recipes.debug import debug_engine, lm_objective

ROOT = Path(__file__).resolve().parents[2]
TASKS = ("tts", "text_to_music")
SMALL = {"width": 32, "layers": 1, "local_width": 16, "local_layers": 1, "dev_batches": 2, "clips": 1}


@pytest.fixture(scope="module")
def benchmarks() -> Iterator[dict[str, ModuleType]]:
    """The programs as modules, found as when they are run."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import ablation  # pyright: ignore[reportMissingImports]
    import figure  # pyright: ignore[reportMissingImports]
    import joint  # pyright: ignore[reportMissingImports]
    import rate  # pyright: ignore[reportMissingImports]
    import small_runs  # pyright: ignore[reportMissingImports]

    yield {"ablation": ablation, "figure": figure, "joint": joint, "rate": rate, "small_runs": small_runs}
    sys.path.remove(str(ROOT / "benchmarks"))  # until now, because the processes of the jobs import them, too


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    save_engine(folder / "base", debug_engine(), "# base\n")
    small_corpora(folder / "corpora")
    recipes.pair(folder / "corpora", folder / "examples", TASKS, 0)
    for task in TASKS:
        recipes.tokenize(folder / "examples" / task, folder / "tokens" / task, str(folder / "base"))
    return folder


def place(benchmarks: dict[str, ModuleType], work: Path, out: Path):
    base = str(work / "base")
    parts = {"tokens": work / "tokens", "examples": work / "examples", "codec": base, "durations": base}
    return benchmarks["small_runs"].Place(out=out, **parts)


def test_a_job_trains_for_its_operations_and_is_not_run_twice(
    benchmarks: dict[str, ModuleType], work: Path, tmp_path: Path
):
    small, shown = benchmarks["small_runs"], []
    jobs = [
        small.Job(name=order, tasks=("tts",), judged=("tts",), order=order, num_codebooks=3, flops=4e8, **SMALL)
        for order in ("delay", "multiscale")
    ]
    own = place(benchmarks, work, tmp_path)
    first = small.run_all(jobs[:1], own, shown.append)
    for result in (first["delay"], small.run_job(jobs[1], own)):
        assert result["flops"] == pytest.approx(4e8, rel=0.6 / result["steps"])
        assert result["parameters"] > 0 and result["megabytes"] > 0
        loss = result["dev"]["tts"]["all"]
        assert 3 < loss["low"] <= loss["mean"] <= loss["high"] < 15  # 3 ln 32 = 10.4 nats is chance
        assert result["made"]["tts"]["wer"]["mean"] >= 0 and result["made"]["tts"]["seconds_per_second"] > 0
    changed = json.loads((tmp_path / "results.json").read_text())
    changed["delay"]["parameters"] = -1
    (tmp_path / "results.json").write_text(json.dumps(changed))
    assert small.run_all(jobs[:1], own, shown.append)["delay"]["parameters"] == -1, "what is there is kept"
    assert len(shown) == 2


def test_a_job_goes_on_from_another_and_is_judged_on_what_it_did_not_learn(
    benchmarks: dict[str, ModuleType], work: Path, tmp_path: Path
):
    small, shared = benchmarks["small_runs"], {"tasks": ("tts",), "num_codebooks": 3, **SMALL}
    jobs = [
        small.Job(name="first", steps=30, **shared),
        small.Job(name="second", steps=1, start="first", measured=TASKS, **shared),
        small.Job(name="new", steps=1, **shared),
    ]
    results = small.run_all(jobs, place(benchmarks, work, tmp_path), lambda result: None)
    assert set(results["second"]["dev"]) == set(TASKS) and set(results["first"]["dev"]) == {"tts"}
    loss = {name: result["dev"]["tts"]["all"]["mean"] for name, result in results.items()}
    assert abs(loss["second"] - loss["first"]) < 0.5 * (loss["new"] - loss["first"])


def test_operations_are_counted(benchmarks: dict[str, ModuleType]):
    """A matrix of n weights costs 2 n operations forward and about 4 n backward, for each frame."""
    objective = lm_objective()
    batch = objective.batch(0, 0)
    matrices = [p for n, p in objective.module.named_parameters() if n.startswith("global_") and p.ndim == 2]
    least = 6 * sum(p.numel() for p in matrices) * (batch.frames.shape[1] - 1) * len(batch.lengths)
    counted = benchmarks["small_runs"].flops_per_step(objective, 0, steps=2)
    assert least < counted < 20 * least
    assert all(p.grad is None for p in objective.module.parameters()), "counting must leave no gradient"


def test_a_single_model_sees_as_many_examples_as_the_joint_one(
    benchmarks: dict[str, ModuleType], work: Path, tmp_path: Path
):
    small, joint = benchmarks["small_runs"], benchmarks["joint"]
    own = place(benchmarks, work, tmp_path)
    both = small.Job(name="joint", tasks=TASKS, num_codebooks=3, frame_budget=300, **SMALL)
    alone = small.Job(name="tts", tasks=("tts",), num_codebooks=3, frame_budget=300, **SMALL)
    wanted = joint.examples_drawn(both, own, 7)
    assert all(count > 0 for count in wanted.values())
    steps = joint.steps_for(alone, own, wanted["tts"])
    assert joint.examples_drawn(alone, own, steps)["tts"] >= wanted["tts"]
    assert joint.examples_drawn(alone, own, steps - 1)["tts"] < wanted["tts"] if steps > 1 else True


def test_the_loss_of_an_untrained_model_is_that_of_chance(
    benchmarks: dict[str, ModuleType], work: Path, tmp_path: Path
):
    small = benchmarks["small_runs"]
    own, job = place(benchmarks, work, tmp_path), small.Job(name="x", tasks=("tts",), num_codebooks=3, **SMALL)
    engine = debug_engine()
    torch.nn.init.zeros_(engine.lm.local_embedding.weight)
    loss = small.dev_loss(engine.lm, job, own, engine.layout, engine.legal(small.TASKS["tts"]), "tts")
    assert loss["all"]["mean"] == pytest.approx(2 * math.log(32) + math.log(33), abs=1e-3)
    assert loss["all"]["mean"] == loss["shared"]["mean"]


def test_runs_of_fewer_codebooks_speak_and_are_judged(
    benchmarks: dict[str, ModuleType],
    work: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    sizes = [f"{part}.{name}" for part in ("global_", "local_") for name in ("width=16", "layers=1", "heads=2")]
    changes = ['tasks=["tts"]', "num_codebooks=2", "codebook_size=32", "objective.slot_weights=[]", "loop.steps=1"]
    recipes.run("mini", [*sizes, *changes, "loop.bf16=false"], corpus=work / "tokens" / "tts", run=tmp_path / "run")
    given = [str(tmp_path / "run"), "--base", str(work / "base"), "--data", str(work / "examples"), "--limit", "1"]
    monkeypatch.setattr(sys, "argv", ["rate.py", *given, "--out", str(tmp_path / "out"), "--workers", "1"])
    benchmarks["rate"].main()
    head, made, ceiling = capsys.readouterr().out.splitlines()
    assert head.startswith("run: 2 codebooks")
    assert all("wer" in line and "speaker_similarity" in line for line in (made, ceiling))


def test_the_figure_shows_every_bar(benchmarks: dict[str, ModuleType]):
    figure = benchmarks["figure"]
    panel = figure.Panel("a & b", {"x": {"mean": 2.0, "low": 1.0, "high": 4.0}, "multi": {"mean": 1.0}, "none": None})
    root = ElementTree.fromstring(figure.bars([panel, panel]))
    widths = [float(one.attrib["width"]) for one in root if one.tag.endswith("rect")][1:]
    assert widths == [figure.BAR / 2, figure.BAR / 4] * 2
    assert sum("a & b" == one.text for one in root) == 2
