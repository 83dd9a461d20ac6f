"""The judge of sound and music: what ships hears fresh scenes; what trains it learns, resumes and says what it is."""

import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.corpora import write_corpus

from uniaudio import checkpoint
from uniaudio.audio.io import Audio
from uniaudio.data.synthesize.events import EVENTS
from uniaudio.data.synthesize.events.scene import Scene, SceneEvent, mix, render_events
from uniaudio.data.synthesize.sound import draw_scene
from uniaudio.errors import InputError
from uniaudio.evaluate import classifier
from uniaudio.evaluate.classifier import FOLDER, Classifier, ClassifierConfig, labels_of, listen, made_labels, shipped
from uniaudio.evaluate.embedders import embedder
from uniaudio.evaluate.metrics.class_accuracy import class_accuracy, contains
from uniaudio.evaluate.metrics.diversity import diversity
from uniaudio.evaluate.metrics.frechet_distance import frechet_distance
from uniaudio.evaluate.metrics.kl_divergence import kl_divergence
from uniaudio.recipes import event_judge, run
from uniaudio.train.loop import TrainState
from uniaudio.train.objectives.classifier import ClassifierObjective, ClassifierObjectiveConfig, LabelledClip

RATE = 16000
SMALL = ClassifierConfig(stem=(8, 8, 8), width=16, blocks=1, embedding=8)


def over_rain(name: str) -> Scene:
    """Return a scene of an event, then only its background of rain."""
    rain = SceneEvent(name="rain", start=0.0, seconds=5.0, count=1, gain_db=-8.0, distance="middle", seed=31)
    seconds = min(EVENTS[name].seconds[1], 2.5)
    made = SceneEvent(name=name, start=1.0, seconds=seconds, count=1, gain_db=-3.0, distance="near", seed=32)
    return Scene(seconds=5.0, events=(rain, made))


def sound_of(scene: Scene) -> Audio:
    return Audio(mix(render_events(scene))[None], RATE)


@cache
def scenes() -> tuple[list[Audio], list[list[str]]]:
    """Return scenes of a seed that no corpus has, and their classes."""
    drawn = [draw_scene(random.Random(f"tests/evaluate {index}")) for index in range(20)]
    return [sound_of(scene) for scene in drawn], [sorted({one.name for one in scene.events}) for scene in drawn]


def noisy(audio: Audio, amount: float) -> Audio:
    noise = np.random.default_rng(0).standard_normal(audio.samples.shape) * np.abs(audio.samples).max()
    return Audio((audio.samples + amount * noise).clip(-1, 1).astype(np.float32), audio.sample_rate)


# What ships


def test_the_shipped_judge_is_small_and_knows_the_labels_of_made_audio():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_500_000
    assert {tensor.dtype for tensor in checkpoint.load(FOLDER).tensors.values()} == {torch.bfloat16}
    assert shipped().config.labels == made_labels()


def test_the_shipped_judge_tells_fresh_scenes_apart():
    clips, asked = scenes()
    heard = [listen(clip).probabilities["event"] for clip in clips]
    own = np.mean([class_accuracy(shares, names) for shares, names in zip(heard, asked, strict=True)])
    others = np.mean(
        [class_accuracy(shares, names) for shares, names in zip(heard, asked[7:] + asked[:7], strict=True)]
    )
    assert own > 0.75 and others < 0.25


@pytest.mark.parametrize("name", ["dog", "telephone", "helicopter", "glass_breaking", "applause", "church_bell"])
def test_an_event_is_there_after_it_is_added_and_gone_after_it_is_removed(name: str):
    scene = over_rain(name)
    rest = replace(scene, events=scene.events[:1])
    before, after = (listen(sound_of(one)).probabilities["event"] for one in (rest, scene))
    assert contains(after, name) and not contains(before, name)
    assert contains(before, "rain") and contains(after, "rain")


def test_music_is_heard_by_instrument_and_style():
    pytest.importorskip("tinysoundfont")
    music = pytest.importorskip("uniaudio.data.synthesize.music")
    try:
        jobs = music.plan(0.02, 987654)[:6]
    except InputError as error:
        pytest.skip(str(error))
    right = []
    for job in jobs:
        made = music.render(job)
        heard = listen(Audio(made.samples[None], RATE)).probabilities
        asked = labels_of(made.custom)
        assert sorted(asked) == ["instrument", "style", "tempo"]
        right.append(class_accuracy(heard["instrument"], asked["instrument"]))
    assert np.mean(right) > 0.5


def test_what_is_heard_has_its_shapes_and_does_not_depend_on_level_rate_or_channels():
    clip = scenes()[0][0]
    heard = listen(clip)
    width = shipped().config.embedding
    assert heard.embedding.shape == (width,) and heard.seconds.shape == (int(clip.seconds), width)
    assert heard.distribution.sum() == pytest.approx(1) and len(heard.distribution) == 71 + 62
    assert all(sum(heard.probabilities[kind].values()) == pytest.approx(1) for kind in ("style", "tempo"))
    assert embedder("own")(clip) == pytest.approx(heard.seconds)
    quiet = listen(Audio(np.repeat(clip.samples, 2, 0) * 0.25, RATE))
    assert quiet.embedding == pytest.approx(heard.embedding, abs=0.05)
    assert kl_divergence(heard.distribution, listen(clip.resample(48000)).distribution) < 0.05


@pytest.mark.parametrize(("samples", "why"), [(np.zeros((1, RATE)), "silent"), (np.ones((1, 4000)), "at least 0.5 s")])
def test_what_cannot_be_judged_says_so(samples: np.ndarray, why: str):
    with pytest.raises(ValueError, match=why):
        listen(Audio(samples.astype(np.float32), RATE))


def test_figures_get_worse_as_noise_gets_louder():
    clips, asked = scenes()
    heard = [[listen(noisy(clip, amount)) for clip in clips] for amount in (0.0, 0.03, 0.2, 1.0)]
    clean = heard[0]
    seconds = [np.concatenate([one.seconds for one in column]) for column in heard]
    distances = [frechet_distance(seconds[0], one, least=100) for one in seconds]
    divergences = [
        np.mean([kl_divergence(a.distribution, b.distribution) for a, b in zip(clean, column, strict=True)])
        for column in heard
    ]
    accuracies = [
        np.mean([class_accuracy(one.probabilities["event"], names) for one, names in zip(column, asked, strict=True)])
        for column in heard
    ]
    spreads = [diversity(np.stack([one.embedding for one in column])) for column in heard]
    assert distances[0] < 1e-3 and distances == sorted(distances)
    assert divergences[0] < 1e-9 and divergences == sorted(divergences)
    assert accuracies == sorted(accuracies, reverse=True) and accuracies[-1] < accuracies[0]
    assert spreads == sorted(spreads, reverse=True)  # noise makes all clips alike


def test_labels_of_custom_fields():
    assert labels_of({"classes": ["dog", "rain"]}) == {"event": ["dog", "rain"]}
    music = {"instruments": ["piano"], "style": "waltz", "tempo_bpm": 100}
    assert labels_of(music) == {"instrument": ["piano"], "style": ["waltz"], "tempo": ["moderate"]}
    assert labels_of({"noise_type": "hum"}) == {}


# What trains it


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small corpora of noise with labels."""
    folder = tmp_path_factory.mktemp("made")
    splits = ("train", "train", "train", "test")
    event = {"class": "dog", "start": 0.5, "end": 1.0}
    sound = {"classes": ["dog"], "events": [event]}
    music = {"instruments": ["piano", "cello"], "style": "waltz", "tempo_bpm": 100}
    for kind, custom in (("sound", sound), ("music", music)):
        rows = [
            {"id": f"{kind}{i}", "split": split, "seconds": 4.0, "custom": custom} for i, split in enumerate(splits)
        ]
        write_corpus(folder / kind, rows, kind)
    return folder


def objective(corpora: Path, **settings: object) -> ClassifierObjective:
    clips = [event_judge._clip(row, group) for group, row in event_judge._rows(corpora, "train")]
    torch.manual_seed(0)
    made = replace(ClassifierObjectiveConfig(batch_size=4), **settings)  # type: ignore[arg-type]
    return ClassifierObjective(Classifier(SMALL), clips, made, RATE, {})


def test_a_batch_is_the_same_twice_and_has_each_group_in_turn(corpora: Path):
    first, second = objective(corpora, mix_share=0.0).batch(1, 2), objective(corpora, mix_share=0.0).batch(1, 2)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    mel, labels = first
    assert mel.shape[0] == 4 and mel.shape[2] == 64 and bool(torch.isfinite(mel).all())
    place = objective(corpora).place
    wanted = [
        ("instrument", "piano"),
        ("instrument", "cello"),
        ("style", "waltz"),
        ("tempo", "moderate"),
    ]
    for index, row in enumerate(labels):
        expected = [place[name] for name in wanted] if index % 2 == 0 else []
        assert set(row.nonzero().flatten().tolist()) - {place["event", "dog"]} == set(expected)


def test_an_event_counts_where_it_is_heard(corpora: Path):
    clip = LabelledClip(
        audio=next(corpora.glob("sound/*.flac")), seconds=4.0, group="sound", labels=(("event", "dog", 0.0, 1.0),)
    )
    made = ClassifierObjective(Classifier(SMALL), [clip], ClassifierObjectiveConfig(crop_seconds=(1.0, 1.0)), RATE, {})
    heard = [made._crop(0, 1.0, np.random.default_rng(seed))[1].sum().item() for seed in range(40)]
    assert 3 < sum(heard) < 20  # crops that begin before 0.7 s, of 3 s
    assert made._crop(0, 6.0, np.random.default_rng(0))[0].shape[0] == 384  # a short clip is repeated


def test_mixing_adds_the_labels_of_the_other_clip(corpora: Path):
    made = objective(corpora, mix_share=1.0, crop_seconds=(4.0, 4.0))
    place = made.place["event", "dog"]
    assert made.batch(0, 0)[1][:, place].tolist() == [1.0] * 4  # the music too


def test_the_classifier_overfits_a_batch(corpora: Path):
    made = objective(corpora, batch_size=2)
    batch = made.batch(0, 0)
    made.batch = lambda seed, step: batch  # type: ignore[method-assign]
    state = TrainState(
        made, event_judge.LoopConfig(steps=60, bf16=False, optim=event_judge.OptimConfig(lr=1e-2, warmup_steps=3))
    )
    losses = [state.advance()["loss"] for _ in range(60)]
    assert losses[-1] < 0.2 * losses[0]


def test_the_recipe_trains_resumes_exports_and_measures(
    corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    sizes = ["classifier.stem=8,8,8", "classifier.width=16", "classifier.blocks=1", "classifier.embedding=8"]
    sizes += ["objective.batch_size=4", "loop.steps=4", "loop.log_every=1", "loop.bf16=false"]
    run("event_judge", sizes, corpus=corpora, run=tmp_path / "whole")
    run("event_judge", sizes, corpus=corpora, run=tmp_path / "parts", minutes=1e-9)
    run("event_judge", sizes, corpus=corpora, run=tmp_path / "parts")
    whole, parts = (checkpoint.load(tmp_path / name / "checkpoint") for name in ("whole", "parts"))
    assert whole.config["step"] == parts.config["step"] == 4
    assert all(torch.equal(tensor, parts.tensors[name]) for name, tensor in whole.tensors.items())
    arguments = ["judge", "--run", str(tmp_path / "whole"), "--out", str(tmp_path / "out"), "--data", str(corpora)]
    monkeypatch.setattr("sys.argv", arguments)
    assert event_judge.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| event", "| instrument", "| style", "| tempo"]
    judge = classifier.load(tmp_path / "out")
    assert judge.config == SMALL and "seed None" in (tmp_path / "out" / "README.md").read_text()


def test_wrong_folders_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    write_corpus(tmp_path / "noise", [{"id": "a", "split": "train", "seconds": 1.0}], "noise")
    with pytest.raises(InputError, match="neither sound nor music"):
        run("event_judge", [], corpus=tmp_path, run=tmp_path / "run")
    monkeypatch.setattr("sys.argv", ["judge", "--run", str(tmp_path)])
    assert event_judge.main() == 2
    assert capsys.readouterr().err.startswith("error: there is no checkpoint")
    for wrong in ({"batch_size": 0}, {"crop_seconds": (0.0, 1.0)}):
        with pytest.raises(InputError):
            ClassifierObjectiveConfig(**wrong)  # type: ignore[arg-type]
