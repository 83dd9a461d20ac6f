"""Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019, equation 4): how much of a signal is the wanted one.

Only for what keeps the waveform; a generated signal with other phases scores low however good it sounds.
"""

import numpy as np

from uniaudio.audio.io import Audio

RATE = 16000
TOLERANCE = RATE * 80 // 1000  # samples that lengths may differ by: one frame of the slowest codec (12.5 Hz)
CEILING_DB = 100.0  # of two equal signals


def si_sdr(original: Audio, processed: Audio) -> float:
    """Return SI-SDR in dB, within +-CEILING_DB; the longer signal is cut to the shorter one.

    Both are made zero-mean, as the paper assumes. Raises ValueError for lengths more than 80 ms apart and for a signal
    that is silent or constant.
    """
    clean, other = (audio.mono().resample(RATE).samples[0].astype(np.float64) for audio in (original, processed))
    if abs(len(clean) - len(other)) > TOLERANCE:
        raise ValueError(f"SI-SDR needs signals in step, got {len(clean) / RATE:.2f} s and {len(other) / RATE:.2f} s")
    size = min(len(clean), len(other))
    if not size or np.ptp(clean[:size]) == 0 or np.ptp(other[:size]) == 0:
        raise ValueError("SI-SDR needs two signals that are not silent")
    clean, other = clean[:size] - clean[:size].mean(), other[:size] - other[:size].mean()
    wanted = clean * (np.dot(other, clean) / np.dot(clean, clean))
    kept, lost = float(np.sum(wanted**2)), float(np.sum((other - wanted) ** 2))
    least = (kept + lost) * 10 ** (-CEILING_DB / 10)
    return float(np.clip(10 * np.log10(max(kept, least) / max(lost, least)), -CEILING_DB, CEILING_DB))
