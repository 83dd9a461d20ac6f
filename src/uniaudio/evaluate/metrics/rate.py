"""How a text is spoken: tempo, pitch, swing of the pitch and level, and their classes as the made corpora define them.

A class says how a clip differs from neutral speech of the same voice, so a neutral rendering must be at hand: best of
the same text, with the same word emphasised; of other texts the tempo is compared by their expected lengths, and then
a quarter of the classes of rate are wrong, while those of pitch stay right.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.data.synthesize.styles import LEVELS, PITCHES
from uniaudio.evaluate.metrics import judge_package
from uniaudio.tokenizers.phoneme import phonemes

RATE = 16000
SPEECH_DB = 35.0  # below the loud parts: what lies outside is silence. The ends are then right within +-0.03 s
FLOOR_HZ, CEILING_HZ = 50.0, 450.0  # of spoken pitch
# Class -> what it does to neutral speech. Pitch and level as asked of the corpus's engines (`styles`); rate and range
# as measured on the train and dev splits, because the engines change them by less than they are asked to.
CLASSES = {
    "rate": {"slow": 0.77, "normal": 1.0, "fast": 1.27},
    "pitch": PITCHES,
    "range": {"monotone": 0.34, "normal": 1.0, "lively": 1.95},
    "energy": {name: level / LEVELS["normal"] for name, level in LEVELS.items()},
}
_MARKS = frozenset(",.?!")
_PHONE_SECONDS, _PAUSE_SECONDS, _END_SECONDS = 0.074, 0.333, 0.239  # least squares on neutral training recordings
_FRAME, _HOP = 400, 160
_MIN_VOICED = 10  # frames of 10 ms


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """How a clip is spoken: `rate` (1 = the mean tempo of the made voices), `pitch` (median, Hz), `range` (standard
    deviation of the logarithm of the pitch, outliers excluded) and `energy` (root-mean-square, 1 = full scale)."""

    rate: float
    pitch: float
    range: float
    energy: float


def delivery(audio: Audio, text: str) -> Delivery:
    """Return how a text is spoken in a clip.

    Raises ValueError for a silent clip or one without 0.1 s of voice, InputError for a text without words and for a
    missing package.
    """
    seconds = speech_seconds(audio)
    logs = np.log(_pitches(audio))
    low, middle, high = np.percentile(logs, [16, 50, 84])
    level = float(np.sqrt(np.mean(audio.mono().samples.astype(np.float64) ** 2)))
    spread = max(float(high - low) / 2, 1e-3)  # a tone of one pitch swings by nothing
    return Delivery(rate=expected_seconds(text) / seconds, pitch=float(np.exp(middle)), range=spread, energy=level)


def typical(deliveries: Sequence[Delivery]) -> Delivery:
    """Return the median of each value; raises ValueError for none."""
    if not deliveries:
        raise ValueError("there is no recording to say what is typical")
    names = [field.name for field in fields(Delivery)]
    return Delivery(**{name: float(np.median([getattr(one, name) for one in deliveries])) for name in names})


def style_ratios(spoken: Delivery, neutral: Delivery) -> dict[str, float]:
    """Return rate, pitch, range and energy of a clip over those of neutral speech in the same voice."""
    return {name: getattr(spoken, name) / getattr(neutral, name) for name in CLASSES}


def style_class(name: str, ratio: float) -> str:
    """Return the class of `name` (a key of CLASSES) whose ratio is nearest on a logarithmic scale."""
    return min(CLASSES[name], key=lambda value: abs(np.log(ratio / CLASSES[name][value])))


def phones_per_second(audio: Audio, text: str) -> float:
    """Return the phones of a text over the seconds of speech in its clip; errors as `delivery`."""
    return sum(phone not in _MARKS for phone in phonemes(text)) / speech_seconds(audio)


def expected_seconds(text: str) -> float:
    """Return how long the made voices take for a text on average; single sentences differ by some 14 %."""
    phones = phonemes(text)
    marks = sum(phone in _MARKS for phone in phones)  # the last one ends the text
    return _PHONE_SECONDS * (len(phones) - marks) + _PAUSE_SECONDS * (marks - 1) + _END_SECONDS


def speech_seconds(audio: Audio) -> float:
    """Return the seconds from the first to the last frame within SPEECH_DB of the loud ones, pauses inside included.

    Raises ValueError for silence and below 25 ms.
    """
    samples = audio.mono().resample(RATE).samples[0].astype(np.float64)
    if len(samples) < _FRAME or not np.any(samples):
        raise ValueError(f"there is no speech in {len(samples) / RATE:.2f} s of sound")
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
    energy = np.mean(frames**2, axis=1)
    loud = np.flatnonzero(energy > np.percentile(energy, 95) * 10 ** (-SPEECH_DB / 10))
    return ((loud[-1] - loud[0]) * _HOP + _FRAME) / RATE


def _pitches(audio: Audio) -> np.ndarray:
    """Return the pitch in Hz of each voiced frame, by Praat's autocorrelation with its settings for speech."""
    samples = audio.mono().resample(RATE).samples[0].astype(np.float64)
    sound = judge_package("parselmouth").Sound(samples, RATE)
    if len(samples) <= 3 / FLOOR_HZ * RATE:
        raise ValueError(f"{len(samples) / RATE:.2f} s are too short for their pitch")
    pitch = sound.to_pitch_ac(time_step=0.01, pitch_floor=FLOOR_HZ, pitch_ceiling=CEILING_HZ)
    found = np.asarray(pitch.selected_array["frequency"])
    voiced = found[found > 0]
    if len(voiced) < _MIN_VOICED:
        raise ValueError("there is no voice in the recording")
    return voiced
