"""What large runs need besides processes: sizes, a guard against spikes, the count of operations, recomputed blocks."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from tests.train import ranks
from torch.utils.flop_counter import FlopCounterMode

from uniaudio import checkpoint
from uniaudio.errors import InputError
from uniaudio.lm.interface import Legal
from uniaudio.lm.multiscale import MultiScaleConfig
from uniaudio.lm.orders import build, training_flops
from uniaudio.lm.pattern_lm import PatternConfig
from uniaudio.nn.transformer import TransformerConfig
from uniaudio.recipes.lm import SIZES, lm_config
from uniaudio.sequence.batch import Batch
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.train.guard import SpikeGuard
from uniaudio.train.log import TrainLog
from uniaudio.train.loop import LoopConfig, TrainState, train

LOOP = replace(ranks.LOOP, accumulate=1, steps=12)


@pytest.mark.parametrize(("size", "millions"), [("mini", 19), ("base", 186), ("large", 945)])
def test_the_sizes_of_the_recipes(size: str, millions: int):
    recipe = SIZES[size]
    with torch.device("meta"):
        model = build(lm_config(recipe, Vocabulary.new(recipe.num_codebooks, recipe.codebook_size)))
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6) == millions


# The guard


def test_the_guard_skips_spikes_and_accepts_a_rise_that_stays():
    guard = SpikeGuard(3.0, 5)
    assert not any(guard.skips(1.0, 1.0 + step) for step in range(5)), "nothing before the window is full"
    assert not guard.skips(2.9, 3.0)
    assert guard.skips(3.1, 3.0) and guard.skips(1.0, 100.0)
    steps = 0
    while guard.skips(10.0, 10.0):
        steps += 1
    assert 0 < steps <= 3, "half a window later the new level is the usual one"
    assert not any(SpikeGuard(0.0, 5).skips(10.0**step, 1.0) for step in range(20)), "0 is off"
    negative = SpikeGuard(2.0, 3)
    assert [negative.skips(loss, 1.0) for loss in (-1.0, -1.0, -1.0, -1.1, 0.5)] == [False] * 4 + [True]


def spiking(at: int):
    """The objective of `ranks`, with a loss that is a hundred times too large in one step."""
    made = ranks.objective()
    good = made.loss

    def loss(batch: Batch, step: int):
        value, figures = good(batch, step)
        return value * (100.0 if step == at else 1.0), figures

    made.loss = loss  # type: ignore[method-assign]
    return made


def test_a_spike_is_skipped_counted_and_resumed_exactly(tmp_path: Path):
    loop = replace(LOOP, spike_factor=3.0, spike_window=4, log_every=4)
    train(spiking(9), loop, tmp_path / "whole")
    for _ in range(12):
        train(spiking(9), replace(loop, stop_after_minutes=0.0), tmp_path / "parts")
    one, two = (checkpoint.load(tmp_path / name / "checkpoint") for name in ("whole", "parts"))
    assert one.config["guard"] == two.config["guard"] and len(one.config["guard"]) == 4
    assert all(torch.equal(value, two.tensors[name]) for name, value in one.tensors.items())
    rows = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [row["skipped"] for row in rows] == [0, 0, 1]


def test_a_skipped_step_changes_nothing_and_off_changes_everything():
    for factor, same in ((3.0, True), (0.0, False)):
        state = TrainState(spiking(5), replace(LOOP, spike_factor=factor, spike_window=4))
        for _ in range(5):
            state.advance()
        before = {name: value.clone() for name, value in state.objective.module.state_dict().items()}
        assert state.advance()["skipped"] == float(same)
        after = state.objective.module.state_dict()
        assert all(torch.equal(before[name], value) for name, value in after.items()) == same


@pytest.mark.parametrize("damage", ["text", [1.0], [[1.0]]])
def test_a_damaged_guard_is_refused(tmp_path: Path, damage: object):
    loop = replace(LOOP, steps=1, spike_factor=3.0)
    train(ranks.objective(), loop, tmp_path)
    loaded = checkpoint.load(tmp_path / "checkpoint")
    checkpoint.save(tmp_path / "checkpoint", loaded.tensors, {**loaded.config, "guard": damage})
    with pytest.raises(InputError, match="damaged"):
        train(ranks.objective(), loop, tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [{"accumulate": 0}, {"spike_window": 0}, {"spike_factor": 0.5}, {"save_every_steps": -1}, {"peak_flops": -1.0}],
)
def test_values_that_make_no_sense_are_refused(wrong: dict):
    with pytest.raises(InputError, match=next(iter(wrong))):
        LoopConfig(**wrong)


# Checkpoints by steps


def test_a_checkpoint_every_few_steps(tmp_path: Path):
    made, seen = ranks.objective(), []
    good = made.loss

    def loss(batch: Batch, step: int):
        path = tmp_path / "checkpoint"
        seen.append(checkpoint.load(path).config["step"] if path.exists() else 0)
        return good(batch, step)

    made.loss = loss  # type: ignore[method-assign]
    train(made, replace(LOOP, steps=8, save_every_steps=3), tmp_path)
    assert seen == [0, 0, 0, 3, 3, 3, 6, 6]


# Compiled blocks


@pytest.mark.parametrize("recompute", [False, True])
def test_blocks_are_compiled_and_train_alike(recompute: bool, monkeypatch: pytest.MonkeyPatch):
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]):
        graphs.append(graph)
        return graph.forward  # the traced operations as they are: no compiler is needed

    expected = TrainState(ranks.objective(), LOOP)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    torch.compiler.reset()
    state = TrainState(ranks.objective(), replace(LOOP, compile=True, recompute=recompute))
    for _ in range(2):
        assert state.advance()["loss"] == pytest.approx(expected.advance()["loss"], rel=1e-5)
    operations = {str(node.target) for graph in graphs for node in graph.graph.nodes}
    assert any("gelu" in name for name in operations) and any("attention" in name for name in operations)


# Operations


@pytest.mark.parametrize("order", ["multiscale", "delay", "flatten"])
def test_operations_are_those_that_torch_counts(order: str):
    slots, sizes = 4, TransformerConfig(width=64, layers=2, heads=2)
    legal = Legal(tuple((1 + 50 * slot, 51 + 50 * slot) for slot in range(slots)), 0)
    local = replace(sizes, width=32)
    multiscale = MultiScaleConfig(num_ids=201, num_slots=slots, global_=sizes, local_=local)
    model = build(
        multiscale
        if order == "multiscale"
        else PatternConfig(num_ids=201, num_slots=slots, pattern=order, transformer=sizes)
    )
    frames = torch.stack([torch.randint(*span, (3, 24)) for span in legal.ranges], dim=-1)
    target = torch.arange(24).expand(3, 24) >= 8
    places, lengths = torch.arange(24).expand(3, 24), torch.full((3,), 24)
    batch = Batch(frames, places, torch.zeros_like(places), lengths, target)
    with FlopCounterMode(display=False) as counter:
        torch.stack(model.losses(batch, legal)).sum().backward()
    attention = sum(
        count for name, count in counter.get_flop_counts()["Global"].items() if "attention" in str(name).lower()
    )
    counted = counter.get_total_flops() - attention
    assert training_flops(model, batch, legal) == pytest.approx(counted, rel=0.1)


def test_the_share_of_the_peak_is_logged(tmp_path: Path):
    log = TrainLog(tmp_path, 0, 2, every=2, peak_flops=1000.0)
    for step in (1, 2):
        log.add(step, {"loss": 1.0, "frames": 10.0, "flops": 50.0, "skipped": float(step == 2)}, 0.25)
    log.close()
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert row["mfu"] == 0.2 and row["frames_per_second"] == 40.0 and row["skipped"] == 1 and "flops" not in row


# Memory


def test_recomputed_blocks_give_the_same_weights_and_keep_less():
    kept, weights = {}, {}
    for recompute in (False, True):
        made = ranks.objective()
        state = TrainState(made, replace(LOOP, recompute=recompute))
        sizes: list[int] = []

        def keep(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss, _ = state.network(made.batch(0, 0), 0)
        loss.backward()
        made.module.zero_grad()
        state.advance()
        kept[recompute] = sum(sizes)
        weights[recompute] = [parameter.detach().clone() for parameter in made.module.parameters()]
    assert all(torch.equal(one, two) for one, two in zip(weights[False], weights[True], strict=True))
    assert kept[True] < 0.6 * kept[False]
