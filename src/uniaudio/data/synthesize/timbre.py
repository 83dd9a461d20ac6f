"""The spectral envelope of a voice: move its formants without its pitch, tilt it bright or dark; numpy and scipy only.

N samples, F frequency bins, T frames
"""

from typing import Any

from uniaudio.data.synthesize.corpus import SAMPLE_RATE

_WINDOW, _HOP = 512, 128
_SMOOTH = 28  # cepstral coefficients that make the envelope: finer structure is the pitch
_KNEE_HZ = 1500.0  # the first formant lies below, the others above
_FLOOR_HZ, _PIVOT_HZ, _CEILING_HZ = 250.0, 1000.0, 5600.0  # a tilt is flat below and above, 0 dB at the pivot


def reshape(samples: Any, *, ratio: float = 1.0, low_ratio: float = 1.0, tilt_db: float = 0.0) -> Any:
    """Return samples [N] with formants at `ratio` (the lowest at `ratio * low_ratio`), tilted by dB per octave.

    Pitch, timing and length stay. The envelope is the low part of the real cepstrum of each short-time spectrum.
    """
    import numpy as np
    from scipy.signal import istft, stft

    if ratio == 1.0 and low_ratio == 1.0 and tilt_db == 0.0:
        return samples
    settings: dict[str, Any] = {"fs": SAMPLE_RATE, "nperseg": _WINDOW, "noverlap": _WINDOW - _HOP}
    hertz, _, spectrum = stft(samples, **settings)  # [F], [F, T]
    octaves = np.log2(np.clip(hertz, _FLOOR_HZ, _CEILING_HZ) / _PIVOT_HZ)
    gain = (octaves * tilt_db * np.log(10) / 20)[:, None]  # natural logarithm, [F, 1]
    if ratio != 1.0 or low_ratio != 1.0:
        cepstrum = np.fft.irfft(np.log(np.abs(spectrum) + 1e-6), axis=0)
        cepstrum[_SMOOTH : 1 - _SMOOTH] = 0
        envelope = np.fft.rfft(cepstrum, axis=0).real  # [F, T]
        bins = _source_hz(hertz, ratio, low_ratio) / hertz[1]
        below = np.clip(bins.astype(int), 0, len(hertz) - 2)
        share = np.clip(bins - below, 0, 1)[:, None]
        moved = envelope[below] * (1 - share) + envelope[below + 1] * share
        gain = gain + np.clip(moved - envelope, -4, 4)
    return istft(spectrum * np.exp(gain), **settings)[1][: len(samples)].astype("float32")


def _source_hz(hertz: Any, ratio: float, low_ratio: float) -> Any:
    """Return where each frequency of the result is taken from: two straight lines that meet at the knee."""
    import numpy as np

    knee = _KNEE_HZ * ratio * low_ratio
    return np.where(hertz < knee, hertz / (ratio * low_ratio), _KNEE_HZ + (hertz - knee) / ratio)
