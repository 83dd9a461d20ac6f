"""Singing by espeak-ng: its monotonous speech moved to the notes by pitch-synchronous overlap-add.

The made corpora of singing use flite and WORLD; this uses neither. Overlap-add is Moulines and Charpentier 1990, here
in its simplest form: the pitch of the speech is flat, so its periods are equal and need not be sought.

N samples, P phones
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.evaluate.baselines.spoken import RATE, Manner, espeak
from uniaudio.evaluate.baselines.voice_pitch import typical_pitch

if TYPE_CHECKING:
    from uniaudio.tokenizers.midi import Note

_FEMALE_HZ = 160.0  # songs above this are sung by the female voice
_LEVEL = 0.5  # of the loudest sample
_TAIL_SECONDS = 0.3


def sing(score: Any, speaker: Audio) -> Audio:
    """Sing a score (as `parse_score` takes it); the voice of `speaker` is not imitated.

    Raises InputError for a score that is none or cannot be spoken.
    """
    from uniaudio.tokenizers.midi import Note, parse_score, score_phonemes

    notes = score if isinstance(score, list) and isinstance(score[0], Note) else parse_score(score)
    phones = score_phonemes(notes)  # phone, start s, end s in the song
    hertz = [440 * 2 ** ((note.pitch - 69) / 12) for note in notes]
    speech, spans, pitch = _words(_lyrics(notes), float(np.median(hertz)))
    knots = [(0.0, 0.0)]
    for (_, start, end), (first, last) in zip(phones, _owners([p for p, _, _ in phones], spans), strict=True):
        knots += [(start, first), (max(start, end - 1e-6), last)]
    grain = round(RATE / pitch)
    result = np.zeros(round((notes[-1].end + _TAIL_SECONDS) * RATE) + 2 * grain)
    window, at, into = np.hanning(2 * grain + 1)[:-1], *np.array(knots).T
    for note, height in zip(notes, hertz, strict=True):
        for now in np.arange(note.start, note.end, 1 / height):
            # Snapped to a whole number of periods, neighbouring grains have the same phase.
            place = round(float(np.interp(now, at, into)) * pitch) * RATE / pitch
            left, here = max(0, round(place) - grain), round(now * RATE)
            piece = speech[left : left + 2 * grain]
            result[here : here + len(piece)] += piece * window[: len(piece)]
    result = result[grain:-grain]  # a grain's middle is at its time
    return Audio((result * _LEVEL / max(np.abs(result).max(), 1e-6))[None].astype(np.float32), RATE)


def _lyrics(notes: "list[Note]") -> list[str]:
    """Return the words of a score: "twin-" and "kle" are one; a held note has none."""
    parts = [note.lyric[:-1] if note.lyric.endswith("-") else f"{note.lyric} " for note in notes]
    return "".join(parts).split()


def _words(words: list[str], pitch_hz: float) -> tuple[np.ndarray, list[tuple[str, float, float]], float]:
    """Return the speech of words in a monotone, (phone, start s, end s) of their phones in it, and its pitch in Hz."""
    from uniaudio.tokenizers.phoneme import phonemes

    manner = Manner(female=pitch_hz > _FEMALE_HZ, pitch_hz=pitch_hz, range=0.0)
    spans: list[tuple[str, float, float]] = []
    pieces: list[np.ndarray] = []
    begun = 0.0
    for word in words:
        spoken = espeak(word, manner)
        names = [phone for phone in phonemes(word) if phone not in (",", ".", "?", "!")]
        times = [(start, end) for phone, start, end in spoken.segments if phone != "sil"]
        if len(times) != len(names):  # the phones were told apart otherwise: they share the time of the word
            edges = np.linspace(times[0][0], times[-1][1], len(names) + 1).tolist()
            times = list(zip(edges[:-1], edges[1:], strict=True))
        spans += [(name, begun + start, begun + end) for name, (start, end) in zip(names, times, strict=True)]
        pieces.append(spoken.audio.samples[0])
        begun += spoken.audio.seconds
    speech = np.concatenate(pieces)
    return speech, spans, typical_pitch(speech)


def _owners(sung: list[str], spoken: list[tuple[str, float, float]]) -> list[tuple[float, float]]:
    """Return (start s, end s) in the speech of each sung phone: a phone held over several notes is shared by them."""
    groups: list[list[int]] = []
    for index, phone in enumerate(sung):
        held = groups and sung[index - 1] == phone and (len(groups) == len(spoken) or spoken[len(groups)][0] != phone)
        if held:
            groups[-1].append(index)
        else:
            groups.append([index])
    spans: list[tuple[float, float]] = []
    for group, (_, start, end) in zip(groups, spoken, strict=True):
        edges = np.linspace(start, end, len(group) + 1).tolist()
        spans += list(zip(edges[:-1], edges[1:], strict=True))
    return spans
