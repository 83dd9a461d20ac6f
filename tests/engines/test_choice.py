"""Of several candidates, the engine keeps the one that the model's own likelihoods say belongs to the conditions."""

from dataclasses import replace

import pytest
import torch
from tests.requests import request_for

from uniaudio.cli import generate
from uniaudio.engines.choice import best, evidence
from uniaudio.errors import InputError
from uniaudio.lm import sampling
from uniaudio.lm.sampling import Sampling
from uniaudio.recipes.debug import debug_engine
from uniaudio.sequence.batch import collate
from uniaudio.tasks import TASKS

ASKED = Sampling(temperature=1.0, top_k=8, guidance=2.0, seed=3)


def test_the_one_with_the_most_evidence_of_those_that_single_calls_make():
    engine, task = debug_engine(heads=3), TASKS["voice_conversion"]
    items = [engine.reader.read(task, request_for(task))] * 2
    samplings = [replace(ASKED, seed=seed, candidates=3) for seed in (3, 4)]
    chosen = engine.generate_frames(task, items, samplings, None)
    assert len(chosen) == 2
    for item, one, codes in zip(items, samplings, chosen, strict=True):
        seeds = [replace(one, seed=one.seed + 104729 * n, candidates=1) for n in range(3)]
        single = [engine.generate_frames(task, [item], [seed], None)[0] for seed in seeds]
        found = [evidence(engine, task, item, each) for each in single]
        assert len(set(found)) == 3, "candidates differ"
        assert torch.equal(codes, single[found.index(max(found))])


def test_evidence_is_what_the_conditions_add():
    engine, task = debug_engine(heads=3), TASKS["text_to_sound"]
    items = engine.reader.read(task, request_for(task))
    codes = torch.randint(0, 8, (engine.layout.num_slots, 12), generator=torch.Generator().manual_seed(1))
    hidden = engine.layout.vocabulary.fill
    found = evidence(engine, task, items, codes)
    sequence = engine.layout.example(task, items, codes)
    batch = collate([sequence], sequence.vectors[0][1].shape[1])
    engine.lm.requires_grad_(False)  # type: ignore[attr-defined]
    given = sum(engine.lm.losses(batch, engine.legal(task)))
    caption = batch.vector_mask[0].nonzero()[:, 0]  # type: ignore[index]
    batch.frames[0, caption], batch.vector_mask = hidden, torch.zeros_like(batch.vector_mask)  # type: ignore[arg-type]
    assert found == pytest.approx(float(sum(engine.lm.losses(batch, engine.legal(task))) - given), abs=1e-5)
    assert found != 0
    assert best(engine, task, items, [codes[:, :0], codes]) is codes


def test_limits():
    with pytest.raises(ValueError, match="1 to 16 candidates"):
        Sampling(candidates=17)
    assert generate.MAX_CANDIDATES == sampling.MAX_CANDIDATES
    engine = debug_engine(heads=3)
    with pytest.raises(InputError, match="a stream cannot choose"):
        engine.stream("tts", request_for(TASKS["tts"]), sampling=replace(ASKED, candidates=2))
