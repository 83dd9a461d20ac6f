"""Make a corpus of music with known notes and facts: recorded instruments play composed and public-domain pieces."""

import hashlib
import importlib.util
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from uniaudio.data.synthesize.composition import KEYS, Note, compose
from uniaudio.data.synthesize.corpus import SAMPLE_RATE, SHARES, Rendered
from uniaudio.data.synthesize.melodies import MELODIES, melodies_of
from uniaudio.data.synthesize.music_captions import captions, facts
from uniaudio.data.synthesize.music_patterns import DRUMS_FROM
from uniaudio.data.synthesize.music_styles import STYLES
from uniaudio.errors import InputError

FLUID = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")  # Debian fluid-soundfont-gm, MIT
CAPTIONS = 8
_TUNES = 0.3  # share of the pieces that are arranged tunes
_PIANO = 1 / 3  # share of the hours that solo piano has
_PIANO_SECONDS, _SECONDS = 14.9, 9.94  # mean lengths, to turn hours into counts
_SPLITS = ("train", "dev", "test")
_RATE = 32000  # of the soundfont player: what folds over at half of it stays above what is kept at SAMPLE_RATE
_DRUM_CHANNEL, _DRUM_BANK = 9, 128
_RMS = {"soft": 0.035, "medium": 0.06, "loud": 0.1}
_PEAK, _FADE_SECONDS, _DRAIN_SECONDS = 0.95, 0.1, 0.1
_BALANCE_DB = {"lead": 0.0, "part 2": -3.0, "part 3": -3.0, "chords": -5.0, "bass": -3.0, "pad": -10.0, "drums": -4.0}


@dataclass(frozen=True, kw_only=True)
class Music:
    """One planned clip: what the composer makes of `seed`, played with the soundfont of that name and content."""

    id: str
    split: str
    seed: int
    style: str
    tune: str
    soundfont: str

    @property
    def piece(self) -> str:
        """What must not be in two splits: the tune, or the composer's seed (which modulo 3 tells the split)."""
        return f"tune {self.tune}" if self.tune else f"composed {self.seed}"


def needs() -> None:
    """Raise InputError naming what to install when the player or a soundfont is missing."""
    for module in ("tinysoundfont", "soxr"):
        if importlib.util.find_spec(module) is None:
            raise InputError(f"{module} is not installed: pip install --no-deps {module}")
    fonts()


def plan(hours: float, seed: int) -> list[Music]:
    """Return the clips of a corpus of about `hours`, a third of the time solo piano, in a fixed order for a seed.

    Tunes and composer's seeds of dev and test are never those of train, whatever the seed. Raises InputError without a
    soundfont.
    """
    return jobs(hours, seed, next(iter(fonts())))


def jobs(hours: float, seed: int, soundfont: str) -> list[Music]:
    """Return the clips as `plan` does, for a soundfont that need not be here."""
    random_ = random.Random(seed)
    found: list[Music] = []
    for split in _SPLITS:
        seconds = hours * 3600 * SHARES[split]
        piano = max(2, round(seconds * _PIANO / _PIANO_SECONDS))
        others = max(4, round(seconds * (1 - _PIANO) / _SECONDS))
        styles = _in_turn([name for name in STYLES if STYLES[name].solo_piano], piano, random_)
        styles += _in_turn([name for name in STYLES if not STYLES[name].solo_piano], others, random_)
        for index, style in enumerate(styles):
            fitting = [name for name in melodies_of(split) if MELODIES[name].metre in STYLES[style].metres]
            tune = random_.choice(fitting) if fitting and random_.random() < _TUNES else ""
            number = 3 * random_.randrange(2**40) + _SPLITS.index(split)
            id = f"music-{split}-{index:06d}"
            found.append(Music(id=id, split=split, seed=number, style=style, tune=tune, soundfont=soundfont))
    random_.shuffle(found)
    return found


def _in_turn(names: Sequence[str], count: int, random_: random.Random) -> list[str]:
    """Return `count` names, each as often as the others, in random order."""
    rounds = [name for _ in range(count // len(names) + 1) for name in random_.sample(names, len(names))]
    return rounds[:count]


def render(job: Music) -> Rendered:
    """Play a clip: 8-12 s (solo piano 10-20 s), with its score and captions in `custom`.

    Raises InputError when the soundfont of the plan is not on this machine.
    """
    piece = compose(job.seed, job.style, job.tune)
    frame, known = piece.frame, facts(piece)
    said = captions(piece, job.split, CAPTIONS, random.Random(f"captions {job.seed}"))
    tune = MELODIES.get(job.tune)
    custom = {
        "caption": said[0],
        "captions": said,
        "instruments": list(piece.instruments),
        "style": frame.style,
        "ensemble": frame.ensemble,
        "tempo_bpm": frame.bpm,
        "metre": frame.metre,
        "key": KEYS[frame.tonic],
        "mode": frame.mode,
        "mood": known.mood[0],
        "loudness": frame.loudness,
        "solo_piano": STYLES[job.style].solo_piano,
        "piece": job.piece,
        "title": f"{tune.title} ({tune.origin})" if tune else "",
        "score_notes": [list(note[1:]) for note in piece.notes],
    }
    samples = play(piece.notes, piece.seconds, job.soundfont, _RMS[frame.loudness])
    return Rendered(samples=samples, custom=custom)


def play(notes: Sequence[Note], seconds: float, soundfont: str, rms: float) -> Any:
    """Return the notes as sound: samples float32 [N] in [-0.95, 0.95] at SAMPLE_RATE, at `rms` unless that would clip.

    Each part is brought to its place in the balance before they are mixed.
    """
    import numpy as np
    import soxr

    mix = np.zeros(round(seconds * _RATE), np.float32)
    for part, program in sorted({(note.part, note.program) for note in notes}):
        stem = _stem([note for note in notes if note[:2] == (part, program)], len(mix), soundfont)
        frames = np.sqrt(np.mean(stem[: len(stem) // 1600 * 1600].reshape(-1, 1600) ** 2, axis=1))
        level = np.sqrt(np.mean(frames[frames > 0.1 * frames.max()] ** 2)) if frames.any() else 1.0
        mix += stem * np.float32(10 ** (_BALANCE_DB[part] / 20) / level)
    samples = soxr.resample(mix, _RATE, SAMPLE_RATE)
    fade = round(_FADE_SECONDS * SAMPLE_RATE)
    samples[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    loudest, mean = np.abs(samples).max(), np.sqrt(np.mean(samples**2))
    return (samples * min(rms / mean, _PEAK / loudest)).astype(np.float32)


def _stem(notes: Sequence[Note], num_samples: int, soundfont: str) -> Any:
    """Return the notes of one program, [N] float32 at _RATE, from the first sample of each to the dying of the last."""
    import numpy as np

    synth, font = _player(soundfont)
    synth.soundfonts[font].reset()  # which only begins to fade what still sounds
    synth.generate_simple(round(_DRAIN_SECONDS * _RATE))
    program = notes[0].program
    drums = program >= DRUMS_FROM
    channel = _DRUM_CHANNEL if drums else 0
    synth.program_select(channel, font, _DRUM_BANK if drums else 0, program % DRUMS_FROM, drums)
    events = [(round(note.end * _RATE), 0, note.pitch, 0) for note in notes]
    events += [(round(note.start * _RATE), 1, note.pitch, note.velocity) for note in notes]
    stereo = np.zeros((num_samples, 2), np.float32)
    sound, done = stereo.data.cast("B"), 0
    for sample, on, pitch, velocity in [*sorted(events), (num_samples, 0, 0, 0)]:
        if sample > done:
            synth.generate_simple(sample - done, sound[8 * done : 8 * sample])
            done = sample
        if on:
            synth.noteon(channel, pitch, velocity)
        else:
            synth.noteoff(channel, pitch)
    return stereo.mean(axis=1)


@lru_cache(maxsize=1)
def _player(soundfont: str) -> tuple[Any, int]:
    """Return the loaded player of a soundfont and the font's number in it, once a process."""
    import tinysoundfont

    path = fonts().get(soundfont)
    if path is None:
        raise InputError(f"soundfont {soundfont} is not here: install the one that the corpus was begun with")
    synth = tinysoundfont.Synth(samplerate=_RATE)
    return synth, synth.sfload(str(path))


@lru_cache(maxsize=1)
def fonts() -> dict[str, Path]:
    """Return the soundfonts at hand, the best first, by name and content: "FluidR3_GM 74594e8f4250"."""
    found = [FLUID]
    spec = importlib.util.find_spec("pretty_midi")
    if spec is not None and spec.origin:
        found.append(Path(spec.origin).parent / "TimGM6mb.sf2")
    named: dict[str, Path] = {}
    for path in found:
        if path.is_file():
            with path.open("rb") as file:
                named[f"{path.stem} {hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"] = path
    if not named:
        raise InputError("no soundfont: install the Debian package fluid-soundfont-gm, or pip install pretty_midi")
    return named
