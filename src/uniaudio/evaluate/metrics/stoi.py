"""Short-time objective intelligibility of a processed recording against its clean original (pystoi)."""

from uniaudio.audio.io import Audio
from uniaudio.evaluate.metrics import judge_package

RATE = 16000


def stoi(original: Audio, processed: Audio) -> float:
    """Return STOI in [0, 1]; the shorter recording decides the length. Raises ValueError below 0.5 s."""
    clean, other = (audio.mono().resample(RATE).samples[0] for audio in (original, processed))
    size = min(len(clean), len(other))
    if size < RATE // 2:
        raise ValueError(f"STOI needs at least 0.5 s, got {size / RATE:.2f} s")
    return float(judge_package("pystoi").stoi(clean[:size], other[:size], RATE))
