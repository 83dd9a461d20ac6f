"""Speech-to-reverberation modulation energy ratio (Falk, Zheng and Chan 2010): how dry speech is, without a reference.

Reverberation smears the envelope of speech: it adds fast modulations to the slow ones of syllables. The constants are
those of the authors' SRMR toolbox; the ratio also depends on the voice, so compare it on the same sentences only.

N samples, M = 8 modulation bands
"""

import functools
from typing import Any

import numpy as np

from uniaudio.audio.io import Audio

RATE = 16000
NUM_BANDS, LOWEST_HZ = 23, 125.0  # gammatone filters, evenly spaced on the ERB scale up to half the rate
MODULATION_HZ = 4.0 * 32 ** (np.arange(8) / 7)  # centres of the modulation filters, 4 to 128 Hz
Q = 2.0
WINDOW, HOP = 4096, 1024  # samples of the frames over which energy is averaged
_EAR_Q, _MIN_HZ = 9.26449, 24.7  # Glasberg and Moore: ERB = f / 9.26 + 24.7 Hz


def srmr(audio: Audio) -> float:
    """Return the energy of modulation bands 1-4 over that of bands 5-K, > 0; the dryer, the higher.

    K (5 to 8) grows with the bandwidth of the ear at the frequency below which 90 % of the energy lies (section IV).
    Raises ValueError below 0.256 s and for silence.
    """
    samples = audio.mono().resample(RATE).samples[0].astype(np.float64)
    if len(samples) < WINDOW or not np.any(samples):
        raise ValueError(f"SRMR needs 0.256 s of sound that is not silent, got {len(samples) / RATE:.2f} s")
    energy = modulation_energy(samples)  # [bands, M]
    share = np.cumsum(energy.sum(axis=1)) / energy.sum()
    bandwidth = _erb(_centres())[np.argmax(share > 0.9)]
    edges = MODULATION_HZ - np.tan(np.pi * MODULATION_HZ / RATE) / Q * RATE / (2 * np.pi)  # lower -3 dB points
    last = max(5, int(np.sum(edges < bandwidth)))
    return float(energy[:, :4].sum() / energy[:, 4:last].sum())


def modulation_energy(samples: np.ndarray) -> np.ndarray:
    """Return the mean energy [bands, M] of the modulation bands of each gammatone band (lowest first), of samples [N].

    Modulation filters are second-order resonances; frames are Hamming-windowed.
    """
    from scipy.fft import next_fast_len
    from scipy.signal import hilbert, lfilter, sosfilt

    size = len(samples)
    weight = np.zeros(size)  # of each sample in the mean over all whole frames
    starts = range(0, size - WINDOW + 1, HOP)
    for start in starts:
        weight[start : start + WINDOW] += np.hamming(WINDOW + 1)[:-1] ** 2 / len(starts)
    energy = np.zeros((NUM_BANDS, len(MODULATION_HZ)))
    for band, sections in enumerate(_gammatone()):
        envelope = np.abs(hilbert(sosfilt(sections, samples), next_fast_len(size))[:size])
        for index, centre in enumerate(np.tan(np.pi * MODULATION_HZ / RATE)):
            width = centre / Q
            a = np.array([1 + width + centre**2, 2 * centre**2 - 2, 1 - width + centre**2])
            energy[band, index] = np.dot(weight, np.square(lfilter([width, 0, -width], a, envelope)))
    return energy


@functools.cache
def _gammatone() -> list[np.ndarray]:
    """Return a fourth-order gammatone filter for each band, sections [4, 6], of gain 1 at its centre (Slaney 1993)."""
    filters = []
    for centre in _centres():
        angle, decay = 2 * np.pi * centre / RATE, np.exp(-2 * np.pi * 1.019 * _erb(centre) / RATE)
        zeros = [sign * np.sqrt(3 + fold * 2**1.5) for fold in (1, -1) for sign in (1, -1)]
        sections = np.array(
            [
                [1, -decay * (np.cos(angle) + z * np.sin(angle)), 0, 1, -2 * decay * np.cos(angle), decay**2]
                for z in zeros
            ]
        )
        delays = np.exp(-1j * angle * np.arange(3))
        sections[:, :3] /= np.abs(sections[:, :3] @ delays / (sections[:, 3:] @ delays))[:, None]
        filters.append(sections)
    return filters


def _centres() -> np.ndarray:
    """Return the centres in Hz, lowest first, evenly spaced on the ERB scale; half the rate itself is left out."""
    offset = _EAR_Q * _MIN_HZ
    steps = np.arange(NUM_BANDS) / NUM_BANDS
    return (LOWEST_HZ + offset) * ((RATE / 2 + offset) / (LOWEST_HZ + offset)) ** steps - offset


def _erb(hz: Any) -> Any:
    """Return the equivalent rectangular bandwidth in Hz of the ear at a frequency."""
    return hz / _EAR_Q + _MIN_HZ
