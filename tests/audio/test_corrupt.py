"""Corruptions against their definitions: levels, times and frequencies are measured on what comes out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from uniaudio.audio.corrupt import bandlimit, direct_sample, mask_span, mix_at_snr, mix_talkers, reverberate, rt60
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


@pytest.mark.parametrize("snr_db", [-20.0, -5.0, 0.0, 7.3, 20.0, 40.0])
def test_the_mixture_has_the_asked_snr(snr_db: float) -> None:
    clean, other = noise(16000, 0.03, seed=1) * np.linspace(0, 2, 16000), noise(16000, 0.3, seed=2)
    noisy, scaled = mix_at_snr(clean, other, snr_db)
    assert noisy.dtype == scaled.dtype == np.float32 and noisy.shape == scaled.shape == clean.shape
    assert level_db(clean) - level_db(noisy - clean) == pytest.approx(snr_db, abs=0.1)
    np.testing.assert_allclose(clean + scaled, noisy, atol=1e-6)
    assert np.corrcoef(scaled, other)[0, 1] == pytest.approx(1.0)


@pytest.mark.parametrize("num_other", [3000, 8000, 12000])
def test_two_talkers_have_the_asked_ratio(num_other: int) -> None:
    target, other = noise(8000, 0.1, seed=3), noise(num_other, 0.4, seed=4)
    mixture, scaled = mix_talkers(target, other, -3.5)
    assert len(mixture) == len(scaled) == 8000
    assert level_db(target) - level_db(mixture - target) == pytest.approx(-3.5, abs=0.1)
    assert not scaled[num_other:].any()
    assert np.corrcoef(scaled[:num_other], other[:8000])[0, 1] == pytest.approx(1.0)


def test_a_room_keeps_the_direct_sound_in_its_place() -> None:
    clean, response = noise(4000), np.zeros(900)
    response[137] = 1.0
    np.testing.assert_allclose(reverberate(clean, response), clean, atol=1e-6)
    response[137 + 400] = -0.5
    wanted = clean + np.concatenate([np.zeros(400), -0.5 * clean[:-400]])
    found = reverberate(clean, response)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert found.dtype == np.float32 and direct_sample(response) == 137
    np.testing.assert_allclose(reverberate(clean, 0.25 * response), 0.25 * wanted, atol=1e-6)


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


def test_a_masked_span_is_silent_and_nothing_else() -> None:
    samples = noise(100)
    before = samples.copy()
    masked = mask_span(samples, 20, 45)
    assert not masked[20:45].any() and np.array_equal(samples, before)
    np.testing.assert_array_equal(np.delete(masked, np.s_[20:45]), np.delete(samples, np.s_[20:45]))
    assert not mask_span(samples, 0, 100).any()


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 5), (6, 5), (0, 101), (100, 101)])
def test_a_span_outside_the_sound_is_refused(start: int, end: int) -> None:
    with pytest.raises(InputError, match="must hold samples of a sound of 100 samples"):
        mask_span(noise(100), start, end)


GOOD = noise(500)
CALLS: dict[str, Callable[[Any], Any]] = {
    "clean of mix_at_snr": lambda bad: mix_at_snr(bad, GOOD, 0.0),
    "noise of mix_at_snr": lambda bad: mix_at_snr(GOOD, bad, 0.0),
    "target of mix_talkers": lambda bad: mix_talkers(bad, GOOD, 0.0),
    "other of mix_talkers": lambda bad: mix_talkers(GOOD, bad, 0.0),
    "clean of reverberate": lambda bad: reverberate(bad, GOOD),
    "response of reverberate": lambda bad: reverberate(GOOD, bad),
    "response of rt60": lambda bad: rt60(bad, SAMPLE_RATE),
    "samples of bandlimit": lambda bad: bandlimit(bad, SAMPLE_RATE, 2000),
    "samples of mask_span": lambda bad: mask_span(bad, 0, 1),
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
    if message == "is silent" and ("bandlimit" in call or "mask_span" in call):
        assert not np.any(CALLS[call](BAD[message]))
        return
    with pytest.raises(InputError, match=message) as caught:
        CALLS[call](BAD[message])
    assert "\n" not in str(caught.value)


def test_noise_of_another_length_and_a_ratio_that_is_no_number_are_refused() -> None:
    with pytest.raises(InputError, match="the noise has 400 samples, the clean sound 500: cut or repeat"):
        mix_at_snr(GOOD, GOOD[:400], 0.0)
    with pytest.raises(InputError, match="must be a number of dB, not nan"):
        mix_at_snr(GOOD, GOOD, float("nan"))


def test_a_talker_who_is_silent_where_the_target_speaks_is_refused() -> None:
    late = np.concatenate([np.zeros(600), GOOD])
    with pytest.raises(InputError, match="is silent"):
        mix_talkers(GOOD, late, 0.0)
