"""From recordings to an AudioLM folder that goes on speaking: every recipe and the command, in miniature."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.corpora import speech_rows, write_corpus
from tests.requests import noise
from uniaudio import recipes
from uniaudio.audio.io import read_audio
from uniaudio.cli import main
from uniaudio.codec.model import Codec
from uniaudio.data.shards import Shards
from uniaudio.data.stages import StageReader
from uniaudio.engines.audiolm_folder import load_audiolm, save_audiolm
from uniaudio.engines.tokenizers import save_tokenizers
from uniaudio.errors import InputError
from uniaudio.lm import orders
from uniaudio.lm.multiscale import MultiScaleLM
from uniaudio.nn.transformer import TransformerConfig
from uniaudio.recipes.audiolm import MINI, PAPER, _start_from, assemble, lm_config
from uniaudio.recipes.debug import CODEC
from uniaudio.sequence.stages import Stages
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import STAGES
from uniaudio.tokenizers.semantic import MelFeatures, SemanticTokenizer

TINY = [
    "loop.steps=2",
    "loop.log_every=1",
    "loop.bf16=false",
    "loop.optim.name=adamw",
    "num_codebooks=3",
    "codebook_size=32",
    "num_semantic=16",
    "window_seconds=2.4",
    "global_.width=32",
    "global_.layers=1",
    "global_.heads=2",
    "local_.width=32",
    "local_.layers=1",
    "local_.heads=2",
    "frame_budget=300",
]
TINIEST = TransformerConfig(width=16, layers=1, heads=2)
VARIANTS = {"mini": ["num_coarse=3"], "three": ["num_coarse=1"], "paper": ["num_coarse=1", "dedup=true"]}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a corpus, tokenizers and tokens; train and assemble every variant."""
    folder = tmp_path_factory.mktemp("audiolm")
    write_corpus(folder / "speech", speech_rows(12), "speech")
    torch.manual_seed(0)
    semantic = SemanticTokenizer.fit(MelFeatures(), [noise(2.0)], num_ids=16, frame_rate=25.0)
    save_tokenizers(folder / "codec", "codec", Codec(CODEC).eval(), semantic, "# codec\n")
    recipes.tokenize(folder / "speech", folder / "tokens", str(folder / "codec"))
    for name, changes in VARIANTS.items():
        runs = {stage: folder / name / stage for stage in STAGES if stage != "fine" or name != "mini"}
        for stage, run in runs.items():
            order = "multiscale" if name != "paper" and stage != "semantic" else "flatten"
            relative = ["relative_buckets=8"] if name == "paper" else []
            shape = [f"order={order}", *relative, "vector_dim=0", f"objective.local_share={1.0}"]
            recipes.run(f"audiolm_{stage}", [*TINY, *changes, *shape], corpus=folder / "tokens", run=run)
        save_audiolm(folder / name / "model", assemble(str(folder / "codec"), runs, name), "# tiny\n")
    return folder


def test_recordings_are_joined_by_speaker_and_cropped(work: Path):
    shards = Shards(work / "tokens" / "train")
    stages = Stages(Vocabulary.new(3, 32), 3, 16, dedup=False)
    stored = [shards.read(index) for index in range(len(shards))]
    own: dict[bytes, set[tuple[int, ...]]] = {}
    for tensors in stored:
        assert tensors["semantic"].shape == tensors["target"].shape[1:]
        frames = {tuple(frame) for frame in tensors["target"].t().tolist()}
        own.setdefault(tensors["speaker"].numpy().tobytes(), set()).update(frames)
    assert sorted(own) == [b"train0", b"train1"]
    reader = StageReader(stages, "coarse", 90, 25.0)
    assert (reader.lengths(shards) == 90 * 2 + 16).all()
    for index in range(len(shards)):
        sequence = reader(shards, index, np.random.default_rng(index))
        codes = stages.codes("coarse", sequence.frames[sequence.num_prompt :])
        assert codes.shape[1] == 90 and int(codes.max()) < 32, "joined to a whole window, without an end mark"
        assert {tuple(frame) for frame in codes.t().tolist()} <= own[stored[index]["speaker"].numpy().tobytes()]
    alone = StageReader(stages, "semantic", 90, 25.0, join=False)(shards, 0, np.random.default_rng(0))
    assert alone.frames[-1, 0] == stages.vocabulary.mark("end"), "a whole recording has its end mark"
    assert len(alone) - alone.num_prompt == len(stored[0]["semantic"]) + 1


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains_ships_and_goes_on(work: Path, name: str, tmp_path: Path):
    model = str(work / name / "model")
    engine = load_audiolm(model)
    assert engine.stages.dedup == (name == "paper") and set(engine.models) >= {"semantic", "coarse"}
    noise(1.0).write(tmp_path / "prompt.wav")
    out, again = tmp_path / "out.wav", tmp_path / "again.wav"
    call = ["continuation", "--prompt", str(tmp_path / "prompt.wav"), "--seconds", "0.8", "--model", model]
    assert main([*call, "-o", str(out)]) == 0 and main([*call, "-o", str(again)]) == 0
    assert read_audio(out).seconds == 1.8 and out.read_bytes() == again.read_bytes()


def test_the_command_speaks_from_nothing_and_after_a_source(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    noise(1.0).write(tmp_path / "a.wav")
    call = ["continuation", "-o", str(tmp_path / "out.wav"), "--model", str(work / "mini" / "model")]
    source = ["--source", str(tmp_path / "a.wav")]
    for more, seconds in ((["--seconds", "0.6"], 0.6), (source, 1.0), ([*source, "--prompt", source[1]], 1.0)):
        assert main([*call, *more]) == 0
        assert read_audio(tmp_path / "out.wav").seconds == pytest.approx(seconds)
    assert capsys.readouterr().out.count("s of it new") == 3
    (tmp_path / "out.wav").unlink()
    bad = {
        "do not go together": [*call, *source, "--seconds", "1"],
        "--prompt: there is no file": [*call, "--prompt", str(tmp_path / "missing.wav")],
        "was not trained on continuation": [*call[:3], "--model", str(work / "codec")],
        "unknown model": [*call[:3], "--model", "nothing"],
    }
    for message, arguments in bad.items():
        assert main(arguments) == 2
        printed = capsys.readouterr().err
        assert message in printed and printed.count("\n") == 1, printed
        assert not (tmp_path / "out.wav").exists()


def test_semantic_tokens_alone_are_enough_for_the_first_stage(work: Path, tmp_path: Path):
    call = ["tokenize", str(work / "speech"), "--out", str(tmp_path / "tokens"), "--model", str(work / "codec")]
    assert main([*call, "--only-semantic", "--workers", "1"]) == 0
    alone, whole = Shards(tmp_path / "tokens" / "train"), Shards(work / "tokens" / "train")
    assert "target" not in alone.read(0) and torch.equal(alone.read(0)["semantic"], whole.read(0)["semantic"])
    assert (alone.frames == whole.frames).all()
    shape = ["order=flatten", "num_coarse=3", "vector_dim=0", "objective.local_share=1.0"]
    recipes.run("audiolm_semantic", [*TINY, *shape], corpus=tmp_path / "tokens", run=tmp_path / "semantic")
    with pytest.raises(InputError, match="has semantic tokens alone"):
        recipes.run("audiolm_coarse", [*TINY, *shape], corpus=tmp_path / "tokens", run=tmp_path / "coarse")


def test_a_stage_starts_from_a_run_of_the_same_sizes(work: Path, tmp_path: Path):
    start = [f"start={work / 'three' / 'coarse'}", "vector_dim=0", "objective.local_share=1.0", "num_coarse=1"]
    recipes.run("audiolm_coarse", [*TINY, *start], corpus=work / "tokens", run=tmp_path / "more")
    with pytest.raises(InputError, match="other sizes"):
        changes = [*TINY, *start, "global_.layers=2"]
        recipes.run("audiolm_coarse", changes, corpus=work / "tokens", run=tmp_path / "other")


def test_a_stage_that_starts_from_a_model_of_tasks_begins_with_its_marks(monkeypatch: pytest.MonkeyPatch):
    """What a stage's marks mean is nearly what marks of tasks mean: those rows are copied, others are as trained."""
    recipe = replace(MINI["coarse"], vector_dim=0, global_=TINIEST, local_=TINIEST)
    stages, sizes = recipe.stages(), lm_config(recipe, "coarse")
    trained, model = orders.build(sizes), orders.build(sizes)
    monkeypatch.setattr("uniaudio.engines.bundle.load_engine", lambda name: SimpleNamespace(lm=trained))
    _start_from(model, "some-model", stages.vocabulary)
    mark = stages.vocabulary.mark
    assert isinstance(trained, MultiScaleLM) and isinstance(model, MultiScaleLM)
    for table, own in ((trained.embedding, model.embedding), (trained.local_embedding, model.local_embedding)):
        for name, alike in (("coarse_task", "voice_conversion_task"), ("audio_start", "speech_start")):
            assert torch.equal(own.weight[mark(name)], table.weight[mark(alike)])
        assert torch.equal(own.weight[300:], table.weight[300:])


def test_runs_that_do_not_fit_one_another_are_refused(work: Path):
    mini, three = work / "mini", work / "three"
    for runs, message in (
        ({"semantic": mini / "coarse", "coarse": mini / "coarse"}, "is no run of the semantic stage"),
        ({"semantic": mini / "semantic", "coarse": three / "coarse"}, "other tokens or codebooks"),
        ({"semantic": three / "semantic", "coarse": three / "coarse"}, "need the stages"),
    ):
        with pytest.raises(InputError, match=message):
            assemble(str(work / "codec"), runs, "odd")
    with pytest.raises(InputError, match="makes other tokens"):
        runs = {"semantic": mini / "semantic", "coarse": mini / "coarse"}
        assemble("uniaudio-codec", runs, "odd")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["num_coarse=2"], "cannot be coarse"),
        (["num_semantic=4"], "has the semantic token"),
        (["num_codebooks=4", "num_coarse=4"], "holds 3 codebooks"),
        (["order=spiral"], "unknown code order"),
        (["window_seconds=0.01"], "leave room"),
        (["num_coarse=3", "relative_buckets=6"], "cannot be cut"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(work: Path, tmp_path: Path, changes: list[str], says: str):
    with pytest.raises(InputError, match=says):
        shape = ["order=flatten", "num_coarse=3", "objective.local_share=1.0"]
        recipes.run("audiolm_coarse", [*TINY, *shape, *changes], corpus=work / "tokens", run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_sizes_are_the_papers():
    sizes = lm_config(PAPER["coarse"], "coarse")
    assert (sizes.num_slots, sizes.transformer.width, sizes.transformer.layers) == (4, 1024, 12)  # type: ignore[union-attr]
    assert sizes.transformer.heads == 16 and lm_config(PAPER["fine"], "fine").num_slots == 8  # type: ignore[union-attr]
    with pytest.raises(InputError, match="there is no fine stage"):
        lm_config(MINI["coarse"], "fine")
