"""Examples with a caption: sound and music from words, and edited sound after AUDIT (2304.00830)."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from uniaudio.data.examples import Example, to_cut
from uniaudio.data.pairs.corpora import Recording
from uniaudio.data.synthesize.sentences import split_of

_LABELS = ("classes", "instruments", "style", "tempo_bpm", "key")  # what a caption says, as the corpus knows it
WORDINGS = 2  # examples of one clip, each in another wording
EDITS = ("add", "remove", "replace", "inpaint", "extend")
CUTOFFS_HZ = (1000, 2000, 4000)
_SNR_DB = (-5.0, 10.0)


def captioned(task: str, recordings: Sequence[Recording], random_: random.Random) -> Iterator[Example]:
    """Yield every clip under `WORDINGS` of its captions."""
    for one in recordings:
        wordings = one.row.custom.get("captions") or [one.row.custom.get("caption") or one.row.text]
        chosen = random_.sample(wordings, min(WORDINGS, len(wordings)))
        labels = {name: one.row.custom[name] for name in _LABELS if name in one.row.custom}
        for index, caption in enumerate(chosen if chosen[0] else []):
            yield one.example(task, {"caption": caption}, labels, f"-{index}")


def audio_edit(sound: Sequence[Recording], random_: random.Random) -> Iterator[Example]:
    """Yield one edit of every sound: `add` and `remove` and `replace` a single event, fill a hole, widen the band.

    Its wording is drawn until `split_of` puts it into the split of the sound.
    """
    from uniaudio.data.synthesize.captions import edit_instruction

    single = [one for one in sound if len(one.row.custom.get("classes") or []) == 1]
    for one in sound:
        kind = random_.choice(EDITS)
        made = _edit(kind, one, single, random_)
        if made is None:
            continue
        source, target, names, events = made
        wordings = (edit_instruction(kind, names[0], names[1], random_) for _ in range(400))
        text = next((text for text in wordings if split_of(text) == one.row.split), None)
        if text is None:
            continue
        yield Example(
            id=f"audio_edit-{one.row.id}",
            task="audio_edit",
            split=one.row.split,
            seconds=one.row.seconds,
            target=target,
            given={"caption": text, "source": source},
            labels={"edit": kind, "phrases": list(names), **events},
        )


def _edit(
    kind: str, one: Recording, single: Sequence[Recording], random_: random.Random
) -> tuple[Mapping[str, Any], Mapping[str, Any], tuple[str, str], dict[str, list[str]]] | None:
    """Return (source cut, target cut, phrases for the events, classes "added" and "removed") of one edit.

    None where it cannot be made.
    """
    if kind == "inpaint":
        return _hole(one, random_), one.cut, ("", ""), {}
    if kind == "extend":
        return _narrow(one, random_.choice(CUTOFFS_HZ)), one.cut, ("", ""), {}
    mine = set(one.row.custom.get("classes") or [])
    drawn = random_.choices(single, k=16) if single else []
    others = [other for other in drawn if not mine & _classes(other)]
    fitting = [other for other in others if other.row.seconds <= one.row.seconds]
    if len(fitting) < 2 or (kind == "replace" and _classes(fitting[0]) == _classes(fitting[1])):
        return None
    first, second = fitting[0], fitting[1]
    start = round(random_.uniform(0, one.row.seconds - max(first.row.seconds, second.row.seconds)), 2)
    snr = round(random_.uniform(*_SNR_DB), 1)
    with_first, with_second = (_with(one, other, start, snr) for other in (first, second))
    name, other_name = _phrase(first, random_), _phrase(second, random_)
    first_classes, second_classes = sorted(_classes(first)), sorted(_classes(second))
    if kind == "add":
        return one.cut, with_first, (name, ""), {"added": first_classes}
    if kind == "remove":
        return with_first, one.cut, (name, ""), {"removed": first_classes}
    return with_first, with_second, (name, other_name), {"removed": first_classes, "added": second_classes}


def _phrase(one: Recording, random_: random.Random) -> str:
    """Return a noun phrase for the only event of a recording."""
    from uniaudio.data.synthesize.captions import event_phrase
    from uniaudio.data.synthesize.events.scene import scene_from

    if one.row.custom.get("events"):
        return event_phrase(scene_from(dict(one.row.custom), one.row.seconds).events[0], random_)
    return f"the sound of {min(_classes(one)).replace('_', ' ')}"


def _classes(one: Recording) -> set[str]:
    return set(one.row.custom["classes"])


def _with(one: Recording, other: Recording, start: float, snr_db: float) -> dict[str, Any]:
    return to_cut(one.cut).mix(to_cut(other.cut), offset_other_by=start, snr=snr_db, preserve_id="left").to_dict()


def _hole(one: Recording, random_: random.Random) -> dict[str, Any]:
    """Return the cut with 15 to 35 % of it silent."""
    size = random_.uniform(0.15, 0.35) * one.row.seconds
    start = random_.uniform(0.1, 0.9) * (one.row.seconds - size)
    cut = to_cut(one.cut)
    left, right = cut.truncate(duration=round(start, 2)), cut.truncate(offset=round(start + size, 2))
    return left.pad(duration=round(start + size, 2)).append(right, preserve_id="left").to_dict()


def _narrow(one: Recording, cutoff_hz: int) -> dict[str, Any]:
    """Return the cut without what lies above a frequency."""
    cut = to_cut(one.cut)
    rate = cut.sampling_rate
    return cut.resample(2 * cutoff_hz).resample(rate).to_dict()
