"""How loud speech or music is where it sounds: pauses do not count.

N samples
"""

import numpy as np

_FRAME_SECONDS = 0.02
_RANGE_DB = 25.0  # frames further below the loudest one are pauses
_SILENT = 1e-10  # power


def active_db(samples: np.ndarray, sample_rate: int) -> float:
    """Return the level in dB of full scale of samples [N], over the frames of 20 ms that sound; -100 for silence."""
    size = max(1, round(_FRAME_SECONDS * sample_rate))
    count = max(1, len(samples) // size)
    power = np.square(samples[: count * size], dtype=np.float64)
    if not len(power):
        return 10 * float(np.log10(_SILENT))
    frames = np.array([part.mean() for part in np.array_split(power, count)]) + _SILENT
    active = frames[frames >= frames.max() * 10 ** (-_RANGE_DB / 10)]
    return 10 * float(np.log10(active.mean()))
