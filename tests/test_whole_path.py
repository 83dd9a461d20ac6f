"""From recordings to a model folder that speaks: every recipe of the shipped model, in miniature."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.corpora import speech_rows, write_corpus
from tests.requests import noise
from uniaudio import recipes
from uniaudio.engines import load
from uniaudio.engines.bundle import save_engine
from uniaudio.errors import InputError
from uniaudio.lm.orders import ORDERS
from uniaudio.recipes.codec import load_codec
from uniaudio.recipes.ship import assemble, count_values
from uniaudio.tokenizers.codec import CodecTokenizer

CODEC = [
    "codec.num_codebooks=3",
    "codec.codebook_size=32",
    "codec.convnext.num_mels=32",
    "codec.convnext.dim=16",
    "codec.convnext.encoder_width=32",
    "codec.convnext.encoder_blocks=1",
    "codec.convnext.encoder_code_blocks=1",
    "codec.convnext.decoder_width=32",
    "codec.convnext.decoder_code_blocks=1",
    "codec.convnext.decoder_blocks=1",
]
SHORT = ["loop.steps=3", "loop.log_every=1"]
CODEC_RUN = [*CODEC, *SHORT, "crop_frames=8", "objective.batch_size=2", "objective.unquantized_steps=1"]
LM_RUN = [
    *SHORT,
    "num_codebooks=2",
    "codebook_size=32",
    "global_.width=48",
    "global_.layers=1",
    "global_.heads=4",
    "local_.width=32",
    "local_.layers=1",
    "local_.heads=2",
    "frame_budget=400",
    "objective.slot_weights=[1.0, 1.0]",
]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run codec, tokens, durations and language model in one folder."""
    folder = tmp_path_factory.mktemp("work")
    corpus = write_corpus(folder / "corpora" / "speech", speech_rows(12), "speech")
    recipes.run("codec_mini", CODEC_RUN, corpus=corpus, run=folder / "codec")
    recipes.pair(folder / "corpora", folder / "examples", ["tts"], 0)
    recipes.tokenize(folder / "examples" / "tts", folder / "tokens", str(folder / "codec"))
    durations = [*SHORT, "model.width=16", "model.layers=1", "batch_size=2"]
    recipes.run("durations_mini", durations, corpus=folder / "tokens", run=folder / "durations")
    recipes.run("mini", LM_RUN, corpus=folder / "tokens", run=folder / "lm")
    engine = assemble(folder / "codec", folder / "durations", folder / "lm", "tiny")
    save_engine(folder / "tiny", engine, "# tiny\n")
    return folder


def test_the_parts_make_a_model_that_speaks(work: Path):
    engine = load(str(work / "tiny"))
    assert engine.tasks == ("tts",) and set(count_values(engine)) == {"codec", "lm", "duration"}
    audio = engine.generate("tts", {"text": "Hello there.", "speaker": noise(2.0)})
    assert audio.seconds > 0.1 and np.isfinite(audio.samples).all()
    with pytest.raises(InputError, match="was not trained on text_to_sound"):
        engine.generate("text_to_sound", {"caption": "rain"})


def test_the_decoder_goes_on_learning_without_moving_a_code(work: Path):
    overrides = [f"start={work / 'codec'}", "cut=2", "objective.decoder_only=true", "objective.batch_size=2", *SHORT]
    recipes.run("codec_mini", [*overrides, "crop_frames=8"], corpus=work / "corpora" / "speech", run=work / "decoder")
    before, after = load_codec(work / "codec")[0].cut(2), load_codec(work / "decoder")[0]
    ids = [CodecTokenizer(codec).encode(noise(1.0, seed=9)).ids for codec in (before, after)]
    assert (ids[0] == ids[1]).all()
    samples = [CodecTokenizer(codec).decode(i).samples for codec, i in zip((before, after), ids, strict=True)]
    assert (samples[0] != samples[1]).any()


def test_a_finer_decoder_serves_the_same_codes(work: Path):
    """A fresh fine stage learns alone; then it can be put onto the codec that it came from."""
    overrides = [f"start={work / 'codec'}", "objective.decoder_only=true", "objective.batch_size=2", *SHORT]
    recipes.run("codec_mini", [*overrides, "refine=true", "crop_frames=8"], corpus=work / "corpora", run=work / "fine")
    fine = load_codec(work / "fine")[0]
    assert fine.config.convnext.fine_blocks and fine.config.convnext.synthesis_hop_length == 160
    joined = [f"start={work / 'codec'}", f"decoder={work / 'fine'}", "objective.batch_size=2", "loop.steps=0"]
    recipes.run("codec_mini", [*joined, "crop_frames=8"], corpus=work / "corpora" / "speech", run=work / "joined")
    joint, samples = load_codec(work / "joined")[0], torch.from_numpy(noise(1.0).samples)[None]
    assert torch.equal(joint.encode(samples), load_codec(work / "codec")[0].encode(samples))
    assert torch.equal(joint.decode(joint.encode(samples)), fine.decode(fine.encode(samples)))


@pytest.mark.parametrize("order", ORDERS)
def test_every_code_order_trains_ships_and_speaks(work: Path, order: str):
    recipes.run(
        "mini", [*LM_RUN, f"order={order}", "objective.local_share=1.0"], corpus=work / "tokens", run=work / order
    )
    engine = assemble(work / "codec", work / "durations", work / order, order)
    save_engine(work / f"{order}-model", engine, f"# {order}\n")
    loaded = load(str(work / f"{order}-model"))
    assert type(loaded.lm) is type(engine.lm) and loaded.lm.config == engine.lm.config
    request = {"text": "Hello there.", "speaker": noise(2.0)}
    first, again = (loaded.generate("tts", request) for _ in range(2))
    assert first.seconds == engine.generate("tts", request).seconds
    assert (first.samples == again.samples).all()


def test_a_language_model_starts_from_a_trained_one(work: Path):
    start = [f"start={work / 'tiny'}"]
    recipes.run("mini", [*LM_RUN, *start], corpus=work / "tokens", run=work / "more")
    with pytest.raises(InputError, match="other sizes"):
        recipes.run("mini", [*LM_RUN, *start, "global_.layers=2"], corpus=work / "tokens", run=work / "other")


def test_tokenizing_again_does_nothing(work: Path):
    before = {path: path.stat().st_mtime_ns for path in (work / "tokens").rglob("*")}
    recipes.tokenize(work / "examples" / "tts", work / "tokens", str(work / "codec"))
    assert {path: path.stat().st_mtime_ns for path in (work / "tokens").rglob("*")} == before


def test_tokens_of_another_codec_are_refused(work: Path, tmp_path: Path):
    recipes.run("codec_mini", [*CODEC_RUN, "loop.seed=1"], corpus=work / "corpora" / "speech", run=tmp_path / "codec")
    with pytest.raises(InputError, match="another codec"):
        recipes.tokenize(work / "examples" / "tts", work / "tokens", str(tmp_path / "codec"))


def test_only_the_splits_of_the_corpus_are_tokenised(work: Path, tmp_path: Path):
    lines = (work / "corpora" / "speech" / "cuts.jsonl").read_text().splitlines()
    kept = [line for line in lines if json.loads(line)["custom"]["split"] == "dev"]
    (tmp_path / "speech").mkdir()
    for path in (work / "corpora" / "speech").glob("*.flac"):
        (tmp_path / "speech" / path.name).symlink_to(path)
    (tmp_path / "speech" / "cuts.jsonl").write_text("\n".join(kept) + "\n")
    recipes.tokenize(tmp_path / "speech", tmp_path / "out", str(work / "codec"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dev", "tokens.json"]
    with pytest.raises(InputError, match="no example of tts"):
        recipes.run("mini", [*LM_RUN, "max_seconds=0.1"], corpus=work / "tokens", run=tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["num_codebooks=4", "objective.slot_weights=[]"], "holds 3 codebooks"),
        (["codebook_size=4"], "the model takes 2 of 4"),
        (["objective.slot_weights=[1.0]"], "1 values for 2 codebooks"),
    ],
)
def test_a_recipe_that_does_not_fit_the_tokens_is_refused(work: Path, tmp_path: Path, changes: list[str], says: str):
    with pytest.raises(InputError, match=says):
        recipes.run("mini", [*LM_RUN, *changes], corpus=work / "tokens", run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_evaluation_judges_the_model(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("uniaudio.evaluate.codecs.OPUS_KBPS", ())  # its speech is noise, slow to recognise
    monkeypatch.setattr("uniaudio.evaluate.heard.recognise", lambda audio: "hello")
    out, model = work / "evaluation", str(work / "tiny")
    recipes.evaluate(["codec"], model, work / "corpora" / "speech", out, 2, 0)
    codec = json.loads((out / "results.json").read_text())["codec"]
    assert -1 <= codec["stoi"]["mean"] <= 1 and codec["bits_per_second"] == 25 * 2 * 5
    recipes.evaluate(["tts"], model, work, out, 2, 0)
    columns = json.loads((out / "results.json").read_text())["tasks"]["tts"]["columns"]
    assert columns["model"]["figures"]["wer"]["clips"] == 2 and columns["model"]["real_time_factor"] > 0
    assert (out / "index.html").exists() and len(list((out / "tts" / "model").glob("*.wav"))) == 2
    assert "nearest_voice" in (printed := capsys.readouterr().out) and "codebook_use" in printed
    with pytest.raises(InputError, match="is no task"):
        recipes.evaluate(["humming"], model, work, out, 2, 0)
