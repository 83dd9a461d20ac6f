"""Sampling: filters, random streams, and what may and may not come out."""

import pytest
import torch

from uniaudio.lm.sampling import Sampling, filter_logits, forbid_repetition, make_generators, sample


def draws(logits: torch.Tensor, sampling: Sampling, times: int, seed: int = 0) -> torch.Tensor:
    """Return `times` choices [times, B] in a row."""
    generators = make_generators([seed + row for row in range(len(logits))])
    return torch.stack([sample(logits, sampling, generators) for _ in range(times)])


def kept(logits: torch.Tensor, **options: float) -> list[list[int]]:
    """Return per row the candidates that survive the filter."""
    filtered = filter_logits(logits, Sampling(**{"temperature": 1.0, "top_k": 0, **options}))
    return [row.isfinite().nonzero()[:, 0].tolist() for row in filtered]


def test_temperature_zero_is_greedy_and_draws_nothing() -> None:
    logits = torch.randn(4, 20)
    generators = make_generators([1, 2, 3, 4])
    before = [generator.get_state() for generator in generators]
    choice = sample(logits, Sampling(temperature=0.0, top_k=3, top_p=0.1), generators)
    assert torch.equal(choice, logits.argmax(-1))
    assert all(torch.equal(g.get_state(), state) for g, state in zip(generators, before, strict=True))


def test_temperature_near_zero_is_greedy_too() -> None:
    logits = torch.randn(4, 20)
    assert (draws(logits, Sampling(temperature=1e-5, top_k=0), 20) == logits.argmax(-1)).all()


def test_top_k_keeps_the_k_best() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0, 2.0], [4.0, 3.0, 2.0, 1.0]])
    assert kept(logits, top_k=2) == [[1, 3], [0, 1]]
    assert kept(logits, top_k=1) == [[1], [0]]
    assert kept(logits, top_k=0) == kept(logits, top_k=4) == kept(logits, top_k=99) == [[0, 1, 2, 3]] * 2


def test_top_k_does_not_revive_what_is_forbidden() -> None:
    logits = torch.tensor([[float("-inf"), 1.0, float("-inf"), 0.0]])
    assert kept(logits, top_k=3) == [[1, 3]]


def test_top_p_keeps_the_smallest_set_that_reaches_p() -> None:
    logits = torch.tensor([[0.1, 0.5, 0.15, 0.25], [0.97, 0.01, 0.01, 0.01]]).log()
    assert kept(logits, top_p=0.5) == [[1], [0]]
    assert kept(logits, top_p=0.6) == [[1, 3], [0]]
    assert kept(logits, top_p=0.8) == [[1, 2, 3], [0]]
    assert kept(logits, top_p=1e-6) == [[1], [0]]
    assert kept(logits, top_p=1.0) == [[0, 1, 2, 3]] * 2


def test_top_p_works_on_what_top_k_and_temperature_left() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    assert kept(logits, top_k=2, top_p=0.5) == [[0]]  # 0.4 / 0.7 is over one half
    assert kept(logits, temperature=0.25, top_p=0.7) == [[0]]


def test_frequencies_are_those_of_the_softmax() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    chosen = draws(logits, Sampling(temperature=1.0, top_k=0), 2500)[:, 0]
    share = torch.bincount(chosen, minlength=3) / len(chosen)
    torch.testing.assert_close(share, torch.tensor([0.5, 0.3, 0.2]), atol=0.04, rtol=0)
    hot = draws(logits, Sampling(temperature=2.0, top_k=0), 2500)[:, 0]
    expected = (logits[0] / 2).softmax(-1)
    torch.testing.assert_close(torch.bincount(hot, minlength=3) / len(hot), expected, atol=0.04, rtol=0)


def test_hot_sampling_reaches_every_legal_candidate_and_no_other() -> None:
    logits = torch.randn(1, 20)
    logits[0, [3, 7]] = float("-inf")
    seen = set(draws(logits, Sampling(temperature=5.0, top_k=0), 2000).flatten().tolist())
    assert seen == set(range(20)) - {3, 7}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_draws_from_its_own_stream_whatever_its_neighbours(dtype: torch.dtype) -> None:
    logits, sampling = torch.randn(4, 20).to(dtype), Sampling(temperature=1.0, top_k=5, top_p=0.9)
    together, again = make_generators([5, 6, 7, 8]), make_generators([5, 6, 7, 8])
    alone = make_generators([7])
    for _ in range(50):
        choice = sample(logits, sampling, together)
        assert torch.equal(choice, sample(logits, sampling, again))
        assert sample(logits[2:3], sampling, alone) == choice[2]


def test_seeds_matter_and_any_integer_is_one() -> None:
    logits = torch.zeros(1, 1000)
    sampling = Sampling(temperature=1.0, top_k=0)
    assert not torch.equal(draws(logits, sampling, 8, seed=0), draws(logits, sampling, 8, seed=1))
    assert len(make_generators([-1, 2**64, 0])) == 3


def test_the_repetition_guard_forbids_only_what_has_been_the_same_for_long_enough() -> None:
    made = [torch.tensor([[10, 1], [12, 1]]), torch.tensor([[11, 1], [12, 1]]), torch.tensor([[11, 2], [12, 2]])]

    def forbidden(frames: int) -> list[list[int]]:
        logits = torch.zeros(2, 5)  # ids 10..13, and the end mark last
        forbid_repetition(logits, made, start=10, frames=frames)
        return logits.isinf().nonzero().tolist()

    assert forbidden(0) == []
    assert forbidden(2) == [[0, 1], [1, 2]]
    assert forbidden(3) == [[1, 2]]
    assert forbidden(4) == []


def test_the_repetition_guard_never_forbids_the_end_mark() -> None:
    logits = torch.zeros(1, 5)
    forbid_repetition(logits, [torch.tensor([[2, 2]])] * 3, start=10, frames=2)  # id 2: the mark of a row that ended
    forbid_repetition(logits, [torch.tensor([[14, 2]])] * 3, start=10, frames=2)  # first id after the section
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_p": float("nan")},
        {"top_k": -1},
    ],
)
def test_impossible_settings_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="temperature >= 0"):
        Sampling(**options)


@pytest.mark.parametrize("ratios", [(0.0, 1.0), (1.5, 1.0), (float("nan"), 1.0), (1.0, float("nan"))])
def test_ratios_that_leave_no_length_are_refused(ratios: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="min_ratio <= max_ratio"):
        Sampling(min_ratio=ratios[0], max_ratio=ratios[1])
