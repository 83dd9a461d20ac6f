"""Every code order as a language model: caches, causality, batches, bounds, and that it learns.

B batch, T frames, K slots, V candidates of a slot
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from uniaudio.lm.interface import GenerationRequest, Legal
from uniaudio.lm.multiscale import MultiScaleConfig, MultiScaleLM
from uniaudio.lm.pattern_lm import PatternConfig, PatternLM
from uniaudio.lm.patterns import PATTERNS, flatten
from uniaudio.lm.sampling import Sampling, make_generators
from uniaudio.nn.transformer import TransformerConfig
from uniaudio.sequence.batch import Batch, collate
from uniaudio.sequence.layout import Sequence

ORDERS = ("multiscale", *PATTERNS)
SLOTS, SIZE, END, TARGET_ROLE = 3, 20, 1, 2
LEGAL = Legal(tuple((10 + SIZE * slot, 10 + SIZE * (slot + 1)) for slot in range(SLOTS)), END)
NUM_IDS, VECTOR_DIM = 90, 4  # marks 0..9, three codebooks, conditions 70..89
PRECISIONS = {torch.float32: 2e-5, torch.bfloat16: 0.1}  # dtype -> tolerance on logits that span more than 10
GREEDY = Sampling(temperature=0.0)
HOT = Sampling(temperature=4.0, top_k=0)
Model = MultiScaleLM | PatternLM


def make(order: str, vector_dim: int = 0, num_slots: int = SLOTS) -> Model:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"num_ids": NUM_IDS, "num_slots": num_slots, "num_roles": 3, "vector_dim": vector_dim}
    transformer = TransformerConfig(width=32, layers=2, heads=2)
    if order == "multiscale":
        local = TransformerConfig(width=32, layers=1, heads=2)
        return MultiScaleLM(MultiScaleConfig(**sizes, global_=transformer, local_=local)).eval()
    return PatternLM(PatternConfig(**sizes, pattern=order, transformer=transformer)).eval()


def sequence(seed: int, condition: int, target: int | Tensor = 0, distinct: bool = False) -> Sequence:
    """Return two marks, a condition that runs in step with the target, a mark, and the target with its end mark.

    `target` is how many random frames there are (0: a prompt alone), or the frames themselves; `distinct` gives every
    cell of the target another id.
    """
    generator = torch.Generator().manual_seed(seed)
    given = torch.randint(70, 90, (condition, 1), generator=generator).expand(-1, SLOTS)
    prompt = torch.cat((torch.tensor([[2], [3]]).expand(-1, SLOTS), given, torch.full((1, SLOTS), 4)))
    positions = torch.cat((torch.tensor([0, 1]), 3 + torch.arange(condition), torch.tensor([2])))
    roles = torch.tensor([0, 0, *[1] * condition, 0])
    if isinstance(target, int):
        codes = [torch.randperm(SIZE, generator=generator) for _ in range(SLOTS)]
        if not distinct:
            codes = [torch.randint(SIZE, (target,), generator=generator) for _ in range(SLOTS)]
        target = torch.stack([x[:target] + LEGAL.ranges[slot][0] for slot, x in enumerate(codes)], dim=1)
    if len(target) == 0:
        return Sequence(prompt, positions, roles, len(prompt))
    target = torch.cat((target, torch.full((1, SLOTS), END)))
    return Sequence(
        torch.cat((prompt, target)),
        torch.cat((positions, 3 + torch.arange(len(target)))),
        torch.cat((roles, torch.full((len(target),), TARGET_ROLE))),
        len(prompt),
    )


def request(
    bounds: list[tuple[int, int]], sampling: Sampling, seed: int = 0, on_frame: Any = None
) -> GenerationRequest:
    least, most = (torch.tensor(x) for x in zip(*bounds, strict=True))
    generators = make_generators([seed + row for row in range(len(bounds))])
    return GenerationRequest(LEGAL, least, most, TARGET_ROLE, sampling, generators, on_frame)


def collect(model: Model, run: Callable[[], Any]) -> tuple[Any, list[list[Tensor]]]:
    """Return what `run` returns, and per slot the logits [M, V] of each call of the model's head."""
    seen: list[list[Tensor]] = [[] for _ in range(model.config.num_slots)]
    head = model.head

    def listening(hidden: Tensor, slot: int, legal: Legal) -> Tensor:
        logits = head(hidden, slot, legal)
        seen[slot].append(logits.clone())
        return logits

    model.head = listening  # type: ignore[method-assign]
    try:
        return run(), seen
    finally:
        del model.head


WHICH = [(1, 4), (2, 2), (3, 6)]  # seed, and frames of the condition
PROMPTS = [sequence(*which) for which in WHICH]
EXAMPLES = [sequence(*which, target) for which, target in zip(WHICH, (5, 3, 7), strict=True)]


@pytest.fixture(scope="module")
def trained(request: pytest.FixtureRequest) -> SimpleNamespace:
    """One model per order that has learnt EXAMPLES by heart: its weights and the losses on the way."""
    order = request.param
    model = make(order).train()
    batch, losses = collate(EXAMPLES), []
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(99):
        loss = torch.stack(model.losses(batch, LEGAL)).mean()
        losses.append(float(loss.detach()))
        if losses[-1] < 0.02:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    return SimpleNamespace(order=order, losses=losses, state=state)


def load(trained: SimpleNamespace, dtype: torch.dtype = torch.float32) -> Model:
    model = make(trained.order)
    model.load_state_dict(trained.state)
    return model.to(dtype)


all_orders = pytest.mark.parametrize("order", ORDERS)
all_trained = pytest.mark.parametrize("trained", ORDERS, indirect=True)
both_precisions = pytest.mark.parametrize("dtype", PRECISIONS)


@all_trained
def test_learns_a_tiny_batch_by_heart(trained: SimpleNamespace) -> None:
    assert 2.5 < trained.losses[0] < 3.5, "an untrained model should be about uniform over 20 ids"
    assert trained.losses[-1] < 0.1 and len(trained.losses) < 100


@both_precisions
@all_trained
def test_greedy_generation_reproduces_what_was_learnt(trained: SimpleNamespace, dtype: torch.dtype) -> None:
    made = load(trained, dtype).generate(collate(PROMPTS), request([(0, 12)] * 3, GREEDY))
    for example, frames in zip(EXAMPLES, made, strict=True):
        assert torch.equal(frames, example.frames[example.num_prompt : -1]), "the codes, and the end in its place"


@both_precisions
@all_trained
@torch.no_grad()
def test_cached_logits_are_uncached_logits(trained: SimpleNamespace, dtype: torch.dtype) -> None:
    model, count = load(trained, dtype), 9
    made, cached = collect(
        model, lambda: model.generate(collate(PROMPTS), request([(count, count)] * 3, Sampling(temperature=1.5)))
    )
    whole = [sequence(*which, frames) for which, frames in zip(WHICH, made, strict=True)]
    _, uncached = collect(model, lambda: model.losses(collate(whole), LEGAL))
    for slot in range(SLOTS):
        seen = torch.stack(cached[slot], dim=1).float()  # [B, T, V]
        expected = uncached[slot][0].float().view(3, -1, seen.shape[-1])[:, :count]  # without the end mark's frame
        assert expected.std() > 1, "logits this flat would prove nothing"
        torch.testing.assert_close(seen, expected, atol=PRECISIONS[dtype], rtol=0)


@all_orders
@torch.no_grad()
def test_cached_logits_are_uncached_logits_with_many_slots(order: str) -> None:
    slots, size, count = 6, 5, 4  # a delay that is longer than the target
    legal = Legal(tuple((10 + size * slot, 10 + size * (slot + 1)) for slot in range(slots)), END)
    model, prompts = make(order, num_slots=slots), collate(PROMPTS)
    torch.nn.init.normal_(model.embedding.weight)
    prompts.frames = prompts.frames[..., :1].expand(-1, -1, slots)
    asked = request([(count, count)] * 3, HOT)
    asked.legal = legal
    made, cached = collect(model, lambda: model.generate(prompts, asked))
    whole = collate(
        [sequence(*which, frames[:, :1].expand(-1, SLOTS)) for which, frames in zip(WHICH, made, strict=True)]
    )
    whole.frames = whole.frames[..., :1].repeat(1, 1, slots)
    for row, frames in enumerate(made):
        first = int(prompts.lengths[row])
        whole.frames[row, first : first + count] = frames
    _, uncached = collect(model, lambda: model.losses(whole, legal))
    for slot in range(slots):
        seen = torch.stack(cached[slot], dim=1)
        expected = uncached[slot][0].view(3, -1, seen.shape[-1])[:, :count]
        torch.testing.assert_close(seen, expected, atol=2e-5, rtol=0)


@all_orders
@torch.no_grad()
def test_hidden_inputs_are_not_seen_but_still_wanted(order: str) -> None:
    model, batch, other = make(order), collate(EXAMPLES), collate(EXAMPLES)
    plain = model.losses(batch, LEGAL)
    batch.inputs = batch.frames.clone()
    torch.testing.assert_close(model.losses(batch, LEGAL), plain)
    batch.inputs = torch.where(batch.target[..., None], 5, batch.frames)
    shown = model.losses(batch, LEGAL)
    assert not torch.equal(shown[0], plain[0])
    other.inputs = batch.inputs
    row, first = 0, EXAMPLES[0].num_prompt
    other.frames[row, first, 0] += 1 if other.frames[row, first, 0] < LEGAL.ranges[0][1] - 1 else -1
    (_, seen), (_, again) = (collect(model, lambda b=b: model.losses(b, LEGAL)) for b in (batch, other))
    assert torch.equal(seen[0][0], again[0][0]), "slot 0 may see the inputs alone"
    assert not torch.equal(model.losses(other, LEGAL)[0], shown[0]), "the labels are the frames"


@all_orders
def test_a_cell_depends_on_the_cells_of_earlier_steps_and_on_no_other(order: str) -> None:
    model, frames = make(order), 5
    torch.nn.init.normal_(model.embedding.weight)
    example = sequence(7, 3, frames, distinct=True)
    tables, looked_up = [model.embedding, getattr(model, "local_embedding", model.embedding)], []
    hooks = [
        table.register_forward_hook(lambda _, inputs, output: looked_up.append((inputs[0], output)))
        for table in dict.fromkeys(tables)
    ]
    _, seen = collect(model, lambda: model.losses(collate([example]), LEGAL))
    for hook in hooks:
        hook.remove()
    target = example.frames[example.num_prompt : -1]
    pattern = flatten(SLOTS) if order == "multiscale" else PATTERNS[order](SLOTS)
    step_of = pattern.step_of(torch.tensor([frames + 1]), torch.arange(frames)[None])[0]  # [T, K]
    for frame in range(frames):
        for slot in range(SLOTS):
            value = seen[slot][0][frame].square().sum()
            grads = torch.autograd.grad(value, [x for _, x in looked_up], retain_graph=True, allow_unused=True)
            reach = torch.zeros(NUM_IDS)
            for (ids, _), grad in zip(looked_up, grads, strict=True):
                if grad is not None:
                    reach.index_add_(0, ids.flatten(), grad.abs().sum(-1).flatten())
            assert torch.equal(reach[target] > 0, step_of < step_of[frame, slot]), f"frame {frame}, slot {slot}"
            assert (reach[example.frames[: example.num_prompt]] > 0).all(), "every frame of the prompt counts"


@all_trained
def test_a_batch_gives_what_single_requests_give(trained: SimpleNamespace) -> None:
    model = load(trained)
    bounds = [(0, 9), (4, 6), (3, 15)]
    sampling = Sampling(temperature=1.3, top_k=12, top_p=0.95, repetition_frames=1)
    for seed in (0, 10):
        together = model.generate(collate(PROMPTS), request(bounds, sampling, seed))
        for row, prompt in enumerate(PROMPTS):
            (alone,) = model.generate(collate([prompt]), request([bounds[row]], sampling, seed + row))
            assert torch.equal(together[row], alone)
        again = model.generate(collate(PROMPTS), request(bounds, sampling, seed))
        assert all(torch.equal(x, y) for x, y in zip(together, again, strict=True))


def with_rubbish(batch: Batch, frames: int) -> Batch:
    """Return the batch padded by more frames, all padding being illegal ids at absurd positions."""
    padded = {}
    beyond = torch.arange(batch.frames.shape[1] + frames) >= batch.lengths[:, None]
    for name, rubbish in (("frames", 77), ("positions", 50), ("roles", 1)):
        value = getattr(batch, name)
        extra = value.new_zeros(len(value), frames, *value.shape[2:])
        value = torch.cat((value, extra), dim=1)
        value[beyond] = rubbish
        padded[name] = value
    target = torch.cat((batch.target, batch.target.new_zeros(len(batch.target), frames)), dim=1)
    return Batch(**padded, lengths=batch.lengths, target=target)


@all_trained
@torch.no_grad()
def test_padding_changes_nothing(trained: SimpleNamespace) -> None:
    model = load(trained)
    batch, prompts = collate(EXAMPLES), collate(PROMPTS)
    plain = model.losses(batch, LEGAL)
    torch.testing.assert_close(model.losses(with_rubbish(batch, 6), LEGAL), plain)
    warm = Sampling(temperature=1.0)
    frames = model.generate(prompts, request([(2, 8)] * 3, warm))
    padded = model.generate(with_rubbish(prompts, 5), request([(2, 8)] * 3, warm))
    assert all(torch.equal(x, y) for x, y in zip(frames, padded, strict=True))


@all_orders
@torch.no_grad()
def test_the_loss_of_a_batch_is_the_mean_over_its_cells(order: str) -> None:
    model = make(order)
    together = model.losses(collate(EXAMPLES), LEGAL, label_smoothing=0.1)
    single = [model.losses(collate([example]), LEGAL, label_smoothing=0.1) for example in EXAMPLES]
    for slot in range(SLOTS):
        counts = torch.tensor([len(e) - e.num_prompt - (slot > 0) for e in EXAMPLES]).float()  # slot 0 has the end too
        expected = (torch.stack([losses[slot] for losses in single]) * counts).sum() / counts.sum()
        torch.testing.assert_close(together[slot], expected)


@all_orders
@torch.no_grad()
def test_only_legal_ids_come_out_and_every_one_of_them_can(order: str) -> None:
    model = make(order)
    made, seen = collect(model, lambda: model.generate(collate(PROMPTS * 4), request([(20, 20)] * 12, HOT)))
    frames = torch.cat(made)  # [240, K]
    for slot, (start, stop) in enumerate(LEGAL.ranges):
        assert set(frames[:, slot].tolist()) == set(range(start, stop))
    assert [x[0].shape[1] for x in seen] == [SIZE + 1, SIZE, SIZE], "the end mark is a candidate in slot 0 alone"


@all_orders
@torch.no_grad()
@pytest.mark.parametrize("eager", [True, False])
def test_bounds_are_respected(order: str, eager: bool) -> None:
    model = make(order)
    head, progress = model.head, []

    def biased(hidden: Tensor, slot: int, legal: Legal) -> Tensor:
        logits = head(hidden, slot, legal)
        logits[:, SIZE:] += 50 if eager else -50  # the end mark, where there is one
        return logits

    model.head = biased  # type: ignore[method-assign]
    bounds = [(0, 4), (3, 9), (5, 5), (0, 0), (1, 1), (2, 7)]
    made = model.generate(collate(PROMPTS * 2), request(bounds, HOT, on_frame=progress.append))
    lengths = [least if eager else most for least, most in bounds]
    assert [len(frames) for frames in made] == lengths
    assert all(frames.shape[1] == SLOTS and not (frames == END).any() and (frames >= 10).all() for frames in made)
    assert progress == sorted(progress) and len(set(progress)) == len(progress) and progress[-1] >= max(lengths)


@all_orders
@torch.no_grad()
def test_shifting_every_position_changes_nothing(order: str) -> None:
    model, batch = make(order), collate(EXAMPLES)
    _, here = collect(model, lambda: model.losses(batch, LEGAL))
    batch.positions += 200
    _, there = collect(model, lambda: model.losses(batch, LEGAL))
    batch.positions[:, 2] += 1
    _, moved = collect(model, lambda: model.losses(batch, LEGAL))
    for slot in range(SLOTS):
        torch.testing.assert_close(there[slot][0], here[slot][0], atol=1e-4, rtol=0)
        assert not torch.equal(there[slot][0], moved[slot][0])


@both_precisions
@all_orders
@torch.no_grad()
def test_caption_vectors_count_where_they_stand(order: str, dtype: torch.dtype) -> None:
    model = make(order, vector_dim=VECTOR_DIM).to(dtype)

    def losses(vectors: Tensor | None, dim: int = VECTOR_DIM) -> Tensor:
        examples = [sequence(1, 4, 5), sequence(2, 2, 3)]
        if vectors is not None:
            examples[0].vectors.append((2, vectors))
        return torch.stack(model.losses(collate(examples, dim), LEGAL)).float()

    first, second = torch.randn(4, VECTOR_DIM), torch.randn(4, VECTOR_DIM)
    assert not torch.equal(losses(first), losses(second))
    assert not torch.equal(losses(first), losses(None))
    assert torch.equal(losses(None), losses(None, dim=0))
    prompt = sequence(1, 4)
    prompt.vectors.append((2, first))
    (frames,) = model.generate(collate([prompt], VECTOR_DIM), request([(3, 3)], GREEDY))
    assert frames.shape == (3, SLOTS)
    with pytest.raises(ValueError, match="no caption projection"):
        make(order).generate(collate([prompt], VECTOR_DIM), request([(3, 3)], GREEDY))


@all_orders
def test_one_slot_is_enough(order: str) -> None:
    model, legal = make(order, num_slots=1), Legal(LEGAL.ranges[:1], END)
    batch = collate(EXAMPLES)
    batch.frames = batch.frames[..., :1]
    assert len(model.losses(batch, legal)) == 1
    prompts = collate(PROMPTS)
    prompts.frames = prompts.frames[..., :1]
    asked = request([(2, 4)] * 3, HOT)
    asked.legal = legal
    assert all(2 <= len(frames) <= 4 and frames.shape[1] == 1 for frames in model.generate(prompts, asked))


def test_the_multiscale_weights_keep_their_names() -> None:
    names = {name for name in make("multiscale", vector_dim=VECTOR_DIM).state_dict() if ".blocks." not in name}
    tables = {f"{x}.weight" for x in ("embedding", "role_embedding", "local_embedding", "slot_embedding")}
    linear = {f"{x}.{part}" for x in ("vector_projection", "to_local") for part in ("weight", "bias")}
    assert names == tables | linear | {"global_.norm.weight", "local_.norm.weight"}


def test_mistakes_in_a_configuration_are_named() -> None:
    with pytest.raises(ValueError, match="no pattern 'spiral'; there are flatten, parallel, delay, coarse_first"):
        PatternLM(PatternConfig(num_ids=NUM_IDS, num_slots=SLOTS, pattern="spiral"))
    with pytest.raises(ValueError, match="multiple of 7 slots"):
        MultiScaleLM(MultiScaleConfig(num_ids=NUM_IDS, num_slots=7, embedding="concat"))


@pytest.mark.gpu
@all_trained
def test_a_gpu_gives_what_the_cpu_gives(trained: SimpleNamespace) -> None:
    model, asked = load(trained), request([(0, 12)] * 3, GREEDY)
    made = model.to("cuda").generate(collate(PROMPTS).to("cuda"), asked)
    for example, frames in zip(EXAMPLES, made, strict=True):
        assert torch.equal(frames.cpu(), example.frames[example.num_prompt : -1])
