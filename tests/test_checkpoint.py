"""Checkpoint folders: what is written comes back bit for bit, and every kind of damage is told in one line."""

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from uniaudio.checkpoint import load, load_into, save
from uniaudio.errors import InputError

CONFIG = {"kind": "codec", "layers": [1, 2], "optim": {"lr": 1e-4, "note": None}, "name": "tête"}
FILES = ["README.md", "config.json", "model.safetensors", "sha256.json", "vocabulary.json"]


def make_tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "a.weight": torch.randn(3, 4, generator=generator),
        "a.half": torch.randn(5, generator=generator).to(torch.bfloat16),
        "b.codes": torch.arange(6).reshape(2, 3),
        "b.mask": torch.tensor([True, False]),
        "b.scalar": torch.tensor(1.5, dtype=torch.float64),
        "b.empty": torch.zeros(0, 2),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole checkpoint with two extra files."""
    save(tmp_path / "ckpt", make_tensors(), CONFIG, extra={"README.md": "# é\n", "vocabulary.json": b"{}"})
    return tmp_path / "ckpt"


def error_of(call, *arguments) -> str:
    """The message of the InputError that the call raises, which is one line."""
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rehash(folder: Path) -> None:
    """List the files as they are now, so that only what is inside them can be wrong."""
    names = [path.name for path in folder.iterdir() if path.name != "sha256.json"]
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    (folder / "sha256.json").write_text(json.dumps(hashes))


# Saving and loading


def test_everything_comes_back(folder: Path):
    checkpoint = load(str(folder))
    assert checkpoint.config == CONFIG and checkpoint.folder == folder
    expected = make_tensors()
    assert checkpoint.tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        found = checkpoint.tensors[name]
        assert found.dtype == tensor.dtype and torch.equal(found, tensor), name
    assert (folder / "README.md").read_text(encoding="utf-8") == "# é\n"
    assert sorted(os.listdir(folder)) == FILES and os.listdir(folder.parent) == ["ckpt"]


def test_the_hashes_are_those_of_sha256sum(folder: Path):
    hashes = json.loads((folder / "sha256.json").read_text())
    assert sorted(hashes) == [name for name in FILES if name != "sha256.json"]
    for name, value in hashes.items():
        assert value == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_the_same_checkpoint_is_the_same_bytes(folder: Path, tmp_path: Path):
    save(tmp_path / "again", make_tensors(), CONFIG, extra={"README.md": "# é\n", "vocabulary.json": b"{}"})
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_shared_sliced_and_transposed_tensors_are_stored_each_in_full(tmp_path: Path):
    base = torch.arange(12.0).reshape(3, 4)
    tied = nn.Parameter(base.clone())
    tensors = {
        "x": tied,
        "y": tied,
        "slice": base[1],
        "other": base[2:],
        "turned": base.T,
        "wide": base[:1].expand(5, 4),
    }
    save(tmp_path / "ckpt", tensors, {})
    loaded = load(tmp_path / "ckpt").tensors
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor.detach()), name
    assert loaded["x"].data_ptr() != loaded["y"].data_ptr()
    assert (tmp_path / "ckpt" / "model.safetensors").stat().st_size < 2000  # slices do not drag their base along


def test_missing_parents_are_made_and_relative_names_work(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save("runs/one/last", {}, {})
    assert load("runs/one/last").tensors == {} and load(tmp_path / "runs/one/last").config == {}


def test_files_get_ordinary_permissions(folder: Path, tmp_path: Path):
    (tmp_path / "plain").touch()
    (tmp_path / "plain_folder").mkdir()
    for path in folder.iterdir():
        assert os.access(path, os.R_OK)
        assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode, path.name
    assert folder.stat().st_mode == (tmp_path / "plain_folder").stat().st_mode


def test_an_older_checkpoint_is_replaced_as_a_whole(folder: Path):
    save(folder, {"new": torch.ones(2)}, {"step": 2})
    checkpoint = load(folder)
    assert checkpoint.config == {"step": 2} and list(checkpoint.tensors) == ["new"]
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors", "sha256.json"]
    assert os.listdir(folder.parent) == ["ckpt"]


def test_an_empty_folder_and_a_link_are_filled(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    save(tmp_path / "link", {}, {"a": 1})
    assert (tmp_path / "link").is_symlink() and load(tmp_path / "empty").config == {"a": 1}


def test_a_folder_with_anything_else_is_never_deleted(folder: Path, tmp_path: Path):
    (folder / "notes.txt").write_text("mine")
    assert "already holds 'notes.txt'" in error_of(save, folder, {}, {})
    assert (folder / "notes.txt").read_text() == "mine" and load(folder).config == CONFIG
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("mine")
    assert "already holds 'thesis.tex'" in error_of(save, tmp_path / "home", {}, {})
    (tmp_path / "file").write_text("mine")
    assert "is a file" in error_of(save, tmp_path / "file", {}, {})
    assert "cannot write" in error_of(save, tmp_path / "file" / "ckpt", {}, {})
    assert sorted(os.listdir(tmp_path)) == ["ckpt", "file", "home"]


@pytest.mark.parametrize("place", ["/proc/ckpt", "/sys/ckpt"])
def test_a_place_that_takes_no_files_is_refused(place: str):
    if not os.path.isdir(os.path.dirname(place)):
        pytest.skip(f"needs {os.path.dirname(place)}")
    assert f"cannot write the checkpoint '{place}'" in error_of(save, place, {}, {})


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("failing_rename", [1, 2])
def test_a_failed_save_keeps_the_old_checkpoint(folder: Path, monkeypatch, error: BaseException, failing_rename: int):
    calls, rename = [], os.rename

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == failing_rename:
            raise error
        rename(*arguments)

    monkeypatch.setattr("uniaudio.checkpoint.os.rename", fail)
    with pytest.raises(InputError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        save(folder, {}, {"step": 2})
    assert isinstance(error, KeyboardInterrupt) or "No space left on device" in str(caught.value)
    assert load(folder).config == CONFIG and os.listdir(folder.parent) == ["ckpt"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\\b", "nul\0", *FILES[1:4]])
def test_extra_names_must_be_plain_and_new(tmp_path: Path, name: str):
    with pytest.raises(ValueError, match="extra file"):
        save(tmp_path / "ckpt", {}, {}, extra={name: "x"})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("value", [float("nan"), object(), b"x"])
def test_a_config_that_json_cannot_hold_is_our_mistake(tmp_path: Path, value: object):
    with pytest.raises((TypeError, ValueError)):
        save(tmp_path / "ckpt", {}, {"value": value})
    assert os.listdir(tmp_path) == []


# Damage


def test_what_is_no_checkpoint_is_told_what_one_is(folder: Path, tmp_path: Path):
    assert "there is no checkpoint folder" in error_of(load, tmp_path / "nope")
    assert "there is no checkpoint folder" in error_of(load, tmp_path / "two\nlines")
    message = error_of(load, folder / "model.safetensors")
    assert "is a file" in message and "give the folder" in message
    message = error_of(load, tmp_path)
    assert "has no config.json" in message
    assert "a checkpoint is a folder with config.json, model.safetensors and sha256.json" in message


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str):
    (folder / name).unlink()
    message = error_of(load, folder)
    assert name in message and repr(str(folder))[1:-1] in message
    (folder / name).mkdir()
    assert name in error_of(load, folder)


@pytest.mark.parametrize("name", [name for name in FILES if name != "sha256.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "grow", "empty"])
def test_a_changed_file_is_named(folder: Path, name: str, damage: str):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    changed = {"cut": content[:-1], "flip": content, "grow": content + b" ", "empty": b""}[damage]
    (folder / name).write_bytes(changed)
    message = error_of(load, folder)
    assert str(folder / name) in message and "damaged or was edited" in message and "again" in message


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000, b"{}", b'{"config.json": "x"}']
)
def test_a_broken_list_of_hashes_is_told(folder: Path, content: bytes):
    (folder / "sha256.json").write_bytes(content)
    assert str(folder / "sha256.json") in error_of(load, folder)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/b", ""])
def test_hashes_cannot_lead_outside_the_folder(folder: Path, name: str):
    hashes = json.loads((folder / "sha256.json").read_text())
    (folder / "sha256.json").write_text(json.dumps({**hashes, name: "0" * 64}))
    assert "not in this folder" in error_of(load, folder)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 8 + b"{}", None])
def test_a_broken_safetensors_with_right_hashes_is_told(folder: Path, content: bytes | None):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7] if content is None else content)
    rehash(folder)
    assert "damaged or no safetensors file" in error_of(load, folder)


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff"])
def test_a_broken_config_with_right_hashes_is_told(folder: Path, content: bytes):
    (folder / "config.json").write_bytes(content)
    rehash(folder)
    assert str(folder / "config.json") in error_of(load, folder)


def test_a_pickle_is_not_loaded(folder: Path):
    torch.save({"a": torch.ones(1)}, folder / "model.safetensors")
    rehash(folder)
    assert "no safetensors file" in error_of(load, folder)


def test_files_that_are_not_listed_are_left_alone(folder: Path):
    (folder / "notes.txt").write_text("mine")
    assert load(folder).config == CONFIG


# Into a module


class Net(nn.Module):
    """Weights, a buffer, an integer buffer and a buffer that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("window", torch.ones(4), persistent=False)


def filled(value: float) -> Net:
    net = Net()
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.fill_(value)
    return net


def test_load_into_restores_a_module(tmp_path: Path):
    source, target = filled(3), filled(0)
    save(tmp_path / "ckpt", source.state_dict(), {})
    load_into(target, load(tmp_path / "ckpt").tensors)
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name]), name
    save(tmp_path / "ckpt", filled(5).state_dict(), {})
    assert target.linear.weight.sum() == 18  # the module does not live in the file


def test_load_into_takes_the_part_under_its_prefix():
    both = {
        f"{part}.{name}": tensor
        for part, value in (("a", 1), ("b", 2))
        for name, tensor in filled(value).state_dict().items()
    }
    net = Net()
    load_into(net, both, "b.")
    assert net.linear.bias.tolist() == [2, 2, 2]
    message = error_of(load_into, net, both, "c.")
    assert "lacks 'c.linear.bias' and 3 more" in message and "Net" in message
    assert "lacks 'linear.bias'" in error_of(load_into, net, both)


def test_load_into_converts_floats_to_the_module():
    net = Net()
    load_into(
        net,
        {
            name: tensor.bfloat16() if tensor.is_floating_point() else tensor
            for name, tensor in filled(1.5).state_dict().items()
        },
    )
    assert net.linear.weight.dtype == torch.float32 and net.linear.weight[0, 0] == 1.5
    half = Net().to(torch.bfloat16)
    load_into(half, filled(1.5).state_dict())
    assert half.linear.weight.dtype == torch.bfloat16 and half.linear.weight[0, 0] == 1.5


@pytest.mark.parametrize(
    "changes,expected",
    [
        ({"mean": None}, "lacks 'x.mean'"),
        ({"mean": None, "steps": None}, "lacks 'x.mean' and 1 more"),
        ({"extra": torch.ones(1)}, "unexpected 'x.extra'"),
        ({"window": torch.ones(4)}, "unexpected 'x.window'"),
        (
            {"linear.weight": torch.ones(3, 3)},
            "'x.linear.weight' of the checkpoint is torch.float32 [3, 3], but this Net",
        ),
        ({"linear.weight": torch.ones(3, 3)}, "needs torch.float32 [3, 2]"),
        ({"linear.weight": torch.ones(6)}, "is torch.float32 [6]"),
        ({"mean": torch.ones(2, dtype=torch.int64)}, "'x.mean' of the checkpoint is torch.int64 [2]"),
        ({"steps": torch.tensor(1.5)}, "needs torch.int64 []"),
    ],
)
def test_load_into_names_what_does_not_fit_and_changes_nothing(changes: dict, expected: str):
    tensors = {**filled(1).state_dict(), **changes}
    tensors = {f"x.{name}": tensor for name, tensor in tensors.items() if tensor is not None}
    net = filled(0)
    assert expected in error_of(load_into, net, tensors, "x.")
    assert all((tensor == 0).all() for tensor in net.state_dict().values())
