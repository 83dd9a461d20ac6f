"""The Transformer: cache, causality, padding, dropout and rotary positions."""

import pytest
import torch
from torch import Tensor

from uniaudio.nn.rotary import rotary_table, rotate
from uniaudio.nn.transformer import Transformer, TransformerConfig

WIDTH = 32
PRECISIONS = {torch.float32: 1e-5, torch.bfloat16: 6e-2}  # dtype -> tolerance on outputs of about 1


def make(dtype: torch.dtype = torch.float32, dropout: float = 0.0) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(width=WIDTH, layers=3, heads=4, dropout=dropout))
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.2)  # so that attention has something to lose
    return model.to(dtype).eval()


def ragged(lengths: list[int], dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """Return per row x [T_b, D] and positions [T_b], which repeat as those of aligned conditions do."""
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randn(length, WIDTH, generator=generator).to(dtype) for length in lengths]
    return rows, [torch.arange(length) % 9 for length in lengths]


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("with_positions", [True, False])
def test_cached_is_uncached_for_prompt_step_and_several_steps(dtype: torch.dtype, with_positions: bool) -> None:
    model, prompts, pieces = make(dtype), [7, 4, 1], [1, 3, 1]
    rows, positions = ragged([prompt + sum(pieces) for prompt in prompts], dtype)
    whole = [
        model(row[None], position[None] if with_positions else None)[0]
        for row, position in zip(rows, positions, strict=True)
    ]
    cache = model.new_cache(len(rows), max(prompts) + sum(pieces))
    assert cache.keys.dtype == dtype
    starts, counts = [0] * len(rows), prompts
    for piece in [None, *pieces]:
        counts = prompts if piece is None else [piece] * len(rows)
        x = torch.full((len(rows), max(counts), WIDTH), 7.0, dtype=dtype)  # padding is not zero
        at = torch.zeros(len(rows), max(counts), dtype=torch.long)
        for row, (start, count) in enumerate(zip(starts, counts, strict=True)):
            x[row, :count] = rows[row][start : start + count]
            at[row, :count] = positions[row][start : start + count]
        out = model(x, at if with_positions else None, cache)
        cache.advance(torch.tensor(counts) if piece is None else piece)
        for row, (start, count) in enumerate(zip(starts, counts, strict=True)):
            expected = whole[row][start : start + count]
            torch.testing.assert_close(out[row, :count], expected, atol=PRECISIONS[dtype], rtol=0)
        starts = [start + count for start, count in zip(starts, counts, strict=True)]


@torch.no_grad()
def test_right_padding_changes_nothing() -> None:
    model = make()
    rows, _ = ragged([6], torch.float32)
    padded = torch.cat((rows[0], torch.full((4, WIDTH), 3.0)))
    torch.testing.assert_close(
        model(padded[None], torch.arange(10)[None])[0, :6], model(rows[0][None], torch.arange(6)[None])[0]
    )


def test_a_state_depends_on_all_frames_up_to_its_own_and_on_no_later_one() -> None:
    model = make()
    x = torch.randn(2, 9, WIDTH, requires_grad=True)
    positions = torch.tensor([0, 1, 3, 4, 5, 2, 3, 4, 5]).expand(2, -1)  # order, not position, is what counts
    (grad,) = torch.autograd.grad(model(x, positions)[0, 5].square().sum(), x)
    reach = grad.abs().sum(-1)  # [B, T]
    assert (reach[0, :6] > 0).all()
    assert (reach[0, 6:] == 0).all() and (reach[1] == 0).all()


@torch.no_grad()
def test_causality_holds_with_a_cache() -> None:
    model, positions = make(), torch.arange(7)[None]
    x = torch.randn(1, 7, WIDTH)

    def last_four(changed: Tensor) -> Tensor:
        cache = model.new_cache(1, 8)
        model(x[:, :3], positions[:, :3], cache)
        cache.advance(3)
        assert cache.mask(4)[0, 0].tolist() == [[seen <= 3 + query for seen in range(7)] for query in range(4)]
        return model(changed, positions[:, 3:], cache)[0]

    changed = x[:, 3:].clone()
    changed[0, 2] += 1.0
    same = (last_four(changed) == last_four(x[:, 3:])).all(-1)
    assert same.tolist() == [True, True, False, False]


def test_a_full_cache_refuses_and_a_reset_one_forgets() -> None:
    model = make()
    cache = model.new_cache(1, 4)
    x, positions = torch.randn(1, 4, WIDTH), torch.arange(4)[None]
    with torch.no_grad():
        first = model(x, positions, cache)
        cache.advance(4)
        with pytest.raises(AssertionError, match="full"):
            model(x[:, :1], positions[:, :1], cache)
        cache.reset()
        torch.testing.assert_close(model(x, positions, cache), first)


@torch.no_grad()
def test_dropout_is_alive_in_training_and_dead_in_evaluation() -> None:
    model = make(dropout=0.3)
    x, positions = torch.randn(1, 6, WIDTH), torch.arange(6)[None]
    torch.testing.assert_close(model(x, positions), make()(x, positions), msg="evaluation must not drop")
    model.train()
    assert not torch.allclose(model(x, positions), model(x, positions))
    for block in model.blocks:
        block.get_submodule("dropout").eval()
    assert not torch.allclose(model(x, positions), model(x, positions)), "attention's own dropout is dead"


def test_rotary_scores_depend_on_distances_alone() -> None:
    query, key = torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 8)
    positions = torch.tensor([[0, 1, 4, 4, 9]])

    def scores(shift: int) -> Tensor:
        table = rotary_table(positions + shift, 8)
        return rotate(query, table) @ rotate(key, table).transpose(-1, -2)

    torch.testing.assert_close(scores(0), scores(300), atol=1e-3, rtol=0)
    assert not torch.allclose(scores(0), query @ key.transpose(-1, -2), atol=1e-2)
    assert torch.equal(rotate(query, rotary_table(torch.zeros(1, 5), 8)), query)


@torch.no_grad()
def test_shifting_all_positions_changes_nothing_but_moving_one_does() -> None:
    model = make()
    x, positions = torch.randn(1, 8, WIDTH), torch.arange(8)[None]
    out = model(x, positions)
    torch.testing.assert_close(model(x, positions + 100), out, atol=2e-4, rtol=0)
    moved = positions.clone()
    moved[0, 3] += 2
    assert not torch.allclose(model(x, moved), out, atol=1e-2)


def test_bfloat16_stays_bfloat16() -> None:
    model = make(torch.bfloat16)
    assert model(torch.randn(1, 3, WIDTH).bfloat16(), torch.arange(3)[None]).dtype == torch.bfloat16


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="not a multiple"):
        Transformer(TransformerConfig(width=30, heads=4))
