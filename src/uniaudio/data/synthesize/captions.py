"""Words for scenes and for edits of scenes: captions and instructions in many wordings, and what they must be true of.

A wording is drawn until `split_of` puts it in the wanted split, so no caption of dev or test is ever in train.
"""

import random
from collections.abc import Callable, Sequence

from uniaudio.data.synthesize.events import EVENTS
from uniaudio.data.synthesize.events.scene import Scene, SceneEvent
from uniaudio.data.synthesize.sentences import split_of
from uniaudio.errors import InputError

NUM_WORDINGS = 8
LOUD_DB, SOFT_DB = -2.5, -10.0  # an event is called loud above the first and soft below the second
_TRIES = 2500  # drawn for one scene in a small split

_COUNTS = {2: ("two", "two", "a pair of"), 3: ("three",), 4: ("four",), 5: ("five",), 6: ("six",)}
_TIMES = {2: ("twice", "two times"), 3: ("three times",), 4: ("four times",), 5: ("five times",), 6: ("six times",)}
_AWAY = {
    "far": ("far away", "in the distance", "far off", "a long way off", "at a distance", "from afar"),
    "near": ("close by", "nearby", "up close", "very near", "right here", "near the microphone"),
}
_LOUDNESS = {"loud": ("loud",), "soft": ("soft", "quiet", "faint")}
_ADVERBS = {"loud": ("loudly",), "soft": ("softly", "quietly", "faintly")}

_ONE_NOUN = (
    "{a}|the sound of {a}|a recording of {a}|{a} can be heard|you can hear {a}|we hear {a}|I hear {a}|one hears {a}"
    "|listen to {a}|audio of {a}|a clip of {a}|the noise of {a}|this is {a}|here you can hear {a}"
)
_ONE_CLAUSE = (
    "{A}|listen as {A}|a scene where {A}|a clip in which {A}|in this recording {A}|here {A}|you can hear that {A}"
)
_CLOSINGS = (  # for a scene without a background
    "|on its own|and nothing else|with no other sound|and little else|and no more than that|by itself|without company"
)
_PAIRS = {  # small letters: noun phrases, capitals: clauses
    "sequence": (
        "{a}, then {b}|{a} followed by {b}|{a} and then {b}|first {a}, then {b}|{a} before {b}|{b} after {a}"
        "|{a}, and after that {b}|{a}, with {b} right after|{a}, next {b}|{a} and later {b}|to begin with {a}, then {b}"
        "|{A}, then {B}|{A} before {B}|{B} after {A}|{A} and then {B}|first {A}, afterwards {B}"
        "|{A}; a moment later {B}|after {A}, {B}|{A}, followed by {b}|{a}, and then {B}"
    ),
    "over": (  # b goes on throughout
        "{a} over {b}|{a} with {b} throughout|{b} with {a}|against {b}, {a}|{a} on top of {b}|{a} amid {b}"
        "|{a}, and {b} all the while|{a} during {b}|{b}, and in the midst of it {a}|{a} heard through {b}"
        "|{A} while {B}|while {B}, {A}|{A} as {B}|{B} while {A}|as {B}, {A}|{A}, with {b} all along|{a} while {B}"
        "|{B}, and meanwhile {A}|{B}, interrupted by {a}"
    ),
    "together": (
        "{a} and {b} at the same time|{a} together with {b}|{a} mixed with {b}|{a} along with {b}|both {a} and {b}"
        "|{b} and {a} at once|{A} and at the same time {B}|{A} while {B}|{B} just as {A}|{a} alongside {b}"
        "|at the same time {a} and {b}|{A}, and together with that {B}|{b} mingled with {a}"
    ),
}
_TRIPLES = {
    "sequence": (
        "{a}, then {b}, then {c}|{a}, {b} and finally {c}|first {a}, then {b}, and finally {c}"
        "|{a} followed by {b} and then {c}|{a}, after that {b}, and last {c}|{A}, then {B}, then {C}"
        "|{A}, {B}, and in the end {C}|first {A}, next {B}, lastly {C}|{A}, followed by {b} and then {c}"
        "|{a}, next {b}, and then {c}"
    ),
    "over": (  # c goes on throughout
        "{a} and then {b} over {c}|{a}, then {b}, with {c} throughout|{A} and then {B} while {C}"
        "|while {C}, {A} and then {B}|{c} with {a} followed by {b}|{C}, and meanwhile {A}, then {B}"
        "|as {C}, first {A}, then {B}|against {c}, {a} and later {b}|{a} followed by {b}, and {c} all the while"
    ),
    "together": "{a}, {b} and {c} at once|{a} together with {b} and {c}|{A} while {B} and {C}|{a} amid {b} and {c}",
}
_OPENINGS = ("", "", "", "you can hear ", "we hear ", "a scene with ", "a recording of ")  # of wordings of nouns alone
_BEHIND = {
    "hiss": ("over a faint hiss", "with a slight hiss behind it", "against faint static"),
    "air": ("over faint background noise", "with a little room noise", "against faint noise"),
    "rumble": ("over a faint rumble", "with a low rumble behind it", "against a faint low hum"),
}


def captions(scene: Scene, split: str, rng: random.Random, count: int = NUM_WORDINGS) -> list[str]:
    """Return `count` different captions of a scene, all of the split; fewer where so many are not found."""
    if split not in ("train", "dev", "test"):
        raise InputError(f"no split {split!r}: name train, dev or test")
    found: dict[str, None] = {}
    for _ in range(_TRIES):
        text = _sentence(scene, rng)
        if split_of(text) == split:
            found[text] = None
        if len(found) == count:
            break
    return list(found)


def order(scene: Scene) -> tuple[str, list[SceneEvent]]:
    """Return how the events relate, and they in the order of telling.

    "one", "sequence" (each after the one before), "over" (the last goes on throughout the others), or "together".
    """
    events = sorted(scene.events, key=lambda event: (event.start, event.end))
    if len(events) == 1:
        return "one", events
    if all(before.end <= after.start + 0.05 for before, after in zip(events, events[1:], strict=False)):
        return "sequence", events
    longest = max(events, key=lambda event: event.seconds)
    others = [event for event in events if event is not longest]
    inside = all(longest.start <= event.start + 0.05 and event.end <= longest.end + 0.05 for event in others)
    apart = all(before.end <= after.start + 0.05 for before, after in zip(others, others[1:], strict=False))
    short = sum(event.seconds for event in others) <= 0.8 * longest.seconds
    return ("over", [*others, longest]) if inside and apart and short else ("together", events)


def event_phrase(event: SceneEvent, rng: random.Random) -> str:
    """Return a noun phrase for an event as it sounds: "two loud knocks", "a dog barking twice far away"."""
    words, loudness = EVENTS[event.name], _loudness(event)
    loud = rng.choice(_LOUDNESS[loudness]) if loudness and rng.random() < 0.6 else ""
    if rng.random() < 0.3:
        subject, _, gerund = rng.choice(words.says)
        return _joined(subject, gerund, _times(event, rng), _manner(event, rng))
    if event.count > 1:
        return _joined(rng.choice(_COUNTS[event.count]), loud, rng.choice(words.plurals), _away(event, rng))
    noun = rng.choice(words.nouns)
    if words.countable and noun.startswith(("a ", "an ")) and "'s " not in noun and not loud and rng.random() < 0.5:
        noun = f"{rng.choice(('one', 'a single', 'just one'))} {noun.split(' ', 1)[1]}"
    return _joined(_with_adjective(noun, loud), _away(event, rng))


def _clause(event: SceneEvent, rng: random.Random) -> str:
    """Return a clause for an event: "a dog barks twice in the distance"."""
    subject, verb, _ = rng.choice(EVENTS[event.name].says)
    return _joined(subject, verb, _times(event, rng), _manner(event, rng))


def _times(event: SceneEvent, rng: random.Random) -> str:
    if event.count > 1:
        return rng.choice(_TIMES[event.count])
    return rng.choice(("", "", "once", "a single time")) if EVENTS[event.name].countable else ""


def _manner(event: SceneEvent, rng: random.Random) -> str:
    loudness = _loudness(event)
    adverb = rng.choice(_ADVERBS[loudness]) if loudness and rng.random() < 0.6 else ""
    return _joined(adverb, _away(event, rng))


def _away(event: SceneEvent, rng: random.Random) -> str:
    """Return where it is: always said of what is far, mostly of what is near, never of the rest."""
    said = event.distance == "far" or (event.distance == "near" and rng.random() < 0.6)
    return rng.choice(_AWAY[event.distance]) if said else ""


def _loudness(event: SceneEvent) -> str:
    if event.distance == "far":
        return ""
    return "loud" if event.gain_db >= LOUD_DB else "soft" if event.gain_db <= SOFT_DB else ""


def _with_adjective(noun: str, adjective: str) -> str:
    """Return the noun phrase with an adjective where it belongs: "a loud bark", "a cat's loud meow", "loud rain"."""
    if not adjective:
        return noun
    owner, belongs, owned = noun.partition("'s ")
    if belongs and " of " not in owner:
        return f"{owner}'s {adjective} {owned}"
    first, _, rest = noun.partition(" ")
    article = {"a": "a ", "an": "a ", "the": "the "}.get(first, "")
    return f"{article}{adjective} {rest if article else noun}"


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _filled(template: str, events: Sequence[SceneEvent], rng: random.Random) -> str:
    """Return a template with noun phrases for {a}, {b}, {c} and clauses for {A}, {B}, {C}."""
    for letter, event in zip("abc", events, strict=False):
        template = template.replace(f"{{{letter}}}", event_phrase(event, rng), 1)
        template = template.replace(f"{{{letter.upper()}}}", _clause(event, rng), 1)
    return template


def _sentence(scene: Scene, rng: random.Random) -> str:
    """Return one caption, with a capital and without a full stop."""
    relation, events = order(scene)
    if relation == "one":
        noun = rng.random() < 0.7
        text = _filled(rng.choice((_ONE_NOUN if noun else _ONE_CLAUSE).split("|")), events, rng)
        text = _joined(text, rng.choice(_CLOSINGS.split("|")) if not scene.background else "")
    else:
        templates = (_PAIRS if len(events) == 2 else _TRIPLES)[relation]
        template = rng.choice(templates.split("|"))
        if template.startswith(("{a}", "{b}", "{c}")) and template == template.lower():
            template = rng.choice(_OPENINGS) + template
        text = _filled(template, events, rng)
    if scene.background and rng.random() < 0.5:
        text = f"{text}, {rng.choice(_BEHIND[scene.background.name])}"
    if rng.random() < 0.25:
        text = f"{text}, {_length(scene.seconds)}"
    return text[0].upper() + text[1:]


def _length(seconds: float) -> str:
    words = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return f"about {words[min(8, max(0, round(seconds) - 2))]} seconds long"


# ---- instructions for edits, after AUDIT (Wang et al. 2023): add, remove, replace, inpaint, bandwidth extension ----

_EDITS: dict[str, tuple[str, str]] = {  # kind -> (the instruction, what may follow it)
    "add": (
        "add {a}|put in {a}|insert {a}|mix in {a}|include {a}|add the sound of {a}|overlay {a}|bring in {a}"
        "|let there be {a}|make {a} audible|I want to hear {a}|have {a} in it|blend in {a}|drop in {a}|layer in {a}",
        "|in this recording|as well|too|and leave the rest as it is|without changing anything else|, please"
        "|, keep the rest",
    ),
    "remove": (
        "remove {the}|drop {the}|take out {the}|delete {the}|get rid of {the}|cut {the}|erase {the}|leave out {the}"
        "|mute {the}|eliminate {the}|strip out {the}|silence {the}|do away with {the}|I do not want {the}"
        "|filter out {the}",
        "|in this recording|and keep the rest|completely|without touching anything else|, please|, nothing else"
        "|altogether",
    ),
    "replace": (
        "replace {the} with {b}|swap {the} for {b}|turn {the} into {b}|change {the} to {b}|substitute {b} for {the}"
        "|put {b} in place of {the}|instead of {the} I want {b}|exchange {the} for {b}|use {b} instead of {the}"
        "|switch {the} to {b}|let {b} take the place of {the}",
        "|and leave the rest as it is|and keep everything else|, please|without touching anything else|, nothing else"
        "|here|in this recording|and change no other sound",
    ),
    "inpaint": (
        "{fill} the {missing} {part}",
        "|of this recording|, please|so that it sounds whole|with what fits|seamlessly|to match the rest|smoothly"
        "|naturally",
    ),
    "extend": (
        "{restore} the {high} {frequencies}",
        "|of this recording|, please|so that it sounds clear|up to full bandwidth|that got lost|naturally|in this clip",
    ),
}
_PARTS = {
    "{fill}": "fill in|restore|complete|reconstruct|repair|patch|recover|fill up|rebuild|make up|inpaint|regenerate",
    "{missing}": "missing|silent|masked|lost|empty|blank|dropped|deleted",
    "{part}": "part|section|stretch|passage|gap|segment|piece|portion",
    "{restore}": "restore|bring back|recover|add|regenerate|fill in|reconstruct|rebuild|give me|generate|put back",
    "{high}": "high|missing high|upper|lost high|treble|missing upper|top|higher",
    "{frequencies}": "frequencies|frequency range|band|frequency content|part of the spectrum|range|spectrum",
}
_ASKED = ("", "", "", "please ", "now ", "could you ", "can you ", "would you ", "I would like you to ", "next ")
EDIT_KINDS = tuple(_EDITS)


def edit_instruction(
    kind: str, phrase: str = "", other: str = "", rng: random.Random | None = None, split: str | None = None
) -> str:
    """Return an instruction for an edit in one of many wordings, of a split where one is asked for.

    `kind` is one of EDIT_KINDS; `phrase` names what is added, removed or replaced ("a dog barking", see `event_phrase`;
    "a dog barking in the middle", see `position_phrase`), `other` what comes in its place. Raises InputError for an
    unknown kind, a missing phrase, and where no wording of the split is found.
    """
    if kind not in _EDITS:
        raise InputError(f"no edit {kind!r}: name one of {', '.join(EDIT_KINDS)}")
    if (kind in ("add", "remove", "replace") and not phrase) or (kind == "replace" and not other):
        raise InputError(f"the edit {kind!r} needs the words for {'two sounds' if kind == 'replace' else 'a sound'}")
    rng = rng or random.Random(0)
    for _ in range(_TRIES):
        text = _instruction(kind, phrase, other, rng)
        if split is None or split_of(text) == split:
            return text
    raise InputError(f"no wording of {kind!r} for {phrase!r} falls in the split {split!r}: use another phrase")


def _instruction(kind: str, phrase: str, other: str, rng: random.Random) -> str:
    templates, endings = _EDITS[kind]
    text, ending = rng.choice(templates.split("|")), rng.choice(endings.split("|"))
    values: dict[str, Callable[[], str]] = {"{a}": lambda: phrase, "{b}": lambda: other}
    if phrase:
        values["{the}"] = lambda: definite(phrase)
    for slot, value in values.items():
        text = text.replace(slot, value())
    for slot, choices in _PARTS.items():
        text = text.replace(slot, rng.choice(choices.split("|")))
    opening = "" if text.startswith(("I ", "instead")) else rng.choice(_ASKED)
    text = f"{opening}{text}{'' if ending.startswith(',') else ' '}{ending}".strip()
    text = text.replace("please ", "", 1) if text.startswith("please ") and text.endswith(", please") else text
    return text[0].upper() + text[1:]


def definite(phrase: str) -> str:
    """Return a noun phrase as one that is known: "a siren" -> "the siren", "rain" -> "the rain"."""
    first, _, rest = phrase.partition(" ")
    if first in ("a", "an", "just", "one") and rest:
        return definite(rest) if first == "just" else f"the {rest}"
    if first == "the":
        return phrase
    known = ("someone", "somebody", "someone's", "somebody's")
    return f"the sound of {phrase}" if first in known else f"the {phrase}"


def position_phrase(event: SceneEvent, scene: Scene, rng: random.Random) -> str:
    """Return where in its scene an event sounds, or "" where it fills most of it or says little."""
    if event.seconds > 0.6 * scene.seconds:
        return ""
    middle = (event.start + event.seconds / 2) / scene.seconds
    if 0.4 <= middle <= 0.6:
        return rng.choice(("in the middle", "halfway through", "around the middle"))
    if event.end <= 0.5 * scene.seconds:
        return rng.choice(("at the beginning", "at the start", "in the first half"))
    if event.start >= 0.5 * scene.seconds:
        return rng.choice(("at the end", "towards the end", "in the second half"))
    return ""
