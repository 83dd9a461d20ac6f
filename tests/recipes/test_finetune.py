"""A task of a user's own: from a task file to a fine-tuned model that does it, and nothing of the old model moves."""

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.commands import check_call, check_module, shell_calls
from tests.corpora import small_corpora
from tests.requests import noise

from uniaudio import checkpoint, recipes, tasks, ui
from uniaudio.engines import load
from uniaudio.engines.bundle import save_engine
from uniaudio.errors import InputError
from uniaudio.lm.orders import AnyLM
from uniaudio.recipes import ship
from uniaudio.recipes.debug import debug_engine
from uniaudio.recipes.finetune import grown
from uniaudio.recipes.trained import read_lm
from uniaudio.sequence.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "examples" / "twelfth_task" / "tasks.json"
NAME = "bandwidth_extension"
SHORT = ["loop.steps=4", "loop.log_every=1", "frame_budget=400", "loop.optim.lr=1e-2", "loop.optim.warmup_steps=1"]
LORA = ["lora.rank=2"]


@pytest.fixture(scope="module", autouse=True)
def twelfth() -> Iterator[None]:
    """Register the task of the example, and take it out again."""
    tasks.register(tasks.read_tasks(FILE)[0])
    yield
    del tasks.TASKS[NAME]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the eleven tasks that has never heard of the twelfth, and tokens of two old tasks and the new one."""
    folder = tmp_path_factory.mktemp("work")
    engine = debug_engine()
    del engine.layout.vocabulary.marks[engine.layout.vocabulary.mark(f"{NAME}_task") :]
    engine.tasks = tasks.SHIPPED
    save_engine(folder / "base", engine, "# base\n")
    small_corpora(folder / "corpora")
    recipes.pair(folder / "corpora", folder / "examples", ["tts", "speech_enhancement"], 0)
    call = [str(folder / "corpora" / "speech"), str(folder / "examples" / NAME)]
    old, sys.argv = sys.argv, ["pair.py", *call]
    runpy.run_path(str(FILE.parent / "pair.py"), run_name="__main__")
    sys.argv = old
    for task in ("tts", "speech_enhancement", NAME):
        recipes.tokenize(folder / "examples" / task, folder / "tokens" / task, str(folder / "base"))
    for name, more in (("whole", []), ("lora", LORA)):
        recipes.run("finetune", changes(folder, *more), corpus=folder / "tokens", run=folder / name)
    return folder


def changes(work: Path, *more: str) -> list[str]:
    return [f"start={work / 'base'}", *SHORT, *more]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(folder / "checkpoint").tensors


def model(name_or_folder: Path) -> AnyLM:
    return read_lm(name_or_folder).lm


@pytest.mark.parametrize("name", ["whole", "lora"])
def test_a_tuned_run_ships_as_an_ordinary_model_with_the_new_task(
    work: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    (work / "card.md").write_text("# tuned\n")
    arguments = ["--base", str(work / "base"), "--lm", str(work / name), "--card", str(work / "card.md")]
    monkeypatch.setattr(sys, "argv", ["ship", *arguments, "--name", name, "--out", str(work / f"{name}-model")])
    assert ship.main() == 0
    engine, base = load(str(work / f"{name}-model")), load(str(work / "base"))
    assert engine.tasks == (*tasks.SHIPPED, NAME)
    assert engine.lm.state_dict().keys() == base.lm.state_dict().keys() and engine.lm.config == base.lm.config
    audio = engine.generate(NAME, {"narrow": noise(1.0)})
    assert audio.seconds == pytest.approx(1.0, abs=0.05)
    assert tasks.read_tasks(work / f"{name}-model" / "tasks.json") == [tasks.TASKS[NAME]]
    with pytest.raises(InputError, match=f"not trained on {NAME}"):
        base.generate(NAME, {"narrow": noise(1.0)})


def test_no_id_moves(work: Path):
    old, new = load(str(work / "base")).layout.vocabulary, read_lm(work / "whole").vocabulary
    assert new.marks == [*old.marks, f"{NAME}_task"] and new.sections == old.sections


@pytest.mark.parametrize("more", [[], LORA], ids=["whole", "lora"])
def test_a_resumed_run_equals_an_uninterrupted_one(work: Path, tmp_path: Path, more: list[str]):
    for _ in range(4):  # every session does a single step
        recipes.run("finetune", changes(work, *more), corpus=work / "tokens", run=tmp_path / "parts", minutes=1e-9)
    whole, parts = weights(work / ("lora" if more else "whole")), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys() and all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_lora_changes_only_what_it_may(work: Path):
    """The Transformers, roles and marks move; the codes' rows and the other layers are those of the start, exactly."""
    before, after = model(work / "base").state_dict(), model(work / "lora").state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    matrices = {name for name, value in before.items() if name.startswith(("global_", "local_.")) and value.ndim == 2}
    assert moved == matrices | {"embedding.weight", "role_embedding.weight"}
    num_marks = read_lm(work / "base").vocabulary.section("marks").size
    assert torch.equal(before["embedding.weight"][num_marks:], after["embedding.weight"][num_marks:])
    assert {k for k in weights(work / "lora") if k.startswith("optimizer.") and k.endswith("exp_avg")}
    trained = sum(v.numel() for k, v in weights(work / "lora").items() if k.endswith(".exp_avg"))
    assert trained < 0.5 * sum(v.numel() for k, v in weights(work / "whole").items() if k.endswith(".exp_avg"))


def test_merging_changes_no_output(work: Path):
    """A merged model computes what the adapted one computes."""
    from uniaudio.lm import lora

    torch.manual_seed(0)
    tuned = model(work / "base")
    lora.adapt(tuned, lora.LoraConfig(rank=3), 128)
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    x, positions = tuned.embed(torch.randint(200, (1, 7, 3)), torch.ones(1, 7, dtype=torch.long)), torch.arange(7)[None]
    adapted = tuned(x, positions)
    lora.merge(tuned)
    assert torch.allclose(adapted, tuned(x, positions), atol=1e-4)
    assert tuned.state_dict().keys() == model(work / "base").state_dict().keys()


def test_a_run_can_be_the_start_and_old_tasks_are_replayed(work: Path):
    run = [f"start={work / 'whole'}", *SHORT, "tasks=[tts,speech_enhancement]"]
    recipes.run("finetune", run, corpus=work / "tokens", run=work / "again")
    assert read_lm(work / "again").tasks == (*tasks.SHIPPED, NAME)


def test_rows_grow_at_the_end_for_a_vocabulary_with_more_ids():
    lm, old = debug_engine().lm, Vocabulary.new(3, 32)
    assert isinstance(lm, AnyLM)
    old.add_section("new_modality", 7)
    larger = grown(lm, old)
    before, after = lm.state_dict(), larger.state_dict()
    assert larger.config.num_ids == lm.config.num_ids + 7
    assert all(torch.equal(value, after[name][: len(value)]) for name, value in before.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("start=nothing", "unknown model"),
        ("tasks=[text_to_music]", "no example of text_to_music"),
        ("tasks=[tt]", "unknown task 'tt'"),
        ("objective.slot_weights=[1.0]", "3 codebooks"),
        ("lora.rank=-1", "rank"),
    ],
)
def test_a_wrong_change_is_one_line_and_writes_nothing(work: Path, tmp_path: Path, change: str, message: str):
    with pytest.raises(InputError, match=message):
        recipes.run("finetune", changes(work, change), corpus=work / "tokens", run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_start_is_another_run(work: Path):
    with pytest.raises(InputError, match="another configuration"):
        recipes.run("finetune", [f"start={work / 'lora'}", *SHORT], corpus=work / "tokens", run=work / "whole")


def test_a_run_of_another_base_is_refused(work: Path):
    with pytest.raises(InputError, match="not fine-tuned from uniaudio-mini"):
        ship.with_lm("uniaudio-mini", work / "whole", "x")


# The task file


def entry(**changed: Any) -> dict[str, Any]:
    return {**json.loads(FILE.read_text())[0], **changed}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "wrong: "),
        ("{}", "a list of tasks"),
        (json.dumps([{"name": "x"}]), "lacks 'about'"),
        (json.dumps([entry(colour="red")]), "only the keys"),
        (json.dumps([entry(given={})]), "given nothing"),
        (json.dumps([entry(given={"narrow": "video"})]), "given video"),
        (json.dumps([entry(target=["speech", "midi"])]), "must predict"),
        (json.dumps([entry(length="narow")]), "length from 'narow'"),
        (json.dumps([entry(metrics="wer")]), "wrong kind"),
        (json.dumps([entry(name="Bandwidth")]), "no name of a task"),
        (json.dumps([entry(help={"wide": "x"})]), "help for 'wide'"),
    ],
)
def test_a_wrong_task_file_is_one_line(tmp_path: Path, content: str, message: str):
    path = tmp_path / "tasks.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        tasks.read_tasks(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_the_name_of_another_task_is_refused():
    with pytest.raises(InputError, match="another task 'tts'"):
        tasks.register(tasks.Task(**{**vars(tasks.TASKS[NAME]), "name": "tts"}))
    tasks.register(tasks.TASKS[NAME])  # the same again is nothing new


@pytest.mark.parametrize(
    ("file", "code", "message"),
    [(FILE, 0, "bandwidth-extension --narrow"), ("nowhere.json", 2, "cannot be read")],
)
def test_the_command_line_reads_the_file(file: Path, code: int, message: str):
    environment = {**os.environ, tasks.ENVIRONMENT: str(file), "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "uniaudio", "tasks"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == code and message in " ".join((done.stdout + done.stderr).split())
    assert len(done.stderr.splitlines()) == (1 if code else 0)


def test_the_walk_through_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = ROOT / "docs" / "adding-a-task.md"
    calls, made = shell_calls(page), 0
    for call in calls:
        if call[0] == "uniaudio" and call[1] == NAME.replace("_", "-"):
            assert set(call[2::2]) == {"--narrow", "-o", "--model"}
        elif call[0] == "uniaudio":
            check_call(call)
        elif call[1] == "-m":
            check_module(call, tmp_path, monkeypatch)
        else:
            made += call[0] == "export" or (ROOT / call[1]).is_file()
    assert made == 2 and len(calls) >= 10
    (entry_shown,) = re.findall(r"```json\n(.*?)```", page.read_text(), flags=re.DOTALL)
    assert json.loads(entry_shown) == json.loads(FILE.read_text())


def test_its_examples_are_the_users_to_make(work: Path, tmp_path: Path):
    with pytest.raises(InputError, match=f"nothing here makes examples of {NAME}"):
        recipes.pair(work / "corpora", tmp_path, [NAME], 0)
    assert set(os.listdir(tmp_path)) == set()


def test_the_tables_show_the_task():
    assert f"| `{NAME}` |" in ui.tasks_table()


def test_evaluation_knows_it_and_names_a_wrong_metric(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wrong = tasks.Task(**{**vars(tasks.TASKS[NAME]), "metrics": ("beauty",)})
    with monkeypatch.context() as patched, pytest.raises(InputError, match="a metric 'beauty'"):
        patched.setitem(tasks.TASKS, NAME, wrong)
        recipes.evaluate([NAME], str(work / "base"), work / "examples", tmp_path, 2, 0)
    monkeypatch.setitem(tasks.TASKS, NAME, tasks.Task(**{**vars(tasks.TASKS[NAME]), "metrics": ("mel_distance",)}))
    recipes.evaluate([NAME], str(work / "base"), work / "examples", tmp_path, 2, 0)
    columns = json.loads((tmp_path / "results.json").read_text())["tasks"][NAME]["columns"]
    assert columns["unprocessed"]["figures"]["mel_distance"]["mean"] > 0 and "not trained" in str(columns["model"])
