"""Tempo and beats of music from its onsets: autocorrelation for the tempo, dynamic programming for the beats.

After Ellis, "Beat Tracking by Dynamic Programming" (2007). F frames of 10 ms
"""

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.evaluate.metrics import judge_package

RATE, N_FFT, HOP, NUM_MELS = 16000, 1024, 160, 40
FRAME_RATE = RATE / HOP
SLOWEST, FASTEST = 40.0, 220.0  # beats a minute
_MIN_SECONDS = 3.0
_USUAL, _OCTAVES = 120.0, 0.9  # centre and width of what people tap to
_TIGHTNESS = 300.0  # how dear a beat is that comes early or late
LEVELS = (1 / 3, 1 / 2, 1.0, 2.0, 3.0)  # metrical levels that pass for the tempo


def onsets(audio: Audio) -> np.ndarray:
    """Return the strength of onsets [F], with mean 0 and deviation 1: how much louder the mel bands become, in dB.

    Raises ValueError for less than 3 s and for a clip in which nothing begins.
    """
    import torch

    from uniaudio.audio.spectral import LogMel

    samples = audio.mono().resample(RATE).samples
    if samples.shape[1] < _MIN_SECONDS * RATE:
        raise ValueError(f"tempo needs at least {_MIN_SECONDS:g} s, got {samples.shape[1] / RATE:.2f} s")
    mel = LogMel(RATE, N_FFT, HOP, NUM_MELS)(torch.from_numpy(samples))[0].double().numpy()  # [M, F]
    mel = np.maximum(mel, mel.max() - 7)  # 60 dB
    rise = np.diff(mel, axis=1, prepend=mel[:, :1]).clip(min=0).mean(0)
    smooth = np.convolve(rise, np.hanning(9) / np.hanning(9).sum(), "same")
    slow = np.convolve(smooth, np.ones(101) / 101, "same")
    found = smooth - slow
    if found.std() < 1e-6:
        raise ValueError("nothing begins in the clip, so it has no tempo")
    return (found - found.mean()) / found.std()


def tempo_bpm(audio: Audio) -> float:
    """Return the tempo in beats a minute, 40 to 220; of metrical levels, that nearest to what people tap to.

    Raises ValueError as `onsets` does.
    """
    return _tempo(onsets(audio))


def tempo_error(bpm: float, reference: float) -> float:
    """Return |bpm / reference - 1| at the metrical level that fits best: half or double time is no error."""
    if bpm <= 0 or reference <= 0:
        raise ValueError(f"tempos are above 0, not {bpm:g} and {reference:g} beats a minute")
    return min(abs(level * bpm / reference - 1) for level in LEVELS)


def beat_times(audio: Audio) -> np.ndarray:
    """Return the times in seconds of the beats; raises ValueError as `onsets` does."""
    strength = onsets(audio)
    period = 60 * FRAME_RATE / _tempo(strength)
    return _track(strength, period) / FRAME_RATE


def beat_f_measure(reference: np.ndarray, estimated: np.ndarray) -> float:
    """Return the F-measure, 0 to 1, of beat times within 70 ms of those of a reference (mir_eval's).

    Raises ValueError without beats, InputError when the package is missing.
    """
    if not len(reference) or not len(estimated):
        raise ValueError("there are no beats to compare")
    return float(judge_package("mir_eval.beat").f_measure(np.sort(reference), np.sort(estimated)))


def _tempo(strength: np.ndarray) -> float:
    """Return the tempo of onset strengths [F] by their autocorrelation, a beat's multiples counted with it."""
    size = len(strength)
    spectrum = np.abs(np.fft.rfft(strength, 2 * size)) ** 2
    together = np.fft.irfft(spectrum)[:size] / np.arange(size, 0, -1)  # unbiased
    lags = np.arange(60 * FRAME_RATE / FASTEST, 60 * FRAME_RATE / SLOWEST, 0.1)
    score = np.zeros(len(lags))
    for multiple, weight in ((1, 1.0), (2, 0.5), (4, 0.5)):
        reach = lags * multiple
        score += weight * np.interp(reach, np.arange(size), together) * (reach < 0.7 * size)
    usual = np.exp(-0.5 * (np.log2(60 * FRAME_RATE / lags / _USUAL) / _OCTAVES) ** 2)
    return float(60 * FRAME_RATE / lags[np.argmax(score * usual)])


def _track(strength: np.ndarray, period: float) -> np.ndarray:
    """Return the frames of the beats: strong onsets about a period (in frames) apart."""
    best, before = strength.copy(), np.full(len(strength), -1)
    gaps = np.arange(round(period / 2), round(2 * period) + 1)
    cost = _TIGHTNESS * np.log(gaps / period) ** 2
    for frame in range(int(gaps[0]), len(strength)):
        reach = frame - gaps[: np.searchsorted(gaps, frame, "right")]
        values = best[reach] - cost[: len(reach)]
        chosen = int(values.argmax())
        if values[chosen] > 0:
            best[frame], before[frame] = strength[frame] + values[chosen], reach[chosen]
    tail = max(0, len(best) - round(period))
    frame, beats = tail + int(best[tail:].argmax()), []
    while frame >= 0:
        beats.append(frame)
        frame = int(before[frame])
    return np.array(beats[::-1], dtype=float)
