"""AudioLM's engine on tiny models: ids, windows, seams, stages, folders, seeds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from tests.audiolm import CODEBOOKS, GREEDY, HOT, KINDS, RATE, SIZE, TOKENS, engine_of, stages_of
from tests.requests import noise
from torch import Tensor

from uniaudio import checkpoint
from uniaudio.audio.io import Audio
from uniaudio.audio.loudness import active_db
from uniaudio.codec.model import Codec
from uniaudio.engines.audiolm import AudioLMEngine, Part, StageConfig, joined
from uniaudio.engines.audiolm_folder import load_audiolm, load_codec_of, save_audiolm, used_ids
from uniaudio.engines.tokenizers import load_tokenizers, save_tokenizers
from uniaudio.errors import InputError
from uniaudio.recipes.codec import code_digest
from uniaudio.recipes.debug import CODEC
from uniaudio.sequence.batch import collate
from uniaudio.sequence.layout import ROLES
from uniaudio.tasks import STAGES
from uniaudio.tokenizers.semantic import MelFeatures, SemanticTokenizer


@pytest.fixture(scope="module", params=KINDS)
def engine(request: pytest.FixtureRequest) -> AudioLMEngine:
    return engine_of(request.param)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_a_bijection_and_no_code_has_the_id_of_a_mark(kind: str):
    stages = stages_of(kind)
    section = stages.vocabulary.section("marks")
    for stage, layout in stages.layouts.items():
        legal, count = stages.legal(stage), TOKENS if stage == "semantic" else SIZE
        assert section.start <= legal.end < section.start + section.size
        codes = torch.arange(count).expand(layout.num_slots, -1)
        frames = layout.target_frames(codes, STAGES[stage])
        assert torch.equal(stages.codes(stage, frames[:-1]), codes)
        assert (frames[-1] == legal.end).all()
        ids = [set(range(*span)) for span in legal.ranges]
        assert sum(map(len, ids)) == len(set.union(*ids)) == layout.num_slots * count, "two slots share an id"
        assert set(frames[:-1].flatten().tolist()) == set.union(*ids) and legal.end not in set.union(*ids)


@pytest.mark.parametrize("kind", KINDS)
def test_every_legal_code_is_reached_at_every_level_and_no_other(kind: str):
    """At a high temperature everything that may come does: no head masks its last code."""
    engine = engine_of(kind, window=320, overlap=160)
    tokens, starts = engine.go_on(torch.zeros(0, dtype=torch.long), 320)
    assert set(tokens.tolist()) == set(range(TOKENS))
    codes = engine.acoustics(tokens, starts, torch.zeros(CODEBOOKS, 0, dtype=torch.long), 320)
    assert codes.shape == (CODEBOOKS, 320)
    for level in codes:
        assert set(level.tolist()) == set(range(SIZE))


@pytest.mark.parametrize("kind", KINDS)
def test_going_on_with_a_target_is_what_the_whole_sequence_gives(kind: str):
    """Cached equals uncached, score by score: new frames after a given beginning are scored as training scores them."""
    engine = engine_of(kind, GREEDY, window=20, overlap=10)
    generator = torch.Generator().manual_seed(1)
    semantic = torch.randint(TOKENS, (12,), generator=generator)
    codes = torch.randint(SIZE, (CODEBOOKS, 12), generator=generator)
    split, stages = engine.stages.num_coarse, engine.stages
    cases: dict[str, tuple[Tensor | None, Tensor]] = {
        "semantic": (None, stages.tokens(semantic)[0][None]),
        "coarse": (semantic, codes[:split]),
        "fine": (codes[:split], codes[split:]),
    }
    for stage in engine.models:
        given, target = cases[stage]
        model, size = cast(Any, engine.models[stage]), TOKENS if stage == "semantic" else SIZE
        for known in (0, 3):
            begun, seen = target[:, :known], []
            with listening(model, seen):
                made = engine._generate(stage, given, begun, 5, seed=0)
            cached = torch.cat([scores[0, :size] for _, scores in seen]).view(5, len(target), size)
            batch = collate([stages.sequence(stage, given, torch.cat((begun, made), dim=1), ended=False)])
            seen.clear()
            with listening(model, seen), torch.no_grad():
                model.losses(batch, stages.legal(stage))
            whole = torch.stack([scores[known:, :size] for _, scores in sorted(seen, key=lambda one: one[0])], dim=1)
            torch.testing.assert_close(cached, whole, atol=1e-4, rtol=1e-4, msg=f"{stage} after {known}")


@contextmanager
def listening(model: Any, seen: list[tuple[int, Tensor]]) -> Iterator[None]:
    """Keep (slot, scores) of every call of the model's head."""
    head = model.head

    def listener(hidden: Tensor, slot: int, legal: object) -> Tensor:
        scores = head(hidden, slot, legal)
        seen.append((slot, scores.clone()))
        return scores

    model.head = listener
    yield
    model.head = head


@pytest.mark.parametrize("seconds", [0.6, 2.5])  # 15 and 62 frames, with windows of 12 that overlap by 6
def test_prompts_shorter_and_longer_than_the_window_go_on(engine: AudioLMEngine, seconds: float):
    prompt = noise(0.5 if seconds < 1 else seconds, seed=3)
    made = engine.continuation(prompt, 1.0, seed=1)
    size = prompt.samples.shape[1]
    assert made.samples.shape == (1, size + 16000)
    assert (made.samples[:, :size] == prompt.samples).all(), "the prompt's samples are kept"
    assert np.isfinite(made.samples).all() and np.abs(made.samples).max() <= 1
    again, other = (engine.continuation(prompt, 1.0, seed=seed) for seed in (1, 2))
    assert (made.samples == again.samples).all() and (made.samples != other.samples).any()


def test_sound_comes_from_nothing_and_from_a_source(engine: AudioLMEngine):
    assert engine.continuation(None, 0.7).samples.shape == (1, 11200)
    source, voice = noise(1.0, seed=5), noise(0.8, seed=6)
    alone, prompted = engine.say_again(source), engine.say_again(source, voice)
    assert alone.samples.shape == prompted.samples.shape == (1, 16000)
    assert (alone.samples != prompted.samples).any()


def test_repeats_are_removed_once_over_prompt_and_continuation():
    """At a high temperature every token follows every other, but none follows itself, at the seam as anywhere."""
    engine = engine_of("paper")
    for last in range(TOKENS):
        prompt = torch.tensor([3, 3, 5, 5, 5, last, last])
        tokens, starts = engine.go_on(prompt, 40, seed=last)
        assert (tokens[1:] != tokens[:-1]).all()
        kept, first = engine.stages.tokens(prompt)
        assert torch.equal(tokens[: len(kept)], kept) and torch.equal(starts[: len(kept)], first)
        assert (starts[1:] > starts[:-1]).all() and starts[len(kept)] == 7 and starts[-1] < 40


@pytest.mark.parametrize("kind", ["mini", "three"])  # a flat and a multi-scale model
def test_without_removal_tokens_keep_their_frames_and_do_not_get_stuck(kind: str):
    """A model that always wants token 7 gets it three times in a row, the prompt's counted, windows notwithstanding."""
    engine = engine_of(kind, GREEDY)
    config, model = engine.configs["semantic"], cast(Any, engine.models["semantic"])
    engine.configs["semantic"] = replace(config, sampling=replace(config.sampling, repetition_frames=3))
    head, bias = model.head, torch.zeros(TOKENS + 1).index_fill(0, torch.tensor(7), 100.0)
    model.head = lambda hidden, slot, legal: head(hidden, slot, legal) + bias
    prompt = torch.tensor([5, 7, 7])
    tokens, starts = engine.go_on(prompt, 60)
    assert torch.equal(starts, torch.arange(60)) and torch.equal(tokens[:3], prompt)
    assert ((tokens == 7) == (torch.arange(60) % 4 != 0)).all()


@pytest.mark.parametrize("kind", ["paper", "three"])
def test_the_fine_stage_works_chunk_by_chunk(kind: str):
    """Two chunks at once are the two chunks one by one; a short last chunk is what a whole one begins with."""
    engine = engine_of(kind, GREEDY, window=10)
    coarse = torch.randint(SIZE, (2, 20), generator=torch.Generator().manual_seed(2))
    nothing = torch.zeros(2, 0, dtype=torch.long)
    whole = engine._extend("fine", coarse, nothing, 20, 0)
    halves = [engine._extend("fine", part, nothing, 10, 0) for part in coarse.split(10, dim=1)]
    assert torch.equal(whole, torch.cat(halves, dim=1))
    resumed = engine._extend("fine", coarse, whole[:, :13], 20, 0)  # a prompt that ends inside a chunk
    assert torch.equal(resumed, whole)


def test_a_window_moves_with_what_is_given():
    """What lies before the window changes nothing: the same last frames, the same continuation."""
    engine = engine_of("mini", GREEDY)
    generator = torch.Generator().manual_seed(4)
    semantic = torch.randint(TOKENS, (40,), generator=generator)
    codes = torch.randint(SIZE, (CODEBOOKS, 30), generator=generator)
    starts = torch.arange(40)
    first = engine._extend("coarse", (semantic, starts), codes, 36, 0)
    codes[:, :24], semantic[:24] = 0, 0  # the window overlaps the last 6 of the 30 frames
    second = engine._extend("coarse", (semantic, starts), codes, 36, 0)
    assert torch.equal(first[:, 30:], second[:, 30:])
    codes[:, 24:], semantic[24:] = 1, 1
    assert not torch.equal(first[:, 30:], engine._extend("coarse", (semantic, starts), codes, 36, 0)[:, 30:])


def test_a_saved_model_makes_the_same_sound(engine: AudioLMEngine, tmp_path: Path):
    save_audiolm(tmp_path / "first", engine, "# A card\n")
    loaded = load_audiolm(str(tmp_path / "first"))
    save_audiolm(tmp_path / "second", loaded, "# A card\n")
    again = load_audiolm(str(tmp_path / "second"))
    one, two = (each.continuation(noise(0.8), 0.6, seed=4).samples for each in (loaded, again))
    assert (one == two).all()
    assert again.configs == engine.configs and again.stages.dedup == engine.stages.dedup
    tokens = [each.semantic.encode(noise(1.0)).ids for each in (engine, again)]
    assert torch.equal(tokens[0], tokens[1])  # type: ignore[arg-type]


def test_a_model_that_shares_a_codec_holds_none(tmp_path: Path):
    """Codec and semantic tokens are those of the named model, as long as it is the same one."""
    engine = engine_of("mini")
    save_tokenizers(tmp_path / "codec", "codec", engine.codec, engine.semantic, "# Codec\n")
    name = str(tmp_path / "codec")
    engine.codec, tokens = load_tokenizers(name)
    assert tokens is not None
    save_audiolm(tmp_path / "whole", engine, "# A card\n")
    save_audiolm(tmp_path / "small", engine, "# A card\n", shared=name)
    names = set(checkpoint.load(tmp_path / "small").tensors)
    assert names and all(name.startswith("lm.") for name in names)
    one, two = (load_audiolm(str(tmp_path / which)) for which in ("whole", "small"))
    assert torch.equal(two.semantic.centroids, engine.semantic.centroids)
    assert (one.semantic.centroids == two.semantic.centroids).all()
    assert code_digest(two.codec) == code_digest(engine.codec) == code_digest(load_codec_of(str(tmp_path / "small")))
    own = SemanticTokenizer.fit(MelFeatures(), [noise(2.0, seed=7)], num_ids=TOKENS, frame_rate=RATE)
    engine.semantic = own
    save_audiolm(tmp_path / "own", engine, "# A card\n", shared=name)
    assert torch.equal(load_audiolm(str(tmp_path / "own")).semantic.centroids, own.centroids)
    torch.manual_seed(1)
    engine.codec = Codec(replace(CODEC, num_codebooks=CODEBOOKS)).eval()
    with pytest.raises(InputError, match="has another codec"):
        save_audiolm(tmp_path / "other", engine, "# A card\n", shared=name)
    save_tokenizers(tmp_path / "codec", "codec", engine.codec, tokens, "# Codec\n")
    with pytest.raises(InputError, match="another version"):
        load_audiolm(str(tmp_path / "small"))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_a_stage_never_sees_are_not_stored(kind: str, tmp_path: Path):
    engine = engine_of(kind)
    save_audiolm(tmp_path / "model", engine, "# A card\n")
    stored, again = checkpoint.load(tmp_path / "model").tensors, load_audiolm(str(tmp_path / "model"))
    for stage, model in engine.models.items():
        assert isinstance(model, torch.nn.Module)
        rows = used_ids(engine.stages, stage)
        assert len(stored[f"lm.{stage}.embedding.weight"]) == len(rows) < engine.stages.vocabulary.num_ids
        seen = {engine.stages.vocabulary.fill}
        if stage != "semantic":
            codes = torch.randint(SIZE, (CODEBOOKS, 30))
            sequence = engine.stages.training(stage, torch.arange(30) % TOKENS, codes, ended=True)
        else:
            sequence = engine.stages.training(stage, torch.arange(30) % TOKENS, torch.zeros(CODEBOOKS, 30), ended=True)
        seen |= set(sequence.frames.flatten().tolist())
        assert seen <= set(rows.tolist())
        before, after = (cast(Any, one).embedding.weight[rows] for one in (model, again.models[stage]))
        torch.testing.assert_close(before, after, atol=0.02 * float(before.detach().abs().max()), rtol=0)


def test_guidance_and_blindness_change_what_is_made():
    engine = engine_of("mini", GREEDY)
    tokens, starts = engine.go_on(torch.arange(8), 30)
    nothing = torch.zeros(CODEBOOKS, 0, dtype=torch.long)
    usual, blind = (one.acoustics(tokens, starts, nothing, 30) for one in (engine, engine.acoustic_only()))
    others = engine.acoustic_only().acoustics(tokens.flip(0), starts, nothing, 30)
    assert torch.equal(blind, others) and not torch.equal(usual, blind) and not engine.blind
    config = engine.configs["coarse"]
    engine.configs["coarse"] = replace(config, sampling=replace(config.sampling, guidance=4.0))
    assert not torch.equal(engine.acoustics(tokens, starts, nothing, 30), usual)


def test_guidance_strengthens_the_prompt_and_the_best_candidate_has_most_evidence():
    engine, generator = engine_of("mini", window=40, overlap=20), torch.Generator().manual_seed(3)
    tokens, starts = torch.arange(30) % TOKENS, torch.arange(30)
    prompt = torch.randint(SIZE, (CODEBOOKS, 10), generator=generator)
    part = Part(tokens, prompt, 20, num_prompt=10)
    batch = engine._batch("coarse", [part, replace(part, num_prompt=0)])
    without = engine._without(batch, [10, 0])
    fill = engine.stages.vocabulary.fill
    semantic = batch.roles == ROLES.index("semantic")
    assert ((without == fill).all(2)[0] == batch.target[0]).all(), "the prompt is hidden, the tokens are not"
    assert ((without == fill).all(2)[1] == semantic[1]).all(), "without a prompt, the tokens"
    config = engine.configs["coarse"]
    sampling = replace(config.sampling, temperature=1.0, candidates=3)
    engine.configs["coarse"] = replace(config, sampling=sampling)
    whole = engine.acoustics(tokens, starts, prompt, 30, seed=4)
    made = engine.generate_many("coarse", [part] * 3, [4 + 104729 + 1299709 * n for n in range(3)])
    evidence = [engine._evidence("coarse", part, one) for one in made]
    assert torch.equal(whole[:, 10:], made[int(np.argmax(evidence))]) and len(set(evidence)) == 3


def test_what_is_no_model_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="is no AudioLM model"):
        load_audiolm("uniaudio-codec")
    engine = engine_of("three")
    save_audiolm(tmp_path / "model", engine, "# A card\n")
    loaded = checkpoint.load(tmp_path / "model")
    extra = {"vocabulary.json": (tmp_path / "model" / "vocabulary.json").read_text(), "README.md": ""}
    for entry, value, message in (
        ("stages", {}, "has the stages"),
        ("num_coarse", 3, "cannot be coarse"),
        ("dedup", None, "damaged"),
        ("codec", 3, "damaged"),
    ):
        data = {**loaded.config, entry: value}
        if value is None:
            del data[entry]
        checkpoint.save(tmp_path / entry, loaded.tensors, data, extra=extra)
        with pytest.raises(InputError, match=message):
            load_audiolm(str(tmp_path / entry))


def test_requests_out_of_range_are_refused(engine: AudioLMEngine):
    with pytest.raises(InputError, match="lasts 0.30 s: give 0.5 to 60 s"):
        engine.continuation(noise(0.3), 1.0)
    with pytest.raises(InputError, match="seconds must be above 0"):
        engine.continuation(noise(1.0), 0.0)
    with pytest.raises(InputError, match="cannot overlap"):
        StageConfig(window=4, overlap=4, sampling=HOT)


def test_the_seam_does_not_click_and_keeps_the_level():
    """A continuation of another phase and a tenth of the level: the join is smooth and as loud as the prompt."""
    time = np.arange(32000) / 16000
    whole = 0.4 * np.sin(2 * np.pi * 220 * time).astype(np.float32)
    prompt, made = whole[:16000], 0.25 * np.sin(2 * np.pi * 220 * time + 2.0).astype(np.float32)
    result = joined(prompt, made)
    assert (result[:16000] == prompt).all() and len(result) == 32000
    steps = np.abs(np.diff(result))
    assert steps[15990:16400].max() <= 1.3 * steps[:15990].max(), "a click at the seam"
    assert np.abs(np.diff(np.concatenate((prompt, made[16000:]))))[15999] > 3 * steps[:15990].max()  # without the join
    before, after = (20 * np.log10(np.sqrt(np.mean(part**2))) for part in (result[8000:16000], result[16000:24000]))
    assert abs(after - before) < 3


@pytest.mark.parametrize("loud", [0.2, 0.4, 0.8])
def test_what_follows_is_at_most_2_db_louder_or_softer(loud: float):
    prompt, rest = (noise(1.0, seed=seed).samples[0] for seed in (1, 2))
    result = joined(prompt, np.concatenate((prompt, rest * loud / 0.5)))
    assert abs(active_db(result[16000:], 16000) - active_db(prompt, 16000)) < 2.05
    assert active_db(np.zeros(100), 16000) == active_db(np.zeros(0), 16000) == pytest.approx(-100)


def test_short_prompts_and_silence_join_too():
    assert len(joined(np.zeros(4, np.float32), np.ones(10, np.float32) * 0.1)) == 10
    assert len(joined(np.ones(8, np.float32) * 0.1, np.zeros(8, np.float32))) == 8
    assert np.isfinite(joined(np.zeros(1000, np.float32), np.zeros(2000, np.float32))).all()


def test_the_result_is_audio_of_the_codec(engine: AudioLMEngine):
    made = engine.continuation(Audio(noise(1.0).samples.repeat(2, 0), 16000), 0.5)
    assert made.sample_rate == engine.sample_rate == 16000 and made.samples.shape[0] == 1
