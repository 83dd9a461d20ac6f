"""Corruptions against their definitions: levels, times and frequencies are measured on what comes out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from uniaudio.audio.corrupt import bandlimit, direct_sample, rt60
from uniaudio.errors import InputError

SAMPLE_RATE = 16000


def noise(num_samples: int, level: float = 0.1, seed: int = 0) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def tone(hz: float, num_samples: int = 8000) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(num_samples) / SAMPLE_RATE).astype(np.float32)


def decay(seconds: float, length: float, seed: int = 0) -> np.ndarray:
    """A direct path of 1 after 50 samples, then noise that falls by 60 dB in `seconds`."""
    response = noise(int(length * SAMPLE_RATE), 0.2, seed)
    response = response * 10 ** (-3 * np.arange(len(response)) / SAMPLE_RATE / seconds)
    return np.concatenate([np.zeros(50), [1.0], response])


def level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2)))


@pytest.mark.parametrize("seconds", [0.2, 0.5, 0.8, 1.2])
def test_rt60_is_the_time_of_the_decay(seconds: float) -> None:
    response = decay(seconds, 1.5 * seconds)
    assert rt60(response, SAMPLE_RATE) == pytest.approx(seconds, rel=0.06)
    assert rt60(response, SAMPLE_RATE, decay_db=20) == pytest.approx(seconds, rel=0.08)
    assert rt60(0.01 * response, SAMPLE_RATE) == pytest.approx(rt60(response, SAMPLE_RATE))
    assert rt60(response, 8000) == pytest.approx(2 * rt60(response, SAMPLE_RATE))


def test_rt60_of_an_ideal_decay_is_exact() -> None:
    response = 10 ** (-3 * np.arange(16000) / SAMPLE_RATE / 0.6)
    assert rt60(response, SAMPLE_RATE) == pytest.approx(0.6, rel=0.002)


def test_rt60_refuses_what_has_no_whole_decay() -> None:
    with pytest.raises(InputError, match="no reverberation"):
        rt60(np.eye(1, 2000, 30)[0], SAMPLE_RATE)
    for seconds in (0.8, 1.5):  # only 30 and 16 dB of the decay are there
        with pytest.raises(InputError, match="before it has decayed"):
            rt60(decay(seconds, 0.4), SAMPLE_RATE)
    with pytest.raises(InputError, match="must be positive"):
        rt60(decay(0.3, 0.5), 0)


@pytest.mark.parametrize("cutoff", [500.0, 2000.0, 4000.0, 7500.0])
def test_bandlimit_keeps_what_is_below_and_removes_what_is_above(cutoff: float) -> None:
    low, high = tone(0.88 * cutoff), tone(min(1.02 * cutoff, 7900.0))
    middle = slice(1000, 7000)  # away from the ends, where a tone begins and is no tone
    np.testing.assert_allclose(bandlimit(low, SAMPLE_RATE, cutoff)[middle], low[middle], atol=1e-3)
    assert level_db(bandlimit(high, SAMPLE_RATE, cutoff)[middle]) < level_db(high) - 75
    assert bandlimit(low[:7], SAMPLE_RATE, cutoff).shape == (7,)
    assert bandlimit(low, SAMPLE_RATE, cutoff).dtype == np.float32
    assert not bandlimit(np.zeros(100), SAMPLE_RATE, cutoff).any()


@pytest.mark.parametrize("cutoff", [-1.0, 0.0, 8000.0, float("nan")])
def test_bandlimit_refuses_a_cutoff_outside_the_band(cutoff: float) -> None:
    with pytest.raises(InputError, match="between 0 and 8000 Hz"):
        bandlimit(noise(100), SAMPLE_RATE, cutoff)


GOOD = noise(500)
CALLS: dict[str, Callable[[Any], Any]] = {
    "response of direct_sample": lambda bad: direct_sample(bad),
    "response of rt60": lambda bad: rt60(bad, SAMPLE_RATE),
    "samples of bandlimit": lambda bad: bandlimit(bad, SAMPLE_RATE, 2000),
}
BAD = {
    "is empty": np.zeros(0),
    "not numbers": np.array([0.1, np.nan, 0.2] * 200)[:500],
    "values that are not": np.full(500, np.inf),
    "mono samples": np.zeros((2, 500)),
    "is silent": np.zeros(500),
}


@pytest.mark.parametrize("message", BAD)
@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_sound_is_refused_in_one_line(call: str, message: str) -> None:
    if message == "is silent" and "bandlimit" in call:
        assert not np.any(CALLS[call](BAD[message]))
        return
    with pytest.raises(InputError, match=message) as caught:
        CALLS[call](BAD[message])
    assert "\n" not in str(caught.value)
