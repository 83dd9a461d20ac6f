"""README.md and docs/ say what is there: the task table, the source tree, links, commands, and code that runs.

`python tests/test_readme.py` (`make readme`) rewrites the generated parts.
"""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = (README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))


def source_tree(root: Path = ROOT) -> str:
    """One line per module: its path and the first sentence of its docstring."""
    package = root / "src" / "uniaudio"
    lines = []
    for path in sorted(package.rglob("*.py"), key=lambda path: (path.parent.parts, path.name)):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        role = re.split(r"\.(?:\s|$)", " ".join(docstring.split()))[0]
        if role:
            lines.append((path.relative_to(package).as_posix(), role))
    width = max(len(name) for name, _ in lines)
    return "\n".join(["```", "src/uniaudio/", *(f"  {name:{width}}  {role}" for name, role in lines), "```"])


def generated() -> dict[str, str]:
    """The parts of README.md that come from the source, by the name of their markers."""
    from uniaudio.ui import tasks_table

    return {"tasks": tasks_table(), "tree": source_tree()}


def refreshed(text: str, parts: dict[str, str]) -> str:
    """Put each part between its markers `<!-- name:begin -->` and `<!-- name:end -->`."""
    for name, part in parts.items():
        pattern = rf"(<!-- {name}:begin -->\n).*?(\n<!-- {name}:end -->)"
        text, count = re.subn(pattern, lambda match, part=part: match[1] + part + match[2], text, flags=re.DOTALL)
        assert count == 1, f"README.md needs the markers of {name} exactly once"
    return text


def blocks(language: str) -> list[str]:
    """The fenced code blocks of one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", README.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )


def test_generated_parts_are_fresh() -> None:
    text = README.read_text(encoding="utf-8")
    assert refreshed(text, generated()) == text, "run `make readme`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]


def test_the_index_links_every_page() -> None:
    index = ROOT / "docs" / "index.md"
    links = {(index.parent / link).resolve() for link in re.findall(r"\]\(([^)#]+)", index.read_text(encoding="utf-8"))}
    assert set(PAGES) - {index} <= links


def test_python_block_is_short_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import uniaudio
    from tests.requests import noise
    from uniaudio.audio.io import read_audio
    from uniaudio.recipes.debug import debug_engine

    (block,) = blocks("python")
    assert len(block.strip().splitlines()) <= 5
    monkeypatch.chdir(tmp_path)
    noise(1.0).write("voice.wav")
    monkeypatch.setattr(uniaudio, "load", lambda name: debug_engine())
    exec(compile(block, "README.md", "exec"), {})
    assert read_audio("hello.wav").seconds > 0.1


@pytest.mark.parametrize(
    "name", ["README.md", "docs/training.md", "docs/data.md", "docs/scale.md", "docs/audiolm.md", "docs/audioldm2.md"]
)
def test_commands_are_understood(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.commands import check_call, check_module, shell_calls

    calls = shell_calls(ROOT / name)
    known = {"uniaudio", "python", "make", "apt-get", "source", "tensorboard", "ray", "torchrun", "mkdir", "grep"}
    assert {call[0] for call in calls} <= known, "teach this test the command"
    commands = {call[1] for call in calls if call[0] == "uniaudio"}
    if name in ("README.md", "docs/training.md"):
        assert {"synthesize", "train", "tokenize", "evaluate", "tts"} <= commands
    for call in calls:
        if call[0] == "uniaudio":
            check_call(call)
        elif call[0] == "torchrun":
            check_call(call[call.index("--") + 1 :])
        elif call[0] == "python":
            check_module(call, tmp_path, monkeypatch)


def test_every_recipe_is_checked() -> None:
    from tests.commands import recipe_configs
    from uniaudio.recipes import RECIPES

    assert recipe_configs().keys() == RECIPES.keys()


def test_commands_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {name for block in blocks("sh") for name in re.findall(r"^make ([a-z]+)", block, flags=re.MULTILINE)}
    assert {"demo", "test"} <= named <= targets


def test_refreshing_replaces_only_what_is_between_the_markers() -> None:
    text = "a\n<!-- x:begin -->\nold\nold\n<!-- x:end -->\nb\n"
    assert refreshed(text, {"x": r"new \1"}) == "a\n<!-- x:begin -->\nnew \\1\n<!-- x:end -->\nb\n"


def test_tree_names_each_module_with_its_role(tmp_path: Path) -> None:
    package = tmp_path / "src" / "uniaudio"
    (package / "lm").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "tasks.py").write_text('"""The table: what is given (and more)."""\n')
    (package / "lm" / "model.py").write_text('"""A model; it knows no task.\n\nKey: B batch.\n"""\n')
    assert source_tree(tmp_path).splitlines() == [
        "```",
        "src/uniaudio/",
        "  tasks.py     The table: what is given (and more)",
        "  lm/model.py  A model; it knows no task",
        "```",
    ]


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "src"))
    README.write_text(refreshed(README.read_text(encoding="utf-8"), generated()), encoding="utf-8")
