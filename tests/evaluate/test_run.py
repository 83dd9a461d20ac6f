"""One evaluation of all tasks: four columns, the same again, resumed, compared, and what is missing marked."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.corpora import small_corpora

from uniaudio import recipes
from uniaudio.audio.io import Audio, read_audio
from uniaudio.cli import main
from uniaudio.engines import tokens
from uniaudio.engines.tokens import TokenEngine
from uniaudio.errors import InputError
from uniaudio.evaluate import columns, heard, run
from uniaudio.evaluate.cases import read_cases
from uniaudio.evaluate.compare import compare, read_results
from uniaudio.evaluate.judges import METRICS, SET_METRICS
from uniaudio.recipes.debug import debug_engine
from uniaudio.recipes.evaluation_set import write_set
from uniaudio.tasks import TASKS

FIRST = ("reference", "codec", "model")


@pytest.fixture(scope="module")
def engine() -> TokenEngine:
    return debug_engine()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fixed set made of small corpora of noise."""
    folder = tmp_path_factory.mktemp("data")
    corpora = small_corpora(folder / "corpora")
    recipes.pair(corpora, folder / "examples", list(TASKS), 0)
    write_set(folder / "examples", folder / "set", 2, list(TASKS))
    return folder / "set"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, engine: TokenEngine) -> None:
    """The model is the tiny random one; the recogniser, slow on noise, says what the loudness tells it."""
    monkeypatch.setattr(run, "load", lambda name, precision: engine)
    monkeypatch.setattr(heard, "recognise", lambda audio: "hello" if np.abs(audio.samples).max() > 0.05 else "")


@pytest.fixture(scope="module")
def results(data: Path, engine: TokenEngine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The evaluation of all tasks."""
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run, "load", lambda name, precision: engine)
        patched.setattr(heard, "recognise", lambda audio: "hello" if np.abs(audio.samples).max() > 0.05 else "")
        recipes.evaluate(list(TASKS), "debug", data, out, 2, 0)
    return {"out": out, **read_results(out / "results.json")}


def test_every_metric_of_every_task_is_in_the_table():
    for task in TASKS.values():
        assert set(task.metrics) <= {*METRICS, *SET_METRICS}, task.name


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_its_columns_and_a_figure_or_a_reason_in_each(results: dict[str, Any], task: str):
    found = results["tasks"][task]
    names = list(found["columns"])
    assert tuple(names[:3]) == FIRST and len(names) >= 4, names
    assert found["clips"] == len(found["ids"]) == 2
    for column in found["columns"].values():
        assert set(column["figures"]) == set(TASKS[task].metrics)
        for name, figure in column["figures"].items():
            if isinstance(figure, str):
                assert len(figure) > 10, "a reason"
            else:
                marked = sum(name in reasons for reasons in column["marked"].values())
                assert np.isfinite(figure["mean"]) and figure["clips"] + marked == 2
                assert name in SET_METRICS or figure["low"] <= figure["mean"] <= figure["high"]
    assert "index.html" in {path.name for path in results["out"].iterdir()}


def test_the_same_again_generates_nothing_and_says_the_same(
    results: dict[str, Any], data: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: Any) -> Any:
        raise AssertionError("nothing is to be generated")

    monkeypatch.setattr(columns, "_generate", broken)
    monkeypatch.setattr(tokens, "round_trip", broken)
    before = {k: v for k, v in results.items() if k != "out"}
    for column in (column for task in before["tasks"].values() for column in task["columns"].values()):
        column.pop("real_time_factor", None)
    recipes.evaluate(list(TASKS), "debug", data, results["out"], 2, 0)
    assert read_results(results["out"] / "results.json") == before


def test_an_interrupted_run_goes_on_to_the_same_clips(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recipes.evaluate(["text_to_sound"], "debug", data, tmp_path / "whole", 2, 0)
    generate, asked = columns._generate, []

    def once(*arguments: Any) -> Any:
        asked.append(arguments)
        if len(asked) == 1:
            raise KeyboardInterrupt
        return generate(*arguments)

    monkeypatch.setattr(columns, "_generate", once)
    with pytest.raises(KeyboardInterrupt):
        recipes.evaluate(["text_to_sound"], "debug", data, tmp_path / "cut", 2, 0)
    recipes.evaluate(["text_to_sound"], "debug", data, tmp_path / "cut", 2, 0)
    for path in (tmp_path / "whole" / "text_to_sound" / "model").glob("*.wav"):
        assert path.read_bytes() == (tmp_path / "cut" / "text_to_sound" / "model" / path.name).read_bytes()


def test_clips_of_another_seed_are_refused(results: dict[str, Any], data: Path):
    with pytest.raises(InputError, match="another model, precision, seed or set"):
        recipes.evaluate(["tts"], "debug", data, results["out"], 2, 1)


def test_a_converted_voice_is_that_of_another_speaker(data: Path):
    for case in read_cases(data, "voice_conversion", 2):
        assert case.labels["speaker"] != case.labels["source_speaker"]


def test_a_model_without_the_task_and_a_silent_clip_are_marked(
    data: Path, tmp_path: Path, engine: TokenEngine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine, "tasks", ("tts",))
    silence = Audio(np.zeros((1, 16000), np.float32), 16000)
    monkeypatch.setattr(tokens, "round_trip", lambda codec, audio: silence)
    recipes.evaluate(["speech_enhancement", "text_to_sound"], "debug", data, tmp_path / "out", 2, 0)
    tasks = read_results(tmp_path / "out" / "results.json")["tasks"]
    enhanced = tasks["speech_enhancement"]["columns"]
    assert all("was not trained on" in why for why in enhanced["model"]["figures"].values())
    assert "no clip can be judged" in enhanced["codec"]["figures"]["dnsmos"]
    assert enhanced["codec"]["figures"]["wer"]["mean"] == 1.0, "a silent clip has no right word"
    sound = tasks["text_to_sound"]["columns"]["codec"]["figures"]
    assert all(isinstance(figure, str) for figure in sound.values()), sound


def test_missing_data_is_an_error_of_one_line(tmp_path: Path):
    with pytest.raises(InputError, match="has no examples of tts"):
        recipes.evaluate(["tts"], "debug", tmp_path, tmp_path / "out", 2, 0)
    with pytest.raises(InputError, match="needs held-out examples"):
        recipes.evaluate(["tts"], "debug", None, tmp_path / "out", 2, 0)


# compare


def test_a_real_difference_is_told_from_none(results: dict[str, Any], tmp_path: Path):
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.1, 40)
    first, better, same = (_results({f"clip{i}": [0.5 + noise[i] + up[i], 1.0] for i in range(40)}) for up in
                           (np.zeros(40), np.full(40, 0.02), random.normal(0, 0.01, 40)))  # fmt: skip
    verdicts = [compare(*pair)[0].verdict for pair in ((first, better), (better, first), (first, same))]
    assert verdicts == ["better", "worse", "no difference"]
    one = compare(first, better)[0]
    assert one.low <= 0.02 + 1e-9 and one.high >= 0.02 - 1e-9 and one.second - one.first == pytest.approx(0.02)


def test_errors_count_by_words(results: dict[str, Any]):
    first = _results({"a": [1.0, 1.0], "b": [0.0, 9.0]}, "wer")
    assert compare(first, first)[0].first == pytest.approx(0.1)


def test_the_gate_ends_with_an_error_when_something_is_worse(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    scores = [{f"clip{i}": [0.5 + 0.01 * i + up, 1.0] for i in range(9)} for up in (0.0, -0.1)]
    for name, own in zip(("a.json", "b.json"), scores, strict=True):
        (tmp_path / name).write_text(json.dumps(_results(own)))
    names = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    assert main(["compare", *names]) == 0 and "worse" in capsys.readouterr().out
    assert main(["compare", *names, "--gate"]) == 2 and "stoi of tts" in capsys.readouterr().err
    assert main(["compare", names[0], names[0], "--gate"]) == 0
    (tmp_path / "c.json").write_text("{}")
    assert main(["compare", names[0], str(tmp_path / "c.json")]) == 2
    assert "evaluate again" in capsys.readouterr().err
    assert main(["compare", names[0], names[1], "--column", "baseline"]) == 2


def _results(scores: dict[str, list[float]], metric: str = "stoi") -> dict[str, Any]:
    own = {name: {metric: value} for name, value in scores.items()}
    return {"format": 2, "tasks": {"tts": {"columns": {"model": {"scores": own}}}}}


def test_the_clips_of_a_fixed_set_are_what_the_examples_say(data: Path):
    case = read_cases(data, "speech_enhancement", 1)[0]
    noisy, clean = case.request["noisy"], case.reference.audio
    assert noisy.samples.shape == clean.samples.shape and not np.allclose(noisy.samples, clean.samples, atol=1e-3)
    files = list((data / "audio").glob("*.flac"))
    assert files and all(read_audio(path).seconds <= 6.0 for path in files)
    assert json.loads((data / "set.json").read_text())["files"] == len(files)
