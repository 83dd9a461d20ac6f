"""How wrong the length of a recording is, relative to the length that it should have."""

from uniaudio.audio.io import Audio


def duration_error(original: Audio, processed: Audio) -> float:
    """Return |length / wanted length - 1|; 0.1 is 10 % too long or too short. Raises ValueError for an empty one."""
    if not original.seconds or not processed.seconds:
        raise ValueError("an empty recording has no length to compare")
    return abs(processed.seconds / original.seconds - 1)
