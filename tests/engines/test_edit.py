"""Editing speech: the changed words are found, and everything else keeps its place."""

import pytest
import torch

from uniaudio.engines.edit import HIDDEN, edited_source, edited_times, keep_source
from uniaudio.engines.tokens import split_text
from uniaudio.errors import InputError
from uniaudio.tasks import TASKS
from uniaudio.tokenizers.base import Item


def times(text: str) -> list[tuple[str, float, float]]:
    """Every letter lasts a tenth of a second."""
    letters = [c for c in text.lower() if c.isalpha()]
    return [(letter, i / 10, (i + 1) / 10) for i, letter in enumerate(letters)]


@pytest.mark.parametrize(
    ("text", "edited", "removed", "inserted"),
    [
        ("one two three", "one six three", (0.3, 0.6), 0.3),  # replaced in the middle
        ("one two three", "two three", (0.0, 0.3), 0.0),  # removed at the start
        ("one two", "one two three", (0.6, 0.6), 0.5),  # put in at the end
        ("one two three", "one seven three", (0.3, 0.6), 0.5),
        ("one two three", "nine ten eleven", (0.0, 1.1), 1.3),  # everything
        ("one", "one one", (0.3, 0.3), 0.3),
    ],
)
def test_the_changed_words_are_found(text: str, edited: str, removed: tuple[float, float], inserted: float):
    plan = edited_times(text, edited, times, times(text)[-1][2])
    assert plan.removed == pytest.approx(removed)
    assert plan.inserted_seconds == pytest.approx(inserted)
    length = times(text)[-1][2] - (removed[1] - removed[0]) + inserted
    assert plan.timed[-1][2] == pytest.approx(length)
    assert all(a[2] <= b[1] + 1e-9 for a, b in zip(plan.timed, plan.timed[1:], strict=False))


def test_times_follow_the_length_of_the_source():
    plan = edited_times("one two three", "one six three", times, 2.2)
    assert plan.removed == pytest.approx((0.6, 1.2))
    assert plan.timed[-1][2] == pytest.approx(2.2)


def test_kept_frames_stay_and_the_rest_is_hidden():
    source = torch.arange(10)[:, None].expand(10, 2)
    result = edited_source(source, 3, 6, 5, 12)
    assert result[:, 0].tolist() == [0, 1, 2, *[HIDDEN] * 5, 6, 7, 8, 9]
    assert len(edited_source(source, 3, 6, 5, 14)) == 14
    with pytest.raises(InputError, match="the same"):
        edited_times("one two", "one two", times, 1.0)


def test_a_long_text_is_cut_where_a_reader_would_pause():
    text = (
        "The first sentence is short. The second one, which goes on for quite a while, has a comma or two in it, and "
        "it ends only here! Yes. A very long run of words without any mark at all that simply never stops for breath "
        "however far you read in it"
    )
    parts = split_text(text)
    assert " ".join(parts) == text and all(len(part) <= 90 for part in parts)
    assert parts[0].endswith("short.") and len(parts) >= 4
    assert split_text("Hello.") == ["Hello."]
    assert len(split_text("x" * 300)) == 1
    assert split_text("A sentence that is long enough to end a part. ...") == [
        "A sentence that is long enough to end a part."
    ]
    with pytest.raises(InputError, match="nothing to speak"):
        split_text("🙂 ...")


def test_a_text_is_not_cut_after_an_abbreviation():
    text = "Yesterday we met the famous Dr. Smith and his old friend J. R. Jones at home."
    assert split_text(text) == [text]
    text = "Yesterday we all met the famous physician. Then we went home."
    assert split_text(text) == ["Yesterday we all met the famous physician.", "Then we went home."]
    words = "a run of words that goes on up to the limit of a part and there stands near the end Dr. Watson of London"
    assert [part.split()[0] for part in split_text(words)] == ["a", "Dr."]


def test_codes_outside_the_edit_are_those_of_the_recording():
    source = edited_source(torch.arange(12).reshape(6, 2), 2, 4, 3, 7)  # frames 2 and 3 give way to three new ones
    items, made = {("source", "codec"): Item(ids=source)}, torch.full((2, 7), 50)
    kept = keep_source(TASKS["speech_edit"], items, made)
    assert kept.t().tolist() == [[0, 1], [2, 3], [50, 50], [50, 50], [50, 50], [8, 9], [10, 11]]
    for first in range(7):  # frame by frame, as a stream has them
        assert torch.equal(keep_source(TASKS["speech_edit"], items, made[:, :1], first), kept[:, first : first + 1])
    assert keep_source(TASKS["audio_edit"], items, made) is made
