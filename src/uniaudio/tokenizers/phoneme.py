"""English text <-> phones, with or without times, by espeak-ng; it knows no audio codec.

T frames, N samples
"""

import _ctypes
import ctypes
import functools
import os
import re
import threading
import unicodedata
from collections.abc import Sequence

import numpy as np
import torch

from uniaudio.errors import InputError
from uniaudio.tokenizers.base import Item, count_frames
from uniaudio.tokenizers.text import NOTHING_TO_SPEAK, clauses, clean_text

MAX_SECONDS = 600.0

TimedPhone = tuple[str, float, float]  # phone, start (seconds), end (seconds)

_MARKS = ("<unk>", "sil", ",", ".", "?", "!")
_CONSONANTS = tuple("p b t d k ɡ ʔ ɾ tʃ dʒ f v θ ð s z ʃ ʒ ç x h m n ŋ l ɬ ɹ r j w".split())
_VOWELS = tuple("ə ɐ ᵻ ɪ i iː iə ɪɹ ɛ ɛɹ eɪ æ a aɪ aɪə aɪɚ aʊ ʌ ɜː ɚ ɑː ɑːɹ ɔ ɔː ɔːɹ ɔɪ oʊ oːɹ ʊ ʊɹ uː əl n̩".split())
STRESSES = ("", "ˈ", "ˌ")

# The closed inventory. An id is a position here and never moves: new phones go to the end.
PHONEMES: tuple[str, ...] = (
    *_MARKS,
    *_CONSONANTS,
    *(stress + vowel for vowel in _VOWELS for stress in STRESSES),
)
PHONEME_IDS: dict[str, int] = {phone: index for index, phone in enumerate(PHONEMES)}

# Sounds of other languages that espeak uses in names and loan words -> the nearest of ours.
_NEAREST = {
    "e": "eɪ", "o": "oʊ", "oː": "oʊ", "eː": "eɪ", "aː": "ɑː", "ɑ": "ɑː", "ɒ": "ɑː", "u": "uː", "y": "uː", "yː": "uː",
    "ø": "ɜː", "øː": "ɜː", "œ": "ɜː", "ɜ": "ɜː", "ɨ": "ᵻ", "ɛː": "ɛ", "eə": "ɛɹ", "əʊ": "oʊ", "l̩": "əl", "ɫ": "l",
    "ʎ": "l", "m̩": "m", "ɱ": "m", "ɲ": "n", "ɣ": "ɡ", "g": "ɡ", "q": "k", "c": "k", "β": "v", "ɸ": "f", "χ": "x",
    "ʁ": "ɹ", "ʀ": "ɹ", "ɕ": "ʃ", "ʂ": "ʃ", "ʑ": "ʒ", "ʐ": "ʒ", "ts": "s", "ʋ": "v", "ʍ": "w", "ʈ": "t", "ɖ": "d",
}  # fmt: skip


def is_vowel(phone: str) -> bool:
    """Return whether a phone of `PHONEMES` is a vowel or a syllabic consonant, which carries a syllable."""
    return phone.lstrip("ˈˌ") in _VOWELS


def normalise_phone(symbol: str) -> list[str]:
    """Return the phones of `PHONEMES` for one symbol of espeak: itself, its nearest, or its parts; [] for nothing."""
    symbol = re.sub(r"\([a-z-]+\)", "", symbol)  # a language switch such as (fr)
    symbol = symbol.translate({ord(joiner): None for joiner in "͡‿\u200d\u200c-|;"})
    if symbol in PHONEME_IDS:
        return [symbol]
    stress = symbol[:1] if symbol[:1] in STRESSES[1:] else ""
    rest = symbol.lstrip("ˈˌ")
    phones: list[str] = []
    while rest:
        for width in range(min(len(rest), 4), 0, -1):
            phone = _NEAREST.get(rest[:width], rest[:width])
            if phone in _CONSONANTS or phone in _VOWELS:
                phones.append(stress + phone if phone in _VOWELS else phone)
                stress = "" if phone in _VOWELS else stress
                break
        else:
            width = 1
            if unicodedata.category(rest[0]) not in ("Mn", "Lm", "Sk"):  # nasality, palatalisation, length: dropped
                phones.append("<unk>")
        rest = rest[width:]
    return phones


class _Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng's speak_lib.h; `name` is a union, of which only the phoneme's name is read."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_ubyte * 8),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))

# Constants of speak_lib.h.
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 0x0001, 0x0002, 0x8000
_EVENT_END_OF_LIST, _EVENT_PHONEME = 0, 7
_UTF8 = 1
_RATE = 1
_VOICE = "en-us"
_IPA = 0x02
_IPA_SEPARATED = (ord("_") << 8) | _IPA


class Espeak:
    """The espeak-ng library with its English voice; take the one instance of the process from `espeak()`."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            message = "text needs espeak-ng: `pip install espeakng-loader` or `pip install uniaudio[speech]`"
            raise InputError(message) from error
        self._path = str(espeakng_loader.get_library_path())
        self._data = os.fsencode(espeakng_loader.get_data_path())
        self._lock = threading.Lock()
        self._open()
        if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that another thread held
            os.register_at_fork(after_in_child=self._renew_lock)

    def _open(self) -> None:
        library = ctypes.CDLL(self._path)
        options = _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT
        self.sample_rate: int = library.espeak_Initialize(_SYNCHRONOUS, 0, self._data, options)
        if self.sample_rate <= 0 or library.espeak_SetVoiceByName(_VOICE.encode()) != 0:
            raise InputError(
                "espeak-ng does not start: reinstall espeakng-loader (and keep its path under 160 letters)"
            )
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
        number, pointer = ctypes.c_uint, ctypes.c_void_p
        text, size = ctypes.c_char_p, ctypes.c_size_t
        library.espeak_Synth.argtypes = [text, size, number, ctypes.c_int, number, number, pointer, pointer]
        self._library = library

    def _reopen(self) -> None:
        """Forget everything spoken before.

        The phases of espeak's oscillators live on from text to text in static variables, and the length of a vowel
        is a whole number of their cycles: without this, the times of a text depend on the texts before it.
        """
        self._library.espeak_Terminate()
        _ctypes.dlclose(self._library._handle)
        self._open()

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def phones(self, words: str) -> list[str]:
        """Return the phones of a clean piece of text, without any mark."""
        symbols = [symbol for clause in self._read(words, _IPA_SEPARATED) for symbol in re.split(r"[_\s]+", clause)]
        return [phone for symbol in symbols for phone in normalise_phone(symbol)]

    def ipa(self, words: str) -> str:
        """Return a clean piece of text in IPA as espeak writes it, with stress, words apart, without any mark."""
        return " ".join(re.sub(r"\([a-z-]+\)", "", clause).strip() for clause in self._read(words, _IPA))

    def _read(self, words: str, mode: int) -> list[str]:
        """Return what espeak reads in each clause."""
        pointer = ctypes.c_char_p(words.encode())
        clauses_read: list[str] = []
        with self._lock:
            while pointer.value:  # each call reads one clause and moves the pointer; None at the end
                answer = self._library.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, mode)
                clauses_read.append((answer or b"").decode(errors="ignore"))
        return clauses_read

    def synthesise(
        self, text: str, variant: str = "", words_per_minute: int | None = None
    ) -> tuple[list[tuple[str, int]], np.ndarray]:
        """Return the (symbol, first sample) of each phoneme of a clean text, "" for a pause, and the samples.

        The samples are float32 [N] in [-1, 1] at `sample_rate`. The same text always gives the same result. A variant
        of the voice ("f2", "m3", ...) and a speed (80 to 450) hold for this call only.
        """
        events: list[tuple[str, int]] = []
        chunks: list[np.ndarray] = []

        def collect(wave: int | None, count: int, event: "ctypes._Pointer[_Event]") -> int:
            if wave and count > 0:
                chunks.append(np.frombuffer(ctypes.string_at(wave, 2 * count), dtype=np.int16))
            index = 0
            while event[index].type != _EVENT_END_OF_LIST:
                if event[index].type == _EVENT_PHONEME:
                    name = bytes(event[index].name).split(b"\0")[0].decode(errors="ignore")
                    events.append((name, event[index].sample))
                index += 1
            return 0

        callback = _Callback(collect)
        data = text.encode()
        with self._lock:
            self._reopen()
            if variant:
                self._library.espeak_SetVoiceByName(f"{_VOICE}+{variant}".encode())
            if words_per_minute is not None:
                self._library.espeak_SetParameter(_RATE, words_per_minute, 0)
            self._library.espeak_SetSynthCallback(callback)
            failed = self._library.espeak_Synth(data, len(data) + 1, 0, 0, 0, _UTF8, None, None)
            failed = failed or self._library.espeak_Synchronize()
            if variant:
                self._library.espeak_SetVoiceByName(_VOICE.encode())
        if failed:
            raise InputError("espeak-ng could not speak this text: make it shorter or simpler")
        samples = np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.int16)
        return events, samples.astype(np.float32) / 32768


@functools.cache
def espeak() -> Espeak:
    """Return the process's only `Espeak`, started at the first call."""
    return Espeak()


def phonemes(text: str) -> list[str]:
    """Return the phones (of `PHONEMES`) of an English text, with "," "." "?" "!" where a reader pauses.

    Numbers and abbreviations are spoken. The last element is always an end of sentence.
    Raises InputError for a text that cannot be spoken (see `clauses`).
    """
    result: list[str] = []
    for words, mark in clauses(text):
        spoken = espeak().phones(words) if words else []
        if spoken:
            result += [*spoken, mark]
        elif result and result[-1] == "," and mark != ",":
            result[-1] = mark  # the stronger of two marks with nothing in between
    if not result:
        raise InputError(NOTHING_TO_SPEAK)
    if result[-1] == ",":
        result[-1] = "."
    return result


def ipa(text: str) -> str:
    """Return an English text in IPA with stress and its marks, as phonemizer's espeak backend writes it.

    Raises InputError for a text that cannot be spoken (see `clauses`).
    """
    parts = [espeak().ipa(words) + mark for words, mark in clauses(text) if words]
    if not parts:
        raise InputError(NOTHING_TO_SPEAK)
    return " ".join(parts)


def timed_phonemes(text: str) -> tuple[list[TimedPhone], tuple[np.ndarray, int]]:
    """Return espeak's phones with their times, and its speech as (float32 samples [N] in [-1, 1], sample rate).

    The phones (of `PHONEMES`, pauses are "sil") follow one another without a gap. Raises InputError as `phonemes`.
    """
    engine = espeak()
    events, samples = engine.synthesise(clean_text(text))
    starts = [start for _, start in events] + [len(samples)]
    timed: list[TimedPhone] = []
    for (symbol, start), end in zip(events, starts[1:], strict=True):
        names = normalise_phone(symbol) or ["sil"]
        if end <= start:
            continue
        if names == ["sil"] and timed and timed[-1][0] == "sil":
            timed[-1] = ("sil", timed[-1][1], end / engine.sample_rate)
            continue
        step = (end - start) / len(names) / engine.sample_rate
        begin = start / engine.sample_rate
        timed += [(name, begin + i * step, begin + (i + 1) * step) for i, name in enumerate(names)]
    if all(phone == "sil" for phone, _, _ in timed):
        raise InputError(NOTHING_TO_SPEAK)
    return timed, (samples, engine.sample_rate)


class PhonemeTokenizer:
    """Text -> ids of its phones, one frame per phone; the frames do not follow time."""

    name = "phoneme"
    num_ids = len(PHONEMES)
    frame_rate = None

    def encode(self, value: str) -> Item:
        """Return ids [T, 1] of an English text. Raises InputError for a text that cannot be spoken."""
        return Item(ids=torch.tensor([[PHONEME_IDS[phone]] for phone in phonemes(value)]))

    def decode(self, ids: torch.Tensor) -> list[str]:
        """Return the phones of ids [T, 1]."""
        return [PHONEMES[index] for index in ids[:, 0].tolist()]


class PhonemeDurationTokenizer:
    """Phones with times -> the ids of the phones that sound in each frame, "sil" where none does.

    A frame is cut into `slots` equal parts and carries the phone at the centre of each: at 25 frames per second many
    phones are shorter than a frame, and one id a frame would drop them.
    """

    name = "phoneme_duration"
    num_ids = len(PHONEMES)

    def __init__(self, frame_rate: float = 25.0, slots: int = 1) -> None:
        self.frame_rate, self.slots = frame_rate, slots

    def encode(self, value: str | Sequence[TimedPhone]) -> Item:
        """Return ids [T, slots] of (phone, start seconds, end seconds) in order, or of a text at espeak's own times.

        T covers the end of the last phone. Raises InputError for an unknown phone, times that run backwards, or more
        than `MAX_SECONDS`.
        """
        timed = timed_phonemes(value)[0] if isinstance(value, str) else list(value)
        if not timed:
            raise InputError("there are no phones: give at least one (phone, start seconds, end seconds)")
        last = 0.0
        for phone, start, end in timed:
            if phone not in PHONEME_IDS:
                raise InputError(f"unknown phone {phone!r}: use the symbols of uniaudio.tokenizers.phoneme.PHONEMES")
            if not last - 1e-6 <= start < end:
                raise InputError(f"phone {phone!r} at {start} s to {end} s: phones must follow one another in time")
            last = end
        if last > MAX_SECONDS:
            raise InputError(f"the phones end at {last:g} s, at most {MAX_SECONDS:g} s are allowed: split them")
        rate = self.frame_rate * self.slots
        ids = torch.full((count_frames(last, self.frame_rate) * self.slots,), PHONEME_IDS["sil"])  # [T * slots]
        for phone, start, end in timed:
            # Part t has its centre at (t + 1/2) / rate: the parts with start <= centre < end.
            first, stop = (count_frames(seconds - 0.5 / rate, rate) for seconds in (start, end))
            ids[first:stop] = PHONEME_IDS[phone]
        return Item(ids=ids.view(-1, self.slots))

    def decode(self, ids: torch.Tensor) -> list[TimedPhone]:
        """Return the runs of equal phones in ids [T, slots], as (phone, start seconds, end seconds)."""
        runs: list[TimedPhone] = []
        rate = self.frame_rate * ids.shape[1]
        for part, index in enumerate(ids.flatten().tolist()):
            start, end = part / rate, (part + 1) / rate
            if runs and runs[-1][0] == PHONEMES[index]:
                runs[-1] = (runs[-1][0], runs[-1][1], end)
            else:
                runs.append((PHONEMES[index], start, end))
        return runs
