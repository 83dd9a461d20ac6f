"""Made sound scenes: classes that can be told apart, stems that add up, captions that are true and held out."""

import itertools
import random
from collections import Counter
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from uniaudio.data.synthesize import sound
from uniaudio.data.synthesize.captions import (
    EDIT_KINDS,
    captions,
    definite,
    edit_instruction,
    event_phrase,
    order,
    position_phrase,
)
from uniaudio.data.synthesize.events import EVENTS
from uniaudio.data.synthesize.events.scene import DISTANCES, Background, Scene, SceneEvent
from uniaudio.data.synthesize.sentences import split_of
from uniaudio.data.synthesize.sound import mix, render_background, render_events, scene_from
from uniaudio.errors import InputError

pytest.importorskip("scipy")
RATE = 16000
DOG = SceneEvent(name="dog", start=1.0, seconds=1.5, count=3, gain_db=-5.0, distance="middle", seed=1)
SIREN = SceneEvent(name="siren", start=3.0, seconds=1.5, count=1, gain_db=-5.0, distance="far", seed=2)
RAIN = SceneEvent(name="rain", start=0.0, seconds=5.0, count=1, gain_db=-8.0, distance="middle", seed=3)


def scene(*events: SceneEvent) -> Scene:
    return Scene(seconds=5.0, events=events, background=Background(name="hiss", level_db=-30.0, seed=4))


@pytest.fixture(scope="module")
def jobs() -> list[sound.SoundJob]:
    return sound.plan(0.3, seed=3)


def features(samples: np.ndarray) -> np.ndarray:
    """Means and deviations of 21 log bands, how fast they change, the rhythm of the loudness, how tonal it is."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, (256, 512)), 512)[::160] * np.hanning(512)
    power = np.abs(np.fft.rfft(frames)) ** 2  # [T, 257]
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 22)
    edges = np.round(700 * (10 ** (mel / 2595) - 1) / 8000 * 256).astype(int)
    bands = np.stack([power[:, low : max(high, low + 1)].mean(1) for low, high in itertools.pairwise(edges)], 1)
    logs = np.log(bands / bands.mean() + 1e-4)  # [T, 21]
    loudness = np.sqrt(power.sum(1))
    rhythm = np.abs(np.fft.rfft(loudness - loudness.mean(), 512))[:64]
    rhythm = np.log(rhythm.reshape(16, 4).mean(1) / (rhythm.mean() + 1e-9) + 1e-2)
    tonal = np.log((power.max(1) + 1e-9) / (power.mean(1) + 1e-9))
    steadiness = [np.log(loudness.std() / (loudness.mean() + 1e-9) + 1e-2), tonal.mean(), tonal.std()]
    changes = np.abs(np.diff(logs, axis=0)).mean(0)
    return np.concatenate((logs.mean(0), logs.std(0), changes, rhythm, steadiness))


def test_an_independent_listener_tells_the_classes_apart() -> None:
    assert len(EVENTS) >= 36 and len({event.family for event in EVENTS.values()}) >= 6

    def examples(seeds: range) -> tuple[np.ndarray, np.ndarray]:
        found, labels = [], []
        for (label, event), seed in itertools.product(enumerate(EVENTS.values()), seeds):
            low, high = event.seconds
            rng = np.random.default_rng(seed)
            made = event.render(rng, rng.uniform(low, min(high, low + 0.5)))
            made = np.convolve(made, [1.0, rng.uniform(-0.9, 0.9)], "same")  # any microphone, and noise 15-30 dB below
            level = made.std() * 10 ** (-rng.uniform(15, 30) / 20)
            found.append(
                features(
                    np.pad(made, (0, max(0, RATE - len(made)))) + level * rng.standard_normal(max(len(made), RATE))
                )
            )
            labels.append(label)
        return np.array(found), np.array(labels)

    x, y = examples(range(6))
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    x = (x - mean) / deviation
    centres = np.stack([x[y == label].mean(0) for label in range(len(EVENTS))])
    inner = x - centres[y]
    whiten = np.linalg.inv(inner.T @ inner / len(x) + 0.1 * np.eye(x.shape[1]))
    held, truth = examples(range(100, 102))
    held = (held - mean) / deviation  # discriminant x S c - c S c / 2 of each class
    guess = (held @ whiten @ centres.T - 0.5 * np.sum(centres @ whiten * centres, axis=1)).argmax(1)
    right = guess == truth
    print(f"{right.mean():.3f} of {len(truth)} held-out examples of {len(EVENTS)} classes")
    assert right.mean() > 0.6, f"{right.mean():.2f} of {len(EVENTS)} classes; chance is {1 / len(EVENTS):.3f}"
    never = [name for label, name in enumerate(EVENTS) if not right[truth == label].any()]
    assert len(never) <= 5, f"never recognised: {never}"


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_sounds_and_has_words(name: str) -> None:
    event = EVENTS[name]
    assert len(set(event.nouns)) >= 4 and len(set(event.says)) >= 3
    assert event.countable == bool(event.plurals) and event.seconds[0] < event.seconds[1]
    for seconds in (event.seconds[0], min(3.0, event.seconds[1])):
        made = event.render(np.random.default_rng(7), seconds)
        assert made.dtype == np.float32 and len(made) == round(seconds * RATE)
        assert np.isfinite(made).all() and np.abs(made).max() == pytest.approx(1.0, abs=1e-3)
        assert abs(made[0]) < 0.05 and abs(made[-1]) < 0.05  # no click at the edges
    assert np.array_equal(made, event.render(np.random.default_rng(7), seconds))
    assert not np.allclose(made, event.render(np.random.default_rng(8), seconds), atol=0.05)


def test_removing_an_event_leaves_the_others_as_they_are() -> None:
    whole = render_events(scene(DOG, SIREN, RAIN))
    less = render_events(scene(DOG, RAIN))
    assert all(stem.dtype == np.float32 and stem.shape == (5 * RATE,) for stem in whole)
    assert np.array_equal(whole[0], less[0]) and np.array_equal(whole[2], less[1])
    background = render_background(scene())
    removed = mix([*whole, background]) - mix([*less, background])
    np.testing.assert_allclose(removed, whole[1], atol=1e-6)
    assert not np.array_equal(render_events(scene(replace(DOG, seed=9)))[0], whole[0])
    assert np.abs(whole[0][: RATE - 1]).max() == 0.0  # nothing before its start


def test_loudness_and_distance_are_heard() -> None:
    def level(event: SceneEvent) -> float:
        return float(10 * np.log10(np.mean(render_events(scene(event))[0] ** 2)))

    def high(event: SceneEvent) -> float:
        spectrum = np.abs(np.fft.rfft(render_events(scene(event))[0])) ** 2
        return float(spectrum[len(spectrum) // 2 :].sum() / spectrum.sum())

    quiet = replace(RAIN, gain_db=RAIN.gain_db - 6)
    assert level(RAIN) - level(quiet) == pytest.approx(6.0, abs=0.1)
    near, middle, far = (replace(RAIN, distance=distance) for distance in DISTANCES)
    assert level(near) > level(middle) + 3 and level(middle) > level(far) + 4
    assert high(near) > high(middle) > 5 * high(far)


@pytest.mark.parametrize("name", ["knock", "dog", "drip", "telephone"])
def test_the_count_is_heard(name: str) -> None:
    for count in (1, 2, 3):
        seconds = count * EVENTS[name].seconds[1] + (count - 1) * EVENTS[name].gap[1]
        event = SceneEvent(name=name, start=0.5, seconds=seconds, count=count, gain_db=0.0, distance="near", seed=5)
        stem = render_events(Scene(seconds=8.0, events=(event,)))[0]
        loud = np.sqrt((stem[: len(stem) // 160 * 160].reshape(-1, 160) ** 2).mean(1))  # 10 ms
        loud = np.convolve(loud, np.ones(5) / 5, "same") > 0.1 * loud.max()
        assert int(np.sum(np.diff(loud.astype(int), prepend=0) > 0)) == count


def test_a_plan_is_the_same_for_a_seed_and_every_split_is_there(jobs: list[sound.SoundJob]) -> None:
    assert jobs == sound.plan(0.3, seed=3) != sound.plan(0.3, seed=4)
    assert {job.split for job in sound.plan(0.001, seed=0)} == {"train", "dev", "test"}
    assert len({job.id for job in jobs}) == len(jobs)
    assert sum(job.scene.seconds for job in jobs) / 3600 == pytest.approx(0.3, rel=0.15)
    relations = Counter(order(job.scene)[0] for job in jobs)
    assert set(relations) == {"one", "sequence", "over", "together"}
    for job in jobs:
        for event in job.scene.events:
            assert 0 <= event.start and event.end <= job.scene.seconds + 1e-6
            assert 1 <= event.count <= EVENTS[event.name].most
        assert len({event.name for event in job.scene.events}) == len(job.scene.events)


def test_captions_are_many_and_held_out(jobs: list[sound.SoundJob]) -> None:
    for job in jobs:
        assert len(set(job.captions)) >= 8
        assert {split_of(text) for text in job.captions} == {job.split}
        assert not any(mark in text for text in job.captions for mark in ("{", "}", "  ", " ,", "|"))
    words: dict[str, set[str]] = {split: set() for split in ("train", "dev", "test")}
    for job in jobs:
        words[job.split].update(text.lower() for text in job.captions)
    assert not (words["train"] & words["test"] or words["train"] & words["dev"] or words["dev"] & words["test"])


def test_captions_say_count_distance_and_order() -> None:
    texts = captions(scene(DOG, SIREN), "train", random.Random(0), count=100)
    assert len(texts) == 100
    far = ("far away", "in the distance", "far off", "a long way off", "at a distance", "from afar")
    for text in texts:
        assert "three" in text.lower() and any(word in text for word in far)
    assert order(scene(SIREN, DOG)) == ("sequence", [DOG, SIREN])
    assert order(scene(RAIN, DOG)) == ("over", [DOG, RAIN])
    assert order(scene(RAIN, DOG, SIREN)) == ("over", [DOG, SIREN, RAIN])
    assert order(scene(RAIN, replace(SIREN, start=0.0, seconds=5.0)))[0] == "together"
    ordered = [text for text in texts if ", then " in text]
    barks = ("bark", "woof")
    for text in ordered:
        first, second = text.split(", then ", 1)
        assert any(word in first.lower() for word in barks) and not any(word in second for word in barks)
    assert ordered
    loud = captions(scene(replace(DOG, gain_db=-1.0, distance="near")), "train", random.Random(0), count=100)
    assert sum("loud" in text for text in loud) > 30 and not any("soft" in text for text in loud)
    assert sum("far" in text or "distance" in text for text in loud) == 0


def test_a_recording_tells_its_scene(jobs: list[sound.SoundJob]) -> None:
    for job in jobs[:6]:
        made = sound.render(job)
        assert made.samples.dtype == np.float32 and len(made.samples) == round(job.scene.seconds * RATE)
        assert 0.005 < np.abs(made.samples).max() < 1.0
        custom: dict[str, Any] = dict(made.custom)
        assert custom["caption"] == custom["captions"][0] and custom["captions"] == list(job.captions)
        assert scene_from(custom, job.scene.seconds) == job.scene
        assert custom["classes"] == sorted({event.name for event in job.scene.events})
    assert np.array_equal(sound.render(jobs[0]).samples, sound.render(jobs[0]).samples)
    assert asdict(jobs[0])["scene"]["seconds"] == jobs[0].scene.seconds


@pytest.mark.parametrize("kind", EDIT_KINDS)
def test_instructions_have_many_wordings_in_every_split(kind: str) -> None:
    rng = random.Random(0)
    phrase = "a dog barking" if kind in ("add", "remove", "replace") else ""
    other = "falling rain" if kind == "replace" else ""
    for split in ("train", "dev", "test"):
        texts = {edit_instruction(kind, phrase, other, rng, split) for _ in range(40)}
        assert len(texts) >= 8 and {split_of(text) for text in texts} == {split}
        assert not any("{" in text or "|" in text or "  " in text for text in texts)
        assert all("dog barking" in text for text in texts) or not phrase
        assert all(other in text for text in texts)


def test_phrases_for_instructions() -> None:
    rng = random.Random(0)
    assert definite("a siren") == "the siren" and definite("rain") == "the rain"
    assert definite("two knocks") == "the two knocks" and definite("just one bark") == "the bark"
    assert definite("someone typing") == "the sound of someone typing" and definite("the surf") == "the surf"
    assert {event_phrase(DOG, rng) for _ in range(50)} >= {"three dog barks"}
    assert "the " in position_phrase(replace(DOG, start=1.8), scene(DOG), rng)
    assert position_phrase(RAIN, scene(RAIN), rng) == ""
    assert position_phrase(SIREN, scene(SIREN), rng) in ("at the end", "towards the end", "in the second half")


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="no event 'unicorn'"):
        render_events(scene(replace(DOG, name="unicorn")))
    with pytest.raises(InputError, match="no edit 'reverse'"):
        edit_instruction("reverse")
    with pytest.raises(InputError, match="needs the words"):
        edit_instruction("replace", "a siren")
    with pytest.raises(InputError, match="custom fields"):
        scene_from({"events": [{"class": "dog"}]}, 5.0)
    with pytest.raises(InputError, match="no split"):
        captions(scene(DOG), "validation", random.Random(0))
    with pytest.raises(InputError, match="no stems"):
        mix([])
