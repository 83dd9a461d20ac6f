"""Does the sound say what its caption says? Offline by our own judge, by CLAP (Wu et al. 2023) where a model is named.

Offline, what the caption names (events, instruments, style, tempo; in the words of made captions) is looked for
in what the judge hears; a table that quotes it says so with `classifier.JUDGE`.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from uniaudio.audio.io import Audio

_CHANGING = {"loud", "soft", "quiet", "faint", "loudly", "softly", "quietly", "faintly"}  # they part a phrase's words
_ARTICLES = ("a ", "an ", "the ", "someone's ")
_OF_MUSIC = ("style", "tempo")  # their words count only beside an instrument


@dataclass(frozen=True)
class Named:
    """Something that a caption names: its kind, and the labels of which any will do ("jazz" is two styles)."""

    kind: str
    labels: tuple[str, ...]


def caption_agreement(probabilities: Mapping[str, Mapping[str, float]], caption: str) -> float:
    """Return the share, 0 to 1, of what the caption names that is heard (`Heard.probabilities`).

    Something is heard when one of its labels is among the k most probable of its kind, k being how many of that kind
    are named. Raises ValueError for a caption that names nothing which the judge knows.
    """
    things = named_in(caption)
    if not things:
        raise ValueError(f"the caption names nothing that the judge knows: {caption[:80]!r}")
    found = 0
    for kind in {thing.kind for thing in things}:
        own = [thing for thing in things if thing.kind == kind]
        heard = sorted(probabilities[kind], key=lambda label: -probabilities[kind][label])[: len(own)]
        found += sum(any(label in heard for label in thing.labels) for thing in own)
    return found / len(things)


def clap_agreement(audio: Audio, caption: str, model: str) -> float:
    """Return the cosine, -1 to 1, of a clip and its caption by the CLAP in a folder or of that name on the hub.

    Raises InputError when it cannot be loaded, and ValueError for a silent clip.
    """
    from uniaudio.evaluate.embedders import Clap

    clap = Clap(model)
    return float(clap.audio(audio) @ clap.text(caption))


def named_in(caption: str) -> list[Named]:
    """Return what a caption or an instruction for an edit names, each thing once; the longest phrase wins."""
    text, found = _plain(re.sub(r"[^a-z'\- ]", " ", caption.lower())), dict[Named, None]()
    pattern, things = _phrases()
    for match in pattern.finditer(text):
        found |= dict.fromkeys(things[match[0]])
    if not any(thing.kind == "instrument" for thing in found):
        found = {thing: None for thing in found if thing.kind not in _OF_MUSIC}
    return list(found)


@functools.cache
def _phrases() -> tuple[re.Pattern[str], dict[str, tuple[Named, ...]]]:
    """Return a pattern of every phrase that names something, and what each names."""
    from uniaudio.data.synthesize.events import EVENTS
    from uniaudio.data.synthesize.music_captions import TEMPOS
    from uniaudio.data.synthesize.music_patterns import INSTRUMENTS, QUARTETS
    from uniaudio.data.synthesize.music_styles import STYLES

    names: dict[tuple[str, str], set[str]] = defaultdict(set)  # (phrase, kind) -> labels
    for label, event in EVENTS.items():
        said = [f"{subject} {verb}" for subject, *verbs in event.says for verb in verbs]
        for phrase in (*event.nouns, *event.plurals, *said):
            names[_bare(phrase), "event"].add(label)
    for instrument in (*INSTRUMENTS, "drums"):
        names[instrument, "instrument"].add(instrument)
    for _, words in TEMPOS:
        for word in words:
            names[word, "tempo"].add(words[0])
    for label, style in STYLES.items():
        for phrase in style.words:
            if (phrase.lower(), "instrument") not in names:
                names[phrase.lower(), "style"].add(label)
    things: dict[str, tuple[Named, ...]] = {}
    for (phrase, kind), labels in names.items():
        things[phrase] = (*things.get(phrase, ()), Named(kind, tuple(sorted(labels))))
    for ensemble, players in QUARTETS.items():
        things[ensemble] = tuple(Named("instrument", (player,)) for player in dict.fromkeys(players))
    longest: Sequence[str] = sorted(things, key=lambda phrase: (-len(phrase), phrase))
    return re.compile(rf"(?<![\w'-])(?:{'|'.join(map(re.escape, longest))})(?![\w-])"), things


def _bare(phrase: str) -> str:
    for article in _ARTICLES:
        phrase = phrase.removeprefix(article)
    return _plain(phrase)


def _plain(text: str) -> str:
    return " ".join(word for word in text.split() if word not in _CHANGING)
