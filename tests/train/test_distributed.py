"""Several processes train as one does: the same weights, checkpoints for any number, and a killed one is replaced."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.train import ranks

from uniaudio import checkpoint
from uniaudio.errors import InputError
from uniaudio.recipes import debug, run
from uniaudio.train.distributed import Ranks
from uniaudio.train.loop import LoopConfig, TrainState
from uniaudio.train.optim import OptimConfig

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ("loss", "gradient_norm", "slot_0", "slot_1", "slot_2")
LOOPS = {
    "adamw": ranks.LOOP,
    "muon": replace(ranks.LOOP, optim=OptimConfig(name="muon", lr=3e-3, warmup_steps=2, schedule="wsd")),
    "bf16": replace(ranks.LOOP, bf16=True, recompute=True),
}
# Muon orthogonalises in bfloat16, so matrices cut in two round otherwise, in steps of the size of the learning rate.
TOLERANCES = {"adamw": 2e-6, "muon": 5e-3, "bf16": 2e-6}


@pytest.fixture(scope="module", autouse=True)
def forkserver() -> Iterator[None]:
    """Import everything once, for all processes of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT / 'src'}{os.pathsep}{ROOT}")
        patch.setenv("OMP_NUM_THREADS", "1")
        multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.train.ranks"])
        yield


def rows_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def difference(first: Path, second: Path) -> float:
    """The largest difference of any weight, average or optimiser state of two runs that have the same of them."""
    one, two = (checkpoint.load(folder / "checkpoint").tensors for folder in (first, second))
    assert one.keys() == two.keys() and any(name.startswith("optimizer.") for name in one)
    return max(float((one[name].float() - two[name].float()).abs().max()) for name in one)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NAME/one and NAME/two: the same 4 steps on one process and on two; two-again: in two sessions."""
    folder = tmp_path_factory.mktemp("runs")
    ranks.run({folder / name / "one": loop for name, loop in LOOPS.items()})
    whole = {folder / name / "two": loop for name, loop in LOOPS.items()}
    halves = [{folder / "two-again": replace(LOOPS["adamw"], stop_after_minutes=0.0)}] * 3
    ranks.on_ranks(2, run_all, [whole, *halves, {folder / "two-again": LOOPS["adamw"]}])
    return folder


def run_all(sessions: list[dict[Path, LoopConfig]]) -> None:
    for session in sessions:
        ranks.run(session)


@pytest.mark.parametrize("name", LOOPS)
def test_two_processes_equal_one(runs: Path, name: str):
    one, two = rows_of(runs / name / "one"), rows_of(runs / name / "two")
    assert [row["step"] for row in one] == [row["step"] for row in two] == [1, 2, 3, 4]
    assert len({row["loss"] for row in one}) == 4, "every step has another batch"
    for row, other in zip(one, two, strict=True):
        for figure in FIGURES:
            assert row[figure] == pytest.approx(other[figure], abs=max(2e-5, TOLERANCES[name])), figure
    assert difference(runs / name / "one", runs / name / "two") < TOLERANCES[name]


def test_two_processes_resume_exactly(runs: Path):
    assert difference(runs / "adamw" / "two", runs / "two-again") == 0.0
    figures = [[row[figure] for figure in FIGURES] for row in rows_of(runs / "two-again")]
    assert figures == [[row[figure] for figure in FIGURES] for row in rows_of(runs / "adamw" / "two")]


def test_a_checkpoint_of_two_goes_on_with_one_and_with_four(runs: Path, tmp_path: Path):
    longer = replace(LOOPS["adamw"], steps=6)
    for name in ("one", "four"):
        shutil.copytree(runs / "adamw" / "two", tmp_path / name)
    shutil.copytree(runs / "adamw" / "one", tmp_path / "expected")
    ranks.run({tmp_path / "one": longer, tmp_path / "expected": longer})
    # As if on two machines: weights are cut over two processes and repeated over two.
    ranks.on_ranks(4, ranks.run, {tmp_path / "four": longer}, local_size=2)
    for name in ("one", "four"):
        assert [row["step"] for row in rows_of(tmp_path / name)] == [1, 2, 3, 4, 5, 6]
        assert difference(tmp_path / name, tmp_path / "expected") < 1e-5


def test_a_killed_process_is_replaced_and_nothing_changes(tmp_path: Path):
    overrides = ["steps=30", "accumulate=2", "save_every_steps=5", "log_every=1"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=2"]
    # "--": torchrun would take --run for the beginning of an option of its own
    train = ["-m", "--", "uniaudio", "train", "tts_debug", *overrides, "--run", str(tmp_path / "killed")]
    command = [sys.executable, *torchrun, *train]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with open(tmp_path / "stderr", "w") as stderr:
        process = subprocess.Popen(command, stderr=stderr, stdout=stderr, env=environment)
    try:
        log, deadline = tmp_path / "killed" / "log.jsonl", time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if log.exists() and len(log.read_text().splitlines()) >= 7:
                break
            time.sleep(0.005)
        assert process.poll() is None, (tmp_path / "stderr").read_text()
        os.kill(worker_of(process.pid, rank=1), signal.SIGKILL)
        assert process.wait(120) == 0, (tmp_path / "stderr").read_text()
    finally:
        process.terminate()  # torchrun ends its workers
        process.wait(60)
    assert "exitcode: -9" in (tmp_path / "stderr").read_text(), "the kill must have come before the end"
    run("tts_debug", overrides, run=tmp_path / "whole")
    rows, expected = rows_of(tmp_path / "killed"), rows_of(tmp_path / "whole")
    assert [row["step"] for row in rows] == list(range(1, 31))
    for row, other in zip(rows, expected, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], abs=1e-4)
    assert difference(tmp_path / "killed", tmp_path / "whole") < 1e-3


def worker_of(agent: int, rank: int) -> int:
    """The process number of a rank, which is a child of torchrun's agent."""
    for child in Path(f"/proc/{agent}/task/{agent}/children").read_text().split():
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError(f"rank {rank} is not running")


def test_what_processes_cannot_share_is_refused():
    with pytest.raises(InputError, match="loop.accumulate=2 or a multiple"):
        TrainState(debug.lm_objective(), LoopConfig(accumulate=3), Ranks(0, 2))
    with pytest.raises(InputError, match="train it on one process"):
        TrainState(debug.codec_objective(), LoopConfig(accumulate=2), Ranks(0, 2))


def test_batches_of_a_step_count_by_their_frames():
    """The gradient of two batches is that of their mean over all frames, by plain arithmetic."""
    made = ranks.objective()
    made.config = replace(made.config, history_dropout=0.0)
    state = TrainState(made, LoopConfig(accumulate=2, bf16=False))
    figures = state._gradients()
    gradients = [p.grad.clone() for p in made.module.parameters() if p.grad is not None]
    assert len(gradients) == len(list(made.module.parameters())), "also of weights that a batch does not use"
    made.module.zero_grad()
    parts = [made.loss(made.batch(0, number), 0) for number in (0, 1)]
    frames = [part[1]["frames"] for part in parts]
    assert frames[0] != frames[1] and figures["frames"] == sum(frames)
    expected = sum(loss * count for (loss, _), count in zip(parts, frames, strict=True)) / sum(frames)
    assert isinstance(expected, torch.Tensor)
    expected.backward()
    assert figures["loss"] == pytest.approx(float(expected.detach()), rel=1e-6)
    for parameter, gradient in zip(made.module.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.gpu
def test_a_gpu_takes_the_steps_of_the_cpu():
    losses = []
    for device in ("cpu", "cuda"):
        made = ranks.objective()
        made.config = replace(made.config, history_dropout=0.0)  # its random numbers are the device's own
        state = TrainState(made, ranks.LOOP, Ranks(device=torch.device(device)))
        losses.append([state.advance()["loss"] for _ in range(3)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
