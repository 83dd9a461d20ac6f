"""Texts before they have phones: clauses and captions, read without torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from uniaudio.errors import InputError
from uniaudio.tokenizers.text import MAX_CHARACTERS, check_caption, clauses, clean_text

SOURCE = Path(__file__).resolve().parents[2] / "src"


def test_it_needs_the_standard_library_only() -> None:
    code = "import sys, uniaudio.tokenizers.text; print({'torch', 'numpy'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert run.stdout == "set()\n", run.stderr


def test_clauses_are_words_and_the_pause_after_them() -> None:
    assert clauses("Well, Dr. Smith paid 1,000 pounds! Why?") == [
        ("Well", ","),
        ("Dr. Smith paid 1,000 pounds", "!"),
        ("Why", "?"),
    ]
    assert clauses("no end") == [("no end", ".")]


@pytest.mark.parametrize("text", ["", "  ", "...", "... !?", "🙂", "Привет", "a" * (MAX_CHARACTERS + 1)])
def test_what_cannot_be_spoken_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        clauses(text)


def test_clean_text_keeps_what_is_spoken() -> None:
    assert clean_text(" “Fun” 😀\ttimes: 5 € ") == "Fun times: 5 €"


def test_captions_have_a_length() -> None:
    check_caption("rain on a roof")
    for caption, message in ((" ", "caption is empty"), ("a" * 1001, "1001 characters")):
        with pytest.raises(InputError, match=message):
            check_caption(caption)
