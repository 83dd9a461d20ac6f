"""The training loop: overfits, resumes exactly after any kind of end, survives bad gradients."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from uniaudio import checkpoint
from uniaudio.errors import InputError
from uniaudio.recipes import debug, run
from uniaudio.train.log import TrainLog
from uniaudio.train.loop import LoopConfig, TrainState, train
from uniaudio.train.optim import OptimConfig, build_optimizers, lr_scale

ROOT = Path(__file__).resolve().parents[2]
OPTIMS = {
    "adamw": OptimConfig(lr=3e-3, warmup_steps=3),
    "muon": OptimConfig(name="muon", lr=3e-3, warmup_steps=3, schedule="wsd"),
}
OBJECTIVES = {"codec": debug.codec_objective, "lm": debug.lm_objective}


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(folder / "checkpoint").tensors


def assert_same(first: Path, second: Path) -> None:
    one, two = tensors_of(first), tensors_of(second)
    assert one.keys() == two.keys() and any(key.startswith("optimizer.") for key in one)
    for key, value in one.items():
        assert torch.equal(value, two[key]), key


@pytest.mark.parametrize("optim", OPTIMS)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("bf16", [False, True])
def test_resumed_equals_uninterrupted(tmp_path: Path, objective: str, optim: str, bf16: bool):
    loop = LoopConfig(steps=9, bf16=bf16, log_every=3, optim=OPTIMS[optim])
    make = OBJECTIVES[objective]
    assert train(make(), loop, tmp_path / "whole") == 9
    short = LoopConfig(**{**loop.__dict__, "stop_after_minutes": 0.0})
    for done in range(1, 10):  # every session does a single step
        assert train(make(), short, tmp_path / "parts") == done
    assert_same(tmp_path / "whole", tmp_path / "parts")
    steps = [json.loads(line)["step"] for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert steps == [3, 6, 9]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path, number: int, code: int):
    overrides = ["steps=60", "save_every_minutes=0.002", "log_every=1"]
    command = [sys.executable, "-m", "uniaudio", "train", "tts_debug", *overrides, "--run", str(tmp_path / "killed")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    log = tmp_path / "killed" / "log.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if log.exists() and len(log.read_text().splitlines()) > 8 and (tmp_path / "killed" / "checkpoint").exists():
            break
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(60) == code
    checkpoint.recover(tmp_path / "killed" / "checkpoint")  # the kill may have come between two renames
    saved = checkpoint.load(tmp_path / "killed" / "checkpoint").config["step"]
    assert 0 < saved < 60, "the run must have been stopped in its middle"
    run("tts_debug", overrides, run=tmp_path / "killed")
    run("tts_debug", overrides, run=tmp_path / "whole")
    assert_same(tmp_path / "killed", tmp_path / "whole")
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == sorted(set(steps)), "no step may be logged twice"


def test_the_debug_recipes_overfit_their_batch(tmp_path: Path):
    for name, key, share in (("codec_debug", "mel", 0.6), ("tts_debug", "loss", 0.1)):
        run(name, ["steps=80"], run=tmp_path / name)
        rows = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        assert rows[-1][key] < share * rows[0][key], f"{name}: {rows[0][key]} -> {rows[-1][key]}"


def test_a_step_without_a_finite_gradient_changes_nothing():
    objective = debug.lm_objective()
    state = TrainState(objective, LoopConfig(steps=5, bf16=False, optim=OPTIMS["adamw"]))
    state.advance()
    before = {k: v.clone() for k, v in objective.module.state_dict().items()}
    average = [a.clone() for a in state.ema.average]
    good = objective.loss
    objective.loss = lambda batch, step: (good(batch, step)[0] * float("nan"), {"frames": 1.0})  # type: ignore[method-assign]
    state.advance()
    assert state.step == 2
    assert all(torch.equal(before[k], v) for k, v in objective.module.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(average, state.ema.average, strict=True))


def test_a_batch_that_is_not_finite_changes_no_codec(monkeypatch: pytest.MonkeyPatch):
    objective = debug.codec_objective()
    state = TrainState(objective, LoopConfig(steps=30, bf16=False, optim=OPTIMS["adamw"]))
    good = objective.batch
    for quantized in (False, True):  # before the codebooks have started, and after
        state.step = 25
        if quantized:
            state.advance()
        before = {k: v.clone() for k, v in objective.module.state_dict().items()}
        with monkeypatch.context() as patch:
            patch.setattr(objective, "batch", lambda seed, step: (good(seed, step)[0] * float("nan"), good(0, 0)[1]))
            state.advance()
        assert all(torch.equal(before[k], v) for k, v in objective.module.state_dict().items())
        assert bool(objective.module.get_buffer("codec.quantizer.codebooks.0.started")) == quantized


def test_a_figure_is_averaged_over_the_steps_that_had_it(tmp_path: Path):
    log = TrainLog(tmp_path, 0, 4, every=4)
    for step in range(1, 5):
        log.add(step, {"loss": float(step), **({"late": 3.0} if step > 2 else {})}, 0.1)
    log.close()
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert row["loss"] == 2.5 and row["late"] == 3.0 and row["seconds_per_step"] == 0.1


def test_the_log_is_closed_when_a_step_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    closed: list[bool] = []
    monkeypatch.setattr(TrainLog, "close", lambda log: closed.append(True))
    objective = debug.lm_objective()
    monkeypatch.setattr(objective, "batch", lambda seed, step: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(objective, LoopConfig(steps=1, bf16=False), tmp_path)
    assert closed == [True]


@pytest.mark.parametrize("lost", ["step", "ema", "model", "optimizer", "stranger"])
def test_a_checkpoint_that_lacks_something_is_refused(tmp_path: Path, lost: str):
    loop = LoopConfig(steps=1, bf16=False)
    train(debug.lm_objective(), loop, tmp_path)
    loaded = checkpoint.load(tmp_path / "checkpoint")
    tensors, config = dict(loaded.tensors), dict(loaded.config)
    if lost == "step":
        del config["step"]
    elif lost == "stranger":
        tensors["other.x"] = torch.zeros(1)
    else:
        del tensors[next(name for name in sorted(tensors) if name.startswith(f"{lost}."))]
    checkpoint.save(tmp_path / "checkpoint", tensors, config)
    with pytest.raises(InputError):
        train(debug.lm_objective(), loop, tmp_path)


def test_the_time_limit_of_the_config_stays_unless_another_is_given(tmp_path: Path):
    assert LoopConfig(stop_after_minutes=5.0).ending_after(None).stop_after_minutes == 5.0
    assert LoopConfig(stop_after_minutes=5.0).ending_after(2.0).stop_after_minutes == 2.0
    run("tts_debug", ["steps=9", "stop_after_minutes=0"], run=tmp_path)
    assert checkpoint.load(tmp_path / "checkpoint").config["step"] == 1


def test_muon_needs_a_torch_that_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(InputError, match="torch >= 2.9"):
        run("tts_debug", ["optim.name=muon"], run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_configuration_is_refused(tmp_path: Path):
    loop = LoopConfig(steps=1, bf16=False)
    train(debug.lm_objective(), loop, tmp_path)
    with pytest.raises(InputError, match="another configuration"):
        train(debug.codec_objective(), loop, tmp_path)


def test_unknown_recipes_and_keys_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="unknown recipe"):
        run("nonsense", [], run=tmp_path)
    with pytest.raises(InputError, match="needs --corpus"):
        run("codec_mini", [], run=tmp_path)
    with pytest.raises(InputError, match="stepz"):
        run("tts_debug", ["stepz=3"], run=tmp_path)


def test_the_learning_rate_warms_up_holds_and_falls():
    wsd = OptimConfig(warmup_steps=10, schedule="wsd", decay_share=0.5, final_scale=0.1)
    assert [lr_scale(step, 110, wsd) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert lr_scale(50, 110, wsd) == 1.0
    assert lr_scale(85, 110, wsd) == pytest.approx(0.5)
    assert lr_scale(110, 110, wsd) == pytest.approx(0.1)
    cosine = OptimConfig(warmup_steps=10, schedule="cosine", final_scale=0.0)
    assert lr_scale(60, 110, cosine) == pytest.approx(0.5)


def test_muon_gets_hidden_matrices_only():
    model = debug.lm_objective().module
    adamw, muon = build_optimizers(model, OPTIMS["muon"])
    of_muon = {id(p) for group in muon.param_groups for p in group["params"]}
    of_adamw = {id(p) for group in adamw.param_groups for p in group["params"]}
    assert not of_muon & of_adamw and of_muon | of_adamw == {id(p) for p in model.parameters()}
    assert id(model.embedding.weight) in of_adamw and id(model.to_local.weight) in of_muon


def test_a_save_killed_between_its_renames_loses_nothing(tmp_path: Path):
    train(debug.lm_objective(), LoopConfig(steps=2, bf16=False), tmp_path)
    (tmp_path / "checkpoint").rename(tmp_path / ".checkpoint.old")
    (tmp_path / ".checkpoint.tmp").mkdir()
    assert train(debug.lm_objective(), LoopConfig(steps=3, bf16=False, log_every=1), tmp_path) == 3
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == [3], "the run must go on from step 2"
    assert not (tmp_path / ".checkpoint.tmp").exists()
