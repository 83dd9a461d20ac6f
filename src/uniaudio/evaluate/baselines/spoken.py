"""Speech of the two engines that anyone can install, flite and espeak-ng, told how fast, high, lively and loud to be.

N samples
"""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from uniaudio.audio.io import Audio, read_audio
from uniaudio.errors import InputError
from uniaudio.evaluate.baselines.voice_pitch import typical_pitch

RATE = 16000
_FEMALE_HZ = 150.0  # a voice above this gets the female voice
# rms, the most intelligible male voice, does not obey a pitch; awb does.
_FLITE = {False: ("awb", 122.0), True: ("slt", 172.0)}  # female -> voice, its usual pitch
_FLITE_STDDEV = 0.15  # of the pitch, against its mean
# female -> variant of espeak's voice, its mean pitch at setting 50, the growth of the logarithm of the pitch a step,
# and by how much its melody lifts the mean.
_ESPEAK = {False: ("m3", 100.0, 0.0114, 9.0), True: ("f2", 187.0, 0.0112, 17.0)}
_ESPEAK_SPEED = 160  # words per minute, as flite's voices speak


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How to speak: `tempo` and `range` of the pitch against the engine's own, mean `pitch_hz` (None: its own)."""

    female: bool = False
    pitch_hz: float | None = None
    tempo: float = 1.0
    range: float = 1.0
    gain_db: float = 0.0


@dataclass(frozen=True, eq=False)
class Spoken:
    """What an engine said, at 16 kHz, and its [phone, start s, end s], the engine's own names or ours."""

    audio: Audio
    segments: list[list[Any]]


def like(voice: Audio) -> Manner:
    """Return the manner with the sex and mean pitch of a voice; raises ValueError when there is no voice in it."""
    pitch = typical_pitch(voice.samples[0])
    return Manner(female=pitch > _FEMALE_HZ, pitch_hz=pitch)


def usual_pitch(female: bool, engine: str) -> float:
    """Return the mean pitch in Hz that an engine's voice has by itself."""
    return _FLITE[female][1] if engine == "flite" else _ESPEAK[female][1]


def flite(text: str, manner: Manner) -> Spoken:
    """Speak an English text with flite's voice awb or slt. Raises InputError when flite cannot."""
    voice, usual = _FLITE[manner.female]
    mean = manner.pitch_hz or usual
    settings = {
        "duration_stretch": 1 / manner.tempo,
        "int_f0_target_mean": mean,
        "int_f0_target_stddev": mean * _FLITE_STDDEV * manner.range,
    }
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["flite", "-voice", voice, "-psdur", "-o", file.name]
        for name, value in settings.items():
            command += ["--setf", f"{name}={value:.4f}"]
        run = subprocess.run([*command, "-t", text], capture_output=True, text=True)
        if run.returncode:
            said = " ".join(run.stderr.split())[:200] or f"exit code {run.returncode}"
            raise InputError(f"flite cannot speak {text!r} ({said}); check its installation")
        audio = read_audio(file.name, sample_rate=RATE, mono=True)
    ends = [(phone, float(end)) for phone, end in re.findall(r"(\S+):([\d.]+)", run.stdout)]
    starts = [0.0, *(end for _, end in ends)]
    segments = [[phone, start, end] for (phone, end), start in zip(ends, starts, strict=False)]
    return Spoken(_louder(audio, manner.gain_db), segments)


def espeak(text: str, manner: Manner) -> Spoken:
    """Speak an English text with espeak-ng. Raises InputError for a text that cannot be spoken."""
    from uniaudio.tokenizers.phoneme import espeak as engine
    from uniaudio.tokenizers.phoneme import normalise_phone
    from uniaudio.tokenizers.text import clauses, clean_text

    clauses(text)  # raises when there is nothing to speak
    variant, usual, step, lift = _ESPEAK[manner.female]
    monotone = max(20.0, (manner.pitch_hz or usual) - lift * manner.range)
    height = 50 + np.log(monotone / (usual - lift)) / step
    # espeak's commands inside a text: pitch (0-99) and the range of pitch (0-99, usually 50).
    command = f"\x01{np.clip(round(height), 0, 99)}P\x01{np.clip(round(50 * manner.range), 0, 99)}R"
    speed = int(np.clip(round(_ESPEAK_SPEED * manner.tempo), 80, 450))
    events, samples = engine().synthesise(command + clean_text(text), variant, speed)
    rate = engine().sample_rate
    segments: list[list[Any]] = []
    for (symbol, start), stop in zip(events, [*(first for _, first in events[1:]), len(samples)], strict=True):
        names = normalise_phone(symbol) or ["sil"]
        edges = np.linspace(start, stop, len(names) + 1) / rate
        segments += [[name, float(edges[i]), float(edges[i + 1])] for i, name in enumerate(names) if stop > start]
    audio = Audio(samples[None], rate).resample(RATE)
    return Spoken(_louder(audio, manner.gain_db), segments)


def _louder(audio: Audio, gain_db: float) -> Audio:
    """Return the sound with a gain, less where it would clip."""
    peak = float(np.abs(audio.samples).max(initial=1e-9))
    return Audio((audio.samples * min(10 ** (gain_db / 20), 0.99 / peak)).astype(np.float32), audio.sample_rate)
