"""Speech batches: planned from a seed, within the budget, a voice that is never the target's own recording."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from uniaudio.data.crops import Crops
from uniaudio.data.manifests import Row, read_manifest
from uniaudio.data.speech import BatchPlan, SpeechExamples, duration_batch
from uniaudio.data.tokens import TokenStore, tokenize
from uniaudio.errors import InputError
from uniaudio.lm.duration import DurationConfig, DurationPredictor
from uniaudio.recipes.debug import debug_engine
from uniaudio.recipes.lm import DurationObjective
from uniaudio.sequence.layout import ROLES
from uniaudio.tokenizers.phoneme import PHONEME_IDS

TEXTS = ["The boat is red.", "My sister reads books.", "No.", "He opened the old door."]


def write_corpus(folder: Path) -> Path:
    """Write a corpus of noise with plausible phone times: two speakers, two utterances each, one without times."""
    from tests.requests import noise

    rows = []
    for index, text in enumerate(TEXTS):
        audio = noise(1.0 + 0.3 * index, seed=index)
        audio.write(folder / f"{index}.flac")
        names = ["pau", "dh", "ax", "b", "ow", "t", "pau"]
        edges = np.linspace(0, audio.seconds, len(names) + 1)
        segments = [[name, edges[i], edges[i + 1]] for i, name in enumerate(names)]
        row = {"id": f"u{index}", "audio": f"{index}.flac", "text": text, "speaker": f"s{index % 2}", "split": "train"}
        rows.append({**row, "seconds": audio.seconds, "segments": None if index == 2 else segments})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    folder = write_corpus(tmp_path_factory.mktemp("corpus"))
    return tokenize(read_manifest(folder, "train"), debug_engine().codec)


def test_a_plan_uses_everything_once_an_epoch_within_the_budget():
    lengths = np.random.default_rng(0).integers(20, 200, size=700)
    plan = BatchPlan(lengths, budget=1500, chunk=128)
    seen: list[int] = []
    step = 0
    while len(seen) < 700:
        indices = plan.indices(3, step)
        assert indices and max(lengths[indices]) * len(indices) <= 1500
        seen += indices
        step += 1
    assert sorted(seen) == list(range(700))
    again = BatchPlan(lengths, budget=1500, chunk=128)
    assert [again.indices(3, s) for s in (0, 7, step + 3)] == [plan.indices(3, s) for s in (0, 7, step + 3)]
    assert plan.indices(3, 0) != plan.indices(4, 0)
    assert plan.indices(3, step) != plan.indices(3, 0), "the next epoch is shuffled anew"


def test_an_utterance_longer_than_the_budget_stands_alone():
    assert sorted(BatchPlan(np.array([5, 900, 5]), budget=100).indices(0, s)[0] for s in (0, 1)) != [0, 0]


def test_examples_are_laid_out_in_step(store: TokenStore):
    layout = debug_engine().layout
    examples = SpeechExamples(store, layout, 25.0, budget=2000)
    assert [store.rows[i]["id"] for i in examples.usable] == ["u0", "u1", "u3"], "u2 has no phone times"
    batch = examples.draw(0, 0)
    assert torch.equal(batch.frames, examples.draw(0, 0).frames)
    for row in range(len(batch.lengths)):
        size = int(batch.lengths[row])
        roles, positions = batch.roles[row, :size], batch.positions[row, :size]
        text, target = roles == ROLES.index("phoneme"), roles == ROLES.index("target")
        assert int(target.sum()) == int(text.sum()) + 1, "the text is as long as the target without its end"
        assert torch.equal(positions[text], positions[target][:-1])
        assert torch.equal(batch.target[row, :size], target)


def test_the_voice_is_never_cut_from_the_target(store: TokenStore):
    examples = SpeechExamples(store, debug_engine().layout, 25.0, budget=2000)
    random = np.random.default_rng(0)
    for index in examples.usable:
        others = [i for i in examples.by_speaker[store.rows[index]["speaker"]] if i != index]
        allowed = torch.cat([store.codes(i) for i in others], dim=1).t().tolist()
        for _ in range(20):
            ids = examples.voice(index, random).ids
            assert ids is not None and all(frame in allowed for frame in ids.tolist())


def test_a_store_comes_back_and_knows_its_codec(store: TokenStore, tmp_path: Path):
    store.save(tmp_path / "tokens", "abc")
    again = TokenStore.load(tmp_path / "tokens", "abc")
    assert again.rows == store.rows
    for index in range(len(store)):
        assert torch.equal(again.codes(index), store.codes(index)) and again.timed(index) == store.timed(index)
    assert not store.has_phones(2) and store.timed(2) == []
    with pytest.raises(InputError, match="another codec"):
        TokenStore.load(tmp_path / "tokens", "other")


def test_duration_batches_hold_the_true_lengths(store: TokenStore):
    ids, seconds, mask = duration_batch(store, [0, 1, 3], 5, seed=0, step=4)
    assert ids.shape == seconds.shape == mask.shape and ids.shape[0] == 5
    lengths = {round(row["seconds"], 3) for row in store.rows}
    for row in range(5):
        assert round(float(seconds[row][mask[row]].sum()), 3) in lengths
        assert int(ids[row, 0]) == PHONEME_IDS["sil"]
    assert all(
        torch.equal(a, b) for a, b in zip(duration_batch(store, [0, 1, 3], 5, 0, 4), (ids, seconds, mask), strict=True)
    )


def test_bad_manifests_are_named(tmp_path: Path):
    with pytest.raises(InputError, match="no manifest"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(InputError, match=r"manifest.jsonl:1"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.jsonl").write_text("")
    with pytest.raises(InputError, match="no rows"):
        read_manifest(tmp_path, "test")


def test_nothing_usable_is_told_at_once(store: TokenStore):
    with pytest.raises(InputError, match="no utterance"):
        BatchPlan(np.array([], dtype=int), budget=100)
    with pytest.raises(InputError, match="second utterance"):
        SpeechExamples(store, debug_engine().layout, 25.0, budget=2000, max_seconds=0.1)
    silent = TokenStore(store.rows, {**store.tensors, "phone_offsets": store.tensors["phone_offsets"] * 0})
    with pytest.raises(InputError, match="phone times"):
        DurationObjective(DurationPredictor(DurationConfig(width=16, layers=1)), silent, 2)
    row = Row(id="a", audio=Path("a.wav"), split="train", seconds=0.3)
    with pytest.raises(InputError, match="no recording is 0.5 s"):
        Crops([row], 16000, 640, 16000)


def test_a_text_that_cannot_be_spoken_is_named(tmp_path: Path):
    rows = read_manifest(write_corpus(tmp_path), "train")
    bad = Row(id="u9", audio=rows[0].audio, split="train", seconds=1.0, text="...", segments=rows[0].segments)
    with pytest.raises(InputError, match="utterance 'u9'"):
        tokenize([bad], debug_engine().codec)
