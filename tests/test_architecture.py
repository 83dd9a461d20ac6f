"""The house rules as a test: rooms, sizes, names, no pickle, and a command line that starts quickly."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "uniaudio"
FACADE = "__init__"

# The floors, lowest first; rooms on one floor do not import one another (docs/decisions/0001-house.md).
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("nn", "audio", "config", "tasks", "weights"),
    ("codec", "lm", "diffusion", "ssl", "checkpoint"),
    ("tokenizers",),
    ("sequence",),
    ("data", "engines"),
    ("train", "evaluate", "ui"),
    ("recipes",),
    (FACADE,),
    ("cli", "server"),
    ("__main__",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
STANDARD_LIBRARY_ONLY = ("errors", "config", "tasks")

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_ARGUMENTS = 8
MAX_NESTING = 3
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "misc", "common", "manager", "managers"}
PICKLE_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
HEAVY = ("torch", "transformers", "diffusers", "scipy", "sklearn", "librosa", "numba", "matplotlib", "PIL")
HEAVY += ("soundfile", "soxr", "onnx", "onnxruntime", "safetensors", "tensorboard", "pocketsphinx", "gradio", "fastapi")

# "kind path[:function]" -> why the rule does not fit there. An entry that is no longer needed fails the test.
EXCEPTIONS: dict[str, str] = {
    "arguments src/uniaudio/data/manifests.py:recording_cut": "each is one fact of a recording; four are optional",
    "arguments src/uniaudio/evaluate/run.py:evaluate_tasks": "each is one option of the command; three are optional",
}

BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.Match)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef
Violations = dict[str, str]


class Module:
    """One parsed source file under `root/src/uniaudio`."""

    def __init__(self, root: Path, path: Path):
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text, filename=str(path))
        self.shown = path.relative_to(root).as_posix()
        inside = path.relative_to(root / "src" / PACKAGE).with_suffix("").parts
        self.room = inside[0]
        self.is_package = inside[-1] == "__init__"
        self.parts = (PACKAGE, *inside[: -1 if self.is_package else None])  # ("uniaudio", "codec", "model")


def source(root: Path) -> list[Module]:
    """Parse every module of the package."""
    return [Module(root, path) for path in sorted((root / "src" / PACKAGE).rglob("*.py"))]


def _dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute expression, or ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = _dotted(node.value)
        return f"{left}.{node.attr}" if left else ""
    return ""


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    """The absolute module name that `from ... import` names, relative dots resolved."""
    if not node.level:
        return node.module or ""
    parts = module.parts if module.is_package else module.parts[:-1]
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join((*parts, *([node.module] if node.module else [])))


def imports(module: Module) -> Iterator[str]:
    """Yield every imported module name: anywhere in the file, and those written as strings ("uniaudio.lm.model")."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = _absolute(module, node)
            yield from (f"{name}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.fullmatch(rf"{PACKAGE}(\.\w+)+(:\w+)?", node.value):
                yield node.value.partition(":")[0]


def _room_of(name: str) -> str | None:
    """The room that an imported name lives in; None when it is not ours."""
    first, *rest = name.split(".")
    if first != PACKAGE:
        return None
    return rest[0] if rest and rest[0] in FLOOR else FACADE


def rooms(root: Path) -> Violations:
    """Modules in no known room, imports that do not go down, and foreign imports in standard-library-only rooms."""
    found: Violations = {}
    for module in source(root):
        if module.room not in FLOOR:
            found[f"room {module.shown}"] = f"`{module.room}` is no room; see FLOORS"
            continue
        for name in imports(module):
            room = _room_of(name)
            if room is None:
                foreign = name.split(".")[0] not in sys.stdlib_module_names
                if foreign and module.room in STANDARD_LIBRARY_ONLY:
                    found[f"import {module.shown} {name}"] = f"`{module.room}` needs the standard library only"
            elif room != module.room and FLOOR[room] >= FLOOR[module.room]:
                found[f"import {module.shown} {name}"] = (
                    f"`{module.room}` may not import `{room}`: not on a lower floor"
                )
    return found


def _own_blocks(node: ast.AST, depth: int = 0) -> int:
    """Deepest block nesting below `node`, not counting functions and classes inside it; an `elif` is no deeper."""
    deepest = depth
    for name, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        for child in children:
            if not isinstance(child, ast.AST) or isinstance(child, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
                continue
            is_elif = isinstance(node, ast.If) and name == "orelse" and len(children) == 1 and isinstance(child, ast.If)
            deeper = isinstance(child, BLOCKS) and not is_elif
            deepest = max(deepest, _own_blocks(child, depth + deeper))
    return deepest


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Yield (qualified name, node) of every function, nested ones and methods too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FUNCTIONS):
            yield prefix + node.name, node
        inner = f"{prefix}{node.name}." if isinstance(node, (*FUNCTIONS, ast.ClassDef)) else prefix
        yield from functions(node, inner)


def _num_arguments(function: Function) -> int:
    """Arguments of a function, *args and **kwargs included, self and cls not."""
    arguments = function.args
    named = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    return len(named[1:] if named[:1] in (["self"], ["cls"]) else named) + len(starred)


def sizes(root: Path) -> Violations:
    """Files and functions that are too long, too wide or too deep."""
    found: Violations = {}
    for path in sorted(
        path for top in ("src", "tests", "benchmarks", "examples") for path in (root / top).rglob("*.py")
    ):
        num_lines = len(path.read_text(encoding="utf-8").splitlines())
        if num_lines > MAX_FILE_LINES:
            found[f"size {path.relative_to(root).as_posix()}"] = f"{num_lines} lines, at most {MAX_FILE_LINES}"
    for module in source(root):
        for name, function in functions(module.tree):
            where = f"{module.shown}:{name}"
            measured = {
                "length": ((function.end_lineno or function.lineno) - function.lineno + 1, MAX_FUNCTION_LINES),
                "arguments": (_num_arguments(function), MAX_ARGUMENTS),
                "nesting": (_own_blocks(function), MAX_NESTING),
            }
            found |= {f"{kind} {where}": f"{n}, at most {most}" for kind, (n, most) in measured.items() if n > most}
    return found


def names(root: Path) -> Violations:
    """Modules and packages with a name that says nothing, and modules without a sentence that says what they are."""
    found: Violations = {}
    for module in source(root):
        vague = VAGUE_NAMES.intersection(module.parts)
        if vague:
            found[f"name {module.shown}"] = f"`{vague.pop()}` says nothing about what is inside"
        if module.tree.body and not ast.get_docstring(module.tree):
            found[f"docstring {module.shown}"] = "a module starts with one sentence that says what it is"
        for number, line in enumerate(module.text.splitlines(), start=1):
            if re.search(r"#\s*(TODO|FIXME|XXX|HACK)\b", line):
                found[f"todo {module.shown}"] = f"line {number}: {line.strip()}"
    return found


def _unpickles(node: ast.AST) -> str:
    """Why a call could run code hidden in a file, or ""."""
    if not isinstance(node, ast.Call):
        return ""
    function = _dotted(node.func)
    keywords = {word.arg: word.value for word in node.keywords}

    def says(name: str, value: bool) -> bool:
        given = keywords.get(name)
        return isinstance(given, ast.Constant) and given.value is value

    if function == "torch.load" and not says("weights_only", True):
        return "torch.load without weights_only=True"
    if function.rpartition(".")[2] == "load" and "allow_pickle" in keywords and not says("allow_pickle", False):
        return "numpy load with allow_pickle"
    if function.endswith("read_pickle"):
        return "read_pickle"
    return ""


def pickles(root: Path) -> Violations:
    """Anything that unpickles: the modules, torch.load without weights_only, numpy with allow_pickle."""
    found: Violations = {}
    for module in source(root):
        for name in imports(module):
            if name.split(".")[0] in PICKLE_MODULES or name == "torch.load":
                found[f"pickle {module.shown} {name}"] = "nothing is unpickled; weights are safetensors"
        for node in ast.walk(module.tree):
            reason = _unpickles(node)
            if reason:
                found[f"pickle {module.shown} {reason}"] = f"line {getattr(node, 'lineno', 0)}"
    return found


CHECKS: tuple[Callable[[Path], Violations], ...] = (rooms, sizes, names, pickles)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_house_rule(check: Callable[[Path], Violations]) -> None:
    broken = {key: why for key, why in check(ROOT).items() if key not in EXCEPTIONS}
    assert not broken, "\n" + "\n".join(f"{key}: {why}" for key, why in broken.items())


def test_exceptions_are_needed_and_have_reasons() -> None:
    violations = {key for check in CHECKS for key in check(ROOT)}
    assert not EXCEPTIONS.keys() - violations, "these exceptions are no longer needed: remove them"
    assert all(len(reason.split()) >= 3 for reason in EXCEPTIONS.values())


def test_every_module_is_seen() -> None:
    assert {"errors", "tasks"} <= {module.room for module in source(ROOT)}


@pytest.mark.parametrize("module", [PACKAGE, f"{PACKAGE}.cli.commands", f"{PACKAGE}.ui"])
def test_starts_without_heavy_imports(module: str) -> None:
    """A fresh interpreter imports the command line without any library that takes long to load."""
    code = f"import sys, json, {module}; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": str(ROOT / "src")},
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == []


# The checks themselves are tested on small houses with one fault each.


def _house(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / "src" / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('"""A module."""\n' + text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("where", "line", "allowed"),
    [
        ("lm/model.py", "from uniaudio.nn.attention import Attention", True),
        ("lm/model.py", "import uniaudio.codec.model", False),
        ("lm/model.py", "from uniaudio import codec", False),
        ("lm/model.py", "from .patterns import delay", True),
        ("lm/model.py", "from ..tokenizers import base", False),
        ("lm/__init__.py", "from .model import Model", True),
        ("lm/__init__.py", "from ..codec import model", False),
        ("lm/model.py", "def f():\n    from uniaudio.engines.tokens import Engine", False),
        ("lm/model.py", 'LAZY = {"a": "uniaudio.codec.model:Codec"}', False),
        ("lm/model.py", "from uniaudio import load", False),
        ("tokenizers/codec.py", "from uniaudio.codec.model import Codec", True),
        ("recipes/demo.py", "from uniaudio import evaluate, train, ui", True),
        ("cli.py", "from uniaudio import load", True),
        ("cli.py", "import uniaudio.server", False),
        ("audio/io.py", "from uniaudio.errors import InputError", True),
        ("config.py", "import dataclasses, json", True),
        ("config.py", "import numpy", False),
        ("extras/model.py", "import json", False),
    ],
)
def test_rooms_check(tmp_path: Path, where: str, line: str, allowed: bool) -> None:
    assert bool(rooms(_house(tmp_path, {where: line}))) is not allowed


def _nested(depth: int) -> str:
    return (
        "def f(x):\n" + "".join("    " * (level + 1) + "for _ in x:\n" for level in range(depth)) + "    " * (depth + 1)
    )


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("x = 1\n" * (MAX_FILE_LINES - 1), set()),
        ("x = 1\n" * MAX_FILE_LINES, {"size"}),
        ("def f():\n" + "    x = 1\n" * (MAX_FUNCTION_LINES - 1), set()),
        ("def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES, {"length"}),
        ("class A:\n    def f(self, a, b, c, d, e, f, g, h): ...", set()),
        ("def f(a, b, c, d, e, f, *g, h, **i): ...", {"arguments"}),
        (_nested(3) + "pass", set()),
        (_nested(4) + "pass", {"nesting"}),
        (_nested(2) + "if x: pass\n            elif x: pass\n            elif x: pass", set()),
        (_nested(3) + "def g():\n                    if x: pass", set()),
    ],
)
def test_sizes_check(tmp_path: Path, text: str, kinds: set[str]) -> None:
    assert {key.split()[0] for key in sizes(_house(tmp_path, {"tasks.py": text}))} == kinds


def test_names_check(tmp_path: Path) -> None:
    house = _house(tmp_path, {"audio/utils.py": "", "tasks.py": "x = 1  # TODO: later"})
    (house / "src" / PACKAGE / "config.py").write_text("x = 1\n", encoding="utf-8")
    assert {key.split()[0] for key in names(house)} == {"name", "todo", "docstring"}


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("import pickle", False),
        ("from joblib import load", False),
        ("from torch import load", False),
        ("import torch\ntorch.load('a')", False),
        ("import torch\ntorch.load('a', weights_only=False)", False),
        ("import torch\ntorch.load('a', weights_only=True)", True),
        ("import numpy as np\nnp.load('a', allow_pickle=True)", False),
        ("import numpy as np\nnp.load('a')", True),
        ("import json\njson.load(open('a'))", True),
    ],
)
def test_pickles_check(tmp_path: Path, line: str, allowed: bool) -> None:
    assert bool(pickles(_house(tmp_path, {"checkpoint.py": line}))) is not allowed
