"""The command line and the public names: what calls do when nothing is wrong."""

import json
import os
import resource
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import uniaudio
from tests.commands import check_call, shell_calls
from uniaudio.audio.io import Audio, read_audio
from uniaudio.cli import COMMANDS, OTHER_COMMANDS, TASK_COMMANDS, generate, main
from uniaudio.cli.command import Parser, typed
from uniaudio.errors import InputError
from uniaudio.lm.sampling import Sampling
from uniaudio.tasks import TASKS

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}


@dataclass
class FakeEngine:
    """Takes what an engine takes, remembers it, and makes one second of noise in four frames."""

    tasks: tuple[str, ...] = tuple(TASKS)
    name: str = "fake"
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.6, top_k=7))
    calls: list[dict[str, Any]] = field(default_factory=list)
    fails: BaseException | None = None

    def sampling_for(self, task_name: str) -> Sampling:
        return self.sampling

    def generate(
        self,
        task_name: str,
        request: Mapping[str, Any],
        *,
        sampling: Sampling | None = None,
        seconds: float | None = None,
        on_frame: Callable[[int, int], None] | None = None,
    ) -> Audio:
        self.calls.append({"task": task_name, "request": request, "sampling": sampling, "seconds": seconds})
        if self.fails is not None:
            raise self.fails
        for done in range(1, 5):
            if on_frame is not None:
                on_frame(done, 4)
        return noise(1.0)


def noise(seconds: float) -> Audio:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (1, round(16000 * seconds)))
    return Audio(samples.astype(np.float32), 16000)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """Go to an empty folder with voice.wav and the config of a model in `model`, which loads as the fake engine."""
    fake = FakeEngine()
    monkeypatch.chdir(tmp_path)
    noise(2.0).write("voice.wav")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"tasks": fake.tasks}))
    monkeypatch.setattr("uniaudio.engines.load", lambda name, precision: fake)
    return fake


SPEAK = ["tts", "--text", "Hello.", "--speaker", "voice.wav", "-o", "out.wav", "--model", "model"]


# Tasks


def test_a_task_command_passes_the_request_on_and_writes(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*SPEAK, "--seed", "5", "--top-p", "0.9"]) == 0
    (call,) = engine.calls
    assert call["task"] == "tts" and call["seconds"] is None
    assert call["request"].keys() == {"text", "speaker"} and call["request"]["text"] == "Hello."
    assert call["request"]["speaker"].seconds == 2.0
    assert call["sampling"] == Sampling(temperature=0.6, top_k=7, seed=5, top_p=0.9), "the rest is the model's own"
    out, err = capfd.readouterr()
    assert err == "" and out.startswith("out.wav  1.00 s of audio, real-time factor 0.") and out.count("\n") == 1
    assert read_audio("out.wav").seconds == 1.0


def test_quiet_prints_nothing(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*SPEAK, "--quiet"]) == 0
    assert capfd.readouterr() == ("", "") and Path("out.wav").exists()


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_runs(name: str, engine: FakeEngine) -> None:
    Path("score.json").write_text('[{"pitch": 60, "start": 0, "end": 0.5, "lyric": "la"}]')
    values = {"AUDIO": "voice.wav", "TEXT": "Some words.", "SCORE": "score.json"}
    arguments = [typed(name), "-o", "out.flac", "--model", "model"]
    for field_name in TASKS[name].given:
        arguments += [f"--{typed(field_name)}", values[generate._reading(TASKS[name], field_name)[0]]]
    assert main(arguments) == 0
    assert engine.calls[0]["request"].keys() == TASKS[name].given.keys()


def test_seconds_are_passed_on(engine: FakeEngine) -> None:
    assert main("text-to-sound --caption rain --seconds 2.5 -o out.ogg --model model".split()) == 0
    assert engine.calls[0]["seconds"] == 2.5


def test_a_bar_is_drawn_where_someone_watches(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(SPEAK) == 0
    assert "tts" in capsys.readouterr().err
    assert main([*SPEAK, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_limits_are_those_of_the_engines() -> None:
    from uniaudio.cli import models
    from uniaudio.engines import items, tokens
    from uniaudio.lm import compiled
    from uniaudio.tokenizers import voice

    assert (generate.MIN_SECONDS, generate.MAX_SECONDS) == (items.MIN_SECONDS, items.MAX_SECONDS)
    assert generate.MAX_SECONDS == tokens.MAX_SECONDS
    assert generate.MIN_VOICE_SECONDS == voice.MIN_SECONDS
    assert models.PRECISIONS == compiled.PRECISIONS


def test_a_real_model_speaks_the_same_for_the_same_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from uniaudio.engines.bundle import save_engine
    from uniaudio.recipes.debug import debug_engine

    monkeypatch.chdir(tmp_path)
    noise(2.0).write("voice.wav")
    save_engine(tmp_path / "model", debug_engine(), "A model card.")
    for seed, name in (("1", "a.wav"), ("1", "b.wav"), ("2", "c.wav")):
        assert (
            main(["tts", "--text", "Hi.", "--speaker", "voice.wav", "-o", name, "--model", "model", "--seed", seed])
            == 0
        )
    first, again, other = (Path(name).read_bytes() for name in ("a.wav", "b.wav", "c.wav"))
    assert first == again != other


# Exit codes


def test_ctrl_c_is_130_and_leaves_nothing(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.fails = KeyboardInterrupt()
    assert main(SPEAK) == 130
    assert capfd.readouterr() == ("", "uniaudio: stopped\n")
    assert sorted(os.listdir()) == ["model", "voice.wav"]


def test_our_own_defects_keep_their_traceback(engine: FakeEngine) -> None:
    engine.fails = ValueError("a defect")
    with pytest.raises(ValueError, match="a defect"):
        main(SPEAK)


def test_a_message_of_several_lines_becomes_one(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.fails = InputError("one\n  two\u2028three\x85four")
    assert main(SPEAK) == 2
    assert capfd.readouterr().err == "uniaudio: error: one two three four\n"


def test_a_closed_pipe_is_no_defect(engine: FakeEngine) -> None:
    command = [sys.executable, "-m", "uniaudio", "tasks", "--model", "model"]
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=300, env=ENVIRONMENT)
    os.close(writer)
    assert (run.returncode, run.stderr) == (141, "")


# Help


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, uniaudio.cli\ntry:\n    uniaudio.cli.main(['--help'])\nfinally:\n"
        "    assert not {'torch', 'numpy', 'tqdm', 'soundfile'} & set(sys.modules), 'heavy'"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=ENVIRONMENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run.returncode == 0, run.stderr
    assert all(command.name in run.stdout and command.about in run.stdout for command in COMMANDS.values())
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1  # seconds of work


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    out = capsys.readouterr().out
    assert stopped.value.code == 0 and COMMANDS[name].about in out
    task = TASKS.get(name.replace("-", "_"))
    assert all(f"--{typed(field_name)}" in out for field_name in (task.given if task else ()))
    asks_length = name in ("continuation", "extend", "in-context") or (task is not None and task.length == "seconds")
    assert ("--seconds" in out) == asks_length


def test_there_is_a_command_per_task_and_all_names_differ() -> None:
    assert [command.name for command in TASK_COMMANDS] == [typed(name) for name in TASKS]
    assert len(COMMANDS) == len(TASK_COMMANDS) + len(OTHER_COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0 and capsys.readouterr().out == f"uniaudio {uniaudio.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["--text", "a", "-o", "x.wav"], ["--text=a", "--out=x.wav"], ["-ox.wav", "--text", "- a"]],
)
def test_options_may_be_written_in_each_usual_way(arguments: list[str]) -> None:
    parser = Parser("test", "A test.")
    parser.option("--text", required=True)
    parser.option("-o", "--out", required=True)
    values = parser.parse(arguments)
    assert values.out == "x.wav" and values.text in ("a", "- a")


def test_the_calls_in_the_documentation_are_understood() -> None:
    calls = [call for call in shell_calls(ROOT / "docs" / "cli.md") if "TASK" not in call]
    assert {"tts", "train", "tokenize", "synthesize", "prepare", "data", "evaluate"} <= {call[1] for call in calls}
    for call in calls:
        check_call(call)


# The other commands


def test_tasks_lists_all_and_marks_the_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text('{"tasks": ["tts", "text_to_music"]}')
    assert main(["tasks", "--model", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] == "*" for line in lines] == [name in ("tts", "text_to_music") for name in TASKS]
    assert all(
        typed(name) in line and task.about in line for line, (name, task) in zip(lines, TASKS.items(), strict=True)
    )


def test_train_passes_everything_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr("uniaudio.recipes.run", lambda *values, **named: calls.append((*values, named)))
    monkeypatch.chdir(tmp_path)
    run, corpus = tmp_path / "run", tmp_path
    assert main(["train", "tts_debug", "--corpus", str(corpus), "optim.lr=1e-3", "--run", str(run), "steps=2"]) == 0
    assert main(["train", "codec_debug", "--minutes", "0.5"]) == 0
    named = {"corpus": corpus, "run": run, "minutes": None}
    assert calls[0] == ("tts_debug", ["optim.lr=1e-3", "steps=2"], named)
    assert calls[1] == ("codec_debug", [], {"corpus": None, "run": None, "minutes": 0.5})
    assert list(tmp_path.iterdir()) == [], "the check of the folder leaves nothing"


def test_tokenize_and_evaluate_pass_everything_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: FakeEngine
) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr("uniaudio.recipes.tokenize", lambda *values: calls.append(values))
    monkeypatch.setattr("uniaudio.recipes.evaluate", lambda *values: calls.append(values))
    assert main(["tokenize", ".", "--out", "tokens", "--model", "model", "--workers", "3"]) == 0
    assert (
        main(["tokenize", ".", "--out", "tokens", "--model", "model", "--ray", "local", "--workers", "1", "--bfloat16"])
        == 0
    )
    few = ["--out", "report", "--workers", "2"]
    assert main(["evaluate", "tts", "codec", "--model", "model", "--limit", "3", "--precision", "int8", *few]) == 0
    assert main(["evaluate", "--model", "model", "--data", ".", "--seed", "4", *few]) == 0
    assert calls == [
        (Path("."), Path("tokens"), "model", 3, None, False, False),
        (Path("."), Path("tokens"), "model", 1, "local", True, False),
        (["tts", "codec"], "model", None, Path("report"), 3, 0, 2, "int8"),
        (list(TASKS), "model", Path("."), Path("report"), None, 4, 2, "float32"),
    ]


def test_synthesize_passes_everything_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[Any, ...]] = []

    def make(*values: Any) -> Path:
        calls.append(values)
        return Path("cuts.jsonl")

    monkeypatch.setattr("uniaudio.data.synthesize.synthesize", make)
    arguments = [
        "synthesize",
        "speech",
        "--out",
        str(tmp_path / "new"),
        "--hours",
        "0.5",
        "--seed",
        "3",
        "--workers",
        "2",
    ]
    assert main(arguments) == 0
    assert calls == [("speech", tmp_path / "new", 0.5, 3, 2)] and capsys.readouterr().out == "cuts.jsonl\n"


def test_data_and_prepare_pass_everything_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    for name in ("pair", "align", "report", "judge"):
        monkeypatch.setattr(f"uniaudio.recipes.{name}", lambda *values, name=name: calls.append((name, *values)))
    monkeypatch.setattr("uniaudio.data.prepare.prepare", lambda *values: calls.append(("prepare", *values)))
    folder = str(tmp_path)
    assert main(["data", "pair", folder, "--out", f"{folder}/out", "--tasks", "tts,speech-edit", "--seed", "2"]) == 0
    assert main(["data", "align", folder, "--workers", "3"]) == 0
    assert main(["data", "report", folder, "--limit", "0", "--workers", "1"]) == 0
    assert main(["data", "judge", folder, "--limit", "7"]) == 0
    assert main(["prepare", "musan", "--source", folder, "--out", f"{folder}/out"]) == 0
    assert calls == [
        ("pair", tmp_path, tmp_path / "out", ["tts", "speech_edit"], 2, None),
        ("align", tmp_path, 3),
        ("report", tmp_path, tmp_path / "report", None, 1),
        ("judge", tmp_path, tmp_path / "examples", 7, 0),
        ("prepare", "musan", tmp_path, tmp_path / "out"),
    ]


# The public names


def test_importing_the_package_is_light_and_its_names_are_there() -> None:
    code = "import sys, uniaudio; assert not {'torch', 'numpy'} & set(sys.modules); print(*dir(uniaudio))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=ENVIRONMENT)
    assert run.returncode == 0 and {"load", "TASKS", "Sampling", "Audio", "__version__"} <= set(run.stdout.split())
    from uniaudio import engines

    assert uniaudio.load is engines.load and uniaudio.TASKS is TASKS
    assert uniaudio.Sampling is Sampling and uniaudio.Audio is Audio
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        uniaudio.lod  # noqa: B018


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert uniaudio.__version__ == project["version"]


def test_audio_writes_itself(tmp_path: Path) -> None:
    noise(0.5).write(tmp_path / "a.wav")
    assert read_audio(tmp_path / "a.wav").seconds == 0.5
