"""The bridge: teacher forcing and roll-out agree, padding changes nothing, gradients flow through the roll-out."""

from dataclasses import replace

import pytest
import torch

from uniaudio.diffusion.bridge import Bridge, BridgeConfig, Condition

SIZES = {"width": 32, "layers": 2, "heads": 2}
CONFIG = BridgeConfig(conditions={"caption": 24, "phones": 16}, loa_dim=20, num_tokens=6, max_positions=64, **SIZES)


@pytest.fixture(scope="module")
def bridge() -> Bridge:
    torch.manual_seed(0)
    return Bridge(CONFIG).eval()


def given(batch: int = 2) -> dict[str, Condition]:
    generator = torch.Generator().manual_seed(1)
    caption, phones = torch.randn(batch, 5, 24, generator=generator), torch.randn(batch, 7, 16, generator=generator)
    caption_mask, phones_mask = torch.ones(batch, 5), torch.ones(batch, 7)
    caption_mask[-1, 3:] = phones_mask[-1, 4:] = 0
    return {"caption": (caption, caption_mask), "phones": (phones, phones_mask)}


@pytest.mark.parametrize("padding_counts", [False, True])
@pytest.mark.parametrize("loa_dim", [20, 32])
def test_teacher_forcing_equals_the_rollout_on_its_own_outputs(loa_dim: int, padding_counts: bool) -> None:
    torch.manual_seed(0)
    bridge = Bridge(replace(CONFIG, loa_dim=loa_dim, padding_counts=padding_counts)).eval()
    made = bridge.rollout(given())
    assert made.shape == (2, 6, loa_dim)
    torch.testing.assert_close(bridge.teacher_forced(given(), made), made)


def test_a_prefix_stays_and_the_rest_follows_from_it(bridge: Bridge) -> None:
    made = bridge.rollout(given())
    torch.testing.assert_close(bridge.rollout(given(), prefix=made[:, :2]), made)
    other = bridge.rollout(given(), 9, prefix=-made[:, :2])
    assert other.shape == (2, 9, 20)
    assert torch.equal(other[:, :2], -made[:, :2])
    assert not torch.allclose(other[:, 2:6], made[:, 2:6], atol=1e-3)
    with pytest.raises(ValueError, match="leaves nothing to predict"):
        bridge.rollout(given(), 2, prefix=made[:, :2])


def test_padding_and_conditions_that_are_left_out_change_nothing(bridge: Bridge) -> None:
    made = bridge.rollout(given())
    alone = {"caption": tuple(part[1:, :3] for part in given()["caption"])}
    alone["phones"] = tuple(part[1:, :4] for part in given()["phones"])
    torch.testing.assert_close(bridge.rollout(alone), made[1:])
    phones = given()["phones"]
    masked = {**given(), "phones": (phones[0], torch.zeros_like(phones[1]))}
    torch.testing.assert_close(bridge.rollout(masked), bridge.rollout({"caption": given()["caption"]}))


def test_gradients_flow_through_the_cached_rollout(bridge: Bridge) -> None:
    made = bridge.rollout(given())
    made[:, -1].sum().backward()
    assert all(parameter.grad is not None for parameter in bridge.parameters())
    first = bridge.projections["caption"].weight.grad
    assert first is not None and first.abs().max() > 0
    bridge.zero_grad()


def test_losses_and_their_mask(bridge: Bridge) -> None:
    predictions, loa = torch.zeros(1, 2, 4), torch.full((1, 2, 4), 2.0)
    assert bridge.loss(predictions, loa).item() == 2
    assert bridge.loss(predictions, loa, "mse").item() == 4
    loa[0, 1] = 100
    assert bridge.loss(predictions, loa, mask=torch.tensor([[1, 0]])).item() == 2


def test_wrong_conditions_and_configs(bridge: Bridge) -> None:
    for conditions in ({}, {"image": given()["caption"]}):
        with pytest.raises(ValueError, match="must be some of"):
            bridge.rollout(conditions)
    with pytest.raises(ValueError, match="learned positions"):
        BridgeConfig(learned_positions={"phonemes": 3})
    with pytest.raises(ValueError, match="multiple of heads"):
        BridgeConfig(width=30, heads=4)
