"""Made noise: held-out types stay held out, every type sounds as its name says, and a clip is made of its job alone."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from uniaudio.data.synthesize import noise
from uniaudio.data.synthesize.noise import SECONDS, TYPES, Noise, plan, render
from uniaudio.errors import InputError

ALL = [(split, noise_type) for split, types in TYPES.items() for noise_type in types]


def clip(noise_type: str, seed: int = 0, rms: float = 0.07) -> np.ndarray:
    pytest.importorskip("scipy")
    split = next(split for split, types in TYPES.items() if noise_type in types)
    return render(Noise(id="n", split=split, noise_type=noise_type, seed=seed, rms=rms)).samples


def spectrum(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and mean power of 0.5 s pieces."""
    pieces = samples.reshape(-1, 8000) * np.hanning(8000)
    return np.fft.rfftfreq(8000, 1 / 16000), np.mean(np.abs(np.fft.rfft(pieces)) ** 2, axis=0)


def test_no_type_is_in_two_splits() -> None:
    names = [noise_type for _, noise_type in ALL]
    assert len(names) == len(set(names))
    assert len(TYPES["train"]) >= 14 and len(TYPES["dev"]) >= 3 and len(TYPES["test"]) >= 3
    for split, types in TYPES.items():
        planned = [job for job in plan(10.0, 0) if job.split == split]
        assert {job.noise_type for job in planned} == set(types)
    assert len({job.seed for job in plan(10.0, 0)}) == len(plan(10.0, 0))


def test_the_plan_has_the_hours_the_shares_and_one_order_for_a_seed() -> None:
    jobs = plan(10.0, 5)
    assert len(jobs) * SECONDS / 3600 == pytest.approx(10.0, rel=0.01)
    assert sum(job.split == "train" for job in jobs) / len(jobs) == pytest.approx(0.95, abs=0.01)
    assert len({job.id for job in jobs}) == len(jobs)
    assert jobs[0].id.startswith(f"noise-{jobs[0].split}-") and len({job.split for job in jobs[:200]}) == 3
    assert plan(10.0, 6) != jobs
    assert {(job.split, job.noise_type) for job in plan(0.001, 5)} >= {(s, t) for s, t in ALL if s != "train"}
    code = "import json,dataclasses as d;from uniaudio.data.synthesize.noise import plan;"
    code += "print(json.dumps([d.asdict(j) for j in plan(0.5, 5)]))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == [asdict(job) for job in plan(0.5, 5)]


@pytest.mark.parametrize(("split", "noise_type"), ALL)
def test_every_type_is_sound_at_its_level_and_made_of_its_job_alone(split: str, noise_type: str) -> None:
    samples = clip(noise_type, seed=11)
    assert samples.shape == (160000,) and samples.dtype == np.float32 and np.isfinite(samples).all()
    rms, peak = np.sqrt(np.mean(samples**2)), np.abs(samples).max()
    assert peak < 0.951 and rms < 0.0701
    assert rms == pytest.approx(0.07, rel=1e-3) or (peak == pytest.approx(0.95, rel=1e-3) and rms > 0.01)
    assert abs(np.mean(samples)) < 1e-3
    seconds = np.sqrt(np.mean(samples.reshape(10, -1) ** 2, axis=1))
    assert seconds.min() > 1e-4  # no second of it is empty
    other = clip(noise_type, seed=12)
    assert abs(np.corrcoef(samples, other)[0, 1]) < 0.3
    assert render(Noise(id="n", split=split, noise_type=noise_type, seed=3, rms=0.05)).custom == {
        "noise_type": noise_type
    }


@pytest.mark.parametrize("noise_type", ["babble", "kitchen", "applause"])
def test_a_clip_is_the_same_every_time(noise_type: str) -> None:
    np.testing.assert_array_equal(clip(noise_type, seed=4), clip(noise_type, seed=4))


def test_a_talker_may_end_anywhere() -> None:
    pytest.importorskip("scipy")
    for seed in range(60):
        voice = noise._syllables(np.random.default_rng(seed), 1.0)
        assert voice.shape == (16000,) and voice.any()


@pytest.mark.parametrize(("noise_type", "slope"), [("white", 0.0), ("pink", -3.0), ("brown", -6.0), ("blue", 3.0)])
def test_coloured_noise_has_its_slope(noise_type: str, slope: float) -> None:
    hz, power = spectrum(clip(noise_type))
    octaves = [power[(hz >= low) & (hz < 2 * low)].mean() for low in (125, 250, 500, 1000, 2000, 4000)]
    found = np.polyfit(range(6), 10 * np.log10(octaves), 1)[0]  # dB per octave
    assert found == pytest.approx(slope, abs=0.8)


def test_mains_hum_is_at_multiples_of_the_mains() -> None:
    for seed in range(3):
        hz, power = spectrum(clip("mains_hum", seed))
        near = [power[np.abs(hz - mains * np.round(hz / mains)) <= 4].sum() / power.sum() for mains in (50, 60)]
        assert max(near) > 0.9


@pytest.mark.parametrize(
    "noise_type", ["traffic", "babble", "wind", "keyboard", "radio_static", "kitchen", "waves", "applause"]
)
def test_natural_noise_comes_and_goes(noise_type: str) -> None:
    def spread(name: str) -> float:
        """Mean over clips of the deviation in dB of the level of 0.2 s pieces."""
        pieces = [np.mean(clip(name, seed).reshape(-1, 3200) ** 2, axis=1) for seed in range(2)]
        return float(np.mean([np.std(10 * np.log10(piece)) for piece in pieces]))

    assert spread(noise_type) > 1.2 > 0.8 > spread("white")


def test_a_missing_engine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="scipy is not installed"):
        noise.needs()
