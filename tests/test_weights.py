"""Models are found by the name of a shipped one, or by their folder."""

from pathlib import Path

import pytest

from uniaudio import weights
from uniaudio.errors import InputError


def test_find_takes_shipped_names_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "weights")
    (tmp_path / "weights" / "tiny").mkdir(parents=True)
    (tmp_path / "weights" / "tiny" / "config.json").write_text("{}")
    (tmp_path / "weights" / "voices").mkdir()
    assert weights.names() == ["tiny"]
    assert weights.find("tiny") == tmp_path / "weights" / "tiny"
    assert weights.find(str(tmp_path)) == weights.find(tmp_path) == tmp_path
    with pytest.raises(InputError, match=r"unknown model 'tinny' \(did you mean tiny\?\): .* shipped model \(tiny\)"):
        weights.find("tinny")


@pytest.mark.parametrize("name", ["", "voices", "nothing", "x" * 5000, "a\0b"])
def test_find_refuses_everything_else(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="unknown model"):
        weights.find(name)
