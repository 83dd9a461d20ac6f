"""T5's relative positions: buckets, shifts, caches, causality."""

import pytest
import torch
from transformers.models.t5.modeling_t5 import T5Attention

from uniaudio.nn.relative import RelativeBias
from uniaudio.nn.transformer import Transformer, TransformerConfig

SIZES = TransformerConfig(width=32, layers=2, heads=2)


def transformer() -> Transformer:
    torch.manual_seed(0)
    relative = RelativeBias(2, buckets=16, max_distance=20)
    torch.nn.init.normal_(relative.table.weight)
    return Transformer(SIZES, relative).eval()


def test_buckets_are_exact_near_by_and_logarithmic_far_away():
    bias = RelativeBias(2, buckets=32, max_distance=128)
    distances = torch.arange(-300, 301)
    buckets = bias.bucket(distances)
    assert buckets[300:308].tolist() == list(range(8)) and buckets[293:300].flip(0).tolist() == list(range(17, 24))
    assert (buckets[300:].diff() >= 0).all() and set(buckets.tolist()) == set(range(32)) - {16}
    assert buckets[300 + 127] == buckets[600] == 15 and buckets[0] == 31
    theirs = T5Attention._relative_position_bucket(-distances, True, 32, 128)
    assert torch.equal(buckets, theirs)


def test_a_shift_of_all_positions_changes_nothing_and_distance_does():
    model, x = transformer(), torch.randn(1, 6, 32, generator=torch.Generator().manual_seed(1))
    positions = torch.tensor([[0, 1, 2, 3, 3, 4]])
    whole = model(x, positions)
    torch.testing.assert_close(model(x, positions + 17), whole)
    assert (model(x, torch.arange(6)[None]) - whole).abs().max() > 1e-3
    x[:, 4] += 1.0
    torch.testing.assert_close(model(x, positions)[:, :4], whole[:, :4])  # nothing later is seen


def test_cached_steps_are_those_of_the_whole():
    model, x = transformer(), torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(2))
    positions = torch.tensor([[0, 1, 2, 5, 6, 7, 8], [3, 4, 5, 6, 7, 8, 9]])
    whole = model(x, positions)
    cache = model.new_cache(2, 7)
    lengths = torch.tensor([3, 2])  # a ragged prompt: the second row's third frame is padding
    first = model(x[:, :3], positions[:, :3], cache)
    cache.advance(lengths)
    rows = torch.arange(2)
    torch.testing.assert_close(first[rows, lengths - 1], whole[rows, lengths - 1])
    for step in range(4):
        now = lengths + step
        state = model(x[rows, now][:, None], positions[rows, now][:, None], cache)
        cache.advance(1)
        torch.testing.assert_close(state[:, 0], whole[rows, now])


@pytest.mark.parametrize(("buckets", "distance"), [(6, 128), (2, 128), (32, 8)])
def test_sizes_that_cannot_be_cut_are_refused(buckets: int, distance: int):
    with pytest.raises(ValueError, match="cannot be cut"):
        RelativeBias(2, buckets, distance)
