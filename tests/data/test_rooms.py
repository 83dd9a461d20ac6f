"""Made rooms: the held-out ones are others, and what is said of a response is what others measure on it."""

import importlib.util
import json
import math
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from uniaudio.audio.corrupt import direct_sample
from uniaudio.data.synthesize import rooms
from uniaudio.data.synthesize.rooms import RT60S, VOLUMES, Room, plan, render
from uniaudio.errors import InputError

SPLITS = ("train", "dev", "test")


def sounding() -> list[Room]:
    """Twenty rooms of every split, from the shortest RT60 to the longest."""
    pytest.importorskip("pyroomacoustics")
    planned = sorted(plan(0.5, 1), key=lambda room: room.rt60_target)
    return planned[:: len(planned) // 19][:19] + planned[-1:]


def test_held_out_rooms_are_others() -> None:
    jobs = plan(4.0, 0) + plan(0.5, 1)
    own = {split: [job for job in jobs if job.split == split] for split in SPLITS}
    for facts in (
        lambda job: job.name,
        lambda job: round(math.prod(job.size), 3),
        lambda job: job.rt60_target,
        lambda job: job.size,
    ):
        train, dev, test = ({facts(job) for job in own[split]} for split in SPLITS)
        assert train and dev and test and not (train & dev or train & test or dev & test)
    for ranges, value in ((VOLUMES, lambda job: math.prod(job.size)), (RT60S, lambda job: job.rt60_target)):
        for job in jobs:
            assert any(low <= value(job) <= high for low, high in ranges[job.split])
        spans = sorted((low, high) for every in ranges.values() for low, high in every)
        assert all(high < low for (_, high), (low, _) in zip(spans, spans[1:], strict=False))


def test_the_plan_has_the_hours_all_reverberation_times_and_one_order_for_a_seed() -> None:
    jobs = plan(0.5, 0)
    assert sum(job.seconds for job in jobs) / 3600 == pytest.approx(0.5, rel=0.1)
    targets = [job.rt60_target for job in jobs if job.split == "train"]
    assert min(targets) < 0.23 and max(targets) > 1.17 and 0.2 <= min(targets) and max(targets) <= 1.2
    assert len({job.id for job in jobs}) == len(jobs) and len({job.split for job in jobs[:200]}) == 3
    assert {job.split for job in plan(1e-6, 0)} == set(SPLITS) and plan(0.5, 1) != jobs
    code = "import json,dataclasses as d;from uniaudio.data.synthesize.rooms import plan;"
    code += "print(json.dumps([d.asdict(j) for j in plan(0.02, 5)]))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == json.loads(json.dumps([asdict(job) for job in plan(0.02, 5)]))


def test_walls_absorb_what_eyring_says() -> None:
    for job in plan(0.05, 2):
        length, width, height = job.size
        surface = 2 * (length * width + length * height + width * height)
        absorbed = rooms._absorption(job.size, job.rt60_target)
        assert 0.03 <= absorbed <= 0.6
        assert 0.161 * length * width * height / (-surface * math.log(1 - absorbed)) == pytest.approx(
            job.rt60_target, rel=0.01
        )


def test_talker_and_microphone_stand_in_the_room_and_apart() -> None:
    rng = np.random.default_rng(0)
    for job in plan(0.1, 3):
        for place in (places := rooms._positions(job, rng)):
            assert ((place >= 0.4) & (place <= np.array(job.size) - 0.4)).all()
        assert 0.3 < np.linalg.norm(places[0] - places[1]) <= 4.0


def test_the_measured_rt60_is_the_label_by_an_independent_judge(tmp_path: Path) -> None:
    chosen = sounding()
    import soundfile
    from pyroomacoustics.experimental.rt60 import measure_rt60

    near = []
    for room in chosen:
        made = render(room)
        soundfile.write(tmp_path / "r.flac", made.samples, 16000, subtype="PCM_16")  # as the corpus stores it
        stored, _ = soundfile.read(tmp_path / "r.flac")
        label = made.custom["rt60"]
        judged = [measure_rt60(stored, fs=16000, decay_db=decay_db) for decay_db in (20, 30)]
        near += [abs(value / label - 1) <= 0.2 for value in judged]
        assert label == pytest.approx(room.rt60_target, rel=0.2)
    assert np.mean(near) >= 0.95


def test_the_direct_path_is_one_and_where_the_distance_says() -> None:
    for room in sounding()[::3]:
        made = render(room)
        samples, custom = made.samples, made.custom
        direct = custom["direct_sample"]
        assert samples.dtype == np.float32 and len(samples) == round(room.seconds * 16000)
        assert np.argmax(np.abs(samples)) == np.argmax(samples) == direct and samples[direct] == 1
        assert direct == pytest.approx(custom["distance_m"] / 343 * 16000, abs=2)
        assert np.abs(samples[: max(0, direct - 45)]).max(initial=0) < 0.05  # nothing is heard before it
        assert custom["room"] == room.name and custom["rt60_target"] == room.rt60_target
        clean = 0.1 * np.random.default_rng(0).standard_normal(16000)
        heard = np.correlate(np.convolve(clean, samples)[direct_sample(samples) :][: len(clean)], clean, "full")
        assert np.argmax(heard) == len(clean) - 1  # no lag between what is said and what is heard


def test_a_response_is_made_of_its_job_alone() -> None:
    first, second = sounding()[4], sounding()[9]
    wanted = render(first)
    render(second)
    again = render(first)
    np.testing.assert_array_equal(wanted.samples, again.samples)
    assert wanted.custom == again.custom


def test_the_tail_follows_the_reflections_at_their_level() -> None:
    room = Room(id="r", split="train", size=(6.0, 4.0, 3.0), rt60_target=0.5, seed=0)
    rng = np.random.default_rng(1)
    seconds = np.arange(2000) / 16000  # image sources end early
    early = 0.1 * rng.standard_normal(2000) * 10 ** (-3 * seconds / 0.5)
    whole = rooms._with_tail(early, room, rng)
    assert len(whole) == round(room.seconds * 16000)
    np.testing.assert_array_equal(whole[:800], early[:800])
    for start in (1000, 4000, 8000):
        piece = slice(start, start + 500)
        expected = 0.1 * 10 ** (-3 * (start + 250) / 16000 / 0.5)
        assert np.sqrt(np.mean(whole[piece] ** 2)) == pytest.approx(expected, rel=0.25)


def test_a_missing_engine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pyroomacoustics is not installed"):
        rooms.needs()
