"""The typical pitch of a voice, by the autocorrelation of short frames (after Boersma 1993); numpy only.

N samples, F frames, L lags
"""

import numpy as np

_WINDOW, _HOP = 640, 160  # 40 ms, 10 ms at 16 kHz
_FFT = 2048
_LOW_HZ, _HIGH_HZ = 60.0, 420.0
_VOICED = 0.6  # the least correlation of a voiced frame
_AS_GOOD = 0.9  # the shortest lag with this share of the best correlation is the period: longer ones are its multiples
_QUIET = 0.1  # of the loudest frame's amplitude: what is quieter does not count


def typical_pitch(samples: np.ndarray, sample_rate: int = 16000) -> float:
    """Return the median pitch in Hz of the voiced frames of samples [N]; raises ValueError when none is voiced."""
    if len(samples) < _WINDOW or not np.any(samples):
        raise ValueError("no voice was found in the recording: it is silent or too short")
    window = np.hanning(_WINDOW)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), _WINDOW)[::_HOP]  # [F, window]
    level = np.sqrt((frames**2).mean(1))
    frames = frames[level > _QUIET * level.max()]
    frames = (frames - frames.mean(1, keepdims=True)) * window
    own = np.fft.irfft(np.abs(np.fft.rfft(window, _FFT)) ** 2)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames, _FFT, axis=1)) ** 2, axis=1)  # [F, L]
    correlation = correlation / np.maximum(correlation[:, :1], 1e-12) * own[0] / np.maximum(own, 1e-9 * own[0])
    first, last = round(sample_rate / _HIGH_HZ), min(round(sample_rate / _LOW_HZ), _WINDOW // 2)
    inside = correlation[:, first : last + 1]
    peaks = (inside >= correlation[:, first - 1 : last]) & (inside > correlation[:, first + 1 : last + 2])
    heights = np.where(peaks, inside, 0.0)
    best = heights.max(1)
    lags = (heights >= _AS_GOOD * best[:, None]).argmax(1) + first
    voiced = best > _VOICED
    if not voiced.any():
        raise ValueError("no voice was found in the recording: none of its frames is voiced")
    rows, lags = np.flatnonzero(voiced), lags[voiced]
    before, here, after = (correlation[rows, lags + step] for step in (-1, 0, 1))
    exact = lags + 0.5 * (before - after) / (before - 2 * here + after)  # the top of the parabola through the three
    return float(np.median(sample_rate / exact))
