"""Speech with known phone times, sung: WORLD's spectra re-timed by phones and given another pitch.

WORLD is Morise et al. 2016, "WORLD: a vocoder-based high-quality speech synthesis system"; CheapTrick is its spectral
envelope, D4C its aperiodicity. Key: N samples, T frames of FRAME_SECONDS, D frequencies from 0 to half of SAMPLE_RATE.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from uniaudio.data.synthesize.corpus import SAMPLE_RATE
from uniaudio.data.synthesize.singers import Singer
from uniaudio.errors import InputError

if TYPE_CHECKING:
    from uniaudio.tokenizers.midi import Note

FRAME_SECONDS = 0.005
_FFT = 512
_LOWEST_HZ = 3.0 * SAMPLE_RATE / (_FFT - 3)  # below this pitch CheapTrick's window does not fit the FFT
_DB = np.log(10) / 10  # decibels -> log power
_LINKED_SECONDS = 0.1  # notes nearer than this are joined by a glide
_DIPHTHONGS = frozenset({"aw", "ay", "ey", "ow", "oy"})
_MOST_NOISE = ((0, 1000, 3000, 8000), (0.02, 0.05, 0.3, 0.7))  # Hz -> aperiodicity of a held vowel, at most
_TOLERANCE_CENTS = 50.0


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """One phone: seconds in the speech (`source`, `source_end`) and in the song (`start`, `end`)."""

    phone: str
    source: float
    source_end: float
    start: float
    end: float
    holds: bool = False  # a vowel: its middle is stretched, its two ends keep their speed


@dataclass(frozen=True, eq=False)
class Spectra:
    """`log_power` [T, D] (natural logarithm of the spectral envelope's power) and `aperiodicity` [T, D] in 0-1."""

    log_power: np.ndarray
    aperiodicity: np.ndarray


@cache
def _world() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports pkg_resources, which warns that it is old
        return import_module("pyworld")


def analyse(samples: Any) -> Spectra:
    """Return WORLD's spectra of speech [N] at SAMPLE_RATE: envelopes each frame, pitch and aperiodicity each other."""
    world = _world()
    speech = np.ascontiguousarray(samples, dtype=np.float64)
    pitch, times = world.dio(
        speech, SAMPLE_RATE, f0_floor=70.0, f0_ceil=300.0, frame_period=2000 * FRAME_SECONDS, speed=4
    )
    pitch = world.stonemask(speech, pitch, times, SAMPLE_RATE)
    rough = world.d4c(speech, pitch, times, SAMPLE_RATE, fft_size=_FFT)
    pitch = np.repeat(np.where(pitch > 0, np.maximum(pitch, _LOWEST_HZ + 0.1), 0.0), 2)
    times = np.arange(len(pitch)) * FRAME_SECONDS
    power = world.cheaptrick(speech, pitch, times, SAMPLE_RATE, fft_size=_FFT, f0_floor=_LOWEST_HZ)
    return Spectra(np.log(power + 1e-12), np.repeat(rough, 2, axis=0))


def with_timbre(spectra: Spectra, singer: Singer) -> Spectra:
    """Return the spectra with a singer's formants, tilt and singer's formant."""
    num_bins = spectra.log_power.shape[1]
    hz = np.arange(num_bins) * SAMPLE_RATE / _FFT
    place = np.minimum(np.arange(num_bins) / singer.formant_ratio, num_bins - 1.001)
    left, part = place.astype(int), place % 1
    power = spectra.log_power[:, left] * (1 - part) + spectra.log_power[:, left + 1] * part
    octaves = np.log2(np.maximum(hz, 250.0) / 1000.0)
    ring_hz = 2900.0 * singer.formant_ratio**0.5
    gain_db = singer.tilt_db * octaves + singer.ring_db * np.exp(-(((hz - ring_hz) / 500.0) ** 2))
    return Spectra(power + gain_db * _DB, spectra.aperiodicity[:, left])


def with_tone(spectra: Spectra, is_sonorant: np.ndarray, singer: Singer) -> Spectra:
    """Return the spectra with the noise of a singing voice where `is_sonorant` [T]: a vowel, a nasal or a glide.

    A vowel of 30 ms that is held for a second must not hold the noise of the consonant beside it.
    """
    hz = np.arange(spectra.log_power.shape[1]) * SAMPLE_RATE / _FFT
    most = np.interp(hz, *_MOST_NOISE)
    breath = singer.breathiness * np.clip(hz / 6000.0, 0.02, 1.0)
    noise = np.minimum(spectra.aperiodicity, most)
    noise += breath * (1 - noise)
    return Spectra(spectra.log_power, np.where(is_sonorant[:, None], noise, spectra.aperiodicity))


def source_frames(stretches: Sequence[Stretch], num_frames: int) -> np.ndarray:
    """Return, for each of T frames of the song, the frame (a fraction) of the speech that sounds there."""
    knots: list[tuple[float, float]] = []
    for one in stretches:
        length, sung = one.source_end - one.source, one.end - one.start
        knots.append((one.start, one.source))
        if one.holds and sung > length:
            before, after = (0.3, 0.5) if one.phone in _DIPHTHONGS else (0.4, 0.4)
            knots.append((one.start + before * length, one.source + before * length))
            knots.append((one.end - after * length, one.source_end - after * length))
        knots.append((one.end - 1e-6, one.source_end))
    at, source = np.array(knots).T
    return np.interp(np.arange(num_frames) * FRAME_SECONDS, at, source) / FRAME_SECONDS


def retimed(spectra: Spectra, frames: np.ndarray) -> Spectra:
    """Return the spectra at fractional frames [T], envelopes interpolated."""
    place = np.clip(frames, 0, len(spectra.log_power) - 1.001)
    left, part = place.astype(int), (place % 1)[:, None]
    power = spectra.log_power[left] * (1 - part) + spectra.log_power[left + 1] * part
    return Spectra(power, spectra.aperiodicity[np.round(place).astype(int)])


def pitch_curve(notes: Sequence["Note"], singer: Singer, num_frames: int, random_: np.random.Generator) -> np.ndarray:
    """Return the pitch [T] in Hz that a singer makes of notes in time order.

    Joined notes are linked by a glide around the start of the second and a small overshoot; a phrase begins a little
    flat; notes longer than 0.35 s get a vibrato after a while. Between phrases the nearest note goes on.
    """
    seconds = np.arange(num_frames) * FRAME_SECONDS
    starts = np.array([note.start for note in notes])
    index = np.maximum(np.searchsorted(starts, seconds + 1e-9, side="right") - 1, 0)
    cents = 100.0 * np.array([note.pitch for note in notes], dtype=float)[index]
    smooth = np.convolve(
        random_.normal(0, 1, num_frames), np.hanning(41) / np.sqrt(np.sum(np.hanning(41) ** 2)), "same"
    )
    cents += 4.0 * smooth  # slow drift
    for number, note in enumerate(notes):
        cents += _vibrato(note, singer, seconds, random_)
        past = seconds - note.start
        before = notes[number - 1] if number else None
        if before is None or note.start - before.end > _LINKED_SECONDS:
            cents -= random_.uniform(0, 35) * np.exp(-np.abs(past) / 0.04) * (past >= 0) * (seconds < note.end)
            continue
        step = 100.0 * (note.pitch - before.pitch)
        width = singer.glide_seconds * random_.uniform(0.9, 1.15)
        rise = 0.5 - 0.5 * np.cos(np.pi * np.clip(past / width + 0.5, 0, 1))
        cents += step * (rise - (past >= 0))
        after = past - width / 2
        cents += np.clip(0.06 * step, -18, 18) * np.sin(np.pi * np.clip(after / 0.09, 0, 1)) * (seconds < note.end)
    return 440.0 * 2 ** ((cents - 6900.0) / 1200)


def _vibrato(note: "Note", singer: Singer, seconds: np.ndarray, random_: np.random.Generator) -> np.ndarray:
    """Return the vibrato [T] in cents of one note: none in a short one, slowly rising in a long one."""
    length = note.end - note.start
    delay, rate = random_.uniform(0.12, 0.25), singer.vibrato_hz * random_.uniform(0.95, 1.05)
    extent = singer.vibrato_cents * random_.uniform(0.75, 1.0)
    if length < 0.35:
        return np.zeros_like(seconds)
    past = seconds - note.start - delay
    shape = np.clip(past / 0.15, 0, 1) * np.clip((note.end - seconds) / 0.05, 0, 1)
    return extent * shape * np.sin(2 * np.pi * rate * past)


def synthesise(spectra: Spectra, pitch_hz: np.ndarray, gain_db: np.ndarray) -> np.ndarray:
    """Return samples [N] float64 of spectra [T, D] at a pitch [T] in Hz (0 where unvoiced) and a gain [T] in dB."""
    # Below the fundamental only noise sounds: it would drown a high note whose first formant is lower, and thump in
    # unvoiced consonants.
    hz = np.arange(spectra.log_power.shape[1]) * SAMPLE_RATE / _FFT
    lowest = np.where(pitch_hz > 0, pitch_hz, 300.0)[:, None]
    below_db = -40.0 * np.clip((0.85 * lowest - hz) / (0.3 * lowest), 0, 1)
    power = np.ascontiguousarray(np.exp(spectra.log_power + (gain_db[:, None] + below_db) * _DB))
    noise = np.ascontiguousarray(np.clip(spectra.aperiodicity, 1e-3, 1 - 1e-3))
    return _world().synthesize(pitch_hz.astype(np.float64), power, noise, SAMPLE_RATE, 1000 * FRAME_SECONDS)


def breath(seconds: float, singer: Singer, random_: np.random.Generator) -> np.ndarray:
    """Return samples [N] of an audible breath in, peak envelope 1: noise through a throat, swelling and cut short."""
    count = round(seconds * SAMPLE_RATE)
    hz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    shape = np.zeros_like(hz)
    for centre, width, level in ((500, 250, 0.25), (1500, 400, 1.0), (2700, 600, 0.8), (4500, 1200, 0.4)):
        shape += level * np.exp(-(((hz - centre * singer.formant_ratio * random_.uniform(0.9, 1.1)) / width) ** 2))
    noise = np.fft.irfft(np.fft.rfft(random_.normal(0, 1, count)) * shape, count)
    place = np.linspace(0, 1, count)
    envelope = np.minimum(place / random_.uniform(0.5, 0.8), 1) ** 1.5 * np.clip((1 - place) / 0.15, 0, 1)
    return noise / (np.std(noise) + 1e-9) * envelope


def pitch_agreement(samples: Any, notes: Sequence["Note"], margin_seconds: float = 0.0) -> float:
    """Return the share of voiced frames within 50 cents of the score, judged by Praat's autocorrelation pitch.

    Counted are the frames, each 5 ms, inside a note and `margin_seconds` from its two ends; `samples` [N] are at
    SAMPLE_RATE. The octave cost is above Praat's default for speech, with which it hears high vowels an octave low.
    Raises InputError when Praat is not installed or no frame is voiced.
    """
    try:
        import parselmouth
    except ImportError as error:
        raise InputError("the pitch judge needs Praat: `pip install praat-parselmouth`") from error
    sound = parselmouth.Sound(np.asarray(samples, np.float64), SAMPLE_RATE)
    found = sound.to_pitch_ac(time_step=FRAME_SECONDS, pitch_floor=75.0, pitch_ceiling=1000.0, octave_cost=0.03)
    seconds, hz = found.xs(), found.selected_array["frequency"]
    hits: list[np.ndarray] = []
    for note in notes:
        inside = (seconds >= note.start + margin_seconds) & (seconds < note.end - margin_seconds) & (hz > 0)
        hits.append(np.abs(1200 * np.log2(hz[inside] / 440.0) - 100 * (note.pitch - 69)) <= _TOLERANCE_CENTS)
    judged = np.concatenate(hits) if hits else np.zeros(0, bool)
    if not judged.size:
        raise InputError("no frame inside the notes is voiced: give singing and its own score")
    return float(np.mean(judged))
