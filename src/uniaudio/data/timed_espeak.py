"""Speech of espeak-ng with the times of our phones in it: the reference that recordings are aligned to.

N samples, P phones
"""

import difflib
from dataclasses import dataclass

import numpy as np

from uniaudio.tokenizers.phoneme import espeak, is_vowel, normalise_phone, phonemes
from uniaudio.tokenizers.text import clean_text

SAMPLE_RATE = 16000
WORDS_PER_MINUTE = 175  # espeak's own tempo
_SLOWEST, _FASTEST = 80, 450  # words per minute that espeak accepts
MARKS = frozenset(",.?!")
_STOPS = frozenset("p t k b d ɡ tʃ dʒ".split())
_CLOSURE_DB = 25.0  # a closure is this much quieter than the loud parts
_CLOSURE_SECONDS = 0.1  # and at most this long
_BLOCK = 40  # samples per energy value when the start of a closure is sought


@dataclass(frozen=True, kw_only=True)
class TimedSpeech:
    """A text spoken by espeak-ng: `samples` [N] at 16 kHz; `starts` and `ends` [P] in seconds of the `phones`.

    `phones` are those of `phonemes(text)` without marks; a phone may have no length.
    """

    phones: list[str]
    starts: np.ndarray
    ends: np.ndarray
    samples: np.ndarray


def timed_speech(text: str, variant: str = "", words_per_minute: float = WORDS_PER_MINUTE) -> TimedSpeech:
    """Speak an English text with a variant of espeak's voice ("m3", "f2", ...) at a tempo, with phone times.

    Espeak reports a stop at its burst and an "l" after the glide into it; here a stop starts with its closure and an
    "l" halfway through the vowel before it, as phoneticians and other engines set them.
    Raises InputError as `phonemes`.
    """
    import soxr

    phones = [phone for phone in phonemes(text) if phone not in MARKS]
    speed = int(np.clip(round(words_per_minute), _SLOWEST, _FASTEST))
    engine = espeak()
    events, samples = engine.synthesise(clean_text(text), variant, speed)
    stops = [first for _, first in events[1:]] + [len(samples)]
    names: list[str] = []
    spans: list[tuple[float, float]] = []
    for (symbol, start), stop in zip(events, stops, strict=True):
        parts = normalise_phone(symbol)  # [] for a pause
        step = (stop - start) / max(1, len(parts))
        names += parts
        spans += [(start + i * step, start + (i + 1) * step) for i in range(len(parts))]
    times = np.array(spans) / engine.sample_rate  # [events, 2]
    samples = np.asarray(soxr.resample(samples, engine.sample_rate, SAMPLE_RATE), dtype=np.float32)
    starts, ends = _carry(phones, names, times)
    return TimedSpeech(phones=phones, starts=_phonetic(phones, starts, ends, samples), ends=ends, samples=samples)


def _carry(phones: list[str], names: list[str], times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and ends [P] of `phones`, given those of the names that were spoken (nearly always the same)."""
    if len(phones) == len(names):  # the stress of a word may still differ
        return times[:, 0].copy(), times[:, 1].copy()
    bounds = np.append(times[:, 0], times[-1, 1])
    starts, ends = np.zeros(len(phones)), np.zeros(len(phones))
    matcher = difflib.SequenceMatcher(None, names, phones, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            starts[c:d], ends[c:d] = times[a:b].T
        elif d > c:  # other phones: they share the time of those that were spoken
            stop = times[b - 1, 1] if b > a else bounds[a]
            shared = np.linspace(bounds[a], stop, d - c + 1)
            starts[c:d], ends[c:d] = shared[:-1], shared[1:]
    return starts, ends


def _phonetic(phones: list[str], starts: np.ndarray, ends: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return the starts [P] with stops moved to their closures and "l" into the vowel; shortens `ends` to match."""
    power = np.convolve(samples**2, np.ones(2 * _BLOCK) / (2 * _BLOCK), "same")[::_BLOCK]
    level = 10 * np.log10(power + 1e-10)
    quiet = level < np.percentile(level, 95) - _CLOSURE_DB
    starts = starts.copy()
    for i in range(1, len(phones)):
        before, start = starts[i - 1], starts[i]
        if ends[i - 1] < start - 1e-6:  # a pause comes before
            continue
        if phones[i] in _STOPS:
            earliest = max(before + 0.4 * (start - before), start - _CLOSURE_SECONDS) * SAMPLE_RATE / _BLOCK
            block = first = min(int(start * SAMPLE_RATE / _BLOCK), len(quiet))
            while block > max(0.0, earliest) and quiet[block - 1]:
                block -= 1
            starts[i] = block * _BLOCK / SAMPLE_RATE if block < first else start
        elif phones[i] == "l" and is_vowel(phones[i - 1]):
            starts[i] = (before + start) / 2
        ends[i - 1] = starts[i]
    return starts
