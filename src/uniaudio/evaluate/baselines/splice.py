"""Edited speech: the changed words are spoken by flite and cut into the recording at the borders of its words."""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError
from uniaudio.evaluate.baselines.spoken import RATE, flite, like

_SILENT = frozenset(("sil", ",", ".", "?", "!"))
_FADE = 160  # samples, 10 ms: each joint is a cross-fade


def splice_words(edited_text: str, source: Audio, text: str) -> Audio:
    """Return the source with the words that differ between `text` and `edited_text` replaced by flite's.

    Flite speaks the whole edited text, with the voice of the source's sex and at its pitch, tempo and level; only the
    changed words are taken. Raises ValueError when the texts are the same or cannot be aligned with the recordings.
    """
    from uniaudio.data.align import align

    first, old, new = changed_words(text, edited_text)
    samples = source.samples[0]
    try:
        kept = _word_times(text, align(samples, text))
        begin, end = _span(kept, first, old, source.seconds)
        if not new:
            return _joined(samples[: round(begin * RATE)], samples[round(end * RATE) :])
        voice = like(source)
        spoken = flite(edited_text, voice)
        lasting = (kept[-1][1] - kept[0][0]) / len(text.split())
        theirs = _word_times(edited_text, spoken.segments)
        tempo = (theirs[-1][1] - theirs[0][0]) / len(theirs) / lasting
        spoken = flite(edited_text, replace(voice, tempo=float(np.clip(tempo, 0.6, 1.7))))
        start, stop = _span(_word_times(edited_text, spoken.segments), first, new, spoken.audio.seconds)
    except InputError as error:
        raise ValueError(f"the words cannot be exchanged: {error}") from error
    words = spoken.audio.samples[0]
    words = words * (_level(samples) / max(_level(words), 1e-6))
    words = words[round(start * RATE) : round(stop * RATE)]
    return _joined(samples[: round(begin * RATE)], words, samples[round(end * RATE) :])


def changed_words(text: str, edited: str) -> tuple[int, int, int]:
    """Return (words before the change, words replaced, words in their place): one span that holds every difference.

    Raises ValueError when there is no difference.
    """
    before, after = text.split(), edited.split()
    changes = [
        change
        for change in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        if change[0] != "equal"
    ]
    if not changes:
        raise ValueError("the edited text is the same as the text: there is nothing to change")
    first, first_new = changes[0][1], changes[0][3]
    return first, changes[-1][2] - first, changes[-1][4] - first_new


def _word_times(text: str, segments: Sequence[Sequence[Any]]) -> list[tuple[float, float]]:
    """Return (start s, end s) of every word of a text; a word may sound otherwise alone than among others.

    Raises InputError for a word of which nothing is left among the phones.
    """
    from uniaudio.data.alignment import timed_phones
    from uniaudio.tokenizers.phoneme import phonemes

    phones = [phone for phone in timed_phones(text, segments) if phone[0] not in _SILENT]
    alone = [(phone, index) for index, word in enumerate(text.split()) for phone in phonemes(word)]
    alone = [(phone, index) for phone, index in alone if phone not in _SILENT]
    times: dict[int, tuple[float, float]] = {}
    matcher = difflib.SequenceMatcher(None, [p for p, _ in alone], [p for p, _, _ in phones], autojunk=False)
    for _, a, b, c, d in matcher.get_opcodes():
        for place in range(c, d):  # of a stretch that differs, each phone has a share
            _, owner = alone[min(a + (place - c) * (b - a) // (d - c), len(alone) - 1)]
            _, start, end = phones[place]
            first, last = times.get(owner, (start, end))
            times[owner] = (min(first, start), max(last, end))
    lost = [word for index, word in enumerate(text.split()) if index not in times]
    if lost:
        raise InputError(f"nothing is heard of {lost[0]!r}")
    return [times[index] for index in range(len(times))]


def _span(words: list[tuple[float, float]], first: int, count: int, seconds: float) -> tuple[float, float]:
    """Return (start s, end s) of `count` words; of none, the border where they would be put in."""
    if count:
        return words[first][0], words[first + count - 1][1]
    border = words[first][0] if first < len(words) else min(seconds, words[-1][1])
    return border, border


def _level(samples: np.ndarray) -> float:
    """Return the amplitude of the loud parts, which pauses do not change."""
    return float(np.percentile(np.abs(samples), 95))


def _joined(*parts: np.ndarray) -> Audio:
    """Return the parts one after another, each joint a linear cross-fade."""
    joined = parts[0]
    for part in parts[1:]:
        size = min(_FADE, len(joined), len(part))
        rising = np.linspace(0, 1, size, dtype=np.float32)
        middle = joined[len(joined) - size :] * (1 - rising) + part[:size] * rising
        joined = np.concatenate([joined[: len(joined) - size], middle, part[size:]])
    return Audio(joined[None].clip(-1, 1).astype(np.float32), RATE)
