"""Which part of a recording an edited transcript replaces, and what the result looks like in time.

T frames, K codebooks
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from uniaudio.errors import InputError
from uniaudio.sequence.layout import Items
from uniaudio.tasks import Task
from uniaudio.tokenizers.codec import HIDDEN
from uniaudio.tokenizers.phoneme import TimedPhone


@dataclass(frozen=True)
class EditPlan:
    """`timed` phones of the result, the seconds (start, end) removed from the source, and the seconds put in."""

    timed: list[TimedPhone]
    removed: tuple[float, float]
    inserted_seconds: float


def edited_times(text: str, edited: str, times: Callable[[str], list[TimedPhone]], source_seconds: float) -> EditPlan:
    """Plan the replacement of the changed words of `text`, spoken in `source_seconds`, by those of `edited`.

    Word times come from predicted durations, stretched to the length of the source. Raises InputError when the texts
    are the same.
    """
    before, after = text.split(), edited.split()
    prefix, old, new = _changed(before, after)
    if not old and not new:
        raise InputError("the edited text is the same as the text: change at least one word")
    spoken = times(text)
    scale = source_seconds / spoken[-1][2]
    start = _end_of(before[:prefix], times) * scale
    end = (
        source_seconds
        if prefix + old == len(before)
        else min(source_seconds, _end_of(before[: prefix + old], times) * scale)
    )
    target = times(edited)
    new_start = _end_of(after[:prefix], times)
    new_end = target[-1][2] if prefix + new == len(after) else _end_of(after[: prefix + new], times)
    inserted = max(0.0, new_end - new_start) * scale
    timed = _rescale(target, new_start, new_end, (start, inserted, source_seconds - end))
    return EditPlan(timed, (min(start, end), max(start, end)), inserted)


def edited_source(source: Tensor, first: int, last: int, inserted: int, length: int) -> Tensor:
    """Return the source codes [T, K] with frames [first, last) replaced by `inserted` hidden ones, cut to `length`."""
    hidden = torch.full((inserted, source.shape[1]), HIDDEN)
    frames = torch.cat((source[:first], hidden, source[last:]))
    missing = max(0, length - len(frames))
    return torch.cat((frames, torch.full((missing, source.shape[1]), HIDDEN)))[:length]


def keep_source(task: Task, items: Items, codes: Tensor, first: int = 0) -> Tensor:
    """Return codes [K, T], which begin at frame `first`, with those of the recording where an edit leaves it alone.

    What the model says outside the edit is not heard; all other tasks get the codes as they are.
    """
    if task.name != "speech_edit":
        return codes
    source = items["source", "codec"].ids
    assert source is not None
    given = source[first : first + codes.shape[1]].t()  # [K, T]
    return torch.where(given == HIDDEN, codes, given)


def _changed(before: list[str], after: list[str]) -> tuple[int, int, int]:
    """Return (words before the change, words removed, words put in): one span that holds every difference."""
    blocks = difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    prefix = blocks[0].size if blocks[0].a == blocks[0].b == 0 else 0
    tail = blocks[-2] if len(blocks) > 1 else blocks[-1]
    at_end = tail.a + tail.size == len(before) and tail.b + tail.size == len(after)
    suffix = min(tail.size, len(before) - prefix, len(after) - prefix) if at_end else 0
    return prefix, len(before) - prefix - suffix, len(after) - prefix - suffix


def _end_of(words: list[str], times: Callable[[str], list[TimedPhone]]) -> float:
    """Return when the last of some words ends, in predicted seconds, without the pause that would follow."""
    if not words:
        return 0.0
    return max(end for phone, _, end in times(" ".join(words)) if phone not in (".", ",", "?", "!"))


def _rescale(
    timed: list[TimedPhone], start: float, end: float, lengths: tuple[float, float, float]
) -> list[TimedPhone]:
    """Stretch the parts before `start`, up to `end`, and after it to the three lengths in seconds."""
    total = timed[-1][2]
    knots = [0.0, start, max(start, end), max(start, end, total)]
    places = [0.0, lengths[0], lengths[0] + lengths[1], sum(lengths)]

    def place(seconds: float) -> float:
        for index in range(3):
            if seconds <= knots[index + 1] or index == 2:
                span = max(1e-9, knots[index + 1] - knots[index])
                return places[index] + (seconds - knots[index]) / span * (places[index + 1] - places[index])
        raise AssertionError("the last part takes everything")

    moved = [(phone, place(begin), place(finish)) for phone, begin, finish in timed]
    return [(phone, begin, finish) for phone, begin, finish in moved if finish - begin > 1e-6]
