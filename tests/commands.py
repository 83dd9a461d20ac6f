"""The shell commands that the documentation shows, and whether the program understands them."""

import importlib
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from uniaudio import config
from uniaudio.cli import COMMANDS
from uniaudio.cli.command import Parser


def shell_calls(path: Path) -> list[list[str]]:
    """Return the words of every command in the `sh` blocks of a page, comments left out, broken lines joined."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def recipe_configs() -> dict[str, Any]:
    """Return the config that `uniaudio train` starts from, for every recipe."""
    from uniaudio.recipes import (
        audioldm2,
        audioldm2_stages,
        audiolm,
        audiolm_detector,
        codec,
        debug,
        event_judge,
        finetune,
        lm,
        ssl,
    )

    return {
        "codec_mini": codec.CodecRecipe(),
        "durations_mini": lm.DurationRecipe(),
        **lm.SIZES,
        "finetune": finetune.FinetuneRecipe(),
        **{f"audiolm_{stage}": recipe for stage, recipe in audiolm.MINI.items()},
        **{f"audiolm_{stage}_paper": recipe for stage, recipe in audiolm.PAPER.items()},
        "audiolm_detector": audiolm_detector.DetectorRecipe(),
        "hubert_mini": ssl.HubertRecipe(),
        "event_judge": event_judge.EventJudgeRecipe(),
        **audioldm2.RECIPES,
        **audioldm2_stages.RECIPES,
        "codec_debug": debug._LOOP,
        "tts_debug": debug._LOOP,
    }


def check_call(call: list[str]) -> None:
    """Raise InputError unless `uniaudio` has the command with these options, and a recipe the config keys."""
    program, name, *arguments = call
    assert program == "uniaudio"
    parser = Parser(name, "")
    COMMANDS[name].add_options(parser)
    values = parser.parse(arguments)
    if name == "train":
        config.override(recipe_configs()[values.recipe], values.changes)


def check_module(call: list[str], empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail unless `python -m uniaudio.recipes.NAME` takes these options; in the folder `empty` it finds nothing."""
    modules = ("ship", "ssl", "audiolm", "audiolm_probes", "audiolm_detector", "audioldm2_data", "audioldm2_ship")
    modules += ("audioldm2_ablation",)
    assert call[:2] == ["python", "-m"] and call[2] in [f"uniaudio.recipes.{name}" for name in modules]
    monkeypatch.chdir(empty)
    monkeypatch.setattr(sys, "argv", call[2:])
    assert importlib.import_module(call[2]).main() == 2  # argparse would have raised SystemExit
