"""Examples that spoil clean speech: noise, another talker, a room. Lhotse mixes them when they are read."""

import random
from collections.abc import Iterator, Sequence

from uniaudio.data.examples import Example, to_cut
from uniaudio.data.pairs.corpora import Recording
from uniaudio.data.pairs.speech import MAX_SECONDS, Voices

SNR_DB = (-5.0, 20.0)
TALKERS_DB = (-5.0, 5.0)


def speech_enhancement(
    speech: Sequence[Recording], noise: Sequence[Recording], random_: random.Random
) -> Iterator[Example]:
    """Yield noisy speech (SNR -5 to 20 dB, uniform) and the clean speech; noise must be as long as the speech."""
    for one in speech:
        fitting = _as_long(noise, one.row.seconds, random_)
        if fitting is None or one.row.seconds > MAX_SECONDS:
            continue
        snr = round(random_.uniform(*SNR_DB), 2)
        start = round(random_.uniform(0, fitting.row.seconds - one.row.seconds), 2)
        labels = {"snr_db": snr, "noise": fitting.row.id, "noise_type": fitting.row.custom.get("noise_type")}
        yield one.example("speech_enhancement", {"noisy": _mixed(one, fitting, start, snr)}, labels)


def target_speaker_extraction(speech: Sequence[Recording], random_: random.Random) -> Iterator[Example]:
    """Yield two talkers at once (-5 to 5 dB) and a prompt of the one to keep."""
    voices = Voices(speech)
    for one in speech:
        voice, other = voices.other(one, random_), None
        for _ in range(16):
            candidate = random_.choice(speech)
            if candidate.row.speaker != one.row.speaker and candidate.row.seconds >= one.row.seconds:
                other = candidate
                break
        if voice is None or other is None or one.row.seconds > MAX_SECONDS:
            continue
        ratio = round(random_.uniform(*TALKERS_DB), 2)
        start = round(random_.uniform(0, other.row.seconds - one.row.seconds), 2)
        given = {"mixture": _mixed(one, other, start, ratio), "speaker": voice.cut}
        labels = {
            "ratio_db": ratio,
            "speaker": one.row.speaker,
            "other": other.row.id,
            "other_speaker": other.row.speaker,
        }
        yield one.example("target_speaker_extraction", given, labels)


def dereverberation(
    speech: Sequence[Recording], rooms: Sequence[Recording], random_: random.Random
) -> Iterator[Example]:
    """Yield speech in a room, in step with the direct sound and as loud as the dry speech."""
    from lhotse import Recording as LhotseRecording

    for one in speech:
        if one.row.seconds > MAX_SECONDS or not rooms:
            continue
        room = random_.choice(rooms)
        response = LhotseRecording.from_dict({**room.cut["recording"]})
        heard = to_cut(one.cut).reverb_rir(response, affix_id=False).to_dict()
        labels = {"rt60": room.row.custom.get("rt60"), "room": room.row.custom.get("room"), "response": room.row.id}
        yield one.example("dereverberation", {"reverberant": heard}, labels)


def _as_long(noise: Sequence[Recording], seconds: float, random_: random.Random) -> Recording | None:
    """Return a random noise of at least `seconds`, or None."""
    for _ in range(16):
        one = random_.choice(noise) if noise else None
        if one is not None and one.row.seconds >= seconds:
            return one
    return None


def _mixed(one: Recording, other: Recording, start: float, ratio_db: float) -> dict:
    """Return the cut of `one` with `other` from `start` s below it by `ratio_db`."""
    under = to_cut(other.cut).truncate(offset=start, duration=one.row.seconds, preserve_id=True)
    return to_cut(one.cut).mix(under, snr=ratio_db, preserve_id="left").to_dict()
