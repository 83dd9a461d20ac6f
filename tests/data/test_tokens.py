"""Examples to tokens and batches: nothing is lost, repeated or mixed up, whatever was killed."""

import functools
import hashlib
import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.corpora import small_corpora

from uniaudio.data.encode import Encoder
from uniaudio.data.examples import load, read_examples
from uniaudio.data.loader import Ahead, Batches, BatchPlan
from uniaudio.data.pairs import NEEDS, pair
from uniaudio.data.sequences import SequenceReader, duration_batch, with_durations
from uniaudio.data.shards import Shards, is_done, kinds, verify
from uniaudio.data.tokenize import plan_shards, tokenize
from uniaudio.errors import InputError
from uniaudio.recipes.debug import debug_engine
from uniaudio.sequence.layout import ROLES, is_aligned
from uniaudio.tasks import TASKS
from uniaudio.tokenizers.phoneme import PHONEME_IDS


def encoder() -> Encoder:
    torch.set_num_threads(1)
    reader = debug_engine().reader
    return Encoder(reader.codec, reader.semantic, lambda: reader.captions)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_corpora(tmp_path_factory.mktemp("corpora"))


@pytest.fixture(scope="module")
def examples(corpora: Path) -> Path:
    counts = pair(corpora, corpora.parent / "examples", seed=1)
    assert set(counts) == set(TASKS) and all(counts.values()), counts
    return corpora.parent / "examples"


@pytest.fixture(scope="module")
def tokens(examples: Path) -> Path:
    for task in TASKS:
        tokenize(examples / task, examples.parent / "tokens" / task, encoder, "digest", workers=0)
    return examples.parent / "tokens"


def content(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# Pairs


def test_every_task_has_examples_of_every_split(examples: Path, corpora: Path, tmp_path: Path):
    assert set(NEEDS) == set(TASKS)
    for task in TASKS:
        found = list(read_examples(examples / task))
        assert {example.split for example in found} == {"train", "dev", "test"}
        assert len({example.id for example in found}) == len(found)
        for example in found:
            others = json.dumps([example.target, example.given])
            assert all(f"-{split}-" not in others for split in ("train", "dev", "test") if split != example.split)
    pair(corpora, tmp_path / "again", ["speech_enhancement"], seed=1)
    again = list(read_examples(tmp_path / "again" / "speech_enhancement"))
    assert [e.labels for e in again] == [e.labels for e in read_examples(examples / "speech_enhancement")]


def test_a_voice_is_never_the_target(examples: Path):
    for task in ("tts", "voice_conversion", "target_speaker_extraction", "singing_synthesis"):
        for example in read_examples(examples / task):
            assert example.given["speaker"]["id"] != example.target["id"]


def test_mixtures_have_the_ratio_of_their_label(examples: Path):
    for task, label in (("speech_enhancement", "snr_db"), ("target_speaker_extraction", "ratio_db")):
        for example in list(read_examples(examples / task))[:5]:
            field = next(iter(example.given))
            clean = load(example.target, 16000).samples[0]
            mixed = load(example.given[field], 16000).samples[0]
            assert len(mixed) == len(clean)
            gain = float(mixed @ clean / (clean @ clean))  # a loud mixture was turned down
            rest = mixed / gain - clean
            assert 10 * np.log10((clean**2).sum() / (rest**2).sum()) == pytest.approx(example.labels[label], abs=1.0)


def test_edits_change_what_they_say(examples: Path):
    seen = set()
    for example in read_examples(examples / "audio_edit"):
        source, target = load(example.given["source"], 16000).samples[0], load(example.target, 16000).samples[0]
        assert len(source) == len(target) and not np.array_equal(source, target)
        seen.add(example.labels["edit"])
    assert len(seen) >= 3


def test_a_removed_span_holds_words(examples: Path):
    for example in read_examples(examples / "speech_edit"):
        first, last = example.labels["removed"]
        assert 0 < last - first < example.seconds and example.given["text"] != example.given["edited_text"]


def test_missing_corpora_are_named(tmp_path: Path, corpora: Path):
    with pytest.raises(InputError, match="no corpus below"):
        pair(tmp_path, tmp_path / "out")
    (tmp_path / "speech").symlink_to(corpora / "speech")
    with pytest.raises(InputError, match="needs a corpus of noise"):
        pair(tmp_path, tmp_path / "out", ["speech_enhancement"])
    (tmp_path / "what").symlink_to(corpora / "speech")
    (corpora / "speech" / "corpus.json").rename(corpora / "speech" / "away")
    try:
        with pytest.raises(InputError, match="unknown kind 'what'"):
            pair(tmp_path, tmp_path / "out")
    finally:
        (corpora / "speech" / "away").rename(corpora / "speech" / "corpus.json")


# Shards


def test_tokens_are_those_of_the_engine(examples: Path, tokens: Path):
    """What training reads is what the engine makes of the same request."""
    engine = debug_engine()
    reader = SequenceReader(engine.layout, engine.codec.config.frame_rate)
    for task in TASKS.values():
        example = next(e for e in read_examples(examples / task.name) if e.split == "train")
        sequence = reader(Shards(tokens / task.name / "train"), 0, np.random.default_rng(0))
        codes = engine.codec.encode(torch.from_numpy(load(example.target, 16000).samples)[None])[0]
        target = sequence.frames[sequence.num_prompt :]
        assert torch.equal(engine.layout.codes(target[:-1]), codes)
        roles = [name for _, name in task.items]
        assert {ROLES[i] for i in sequence.roles.unique().tolist()} == {"mark", "target", *roles}


def test_items_in_step_are_as_long_as_the_target(tokens: Path):
    engine = debug_engine()
    reader = SequenceReader(engine.layout, engine.codec.config.frame_rate)
    for task in TASKS.values():
        shards = Shards(tokens / task.name / "test")
        sequence = reader(shards, 0, np.random.default_rng(0))
        length = len(sequence) - sequence.num_prompt - 1
        for name, modality in task.items:
            count = int((sequence.roles[: sequence.num_prompt] == ROLES.index(modality)).sum())
            if modality in ("codec", "semantic", "midi", "phoneme_duration"):
                assert count == length, (task.name, name)
    assert is_aligned("codec", reader._item(shards.read(0), "source", "codec", 5, np.random.default_rng(0)))


def test_a_damaged_shard_is_told(tokens: Path, tmp_path: Path):
    path = tmp_path / "shard-000000.tar"
    source = tokens / "tts" / "train" / "shard-000000.tar"
    path.write_bytes(source.read_bytes())
    path.with_suffix(".json").write_bytes(source.with_suffix(".json").read_bytes())
    verify(path)
    data = bytearray(path.read_bytes())
    data[600] ^= 255
    path.write_bytes(data)
    with pytest.raises(InputError, match="differs from its hash"):
        verify(path)
    path.write_bytes(data[:1000])
    assert not is_done(path)
    with pytest.raises(InputError, match="not finished or damaged"):
        Shards(tmp_path)


def test_tokens_of_something_else_are_refused(examples: Path, tokens: Path):
    with pytest.raises(InputError, match="another codec"):
        tokenize(examples / "tts", tokens / "tts", encoder, "other", workers=0)
    with pytest.raises(InputError, match="another manifest"):
        tokenize(examples / "speech_edit", tokens / "tts", encoder, "digest", workers=0)


def test_a_text_that_cannot_be_spoken_is_named(examples: Path, tmp_path: Path):
    lines = (examples / "tts" / "examples.jsonl").read_text().splitlines()
    bad = {**json.loads(lines[0]), "text": "...", "given": {**json.loads(lines[0])["given"], "text": "..."}}
    (tmp_path / "examples.jsonl").write_text(json.dumps(bad).replace("../../", f"{examples.parent}/") + "\n")
    with pytest.raises(InputError, match="example 'tts-speech-train-0'"):
        tokenize(tmp_path, tmp_path / "out", encoder, "digest", workers=0)
    (tmp_path / "examples.jsonl").write_text(json.dumps({"task": "tts", "split": "best"}) + "\n")
    with pytest.raises(InputError, match=r"examples.jsonl:1: .*split 'best'"):
        tokenize(tmp_path, tmp_path / "out2", encoder, "digest", workers=0)


def _tokenize_forever(manifest: str, out: str) -> None:
    os.environ["TQDM_DISABLE"] = "1"
    tokenize(Path(manifest), Path(out), encoder, "digest", workers=0)


def test_killed_at_any_moment_and_run_again_gives_the_same_bytes(
    corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """20 kills (SIGKILL) at random moments; a finished shard is never made again."""
    monkeypatch.setattr("uniaudio.data.tokenize.SHARD_EXAMPLES", 1)
    monkeypatch.setattr("uniaudio.data.tokenize.plan_shards", functools.partial(plan_shards, size=1))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    tokenize(corpora / "speech", whole, encoder, "digest", workers=0)
    fork = multiprocessing.get_context("fork")
    moments, kills = random.Random(0), 0
    while kills < 20:
        before = {path: path.stat().st_mtime_ns for path in broken.rglob("shard-*.tar") if is_done(path)}
        process = fork.Process(target=_tokenize_forever, args=(str(corpora / "speech"), str(broken)))
        process.start()
        time.sleep(moments.uniform(0.0, 0.25))
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        assert all(path.stat().st_mtime_ns == made for path, made in before.items()), "finished shards stay"
        if process.exitcode == 0:
            assert content(broken) == content(whole)
            for path in moments.sample(sorted(broken.rglob("shard-*.tar")), 6):
                path.unlink()
    tokenize(corpora / "speech", broken, encoder, "digest", workers=0)
    assert content(broken) == content(whole)


def test_a_killed_worker_is_replaced(corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("uniaudio.data.tokenize.SHARD_EXAMPLES", 2)
    monkeypatch.setattr("uniaudio.data.tokenize.plan_shards", functools.partial(plan_shards, size=2))
    tokenize(corpora / "speech", tmp_path / "whole", encoder, "digest", workers=0)
    once = functools.partial(encoder_that_dies_once, str(tmp_path / "died"))
    tokenize(corpora / "speech", tmp_path / "broken", once, "digest", workers=1)
    assert (tmp_path / "died").exists() and content(tmp_path / "broken") == content(tmp_path / "whole")


def encoder_that_dies_once(marker: str) -> Encoder:
    made = encoder()
    encode = made.encode

    def dying(examples: Any) -> Any:
        if not Path(marker).exists() and examples[0].split == "dev":
            Path(marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return encode(examples)

    made.encode = dying  # type: ignore[method-assign]
    return made


# Batches


def test_a_plan_uses_everything_once_an_epoch_within_the_budget():
    lengths = np.random.default_rng(0).integers(20, 200, size=700)
    plan = BatchPlan(lengths, [np.arange(300), np.arange(300, 700)], budget=1500, chunk=128)
    steps = len(plan.epoch(3, 0))
    seen = [index for step in range(steps) for index in plan.indices(3, step)]
    assert sorted(seen) == list(range(700))
    assert all(lengths[batch].max() * len(batch) <= 1500 for batch in plan.epoch(3, 0))
    again = BatchPlan(lengths, [np.arange(300), np.arange(300, 700)], budget=1500, chunk=128)
    for step in (steps + 3, 7, 0):
        assert np.array_equal(again.indices(3, step), plan.indices(3, step))
    assert not np.array_equal(plan.indices(3, 0), plan.indices(4, 0))
    assert not np.array_equal(plan.indices(3, steps), plan.indices(3, 0)), "the next epoch is shuffled anew"


def test_small_tasks_are_drawn_more_often():
    lengths = np.full(10_100, 10)
    groups = [np.arange(100), np.arange(100, 10_100)]
    shares = {}
    for alpha in (1.0, 0.5, 0.05):
        plan = BatchPlan(lengths, groups, budget=50, alpha=alpha)
        drawn = np.concatenate(plan.epoch(0, 0))
        assert len(set(drawn.tolist())) == len(drawn), "no example twice in an epoch"
        shares[alpha] = (drawn < 100).mean()
        expected = 100**alpha / (100**alpha + 10_000**alpha)
        assert shares[alpha] == pytest.approx(expected, rel=0.05)
    assert shares[0.05] > 0.4 > 0.1 > shares[0.5] > shares[1.0]


def test_a_factor_makes_a_group_drawn_more_often():
    lengths, groups = np.full(2000, 10), [np.arange(1000), np.arange(1000, 2000)]
    drawn = np.concatenate(BatchPlan(lengths, groups, budget=50, factors=[1.0, 3.0]).epoch(0, 0))
    assert (drawn < 1000).mean() == pytest.approx(0.25, rel=0.05) and len(set(drawn.tolist())) == len(drawn)


def batches(tokens: Path, tasks: list[str], **settings: Any) -> Batches:
    engine = debug_engine()
    reader = SequenceReader(engine.layout, engine.codec.config.frame_rate)
    sources = [Shards(tokens / task / "train") for task in tasks]
    return Batches(sources, reader, tasks, 2000, vector_dim=384, **settings)


def test_batches_mix_all_tasks_and_repeat_exactly(tokens: Path):
    loader = batches(tokens, list(TASKS))
    marks = {loader.reader.layout.vocabulary.mark(f"{task}_task") for task in TASKS}
    seen: set[int] = set()
    for step in range(len(loader.plan.epoch(0, 0))):
        batch, again = loader.draw(0, step), batches(tokens, list(TASKS)).draw(0, step)
        assert torch.equal(batch.frames, again.frames) and torch.equal(batch.positions, again.positions)
        assert bool(batch.target.any(dim=1).all())
        seen |= set(batch.frames[:, 1, 0].tolist())
    assert seen == marks, "every sequence begins with its task's mark"


def test_batches_made_ahead_are_the_same(tokens: Path):
    loader = batches(tokens, ["tts", "text_to_sound"])
    for stride in (1, 3):  # of three processes, each takes every third batch
        ahead = Ahead(loader.draw, workers=1, stride=stride)
        for step in (2, 2 + stride, 2 + 2 * stride, 40):  # the last one is out of order
            before = torch.get_rng_state()
            assert torch.equal(ahead(0, step).frames, loader.draw(0, step).frames)
            assert torch.equal(torch.get_rng_state(), before), "what a step draws must not depend on its loader"


def test_the_text_is_in_step_with_the_speech(tokens: Path):
    batch = batches(tokens, ["tts"]).draw(0, 0)
    for row in range(len(batch.lengths)):
        size = int(batch.lengths[row])
        roles, positions = batch.roles[row, :size], batch.positions[row, :size]
        text, target = roles == ROLES.index("phoneme"), roles == ROLES.index("target")
        assert int(target.sum()) == int(text.sum()) + 1, "the text is as long as the target without its end"
        assert torch.equal(positions[text], positions[target][:-1])
        assert torch.equal(batch.target[row, :size], target)


def test_an_edited_source_is_hidden_where_words_were_removed(tokens: Path):
    engine = debug_engine()
    reader = SequenceReader(engine.layout, engine.codec.config.frame_rate)
    shards = Shards(tokens / "speech_edit" / "train")
    sequence = reader(shards, 0, np.random.default_rng(0))
    source = sequence.frames[: sequence.num_prompt][sequence.roles[: sequence.num_prompt] == ROLES.index("codec")]
    hidden = (source == engine.layout.vocabulary.fill).all(dim=1).nonzero()[:, 0]
    first, last = shards.read(0)["source.hidden"].tolist()
    assert hidden.tolist() == list(range(first, last)) and last > first


def test_duration_batches_hold_the_true_lengths(tokens: Path):
    shards = Shards(tokens / "tts" / "train")
    usable = with_durations([shards])
    ids, seconds, mask, captions = duration_batch([shards], usable, 5, seed=0, step=4, caption_dim=3)
    assert captions.shape == (5, 3) and not captions.any()  # a tts example has no description
    lengths = {round(float(shards.read(i)["text.ends"][-1]), 3) for _, i in usable}
    for row in range(5):
        assert round(float(seconds[row][mask[row]].sum()), 3) in lengths
        assert int(ids[row, 0]) == PHONEME_IDS["sil"]
    instructed = Shards(tokens / "instructed_tts" / "train")
    *_, captions = duration_batch([instructed], with_durations([instructed]), 3, seed=0, step=0, caption_dim=384)
    assert captions.abs().sum(1).gt(0).all()
    with pytest.raises(InputError, match="no phone times"):
        with_durations([Shards(tokens / "text_to_sound" / "train")])


def test_nothing_usable_is_told_at_once(tokens: Path, tmp_path: Path):
    with pytest.raises(InputError, match="no example"):
        BatchPlan(np.array([], dtype=int), [np.array([], dtype=int)], budget=100)
    with pytest.raises(InputError, match="no example of tts up to 0.1 s"):
        batches(tokens, ["tts"], max_seconds=0.1)
    with pytest.raises(InputError, match="no token shards"):
        Shards(tmp_path)
    assert kinds()[0] == "recording"
