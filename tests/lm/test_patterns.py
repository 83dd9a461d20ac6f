"""Code orders: each is the order it claims, and a bijection between cells and steps."""

import pytest
import torch

from uniaudio.lm.patterns import PATTERNS, Pattern, coarse_first, delay, flatten, parallel

SIZES = [(frames, slots) for frames in (1, 2, 3, 7) for slots in (1, 2, 3, 8)]
NUM_STEPS = {
    "flatten": lambda frames, slots: frames * slots,
    "parallel": lambda frames, slots: frames,
    "delay": lambda frames, slots: frames + slots - 1,
    "coarse_first": lambda frames, slots: frames * min(slots, 2),
}


@pytest.fixture(params=PATTERNS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_four_orders_are_what_they_say() -> None:
    assert flatten(2).cells(2) == [[(0, 0)], [(0, 1)], [(1, 0)], [(1, 1)]]
    assert parallel(2).cells(2) == [[(0, 0), (0, 1)], [(1, 0), (1, 1)]]
    assert delay(3).cells(2) == [[(0, 0)], [(0, 1), (1, 0)], [(0, 2), (1, 1)], [(1, 2)]]
    assert coarse_first(3).cells(2) == [[(0, 0)], [(1, 0)], [(0, 1), (0, 2)], [(1, 1), (1, 2)]]


@pytest.mark.parametrize(("frames", "slots"), SIZES)
def test_every_cell_is_in_one_step_and_no_step_is_empty(name: str, frames: int, slots: int) -> None:
    pattern = PATTERNS[name](slots)
    steps = pattern.cells(frames)
    assert len(steps) == pattern.num_steps(frames) == NUM_STEPS[name](frames, slots)
    assert all(steps)
    assert sorted(cell for step in steps for cell in step) == [(t, k) for t in range(frames) for k in range(slots)]
    for step in steps:
        assert len({slot for _, slot in step}) == len(step), "a step has one cell of a slot at most"


@pytest.mark.parametrize(("frames", "slots"), SIZES)
def test_tensors_agree_with_the_lists(name: str, frames: int, slots: int) -> None:
    pattern, count = PATTERNS[name](slots), torch.tensor([frames])
    expected = pattern.cells(frames)
    step_of = pattern.step_of(count, torch.arange(frames)[None])[0]
    at, there = pattern.frame_at(count, torch.arange(len(expected))[None])
    for number, step in enumerate(expected):
        assert all(step_of[cell] == number for cell in step)
        found = [(int(at[0, number, slot]), slot) for slot in range(slots) if there[0, number, slot]]
        assert sorted(found) == sorted(step)
    assert not pattern.frame_at(count, torch.tensor([[len(expected)]]))[1].any()


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_to_steps_and_back_is_the_identity_on_ragged_batches(name: str, slots: int) -> None:
    pattern, counts = PATTERNS[name](slots), torch.tensor([5, 1, 0, 3])
    frames = torch.randint(1, 1000, (4, 5, slots))
    steps, filled = pattern.to_steps(frames, counts)
    assert filled.sum((1, 2)).tolist() == [count * slots for count in counts.tolist()]
    assert (steps[~filled] == 0).all() and (steps[filled] > 0).all()
    real = (torch.arange(5) < counts[:, None])[..., None]
    assert torch.equal(pattern.to_frames(steps, counts), frames * real)
    again = pattern.to_steps(pattern.to_frames(steps, counts), counts)
    assert torch.equal(again[0], steps) and torch.equal(again[1], filled)
    for row, count in enumerate(counts.tolist()):
        alone, alone_filled = pattern.to_steps(frames[row : row + 1, :count], counts[row : row + 1])
        assert torch.equal(steps[row, : alone.shape[1]], alone[0])
        assert torch.equal(filled[row, : alone.shape[1]], alone_filled[0])
        assert not filled[row, alone.shape[1] :].any()


def test_the_end_mark_is_the_first_slot_of_the_frame_after_the_last(name: str) -> None:
    pattern, counts = PATTERNS[name](3), torch.tensor([4, 2])  # with the end mark's frame
    frames = torch.randint(1, 1000, (2, 4, 3))
    steps, filled = pattern.to_steps(frames, counts, ended=torch.tensor([True, False]))
    assert filled.sum((1, 2)).tolist() == [3 * 3 + 1, 2 * 3]
    assert pattern.end_step(3) == {"flatten": 9, "parallel": 3, "delay": 3, "coarse_first": 3}[name]
    assert filled[0, pattern.end_step(3), 0] and steps[0, pattern.end_step(3), 0] == frames[0, 3, 0]


def test_a_slot_sees_what_runs_in_step_at_one_distance(name: str) -> None:
    pattern = PATTERNS[name](3)
    for frames in (1, 4, 6):
        for number, step in enumerate(pattern.cells(frames)):
            moment = int(pattern.moment(torch.tensor([frames]), torch.tensor([[number]])))
            for frame, slot in step:
                assert moment - frame == (slot if name == "delay" else 0)


def test_with_one_slot_all_orders_are_one(name: str) -> None:
    assert PATTERNS[name](1) == Pattern(1, (0,), (0,))
