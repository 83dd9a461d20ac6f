"""The stages of AudioLDM 2: what moves and what does not, resuming, and two clips that are learnt by heart."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from uniaudio import checkpoint
from uniaudio.data.latents import LatentSet, LatentWriter, window_phones, window_starts
from uniaudio.data.manifests import Row
from uniaudio.diffusion.bridge import Bridge, BridgeConfig
from uniaudio.diffusion.denoiser import Denoiser, DenoiserConfig, NoiseConfig
from uniaudio.diffusion.phones import TimedPhones, TimedPhonesConfig, one_hot
from uniaudio.errors import InputError
from uniaudio.ssl.audiomae import pool
from uniaudio.tokenizers.phoneme import PHONEME_IDS
from uniaudio.train.loop import LoopConfig, TrainState, train
from uniaudio.train.objectives.latent import LatentObjective, LatentObjectiveConfig, dropped, told
from uniaudio.train.optim import OptimConfig

GRID = (8, 4)
LOOP = LoopConfig(steps=4, bf16=False, optim=OptimConfig(lr=2e-3, warmup_steps=2))
SHARES = {"sound": 0.5, "speech": 0.5}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> LatentSet:
    folder = tmp_path_factory.mktemp("latents")
    random = torch.Generator().manual_seed(0)
    writer = LatentWriter(folder, 4, (4, 8, 4), (32, 8), 32)
    for index in range(4):
        kind = "sound" if index < 2 else "speech"
        row = Row(id=f"{index}", audio=folder, split="train", seconds=1.0, speaker="" if index < 2 else "ann")
        captions = [torch.randn(3 + index, 6, generator=random)] if index < 2 else []
        owner = writer.recording(row, kind, captions)
        phones = np.zeros(32, np.uint8) if index < 2 else np.arange(32, dtype=np.uint8) // 8 + 1
        latent = torch.randn(1, 4, 8, 4, generator=random)
        writer.windows(latent, torch.randn(1, 32, 8, generator=random), [phones], [owner])
    writer.close({"digest": "0"})
    return LatentSet(folder)


def _networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    denoiser = DenoiserConfig(
        latent_channels=4,
        extra_channels=2,
        loa_dim=8,
        text_dim=6,
        channels=(16, 16),
        attention=(False, True),
        layers_per_block=1,
        head_width=8,
        norm_groups=8,
        noise=NoiseConfig(prediction="v_prediction"),
        snr_limit=5.0,
    )
    bridge = BridgeConfig(
        conditions={"caption": 6, "voice": 8, "phones": 8}, loa_dim=8, num_tokens=2, width=16, layers=1, heads=2
    )
    phones = TimedPhonesConfig(num_ids=8, width=4, channels=2, bins=4)
    return {"denoiser": Denoiser(denoiser), "phones": TimedPhones(phones), "bridge": Bridge(bridge)}


def _objective(data: LatentSet, stage, networks=None, **changes) -> LatentObjective:
    config = LatentObjectiveConfig(stage=stage, batch_size=4, shares=SHARES, poolings=(2, 4), pooling=4, **changes)
    return LatentObjective(networks or _networks(), data, GRID, config)


def test_a_batch_is_of_its_seed_and_step(data: LatentSet) -> None:
    first, again, other = (data.batch(SHARES, 8, 0, step) for step in (3, 3, 4))
    assert torch.equal(first.latent, again.latent) and torch.equal(first.caption, again.caption)
    assert not torch.equal(first.latent, other.latent)
    said = first.phones.any(1)
    assert torch.equal(said, first.voiced)  # speech has a voice, phones and no caption
    assert torch.equal(~said, first.caption_mask.any(1))
    with pytest.raises(InputError, match="music"):
        data.batch({"music": 1.0}, 2, 0, 0)


def test_windows_cover_a_recording() -> None:
    assert window_starts(1000, 81920) == [0]
    assert window_starts(81920 * 2, 81920) == [0, 81920]
    assert window_starts(100000, 81920) == [0, 100000 - 81920]
    assert window_starts(83000, 81920) == [0]  # what is left is too short


def test_phones_of_a_window() -> None:
    timed = [("sil", 0.0, 0.1), ("p", 0.1, 0.2)]
    assert window_phones(timed, 0.0, 12).tolist() == [PHONEME_IDS["sil"] + 1] * 5 + [PHONEME_IDS["p"] + 1] * 5 + [0, 0]
    assert window_phones(timed, 0.1, 6).tolist() == [PHONEME_IDS["p"] + 1] * 5 + [0]


def test_phones_are_channels_and_silence_is_zero() -> None:
    network = TimedPhones(TimedPhonesConfig(num_ids=8, width=4, channels=2, bins=4))
    ids = torch.tensor([[1, 1, 2, 2, 2, 2, 3, 0], [0] * 8])
    extra = network(ids)
    assert extra.shape == (2, 2, 2, 4)
    assert bool(extra[0].any()) and not bool(extra[1].any())
    values, mask = one_hot(ids, 8)
    assert values.argmax(2)[0].tolist() == [1, 2, 3] and mask.tolist() == [[True] * 3, [False] * 3]


@pytest.mark.parametrize(
    ("stage", "moved"),
    [("diffusion", {"denoiser", "phones"}), ("bridge", {"bridge"}), ("joint", {"denoiser", "phones", "bridge"})],
)
def test_a_stage_moves_its_networks_and_no_other(data: LatentSet, stage, moved) -> None:
    networks = _networks()
    before = {name: [p.detach().clone() for p in part.parameters()] for name, part in networks.items()}
    state = TrainState(_objective(data, stage, networks, true_share=0.0, bridge_weight=0.0), LOOP)
    for _ in range(3):
        state.advance()
    changed = {
        name
        for name, part in networks.items()
        if any(not torch.equal(old, new) for old, new in zip(before[name], part.parameters(), strict=True))
    }
    assert changed == moved  # in "joint", the gradient that moves the bridge has come through the roll-out alone


def test_the_true_language_of_audio_has_its_share(data: LatentSet) -> None:
    objective = _objective(data, "joint", true_share=0.25)
    seen = []
    for step in range(60):
        torch.manual_seed(step)
        with torch.no_grad():
            seen.append(objective.loss(objective.batch(0, step), step)[1]["true"])
    assert 0.1 < np.mean(seen) < 0.4


def test_a_batch_of_the_bridge_is_of_one_kind_and_of_all_in_their_shares(data: LatentSet) -> None:
    objective = _objective(data, "bridge")
    said = [objective.batch(0, step).phones.any(1) for step in range(40)]
    assert all(bool(one.all()) or not bool(one.any()) for one in said)
    assert 8 < sum(bool(one.all()) for one in said) < 32
    objective.config = replace(objective.config, shares={"music": 1.0})
    with pytest.raises(InputError, match="music"):
        objective.batch(0, 0)


def test_a_bridge_learns_from_what_it_rolls_out(data: LatentSet) -> None:
    """Rolled out, the loss is that of generation, and the gradient goes through the vectors before."""
    objective = _objective(data, "bridge", rollout_share=1.0, drop=0.0)
    batch = objective.batch(0, 0)
    bridge = objective.module["bridge"]
    assert isinstance(bridge, Bridge)
    loss, figures = objective.loss(batch, 0)
    true = pool(batch.features, GRID, 4)
    assert figures["rolled_out"] == 1.0
    torch.testing.assert_close(loss, (bridge.rollout(told(batch, bridge), true.shape[1]) - true).abs().mean())
    loss.backward()
    assert bridge.read.weight.grad is not None and bool(bridge.read.weight.grad.any())
    assert _objective(data, "bridge").loss(batch, 0)[1]["rolled_out"] == 0.0


def test_dropped_conditions_change_nothing_else(data: LatentSet) -> None:
    networks = _networks()
    bridge = networks["bridge"]
    assert isinstance(bridge, Bridge)
    conditions = told(data.batch(SHARES, 3, 0, 0), bridge)
    none = dropped(conditions, 1.0)
    assert not any(bool(mask.any()) for _, mask in none.values())
    rolled = bridge.rollout(none, 2)
    assert torch.allclose(rolled[0], rolled[1], atol=1e-6)  # whatever they were


@pytest.mark.parametrize("stage", ["diffusion", "bridge", "joint"])
def test_resumed_is_uninterrupted(data: LatentSet, stage, tmp_path) -> None:
    train(_objective(data, stage), LOOP, tmp_path / "whole")
    first = TrainState(_objective(data, stage), LOOP)
    for _ in range(2):
        first.advance()
    first.save(tmp_path / "cut" / "checkpoint")
    train(_objective(data, stage), LOOP, tmp_path / "cut")
    whole, cut = (checkpoint.load(tmp_path / name / "checkpoint").tensors for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_two_clips_are_learnt(data: LatentSet) -> None:
    objective = _objective(data, "diffusion")
    objective.config = replace(objective.config, shares={"sound": 1.0})

    def error() -> float:
        torch.manual_seed(0)
        with torch.no_grad():
            return float(
                np.mean([objective.loss(objective.batch(9, step), step)[1]["diffusion"] for step in range(12)])
            )

    before = error()
    state = TrainState(objective, replace(LOOP, steps=60, optim=OptimConfig(lr=5e-3, warmup_steps=5)))
    for _ in range(60):
        state.advance()
    assert error() < 0.75 * before
