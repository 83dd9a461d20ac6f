"""Make a corpus of speech with known text, speaker, style and phone times: flite and espeak-ng speak planned lines."""

import math
import random
import re
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any
from xml.sax.saxutils import escape

from uniaudio.data.synthesize.corpus import SAMPLE_RATE, SHARES, Rendered
from uniaudio.data.synthesize.instructions import instructions
from uniaudio.data.synthesize.sentences import all_sentences, split_of
from uniaudio.data.synthesize.speakers import Speaker, speakers, voice_words
from uniaudio.data.synthesize.styles import (
    EMPHASIS_TEMPO,
    PITCHES,
    PLAIN,
    RANGES,
    RATES,
    TILTS,
    Style,
    draw_style,
    emphasised,
    levelled,
    plain_word,
)
from uniaudio.data.synthesize.timbre import reshape
from uniaudio.errors import InputError

_MARGIN_SECONDS = 0.08  # silence kept before and after the speech
_BASE_HZ_STDDEV = 0.14  # standard deviation of the pitch over its mean, as the natural voices have it
_MEAN_SECONDS = 2.5  # of one utterance, to turn hours into a count
_ENGINE_WEIGHTS = {"flite": 1.0, "espeak": 0.3}  # how often a speaker speaks: most hours are the intelligible ones
_ESPEAK_WORDS_PER_MINUTE = 165
_ESPEAK_LOG_PITCH_STEP = 0.0096  # one step of espeak-ng's -p, in natural logarithms of the pitch (measured)
_ESPEAK_RANGE_LIFT = {"monotone": -0.12, "normal": 0.0, "lively": 0.13}  # what its range does to the pitch (measured)


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One planned utterance: who says what, how, at which tempo (1 = the engine's own, the style's rate included).

    `wording` seeds the descriptions of the style.
    """

    id: str
    text: str
    split: str
    speaker: Speaker
    tempo: float
    style: Style = PLAIN
    wording: int = 0


def plan(hours: float, seed: int) -> list[Utterance]:
    """Return the utterances of a corpus of about `hours`, in a fixed order for a seed.

    Test and dev speakers say only test and dev sentences and training speakers only training sentences.
    """
    random_ = random.Random(seed)
    texts: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for sentence in all_sentences():
        texts[split_of(sentence)].append(sentence)
    voices = speakers()
    total = max(12, round(hours * 3600 / _MEAN_SECONDS))
    utterances: list[Utterance] = []
    for split, sentences in texts.items():
        group = [voice for voice in voices if voice.split == split]
        weights = [_ENGINE_WEIGHTS[voice.engine] for voice in group]
        order: list[str] = []
        for index in range(max(4, round(total * SHARES[split]))):
            if not order:
                order = random_.sample(sentences, len(sentences))
            voice = random_.choices(group, weights)[0]
            utterances.append(_utterance(f"speech-{split}-{index:06d}", order.pop(), voice, random_))
    random_.shuffle(utterances)
    return utterances


def _utterance(id: str, text: str, speaker: Speaker, random_: random.Random) -> Utterance:
    style = draw_style(random_, text, without=() if speaker.can_vary_range else ("range",))
    jitter = 0.08 if style == PLAIN else 0.04
    tempo = round(RATES[style.rate] * random_.uniform(1 - jitter, 1 + jitter), 3)
    wording = random_.randrange(2**32)
    return Utterance(id=id, text=text, split=speaker.split, speaker=speaker, tempo=tempo, style=style, wording=wording)


def needs() -> None:
    """Raise InputError when an engine is missing."""
    for program in ("flite", "espeak-ng"):
        if shutil.which(program) is None:
            raise InputError(f"{program} is not installed; on Debian: apt-get install {program}")


def render(utterance: Utterance) -> Rendered:
    """Speak one utterance and describe how it is spoken."""
    samples, segments = speak(utterance)
    style, voice = utterance.style, voice_words(utterance.speaker)
    word = "" if style.emphasis is None else plain_word(utterance.text.split()[style.emphasis])
    wordings = instructions(style, voice, random.Random(utterance.wording), utterance.split, word)
    return Rendered(
        samples=samples,
        text=utterance.text,
        speaker=utterance.speaker.name,
        phones=segments,
        custom={
            "tempo": utterance.tempo,
            "style": asdict(style),
            "voice": list(voice),
            "instruction": wordings[0],
            "instructions": wordings,
        },
    )


def speak(utterance: Utterance) -> tuple[Any, list[list[Any]] | None]:
    """Return (samples float32 [N] at 16 kHz, segments [[phone, start s, end s], ...] or None if unknown)."""
    speaker, style = utterance.speaker, utterance.style
    segments: list[list[Any]] | None = None
    word: tuple[float, float] | None = None
    ratio = 1.0
    if speaker.engine == "flite":
        samples, segments, word = _flite(utterance)
        ratio = round(speaker.formant_ratio / speaker.speed(PITCHES[style.pitch]), 4)
    else:
        samples = _espeak(utterance)
    samples, offset = _trimmed(samples, segments)
    tilt = speaker.tilt_db + TILTS[style.energy]
    samples = reshape(samples, ratio=ratio, low_ratio=speaker.low_ratio, tilt_db=tilt)
    if word is not None:
        samples = emphasised(samples, word[0] - offset, word[1] - offset)
    samples = levelled(samples, style.energy)
    if segments is None:
        return samples, None
    length = len(samples) / SAMPLE_RATE
    moved = [[p, round(max(0.0, s - offset), 4), round(min(length, e - offset), 4)] for p, s, e in segments]
    return samples, [segment for segment in moved if segment[2] > segment[1]]


def _flite(utterance: Utterance) -> tuple[Any, list[list[Any]], tuple[float, float] | None]:
    """Return (samples, segments, start and end of the emphasised word), all as played at the speaker's speed."""
    import soundfile
    import soxr

    speaker, style = utterance.speaker, utterance.style
    speed = speaker.speed(PITCHES[style.pitch])
    mean_hz = speaker.pitch_hz * PITCHES[style.pitch] / speed
    settings = {
        "duration_stretch": speed / utterance.tempo,
        "int_f0_target_mean": mean_hz,
        "int_f0_target_stddev": mean_hz * _BASE_HZ_STDDEV * RANGES[style.range],
    }
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["flite", "-voice", speaker.base, "-psdur", "-o", file.name]
        for key, value in settings.items():
            command += ["--setf", f"{key}={value:.4f}"]
        segments = _segments(_run([*command, "-t", utterance.text], utterance), speed)
        word = None
        if style.emphasis is not None:
            unmarked = segments
            marked = _marked(utterance.text, style.emphasis, f'rate="{EMPHASIS_TEMPO}"')
            segments = _segments(_run([*command, "-ssml", "-t", marked], utterance), speed)
            word = stretched(unmarked, segments)
        samples, rate = soundfile.read(file.name, dtype="float32")
    return soxr.resample(samples, rate * speed, SAMPLE_RATE, quality="HQ"), segments, word


def _segments(printed: str, speed: float) -> list[list[Any]]:
    segments: list[list[Any]] = []
    start = 0.0
    for phone, end_text in re.findall(r"(\S+):([\d.]+)", printed):
        end = float(end_text) / speed
        segments.append([phone, start, end])
        start = end
    return segments


def stretched(unmarked: list[list[Any]], marked: list[list[Any]]) -> tuple[float, float] | None:
    """Return (start, end) in `marked` of the segments that last longer there than in `unmarked`, the word emphasised.

    None when there is none. Pauses, which may differ, do not count.
    """
    matcher = SequenceMatcher(None, [p for p, _, _ in unmarked], [p for p, _, _ in marked], autojunk=False)
    found = [
        two
        for one_at, two_at, size in matcher.get_matching_blocks()
        for one, two in zip(unmarked[one_at : one_at + size], marked[two_at : two_at + size], strict=True)
        if one[0] != "pau" and two[2] - two[1] > 1.2 * (one[2] - one[1])
    ]
    return (found[0][1], found[-1][2]) if found else None


def _marked(text: str, emphasis: int | None, how: str) -> str:
    """Return the text as SSML, one word of it within a prosody element."""
    words = [escape(word) for word in text.split()]
    if emphasis is not None:
        words[emphasis] = f"<prosody {how}>{words[emphasis]}</prosody>"
    return " ".join(words)


def _espeak(utterance: Utterance) -> Any:
    import soundfile
    import soxr

    style = utterance.style
    command = ["espeak-ng", "-v", utterance.speaker.base, "-s", str(round(_ESPEAK_WORDS_PER_MINUTE * utterance.tempo))]
    text = utterance.text
    steps = (math.log(PITCHES[style.pitch]) - _ESPEAK_RANGE_LIFT[style.range]) / _ESPEAK_LOG_PITCH_STEP
    if steps:
        command += ["-p", str(round(50 + steps))]
    if style.range != "normal" or style.emphasis is not None:
        command.append("-m")
        text = _marked(text, style.emphasis, f'rate="{EMPHASIS_TEMPO:.0%}" pitch="+30%" volume="+6dB"')
        text = f'<prosody range="{RANGES[style.range]:.0%}">{text}</prosody>' if style.range != "normal" else text
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        _run([*command, "-w", file.name, text], utterance)
        samples, rate = soundfile.read(file.name, dtype="float32")
    return soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ")


def _trimmed(samples: Any, segments: list[list[Any]] | None) -> tuple[Any, float]:
    """Return samples with a margin of silence around the speech, and the seconds cut from their start.

    Speech lasts from the first to the last segment that is no pause or, without segments, while it is not silent.
    """
    import numpy as np

    if segments is None:
        loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
        begin, finish = (loud[0] / SAMPLE_RATE, loud[-1] / SAMPLE_RATE) if loud.size else (0.0, math.inf)
    else:
        begin = next((s for p, s, _ in segments if p != "pau"), 0.0)
        finish = next((e for p, _, e in reversed(segments) if p != "pau"), math.inf)
    first = max(0, round((begin - _MARGIN_SECONDS) * SAMPLE_RATE))
    last = len(samples) if finish == math.inf else round((finish + _MARGIN_SECONDS) * SAMPLE_RATE)
    return np.ascontiguousarray(samples[first:last]), first / SAMPLE_RATE


def _run(command: list[str], utterance: Utterance) -> str:
    """Return what an engine prints; raises InputError when it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except subprocess.CalledProcessError as error:
        said = " ".join((error.stderr or "").split())[:200] or "no message"
        what = f"{command[0]} cannot speak {utterance.id} ({utterance.text!r}, {utterance.speaker.name})"
        raise InputError(f"{what}, exit code {error.returncode}: {said}; check its installation") from error
