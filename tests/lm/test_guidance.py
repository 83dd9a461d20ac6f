"""Guidance, hidden conditions, the mean of a caption, and training on a share of the frames.

B batch, T frames, K slots, D width
"""

from dataclasses import replace

import pytest
import torch
from tests.lm.test_language_models import LEGAL, NUM_IDS, ORDERS, SLOTS, VECTOR_DIM, make, request, sequence

from uniaudio.errors import InputError
from uniaudio.lm.multiscale import MultiScaleConfig, MultiScaleLM
from uniaudio.lm.sampling import Sampling, guide
from uniaudio.nn.transformer import TransformerConfig
from uniaudio.sequence.batch import Batch, collate, hide_conditions
from uniaudio.sequence.layout import ROLES
from uniaudio.train.objectives.lm import LMObjective, LMObjectiveConfig

FILL = 5
TINY = TransformerConfig(width=32, layers=1, heads=2)


def captioned(target: int = 6) -> Batch:
    """Two rows with a caption of two vectors each."""
    rows = [sequence(seed, 4, target) for seed in (1, 2)]
    for row, one in enumerate(rows):
        one.vectors.append((2, torch.randn(2, VECTOR_DIM, generator=torch.Generator().manual_seed(row))))
    return collate(rows, VECTOR_DIM)


def with_mean() -> MultiScaleLM:
    torch.manual_seed(0)
    sizes = {"num_ids": NUM_IDS, "num_slots": SLOTS, "num_roles": len(ROLES), "vector_dim": VECTOR_DIM}
    return MultiScaleLM(MultiScaleConfig(**sizes, caption_mean=True, in_step=True, global_=TINY, local_=TINY)).eval()


def test_guidance_extrapolates_from_the_logits_without_conditions():
    given, without = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.5]])
    assert torch.equal(guide(given, Sampling()), given)
    assert torch.allclose(guide(torch.cat((given, without)), Sampling(guidance=2.0)), torch.tensor([[2.0, -0.5]]))
    with pytest.raises(ValueError, match="guidance"):
        Sampling(guidance=0.5)


@pytest.mark.parametrize("order", ORDERS)
def test_rows_without_conditions_that_equal_the_others_change_nothing(order: str):
    model, batch = make(order), collate([sequence(seed, 3) for seed in (1, 2)])
    bounds = [(5, 5), (8, 8)]
    plain = model.generate(batch, request(bounds, Sampling(top_k=0)))
    guided = model.generate(batch.twice(), request(bounds, Sampling(top_k=0, guidance=3.0)))
    assert [frames.tolist() for frames in guided] == [frames.tolist() for frames in plain]


@pytest.mark.parametrize("order", ORDERS)
def test_guidance_moves_the_choice_and_rows_stay_apart(order: str):
    model, rows = make(order), [sequence(seed, 3) for seed in (1, 2)]
    sampling = Sampling(top_k=0, guidance=400.0)

    def generate(chosen: list[int]) -> list[list[list[int]]]:
        batch = collate([rows[row] for row in chosen]).twice()
        half = len(chosen)
        batch.frames[half:, 2:4] = FILL
        wanted = request([(6, 6)] * half, sampling)
        wanted.generators = [torch.Generator().manual_seed(row) for row in chosen]
        return [frames.tolist() for frames in model.generate(batch, wanted)]

    both = generate([0, 1])
    assert both == generate([0]) + generate([1])
    plain = request([(6, 6)] * 2, Sampling(top_k=0))
    plain.generators = [torch.Generator().manual_seed(row) for row in (0, 1)]
    assert both != [frames.tolist() for frames in model.generate(collate(rows), plain)]


def test_hidden_conditions_keep_marks_and_target():
    batch = captioned()
    batch.roles[batch.target] = ROLES.index("target")
    frames = hide_conditions(batch, torch.tensor([False, True]), FILL)
    assert torch.equal(frames[0], batch.frames[0])
    condition = (batch.roles[1] > 0) & ~batch.target[1]
    assert (frames[1][condition] == FILL).all() and torch.equal(frames[1][~condition], batch.frames[1][~condition])
    assert batch.vector_mask is not None and batch.vector_mask.sum(1).tolist() == [2, 0]


def test_the_mean_of_a_caption_reaches_the_target_alone_and_generation_hears_it():
    model, batch = with_mean(), captioned()
    batch.roles[:] = 0
    mean = model.caption_mean(batch)
    assert mean is not None and batch.vectors is not None
    expected = model.mean_projection(batch.vectors[:, 2:4].mean(1))  # type: ignore[misc]
    assert torch.allclose(mean[:, 0], expected, atol=1e-6)
    prompt = captioned(0)
    prompt.roles[:] = 0
    bounds = [(5, 5), (5, 5)]
    before = model.generate(prompt, request(bounds, Sampling(temperature=0)))
    with torch.no_grad():
        model.mean_projection.weight.mul_(40)  # type: ignore[union-attr]
    after = model.generate(prompt, request(bounds, Sampling(temperature=0)))
    assert [x.tolist() for x in before] != [x.tolist() for x in after]


def test_generation_with_a_caption_predicts_what_training_scores():
    model, prompt = with_mean(), captioned(0)
    prompt.roles[:] = 0
    made = model.generate(prompt, request([(5, 5), (5, 5)], Sampling(temperature=0)))
    whole = captioned(5)
    whole.roles[:], whole.roles[whole.target] = 0, 2
    first = int(whole.target[0].nonzero()[0, 0])
    for row in range(2):
        whole.frames[row, first : first + 5] = made[row]
    best = model.losses(whole, LEGAL)[0]
    for row in range(2):  # greedy frames are likelier than others
        whole.frames[row, first : first + 5, 0] = LEGAL.ranges[0][0] + (made[row][:, 0] - LEGAL.ranges[0][0] + 7) % 20
    assert best < model.losses(whole, LEGAL)[0]


def test_a_share_of_the_frames_is_an_unbiased_sample():
    model, batch = with_mean(), captioned(12)
    with torch.no_grad():
        whole = torch.stack(model.losses(batch, LEGAL))
        some = torch.stack([torch.stack(model.losses(batch, LEGAL, 0.0, 0.5)) for _ in range(400)])
    assert torch.allclose(some[:, 0], whole[0].expand(400), atol=1e-4)  # slot 0 sees every frame
    assert torch.allclose(some.mean(0), whole, atol=0.05) and (some[:, 1:].std(0) > 1e-3).all()


def test_training_hides_what_the_config_says():
    model, seen = with_mean(), []
    config = LMObjectiveConfig(history_blackout=0.5, condition_dropout=0.5)
    objective = LMObjective(model, LEGAL, lambda seed, step: captioned(), config, FILL)
    torch.manual_seed(0)
    for step in range(40):
        batch = objective.batch(0, step)
        batch.roles[batch.target] = ROLES.index("target")
        objective.loss(batch, step)
        assert batch.inputs is not None
        hidden = batch.inputs[..., 0] == FILL
        dark = [bool(hidden[row][batch.target[row]].all()) for row in range(2)]
        blind = [bool(hidden[row][(batch.roles[row] > 0) & ~batch.target[row]].all()) for row in range(2)]
        assert all(hidden[row].sum() in (0, 4, 7, 11) for row in range(2))
        seen += list(zip(dark, blind, strict=True))
    assert set(seen) == {(a, b) for a in (True, False) for b in (True, False)}
    with pytest.raises(InputError, match="local_share"):
        replace(config, local_share=1.5)


def test_a_prompt_of_random_length_is_spared_or_hidden_alone():
    """Blackouts hide what follows the prompt, `prompt_dropout` the prompt; where it ends is drawn anew."""
    config = LMObjectiveConfig(history_blackout=0.5, prompt_frames=2, prompt_dropout=0.5)
    batch = captioned()
    objective = LMObjective(with_mean(), LEGAL, lambda seed, step: batch, config, FILL)
    torch.manual_seed(0)
    seen: set[tuple[bool, ...]] = set()
    for _ in range(200):
        objective._hide(batch)
        assert batch.inputs is not None
        hidden = batch.inputs[..., 0] == FILL
        assert not hidden[~batch.target].any()
        seen.add(tuple(hidden[0][batch.target[0]].tolist()))
    size = int(batch.target[0].sum())
    assert tuple([False] * size) in seen and tuple([True] * size) in seen
    assert all(pattern[0] == pattern[1] for pattern in seen), "a prompt has two frames at least"
    changes = [sum(a != b for a, b in zip(pattern, pattern[1:], strict=False)) for pattern in seen]
    assert max(changes) == 1 and len(seen) == 2 + 2 * (size - 2)


def test_conditions_in_step_are_added_where_their_moment_is_predicted():
    model, batch = with_mean(), collate([sequence(1, 4, 6), sequence(2, 2, 3)])
    embedded = model.embed(batch.frames, batch.roles)
    added = model.added(batch, embedded)
    assert added is not None and added.shape == (2, 5, 32) and not added[:, -1].any() and not added[1, 3:].any()
    weight = model.step_projection.weight.chunk(3, dim=1)  # type: ignore[union-attr]
    before, now, after = (embedded[0, 2 + step] for step in (0, 1, 2))  # the condition stands after two marks
    assert torch.allclose(added[0, 1], weight[0] @ before + weight[1] @ now + weight[2] @ after, atol=1e-6)
    moved = model.with_added(batch, embedded, added) - embedded
    assert torch.allclose(moved[0, 6:10], added[0, :4], atol=1e-6)  # the last mark predicts the first moment
    assert not moved[0, :6].any() and not moved[0, 10:].any() and not moved[1, :4].any()


@pytest.mark.parametrize("rows", [1, 2])
def test_generation_adds_what_training_adds(rows: int):
    """Greedy frames are the likeliest ones in the teacher-forced pass over themselves."""
    model = with_mean()
    with torch.no_grad():
        model.step_projection.weight.mul_(20)  # type: ignore[union-attr]
    prompt = collate([sequence(seed, 3 + seed) for seed in range(rows)])
    made = model.generate(prompt, request([(6, 6)] * rows, Sampling(temperature=0)))
    whole = collate([sequence(seed, 3 + seed, made[seed]) for seed in range(rows)])
    embedded = model.embed(whole.frames, whole.roles)
    states = model(model.with_added(whole, embedded, model.added(whole, embedded)), whole.positions)
    for row in range(rows):
        first = 5 + 3 + row - 2  # the last frame of the prompt is two marks, the condition and a mark
        logits = model.local_logits(states[row, first - 1 : first + 5], made[row], LEGAL)
        assert torch.equal(logits[0][:, :-1].argmax(1) + LEGAL.ranges[0][0], made[row][:, 0])


def test_a_voice_reaches_the_target_alone_whatever_the_order_of_its_frames():
    torch.manual_seed(0)
    sizes = {"num_ids": NUM_IDS, "num_slots": SLOTS, "num_roles": len(ROLES), "voice_role": 3}
    model = MultiScaleLM(MultiScaleConfig(**sizes, global_=TINY, local_=TINY)).eval()
    batch = collate([sequence(1, 8, 4), sequence(2, 5, 4)])
    batch.roles[:] = 0
    embedded = model.embed(batch.frames, batch.roles)
    assert model.added(batch, embedded) is None, "no voice, nothing added"
    batch.roles[0, 2:6] = 3
    assert not model.added(batch, embedded).any(), "before training it adds nothing"  # type: ignore[union-attr]
    torch.nn.init.normal_(model.voice_projection.weight)  # type: ignore[union-attr]
    added = model.added(batch, embedded)
    assert added is not None and added.shape == (2, 1, TINY.width)
    assert added[0].any() and not added[1].any(), "the row without a voice gets nothing"
    swapped = embedded[:, [0, 1, 5, 4, 3, 2, *range(6, embedded.shape[1])]]
    assert torch.allclose(model.added(batch, swapped)[0], added[0], atol=1e-5)  # type: ignore[index]
    changed = model.with_added(batch, embedded, added) != embedded
    assert changed.any(2)[0].nonzero()[:, 0].tolist() == list(
        range(int(batch.target[0].nonzero()[0, 0]) - 1, changed.shape[1])
    )
