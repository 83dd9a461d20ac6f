"""Opus at low rates through libsndfile: the yardstick beside a codec, with the bitrate that it really took."""

from collections.abc import Iterator
from io import BytesIO

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError

RATE = 16000
MIN_KBPS, MAX_KBPS = 6.0, 256.0
_HEADERS = 2  # the packets OpusHead and OpusTags carry no sound


def opus_round_trip(audio: Audio, kbps: float) -> tuple[Audio, int]:
    """Return a recording after Opus at about `kbps` (16 kHz, one channel, variable rate), and the bits it took.

    The result has the length of the input at 16 kHz; the bits are those of the Opus packets without the Ogg container.
    Raises InputError for a rate outside 6 to 256 kbps and when libsndfile has no Opus.
    """
    import soundfile

    if not MIN_KBPS <= kbps <= MAX_KBPS:
        raise InputError(f"Opus takes {MIN_KBPS:g} to {MAX_KBPS:g} kbps, not {kbps:g}")
    level = (MAX_KBPS - kbps) / (MAX_KBPS - MIN_KBPS)  # how libsndfile turns its compression level into a bitrate
    samples = audio.mono().resample(RATE).samples[0]
    buffer = BytesIO()
    try:
        soundfile.write(buffer, samples, RATE, format="OGG", subtype="OPUS", compression_level=level)
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        raise InputError("this libsndfile cannot write Opus: pip install -U 'soundfile>=0.13'") from error
    content = buffer.getvalue()
    decoded = soundfile.read(BytesIO(content), dtype="float32")[0][: len(samples)]
    decoded = np.pad(decoded, (0, len(samples) - len(decoded)))
    num_bytes = sum(list(_packet_sizes(content))[_HEADERS:])
    return Audio(decoded[None].clip(-1, 1), RATE), 8 * num_bytes


def _packet_sizes(content: bytes) -> Iterator[int]:
    """Yield the size of each packet of an Ogg stream (RFC 3533, section 6)."""
    start = size = 0
    while start < len(content):
        num_segments = content[start + 26]
        segments = content[start + 27 : start + 27 + num_segments]
        for segment in segments:
            size += segment
            if segment < 255:  # a packet ends in a segment that is not full
                yield size
                size = 0
        start += 27 + num_segments + sum(segments)
