"""The residual quantiser: nearest codes, gradients that pass through, and codebooks that learn, revive and stay put.

B batch, D width of a code vector, T frames, K codebooks, S codebook size, M vectors
"""

import pytest
import torch
from torch import Tensor

from uniaudio.codec.quantize import Codebook, ResidualVectorQuantizer

DIM, NUM_CODEBOOKS, SIZE = 6, 4, 16


def latents(batch: int = 3, frames: int = 40, seed: int = 1) -> Tensor:
    return torch.randn(batch, DIM, frames, generator=torch.Generator().manual_seed(seed))


def learnt(steps: int = 3) -> ResidualVectorQuantizer:
    """A quantiser in evaluation mode after a few training steps."""
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(DIM, NUM_CODEBOOKS, SIZE)
    for step in range(steps):
        quantizer(latents(seed=step))
    return quantizer.eval()


def state(quantizer: ResidualVectorQuantizer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in quantizer.state_dict().items()}


def assert_unchanged(quantizer: ResidualVectorQuantizer, before: dict[str, Tensor]) -> None:
    for name, value in quantizer.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("training", [True, False])
def test_codes_have_a_level_per_codebook_and_stay_in_range(training: bool):
    output = learnt().train(training)(latents(batch=2, frames=7))
    assert output.codes.shape == (2, NUM_CODEBOOKS, 7) and output.codes.dtype == torch.int64
    assert output.codes.min() >= 0 and output.codes.max() < SIZE
    assert output.quantized.shape == output.first.shape == (2, DIM, 7)
    assert output.commitment_loss.shape == () and output.commitment_loss > 0


def test_every_level_takes_the_entry_nearest_to_what_is_left():
    quantizer, x = learnt(), latents()
    codes = quantizer.encode(x)
    left = x
    for level, book in enumerate(quantizer.codebooks):
        vectors = book.get_buffer("vectors")
        distance = torch.cdist(left.transpose(1, 2).double(), vectors.double())  # [B, T, S]
        assert torch.equal(codes[:, level], distance.argmin(2))
        left = left - vectors[codes[:, level]].transpose(1, 2)
    torch.testing.assert_close(x - left, quantizer.decode(codes))


def test_forward_encode_and_decode_agree():
    quantizer, x = learnt(), latents()
    output = quantizer(x)
    assert torch.equal(output.codes, quantizer.encode(x))
    torch.testing.assert_close(output.quantized, quantizer.decode(output.codes))
    torch.testing.assert_close(output.first, quantizer.decode(output.codes[:, :1]))


def test_entries_that_are_vectors_of_the_book_are_kept():
    """With one codebook, decode(encode) of an entry is that entry: nothing is nearer."""
    quantizer = learnt().cut(1)
    ids = torch.arange(SIZE)[None, None]  # [1, 1, S]
    assert torch.equal(quantizer.encode(quantizer.decode(ids)), ids)


def test_more_levels_leave_less_over():
    quantizer, x = learnt(steps=10), latents(seed=3)
    codes = quantizer.encode(x)
    errors = [float((x - quantizer.decode(codes[:, :k])).square().mean()) for k in range(1, NUM_CODEBOOKS + 1)]
    assert errors == sorted(errors, reverse=True) and errors[0] < float(x.square().mean())


@pytest.mark.parametrize("result", ["quantized", "first"])
@pytest.mark.parametrize("training", [True, False])
def test_the_gradient_passes_straight_through(result: str, training: bool):
    quantizer, x = learnt().train(training), latents().requires_grad_()
    slope = torch.randn_like(x)
    (getattr(quantizer(x), result) * slope).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, slope)


def test_commitment_pulls_towards_the_chosen_entry():
    quantizer, x = learnt().cut(1), latents().requires_grad_()
    output = quantizer(x)
    output.commitment_loss.backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, 2 * (x.detach() - output.quantized.detach()) / x.numel())


def test_kmeans_start_finds_the_clusters():
    torch.manual_seed(0)
    centres = 10 * torch.eye(4)  # [4, 4]
    x = centres.repeat_interleave(50, 0) + 0.1 * torch.randn(200, 4)
    book = Codebook(8, 4, 0.99, 0.05)
    assert not book.started
    book.start(x)
    assert book.started
    error = (x - book.vectors[book.nearest(x)]).norm(dim=1)
    assert error.max() < 1.0, "every point must be within its own cluster"
    torch.testing.assert_close(book.vector_sum / book.cluster_size[:, None], book.vectors)


def test_kmeans_start_with_fewer_vectors_than_entries():
    torch.manual_seed(0)
    book = Codebook(SIZE, DIM, 0.99, 0.05)
    x = torch.randn(5, DIM)
    book.start(x)
    assert book.vectors.isfinite().all()
    assert (x - book.vectors[book.nearest(x)]).abs().max() < 0.1


def test_only_the_first_training_batch_starts_a_codebook():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(DIM, 2, SIZE)
    quantizer.eval()(latents())
    assert not any(book.get_buffer("started") for book in quantizer.codebooks)
    quantizer.train()(latents(), 1)  # codebook dropout: the second level is not reached
    assert [bool(book.get_buffer("started")) for book in quantizer.codebooks] == [True, False]


def test_entries_move_to_the_mean_of_their_vectors():
    book = Codebook(2, 1, decay=0.5, dead_below=0.0)
    x = torch.tensor([[-1.0], [-3.0], [4.0], [6.0]])
    book.start(x)
    for _ in range(40):
        book.update(x, torch.tensor([0, 0, 1, 1]))
    torch.testing.assert_close(book.vectors, torch.tensor([[-2.0], [5.0]]))
    torch.testing.assert_close(book.cluster_size, torch.tensor([2.0, 2.0]))


def test_dead_entries_come_back_as_vectors_of_the_batch():
    torch.manual_seed(0)
    book = Codebook(4, DIM, decay=0.9, dead_below=0.5)
    x = torch.randn(20, DIM)
    book.start(x)
    book.vectors[3] = book.vector_sum[3] = 1e3  # far from everything
    book.cluster_size[3] = 0.51
    before = book.vectors[:3].clone()
    book.update(x, torch.arange(20) % 3)
    assert (book.vectors[3] == x).all(1).any(), "the dead entry is now one of the vectors"
    assert book.cluster_size[3] == 1.0
    assert (book.vectors[:3] - before).abs().max() < 1.0, "the live entries only drifted"


def test_fewer_codebooks_give_a_prefix():
    quantizer, x = learnt(), latents()
    whole = quantizer(x).codes
    for k in range(1, NUM_CODEBOOKS + 1):
        part = quantizer(x, k)
        assert torch.equal(part.codes, whole[:, :k]) and torch.equal(part.codes, quantizer.encode(x, k))
        torch.testing.assert_close(part.quantized, quantizer.decode(whole[:, :k]))


def test_codebook_dropout_leaves_the_dropped_levels_alone():
    quantizer = learnt()
    before = state(quantizer)
    quantizer.train()(latents(seed=7), 2)
    after = quantizer.state_dict()
    changed = {name.split(".")[1] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"0", "1"}


def test_evaluation_learns_nothing():
    quantizer = learnt()
    before = state(quantizer)
    quantizer(latents(seed=8))
    assert_unchanged(quantizer, before)
    quantizer.train()
    quantizer.decode(quantizer.encode(latents(seed=9)))  # nor do these in training mode
    assert_unchanged(quantizer, before)


def test_a_cut_shares_the_codebooks_it_keeps():
    quantizer, x = learnt(), latents()
    kept = quantizer.cut(2)
    assert kept.num_codebooks == 2 and not kept.training and quantizer.num_codebooks == NUM_CODEBOOKS
    assert torch.equal(kept.encode(x), quantizer.encode(x)[:, :2])
    assert [id(book) for book in kept.codebooks] == [id(book) for book in quantizer.codebooks[:2]]


def test_bfloat16_and_autocast_give_float32_vectors():
    quantizer, x = learnt(), latents()
    with torch.autocast("cpu", torch.bfloat16):
        output = quantizer(x)
    assert output.quantized.dtype == torch.float32 and torch.equal(output.codes, quantizer.encode(x))
    assert quantizer(x.bfloat16()).quantized.dtype == torch.float32


@pytest.mark.parametrize("bad", [-1, SIZE])
def test_ids_outside_the_codebook_are_refused(bad: int):
    codes = torch.zeros(1, NUM_CODEBOOKS, 3, dtype=torch.long)
    codes[0, 1, 2] = bad
    with pytest.raises(ValueError, match=rf"\[0, {SIZE}\).*{bad}"):
        learnt().decode(codes)


@pytest.mark.parametrize("levels", [0, NUM_CODEBOOKS + 1])
def test_levels_that_there_are_not_are_refused(levels: int):
    quantizer = learnt()
    for call in (
        lambda: quantizer.decode(torch.zeros(1, levels, 3, dtype=torch.long)),
        lambda: quantizer.encode(latents(), levels),
        lambda: quantizer(latents(), levels),
        lambda: quantizer.cut(levels),
    ):
        with pytest.raises(ValueError, match=f"{levels} codebooks"):
            call()
