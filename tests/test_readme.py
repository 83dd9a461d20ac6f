"""README.md says what is there: its table is the task table, its tree the source tree, its code runs on our names.

`python tests/test_readme.py` (`make readme`) rewrites the generated parts.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


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


def test_links_lead_to_files() -> None:
    links = re.findall(r"\]\(([^)#]+)", README.read_text(encoding="utf-8"))
    assert links
    assert not [link for link in links if "://" not in link and not (ROOT / link).exists()]


def test_python_block_is_short_and_uses_public_names() -> None:
    import uniaudio

    (block,) = blocks("python")
    tree = ast.parse(block)
    assert len(block.strip().splitlines()) <= 5
    used = {
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    owners = {"uniaudio": uniaudio, "audio": uniaudio.Audio}
    assert owners.keys() <= {owner for owner, _ in used}
    missing = [f"{owner}.{name}" for owner, name in used if owner in owners and not hasattr(owners[owner], name)]
    assert not missing, "README.md uses names that are not there"


def test_commands_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {name for block in blocks("sh") for name in re.findall(r"^make ([a-z]+)", block, flags=re.MULTILINE)}
    assert {"demo", "check"} <= named <= targets


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
