"""The compiled frame against the plain model: the same ids for every sampling, batch, guidance and number of slots.

B batch, T frames, K slots
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.lm.test_language_models import END, NUM_IDS, SIZE, TARGET_ROLE, sequence

from uniaudio.errors import InputError
from uniaudio.lm import compiled
from uniaudio.lm.compiled import CompiledLM, Prompt, Rows, can_compile
from uniaudio.lm.continuous import ContinuousBatch
from uniaudio.lm.interface import GenerationRequest, Legal
from uniaudio.lm.multiscale import MultiScaleConfig, MultiScaleLM
from uniaudio.lm.pattern_lm import PatternConfig, PatternLM
from uniaudio.lm.sampling import Sampling, make_generators
from uniaudio.nn.transformer import TransformerConfig
from uniaudio.sequence.batch import Batch, collate

VECTOR_DIM = 4
SAMPLINGS = {
    "greedy": Sampling(temperature=0),
    "hot": Sampling(temperature=4.0, top_k=0),
    "top-k": Sampling(temperature=0.9, top_k=5),
    "top-k of more than there are": Sampling(temperature=1.2, top_k=500),
    "top-p": Sampling(temperature=1.5, top_k=0, top_p=0.7),
    "top-k and top-p": Sampling(temperature=1.1, top_k=9, top_p=0.8),
    "guard": Sampling(temperature=0, repetition_frames=2),
    "hot guard": Sampling(temperature=0.3, top_k=2, repetition_frames=3),
    "guidance": Sampling(temperature=1.0, top_k=8, guidance=3.0),
    "guidance and top-p": Sampling(temperature=1.0, top_p=0.9, guidance=2.0, repetition_frames=2),
}


def make(num_slots: int = 3, conditions: bool = True, embedding: str = "sum", roles: int = 3) -> MultiScaleLM:
    """Return a small model whose logits spread, so that choices differ, and whose norms have scales of their own."""
    torch.manual_seed(num_slots)
    sizes = MultiScaleConfig(
        num_ids=NUM_IDS if num_slots <= 3 else 10 + SIZE * num_slots + 90,
        num_slots=num_slots,
        num_roles=roles,
        vector_dim=VECTOR_DIM,
        caption_mean=conditions,
        in_step=conditions,
        voice_role=2 if conditions else 0,
        embedding=embedding,  # type: ignore[arg-type]
        global_=TransformerConfig(width=96, layers=2, heads=3),
        local_=TransformerConfig(width=64, layers=2, heads=2),
    )
    lm = MultiScaleLM(sizes).eval().requires_grad_(False)
    for name, parameter in lm.named_parameters():
        if "norm" in name:
            parameter.copy_(1 + 0.3 * torch.randn_like(parameter))
        elif name == "local_embedding.weight":
            parameter.mul_(10)
        elif name == "voice_projection.weight":
            parameter.normal_()
        elif "global_" in name or "mean" in name or "step" in name:
            parameter.mul_(4)
    return lm


def legal_of(lm: MultiScaleLM) -> Legal:
    slots = range(lm.config.num_slots)
    return Legal(tuple((10 + SIZE * slot, 10 + SIZE * (slot + 1)) for slot in slots), END)


def prompts(num_slots: int, conditions: list[int]) -> Batch:
    """Return a ragged batch of prompts, each with a caption of two vectors."""
    rows = [sequence(seed, condition) for seed, condition in enumerate(conditions)]
    for row, one in enumerate(rows):
        one.frames = one.frames[:, :1].expand(-1, num_slots)
        one.vectors.append((2, torch.randn(2, VECTOR_DIM, generator=torch.Generator().manual_seed(row))))
    return collate(rows, VECTOR_DIM)


def guided(batch: Batch, sampling: Sampling) -> Batch:
    """Return the batch, with guidance two times, the second one without its captions and conditions."""
    if sampling.guidance == 1:
        return batch
    batch = batch.twice()
    half = len(batch.lengths) // 2
    assert batch.vector_mask is not None
    batch.vector_mask[half:] = False
    batch.frames[half:, 2:4] = 5
    return batch


def request(lm: MultiScaleLM, bounds: list[tuple[int, int]], sampling: Sampling, seed: int = 0) -> GenerationRequest:
    least, most = (torch.tensor(x) for x in zip(*bounds, strict=True))
    generators = make_generators([seed + row for row in range(len(bounds))])
    return GenerationRequest(legal_of(lm), least, most, TARGET_ROLE, sampling, generators)


def ids(frames: list[torch.Tensor]) -> list[list[list[int]]]:
    return [one.tolist() for one in frames]


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_ids_are_those_of_the_plain_model(sampling: Sampling):
    lm, bounds = make(), [(3, 30), (12, 12), (0, 25), (0, 0)]
    compiled, batch = CompiledLM(lm), guided(prompts(3, [3, 9, 2, 5]), sampling)
    ends = set()
    for seed in range(4):
        plain = lm.generate(batch, request(lm, bounds, sampling, 10 * seed))
        assert ids(compiled.generate(batch, request(lm, bounds, sampling, 10 * seed))) == ids(plain)
        ends |= {len(one) for one in plain}
    assert sampling.temperature < 1 or len(ends) > 3, "some rows must reach their end mark"


def test_the_guard_counts_frames_of_the_target_that_are_there_already():
    """After two frames that begin alike no third one does, whatever the code, and both models agree."""
    lm, codes = make(), [code for code in range(10, 10 + SIZE) for _ in range(8)]
    begun = [sequence(seed, 3, torch.tensor([[code, 10 + SIZE, 10 + 2 * SIZE]] * 2)) for seed, code in enumerate(codes)]
    for one in begun:
        one.frames, one.positions, one.roles = one.frames[:-1], one.positions[:-1], one.roles[:-1]  # no end mark
    batch, bounds = collate(begun), [(2, 2)] * len(codes)
    guarded, free = (lm.generate(batch, request(lm, bounds, SAMPLINGS[name])) for name in ("guard", "greedy"))
    assert all(int(new[0, 0]) != code for code, new in zip(codes, guarded, strict=True))
    assert any(int(new[0, 0]) == code for code, new in zip(codes, free, strict=True)), "the guard had nothing to do"
    assert ids(CompiledLM(lm).generate(batch, request(lm, bounds, SAMPLINGS["guard"]))) == ids(guarded)


@pytest.mark.parametrize("num_slots", range(1, 7))
def test_any_number_of_slots(num_slots: int):
    lm = make(num_slots)
    batch, sampling = prompts(num_slots, [4, 2]), Sampling(temperature=1.5, top_k=12)
    plain = lm.generate(batch, request(lm, [(6, 20)] * 2, sampling))
    assert ids(CompiledLM(lm).generate(batch, request(lm, [(6, 20)] * 2, sampling))) == ids(plain)


@pytest.mark.parametrize("embedding", ["sum", "concat"])
@pytest.mark.parametrize("roles", [0, 3])
def test_other_inputs(embedding: str, roles: int):
    lm = make(conditions=False, embedding=embedding, roles=roles)
    batch = prompts(3, [4])
    batch.vectors = batch.vector_mask = None
    sampling = Sampling(temperature=1.0)
    plain = lm.generate(batch, request(lm, [(20, 20)], sampling))
    assert ids(CompiledLM(lm).generate(batch, request(lm, [(20, 20)], sampling))) == ids(plain)


def state(compiled: CompiledLM, batch: Batch, rows: list[int], steps: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the cache and the next input of each row after some greedy steps."""
    lm = compiled.lm
    running = Rows(compiled, legal_of(lm), Sampling(temperature=0), len(rows), 40)
    for place, row in enumerate(rows):
        running.load(place, Prompt(lm, batch, row))
    for _ in range(steps):
        running.step()
    used = [running.cache[:, :, place, :, : running.lengths[place]].copy() for place in range(len(rows))]
    return used, [running.x[place].copy() for place in range(len(rows))]


def test_a_row_of_a_batch_is_bit_identical_to_the_single_request():
    lm = make()
    compiled, batch = CompiledLM(lm), prompts(3, [3, 9, 2, 5, 7, 4, 1, 6])
    together = state(compiled, batch, list(range(8)), 12)
    for row in range(8):
        alone = state(compiled, batch, [row], 12)
        for part in range(2):
            assert together[part][row].tobytes() == alone[part][0].tobytes()


def test_requests_join_and_leave_between_frames():
    lm, sampling = make(), Sampling(temperature=1.3, top_k=10)
    compiled, batch, legal = CompiledLM(lm), prompts(3, [3, 9, 2, 5]), legal_of(make())
    bounds = [(2, 9), (0, 25), (14, 14), (3, 30)]
    alone = []
    for row in range(4):
        single = prompts(3, [3, 9, 2, 5])
        for name in ("frames", "positions", "roles", "lengths", "target", "vectors", "vector_mask"):
            setattr(single, name, getattr(single, name)[row : row + 1])
        wanted = request(lm, bounds[row : row + 1], sampling, row)
        alone += ids(compiled.generate(single, wanted))
    running = ContinuousBatch(compiled, legal, sampling, TARGET_ROLE, 2, 60)
    waiting, owner, made = [0, 1, 2, 3], {}, [[], [], [], []]
    for tick in range(200):
        while waiting and running.free and tick >= 3 * (4 - len(waiting)):
            row = waiting.pop(0)
            place = running.join([Prompt(lm, batch, row)], bounds[row], torch.Generator().manual_seed(row))
            owner[place] = row
        for place, frame in running.step().items():
            made[owner[place]].append(frame.tolist())
        if not waiting and not running:
            break
    assert made == alone
    running.join([Prompt(lm, batch, 0)], (5, 5), torch.Generator())
    assert running.free == 1
    running.leave(0)
    assert running.free == 2 and not running and running.step() == {}


def test_what_does_not_fit_is_refused():
    lm = make()
    running = ContinuousBatch(CompiledLM(lm), legal_of(lm), Sampling(), TARGET_ROLE, 1, 20)
    prompt = Prompt(lm, prompts(3, [3]), 0)
    with pytest.raises(ValueError, match="capacity of 20"):
        running.join([prompt], (1, 30), torch.Generator())
    running.join([prompt], (1, 5), torch.Generator())
    with pytest.raises(ValueError, match="all 1 places"):
        running.join([prompt], (1, 5), torch.Generator())
    with pytest.raises(InputError, match="unknown precision 'int4': use one of float32, int8"):
        CompiledLM(lm, "int4")


def test_eight_bits_are_close_and_smaller():
    lm = make()
    batch, greedy = prompts(3, [3, 9]), Sampling(temperature=0)
    exact, coarse = CompiledLM(lm), CompiledLM(lm, "int8")
    one, other = state(exact, batch, [0, 1], 1), state(coarse, batch, [0, 1], 1)
    for row in range(2):  # the keys and values of the first step, which begins with the same input
        error = np.abs(one[0][row][:, :, :, -1] - other[0][row][:, :, :, -1]).max()
        assert 0 < error < 0.03 * np.abs(one[0][row][:, :, :, -1]).max()
    frames = coarse.generate(batch, request(lm, [(10, 10), (8, 8)], greedy))
    assert [len(part) for part in frames] == [10, 8]
    for slot, (start, stop) in enumerate(legal_of(lm).ranges):
        assert all(int(part[:, slot].min()) >= start and int(part[:, slot].max()) < stop for part in frames)
    (stored, read), exact_bytes = (one.weight_bytes(legal_of(lm), greedy) for one in (coarse, exact))
    assert stored < 0.35 * exact_bytes[0] and read < 0.35 * exact_bytes[1]
    local = 4 * sum(parameter.numel() for parameter in lm.local_.parameters() if parameter.ndim == 2)
    assert exact_bytes[1] - exact_bytes[0] == 2 * local, "three slots read what is stored once"
    again = coarse.generate(batch, request(lm, [(10, 10), (8, 8)], greedy))
    assert ids(again) == ids(frames)


def test_which_models_can_be_compiled(monkeypatch: pytest.MonkeyPatch):
    lm = make()
    assert can_compile(lm)
    assert not can_compile(make().bfloat16())
    sizes = PatternConfig(num_ids=NUM_IDS, num_slots=3, pattern="delay", transformer=replace(lm.config.local_))
    assert not can_compile(PatternLM(sizes))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not can_compile(lm)


def test_small_work_takes_one_thread(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    small, exact = CompiledLM(make(), "int8"), CompiledLM(make())
    assert [small.num_threads(rows) for rows in (1, 8)] == [1, 1]
    assert [exact.num_threads(rows) for rows in (1, 2, 8)] == [1, 1, 4]
    monkeypatch.setattr(compiled, "_SMALL_BYTES", 1)
    assert [small.num_threads(1), exact.num_threads(1)] == [4, 4]
    exact.session(legal_of(exact.lm), Sampling())
    exact.session(legal_of(exact.lm), Sampling(), rows=8)
    assert len(exact._sessions) == 1, "as many threads, the same session"
