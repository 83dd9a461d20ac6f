"""Examples of speech from clean speech: spoken text, converted, instructed and edited speech, and singing."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

from uniaudio.data.examples import Example
from uniaudio.data.pairs.corpora import Recording

MIN_PROMPT_SECONDS = 1.5
MAX_SECONDS = 10.0


class Voices:
    """Picks prompts: another recording of the same speaker, of another text than the target's."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self._by_speaker: dict[str, list[Recording]] = defaultdict(list)
        for one in recordings:
            if one.row.speaker and one.row.seconds >= MIN_PROMPT_SECONDS:
                self._by_speaker[one.row.speaker].append(one)

    def other(self, target: Recording, random_: random.Random) -> Recording | None:
        """Return another recording of the target's speaker, or None if there is none."""
        group = self._by_speaker.get(target.row.speaker, [])
        for _ in range(8):
            one = random_.choice(group) if group else target
            if one.row.id != target.row.id and (one.row.text != target.row.text or not target.row.text):
                return one
        return None


def tts(speech: Sequence[Recording], random_: random.Random) -> Iterator[Example]:
    """Yield a text, a prompt and its speech for every recording with timed phones (`uniaudio data align` adds them)."""
    voices = Voices(speech)
    for one in speech:
        voice = voices.other(one, random_)
        if voice and one.row.segments and one.row.seconds <= MAX_SECONDS:
            yield one.example("tts", {"text": one.row.text, "speaker": voice.cut}, {"speaker": one.row.speaker})


def voice_conversion(speech: Sequence[Recording], random_: random.Random) -> Iterator[Example]:
    """Yield the speech itself as the source: its semantic tokens keep the words, the prompt gives the voice back."""
    voices = Voices(speech)
    for one in speech:
        voice = voices.other(one, random_)
        if voice and one.row.seconds <= MAX_SECONDS:
            yield one.example(
                "voice_conversion", {"source": one.cut, "speaker": voice.cut}, {"speaker": one.row.speaker}
            )


def instructed_tts(speech: Sequence[Recording], random_: random.Random) -> Iterator[Example]:
    """Yield a text, a description of how it is spoken, and its speech."""
    for one in speech:
        wordings = one.row.custom.get("instructions") or []
        if wordings and one.row.segments and one.row.seconds <= MAX_SECONDS:
            given = {"text": one.row.text, "instruction": random_.choice(wordings)}
            yield one.example("instructed_tts", given, {"style": one.row.custom.get("style")})


def singing_synthesis(singing: Sequence[Recording], random_: random.Random) -> Iterator[Example]:
    """Yield a score with lyrics, a prompt of the same singer, and its singing."""
    voices = Voices(singing)
    for one in singing:
        voice = voices.other(one, random_)
        if voice and one.row.custom.get("score"):
            given = {"score": one.row.custom["score"], "speaker": voice.cut}
            yield one.example(
                "singing_synthesis", given, {"speaker": one.row.speaker, "piece": one.row.custom.get("piece")}
            )


def speech_edit(speech: Sequence[Recording], random_: random.Random) -> Iterator[Example]:
    """Yield speech with a hole of one to three words: the transcript before the edit had other words there.

    `labels["removed"]` is the hole [start s, end s] in the target.
    """
    vocabulary = sorted({word for one in speech[:5000] for word in one.row.text.strip(".!?").split()})
    for one in speech:
        spans = _word_spans(one)
        if len(spans) < 3 or one.row.seconds > MAX_SECONDS:
            continue
        count = random_.randint(1, min(3, len(spans) - 1))
        first = random_.randrange(len(spans) - count + 1)
        words = one.row.text.split()
        other = [random_.choice(vocabulary) for _ in range(random_.randint(1, 3))]
        before = " ".join(words[:first] + other + words[first + count :])
        removed = [spans[first][0], spans[first + count - 1][1]]
        given = {"edited_text": one.row.text, "source": one.cut, "text": before}
        yield one.example("speech_edit", given, {"removed": removed, "words": [first, first + count]})


def _word_spans(one: Recording) -> list[tuple[float, float]]:
    """Return [start s, end s] of every word, from timed phones; [] where they cannot be told apart."""
    from uniaudio.data.alignment import word_times
    from uniaudio.errors import InputError

    if not one.row.segments:
        return []
    try:
        return word_times(one.row.text, one.row.segments)
    except InputError:
        return []
