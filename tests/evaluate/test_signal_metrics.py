"""Metrics of signals give closed forms, and fall (or rise) step by step with a graded corruption."""

import time

import numpy as np
import pytest

from uniaudio.audio.io import Audio, read_audio
from uniaudio.evaluate.metrics.duration_error import duration_error
from uniaudio.evaluate.metrics.joins import CLICK_DB, join_click
from uniaudio.evaluate.metrics.mel_cepstral_distortion import mel_cepstral_distortion, warping_path
from uniaudio.evaluate.metrics.reverberation_ratio import gap_ratio, reverberation_ratio
from uniaudio.evaluate.metrics.si_sdr import CEILING_DB, si_sdr
from uniaudio.evaluate.metrics.srmr import srmr
from uniaudio.weights import FOLDER

RATE = 16000
VOICES = [read_audio(path) for path in sorted((FOLDER / "voices").glob("*.flac"))]
SILENCE = Audio(np.zeros((1, RATE), np.float32), RATE)


def audio(samples: np.ndarray) -> Audio:
    return Audio(samples[None].astype(np.float32), RATE)


def noise(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(size)


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


def with_noise(clean: Audio, snr_db: float) -> Audio:
    added = noise(clean.samples.shape[1])
    gain = np.sqrt(np.mean(clean.samples**2)) * 10 ** (-snr_db / 20)
    return audio((clean.samples[0] + gain * added).clip(-1, 1))


def lowpass(clean: Audio, hz: float) -> Audio:
    spectrum = np.fft.rfft(clean.samples[0])
    spectrum[np.fft.rfftfreq(clean.samples.shape[1], 1 / RATE) > hz] = 0
    return audio(np.fft.irfft(spectrum, clean.samples.shape[1]))


def room(late: float, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return an impulse response whose tail after 46 ms is `late` times as strong, and its early part."""
    response = noise(RATE // 2, seed) * 10 ** (-3 * np.arange(RATE // 2) / (0.5 * RATE)) * 0.05
    response[0] = 1.0
    early = np.where(np.arange(len(response)) < 0.046 * RATE, response, 0)
    return early + late * (response - early), early


def reverberant(clean: Audio, late: float) -> Audio:
    size = clean.samples.shape[1]
    return audio(np.convolve(clean.samples[0], room(late)[0])[:size] * 0.5)


@pytest.mark.parametrize(("level", "expected"), [(0.1, 20.0), (1.0, 0.0), (10.0, -20.0), (0.01, 40.0)])
def test_si_sdr_of_a_tone_and_an_orthogonal_one_is_their_level_ratio(level: float, expected: float):
    wanted, other = tone(440) / 3, tone(1000) / 3
    assert si_sdr(audio(wanted), audio((wanted + level * other) / (1 + level))) == pytest.approx(expected, abs=0.01)


def test_si_sdr_ignores_scale_sign_and_offset_and_ends_at_its_ceiling():
    wanted = tone(440) / 3
    mixed = wanted + 0.1 * tone(1000) / 3
    for other in (0.2 * mixed, -mixed, mixed + 0.05):
        assert si_sdr(audio(wanted), audio(other)) == pytest.approx(20.0, abs=0.01)
    assert si_sdr(VOICES[0], VOICES[0]) == CEILING_DB
    assert si_sdr(audio(wanted), audio(tone(1000))) < -60


def test_si_sdr_falls_with_noise_by_as_much_as_is_added():
    scores = [si_sdr(VOICES[0], with_noise(VOICES[0], snr)) for snr in (30, 20, 10, 0)]
    assert scores == pytest.approx([30, 20, 10, 0], abs=0.3)


def test_si_sdr_refuses_silence_and_signals_of_other_lengths():
    longer = tone(440, 1.05)
    assert si_sdr(audio(tone(440)), audio(longer)) == CEILING_DB
    with pytest.raises(ValueError, match="in step"):
        si_sdr(audio(tone(440)), audio(tone(440, 1.1)))
    with pytest.raises(ValueError, match="silent"):
        si_sdr(SILENCE, audio(tone(440)))


def test_duration_error_is_relative_and_needs_a_length():
    one = audio(tone(440))
    lengths = (1.0, 1.1, 0.75, 2.0)
    assert [duration_error(one, audio(tone(440, s))) for s in lengths] == pytest.approx([0, 0.1, 0.25, 1.0])
    with pytest.raises(ValueError, match="no length"):
        duration_error(Audio(np.zeros((1, 0), np.float32), RATE), one)


@pytest.mark.parametrize(("order", "gain_db"), [(1, 6.0), (2, 6.0), (3, 12.0)])
def test_distortion_of_a_cosine_shaped_filter_is_its_root_mean_square_in_db(order: int, gain_db: float):
    samples = 0.05 * noise(4 * RATE)
    hz = np.fft.rfftfreq(len(samples), 1 / RATE)
    mel = np.log10(1 + hz / 700) / np.log10(1 + 8000 / 700)  # 0 to 1
    shaped = np.fft.irfft(np.fft.rfft(samples) * 10 ** (gain_db * np.cos(np.pi * order * mel) / 20))
    found = mel_cepstral_distortion(audio(samples), audio(shaped), aligned=False)
    assert found == pytest.approx(gain_db / np.sqrt(2), rel=0.06)


def test_distortion_ignores_level_and_alignment_takes_out_a_delay():
    voice = VOICES[0]
    assert mel_cepstral_distortion(voice, voice) == 0
    assert mel_cepstral_distortion(voice, audio(0.1 * voice.samples[0])) < 0.01
    paused = audio(np.insert(voice.samples[0], 20000, np.zeros(4800, np.float32)))  # 0.3 s of silence inside
    assert mel_cepstral_distortion(voice, paused, aligned=False) > 3 * mel_cepstral_distortion(voice, paused) > 0


def test_distortion_rises_with_noise_and_with_a_low_pass():
    noisy = [mel_cepstral_distortion(VOICES[1], with_noise(VOICES[1], snr)) for snr in (40, 30, 20, 10, 0)]
    dull = [mel_cepstral_distortion(VOICES[1], lowpass(VOICES[1], hz)) for hz in (7000, 5000, 3000, 1000)]
    assert noisy == sorted(noisy) and dull == sorted(dull) and noisy[0] > 0.1
    with pytest.raises(ValueError, match="sound"):
        mel_cepstral_distortion(SILENCE, VOICES[1])


def test_the_warping_path_is_the_cheapest_of_all():
    def least(costs: np.ndarray, i: int, j: int) -> float:
        before = [least(costs, a, b) for a, b in ((i - 1, j), (i, j - 1), (i - 1, j - 1)) if a >= 0 and b >= 0]
        return costs[i, j] + (min(before) if before else 0.0)

    for seed, shape in enumerate([(4, 6), (6, 3), (1, 5), (5, 1)]):
        costs = np.random.default_rng(seed).random(shape)
        rows, columns = warping_path(costs)
        assert costs[rows, columns].sum() == pytest.approx(least(costs, shape[0] - 1, shape[1] - 1))
        steps = set(zip(np.diff(rows).tolist(), np.diff(columns).tolist(), strict=True))
        assert steps <= {(0, 1), (1, 0), (1, 1)} and (rows[0], columns[0]) == (0, 0)


def test_eight_seconds_are_aligned_in_half_a_second():
    first, second = (audio(0.1 * noise(8 * RATE, seed)) for seed in (0, 1))
    started = time.process_time()
    mel_cepstral_distortion(first, second)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(("hz", "expected"), [(5, 2.568099577), (10, 2.767061689), (64, 0.1025829498)])
def test_srmr_of_modulated_noise_is_that_of_the_authors_toolbox(hz: float, expected: float):
    """The expected values are SRMRpy's (fast=False, norm=False), the Python port of the authors' SRMRToolbox."""
    modulated = (1 + np.sin(2 * np.pi * hz * np.arange(2 * RATE) / RATE)) * noise(2 * RATE) * 0.1
    assert srmr(audio(modulated)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("index", "expected"), [(0, 6.276200), (2, 2.836550), (3, 12.925232)])
def test_srmr_of_speech_is_that_of_the_authors_toolbox(index: int, expected: float):
    assert srmr(VOICES[index]) == pytest.approx(expected, rel=1e-5)


def test_srmr_falls_with_reverberation():
    for voice in VOICES[:3]:
        scores = [srmr(reverberant(voice, late)) for late in (0.25, 0.5, 1.0, 2.0)]
        assert scores == sorted(scores, reverse=True) and scores[0] > 1.1 * scores[-1]
    with pytest.raises(ValueError, match="0.256 s"):
        srmr(audio(tone(440, 0.2)))
    with pytest.raises(ValueError, match="silent"):
        srmr(SILENCE)


@pytest.mark.parametrize("late", [0.25, 0.5, 1.0])
def test_reverberation_ratio_of_white_noise_is_that_of_the_room(late: float):
    dry = audio(0.1 * noise(4 * RATE, 5))
    response, early = room(late)
    expected = 10 * np.log10(np.sum(early**2) / np.sum((response - early) ** 2))
    assert reverberation_ratio(dry, reverberant(dry, late)) == pytest.approx(expected, abs=0.3)


def test_reverberation_ratio_rises_by_six_db_when_late_reverberation_is_halved():
    for voice in VOICES[:3]:
        scores = [reverberation_ratio(voice, reverberant(voice, late)) for late in (2.0, 1.0, 0.5, 0.25)]
        assert np.diff(scores) == pytest.approx([6.02] * 3, abs=0.3)
        assert reverberation_ratio(voice, reverberant(voice, 0.0)) > 40


def test_gap_ratio_rises_with_every_halving_until_the_speech_is_dry():
    for voice in VOICES[:3]:
        dry = gap_ratio(voice, voice)
        scores = [gap_ratio(voice, reverberant(voice, late)) for late in (2.0, 1.0, 0.5, 0.25)]
        assert 3 < scores[1] - scores[0] < 6.5 and scores == sorted(scores) and scores[-1] < dry


def test_gap_ratio_is_blind_to_phase_where_the_ratio_of_waveforms_is_not():
    from scipy.signal import hilbert

    voice = VOICES[0]
    seconds = np.arange(voice.samples.shape[1]) / RATE
    shifted = audio(np.real(hilbert(voice.samples[0]) * np.exp(2j * np.pi * 3 * seconds)))  # each component by 3 Hz
    assert reverberation_ratio(voice, shifted) < 5
    assert gap_ratio(voice, shifted) == pytest.approx(gap_ratio(voice, voice), abs=1)


def test_reverberation_needs_sound_and_gaps():
    for ratio in (reverberation_ratio, gap_ratio):
        with pytest.raises(ValueError, match="silent"):
            ratio(SILENCE, VOICES[0])
        with pytest.raises(ValueError, match="0.25 s"):
            ratio(VOICES[0], audio(tone(440, 0.1)))
    with pytest.raises(ValueError, match="no gap"):
        gap_ratio(audio(0.1 * noise(RATE)), audio(0.1 * noise(RATE)))


def test_a_step_in_a_steady_sound_is_a_click_and_grows_with_its_height():
    sound = tone(300, 2.0) + 0.002 * noise(2 * RATE)
    after = np.arange(len(sound)) >= RATE
    assert join_click(audio(sound), 1.0) < CLICK_DB
    scores = [join_click(audio(sound + np.where(after, height, 0)), 1.0) for height in (0.05, 0.1, 0.2, 0.4)]
    assert scores == sorted(scores) and scores[0] > CLICK_DB
    assert join_click(audio(sound + np.where(after, 0.2, 0)), 0.5) < CLICK_DB  # elsewhere it is no click


def test_a_crossfade_of_speech_is_no_click_and_a_step_is_one():
    for first, second in zip(VOICES, VOICES[1:], strict=False):
        size = min(first.samples.shape[1], second.samples.shape[1])
        for at in (size // 3, size // 2):
            inside = np.clip((np.arange(size) - at) / 320 + 0.5, 0, 1)
            faded = first.samples[0, :size] * (1 - inside) + second.samples[0, :size] * inside
            assert join_click(audio(faded), at / RATE) < CLICK_DB
            stepped = first.samples[0] * 0.7 + np.where(np.arange(first.samples.shape[1]) >= at, 0.25, 0)
            assert join_click(audio(stepped), at / RATE) > CLICK_DB


def test_a_join_must_be_inside_a_long_enough_recording():
    for seconds in (-0.1, 0.0, 60.0):
        with pytest.raises(ValueError, match="not inside"):
            join_click(VOICES[0], seconds)
    with pytest.raises(ValueError, match="too little"):
        join_click(audio(tone(440, 0.25)), 0.1)
    with pytest.raises(ValueError, match="too little"):
        join_click(SILENCE, 0.5)
