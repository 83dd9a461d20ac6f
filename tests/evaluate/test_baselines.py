"""Every baseline answers every request of its task, always the same, and does what it says."""

import inspect
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.corpora import small_corpora
from tests.requests import VALUES, noise, request_for

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError
from uniaudio.evaluate import baselines
from uniaudio.evaluate.baselines import BASELINES, Baseline, Training
from uniaudio.evaluate.baselines.interpolation import find_hole
from uniaudio.evaluate.baselines.splice import changed_words
from uniaudio.evaluate.baselines.tts import instructed
from uniaudio.evaluate.baselines.voice_pitch import typical_pitch
from uniaudio.evaluate.baselines.world import formant_ratio
from uniaudio.tasks import TASKS

RATE = 16000
ALL = [(task, one) for task, several in BASELINES.items() for one in several]
HEARING = [(task, one) for task, one in ALL if any(isinstance(v, Audio) for v in request_for(TASKS[task]).values())]
FORMANTS = ((500, 120), (1500, 160), (2500, 220))  # Hz, width


def vowel(hz: float, seconds: float, formants: float = 1.0) -> Audio:
    """Return a held vowel: harmonics of a pitch under three formants, whose frequencies are multiplied."""
    time = np.arange(round(seconds * RATE)) / RATE
    numbers = np.arange(1, int(5000 / hz))
    centres, widths = np.array(FORMANTS).T[:, :, None]
    gains = (1 / (1 + ((numbers * hz - centres * formants) / widths) ** 2)).sum(0)
    samples = (gains[:, None] * np.sin(2 * np.pi * hz * numbers[:, None] * time)).sum(0)
    return Audio((0.5 * samples / np.abs(samples).max())[None].astype(np.float32), RATE)


def syllables(hz: float = 120.0, seconds: float = 2.0) -> Audio:
    """Return a vowel that sounds for 0.25 s and pauses for 0.25 s, in turn."""
    on = (np.arange(round(seconds * RATE)) // (RATE // 4)) % 2 == 0
    return Audio((vowel(hz, seconds).samples * on).astype(np.float32), RATE)


def level_db(samples: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(samples.astype(np.float64) ** 2) + 1e-12))


def needed(task: str, name: str) -> Baseline:
    one = next(one for one in BASELINES[task] if one.name == name)
    if one.missing():
        pytest.skip(str(one.missing()))
    return one


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Training]:
    pytest.importorskip("lhotse")
    from uniaudio.data.pairs import pair

    folder = tmp_path_factory.mktemp("baselines")
    tasks = ("text_to_sound", "text_to_music")
    pair(small_corpora(folder / "corpora"), folder / "examples", tasks)
    return {task: Training(folder / "examples" / task, task) for task in tasks}


def request(task: str) -> dict[str, Any]:
    """Return a request with voices where voices are needed; of a speech edit, flite's own speech."""
    given = {
        name: syllables() if isinstance(value, Audio) else value for name, value in request_for(TASKS[task]).items()
    }
    if task == "speech_edit":
        from uniaudio.evaluate.baselines.spoken import Manner, flite

        given["source"] = flite(VALUES["text"], Manner()).audio
    if task in ("text_to_sound", "text_to_music"):
        given["caption"] = "rain wording"
    return given


def test_every_task_has_baselines_that_take_its_fields():
    assert BASELINES.keys() == TASKS.keys()
    for task, one in ALL:
        takes = set(inspect.signature(one.make).parameters)
        assert takes == set(TASKS[task].given) | ({"training"} if one.learns else set()), one.name
        assert set(one.needs) <= {*baselines._PROGRAMS, *baselines._PACKAGES}, one.name


@pytest.mark.parametrize(("task", "one"), ALL, ids=[f"{task}-{one.name}" for task, one in ALL])
def test_every_baseline_answers_always_the_same(task: str, one: Baseline, training: dict[str, Training]):
    needed(task, one.name)
    given = request(task)
    before = {name: value.samples.copy() for name, value in given.items() if isinstance(value, Audio)}
    made = one.run(given, training.get(task))
    assert made.sample_rate == RATE and made.samples.shape[0] == 1 and made.seconds > 0.3
    assert np.isfinite(made.samples).all() and 0.01 < np.abs(made.samples).max() <= 1
    again = one.run(request(task), training.get(task))
    np.testing.assert_array_equal(made.samples, again.samples)
    for name, samples in before.items():
        np.testing.assert_array_equal(given[name].samples, samples)  # the request is left as it was
    if TASKS[task].length in ("source", "noisy", "mixture", "reverberant"):
        assert made.samples.shape == given[TASKS[task].length].samples.shape


@pytest.mark.parametrize(("task", "one"), ALL, ids=[f"{task}-{one.name}" for task, one in ALL])
def test_what_is_not_installed_is_named_with_the_way_to_get_it(
    task: str, one: Baseline, monkeypatch: pytest.MonkeyPatch
):
    for package in baselines._PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    if not one.needs:
        assert one.missing() is None and baselines.missing(task) is None
        return
    assert baselines.missing(task) is not None
    with pytest.raises(InputError, match=f"{one.needs[0]}, which is not installed: .*install") as caught:
        one.run(request_for(TASKS[task]))
    assert "\n" not in str(caught.value)


def test_the_table_shows_the_first_that_is_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert baselines.baseline("tts").name == "flite"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "espeakng_loader", sys)
    monkeypatch.setattr(sys, "__spec__", object())
    assert baselines.baseline("tts").name == "espeak-ng"


def test_clips_that_cannot_be_done_have_a_reason():
    silent = Audio(np.zeros((1, RATE), np.float32), RATE)
    converter, wpe = needed("voice_conversion", "WORLD"), needed("dereverberation", "WPE")
    with pytest.raises(ValueError, match="no frame of the source is voiced"):
        converter.run({"source": silent, "speaker": syllables()})
    with pytest.raises(ValueError, match=r"WPE needs 1 s of sound"):
        wpe.run({"reverberant": silent})
    with pytest.raises(ValueError, match="mixture is empty"):
        BASELINES["target_speaker_extraction"][0].run(
            {"mixture": Audio(np.zeros((1, 0), np.float32), RATE), "speaker": silent}
        )
    with pytest.raises(ValueError, match="no voice was found"):
        typical_pitch(silent.samples[0])
    with pytest.raises(ValueError, match="no voice was found"):
        typical_pitch(noise(1.0).samples[0])


@pytest.mark.parametrize("seconds", [0.001, 0.1, 2.0])
@pytest.mark.parametrize(("task", "one"), HEARING, ids=[f"{task}-{one.name}" for task, one in HEARING])
def test_silent_and_short_clips_never_crash(task: str, one: Baseline, seconds: float):
    needed(task, one.name)
    for clip in (noise(seconds), Audio(np.zeros((1, round(seconds * RATE)), np.float32), RATE)):
        given = {name: clip if isinstance(value, Audio) else value for name, value in request_for(TASKS[task]).items()}
        try:
            made = one.run(given)
        except ValueError as reason:
            assert len(str(reason)) > 20 and "\n" not in str(reason)
        else:
            assert np.isfinite(made.samples).all() and np.abs(made.samples).max() <= 1


@pytest.mark.parametrize("hz", [80.0, 123.4, 220.0, 350.0])
def test_the_pitch_of_a_vowel_is_found(hz: float):
    assert typical_pitch(vowel(hz, 0.5).samples[0]) == pytest.approx(hz, rel=0.005)
    noisy = vowel(hz, 0.5).samples[0] + 0.2 * noise(0.5).samples[0]
    assert typical_pitch(noisy) == pytest.approx(hz, rel=0.01)


def test_engines_speak_at_the_pitch_of_the_prompt():
    for name in ("flite", "espeak-ng"):
        one = needed("tts", name)
        for hz in (110.0, 190.0):
            made = one.run({"text": VALUES["text"], "speaker": syllables(hz)})
            assert typical_pitch(made.samples[0]) == pytest.approx(hz, rel=0.1), (name, hz)


def test_instructions_are_obeyed():
    for engine in ("flite", "espeak-ng"):
        one = needed("instructed_tts", engine)

        def said(how: str, one: Baseline = one) -> Audio:
            return one.run({"text": VALUES["text"], "instruction": how})

        assert said("Say it slowly.").seconds > 1.1 * said("plainly").seconds > 1.2 * said("very fast!").seconds
        pitches = [typical_pitch(said(how).samples[0]) for how in ("with a low pitch", "plainly", "pitched high")]
        assert pitches[1] > 1.1 * pitches[0] and pitches[2] > 1.1 * pitches[1]
        assert level_db(said("quietly").samples) < level_db(said("loudly").samples) - 6


def test_keywords_that_contradict_each_other_change_nothing():
    plain = instructed("Read the text.", "flite")
    assert instructed("neither fast nor slow", "flite") == plain
    assert instructed("unhurriedly", "flite").tempo < 1 < instructed("hurriedly", "flite").tempo
    assert instructed("in a low volume", "flite").pitch_hz == plain.pitch_hz
    assert instructed("a woman's voice", "flite").female and not instructed("of a man or a woman", "flite").female


def test_notes_are_sung_at_their_pitch_and_time():
    one = needed("singing_synthesis", "espeak-ng, re-pitched")
    words = (("la", 57), ("twin-", 64), ("kle", 67), ("-", 62))
    notes = [{"pitch": p, "start": 0.5 + 0.6 * i, "end": 1.1 + 0.6 * i, "lyric": w} for i, (w, p) in enumerate(words)]
    made = one.run({"score": notes, "speaker": vowel(100, 1)}).samples[0]
    for note, (_, pitch) in zip(notes, words, strict=True):
        inside = made[round((note["start"] + 0.1) * RATE) : round((note["end"] - 0.1) * RATE)]
        assert 1200 * abs(np.log2(typical_pitch(inside) / (440 * 2 ** ((pitch - 69) / 12)))) < 40, note
    assert level_db(made[: round(0.45 * RATE)]) < -60 and len(made) == round((notes[-1]["end"] + 0.3) * RATE)


def test_world_moves_pitch_and_formants_to_the_speaker():
    one = needed("voice_conversion", "WORLD")
    made = one.run({"source": vowel(120, 1.0), "speaker": vowel(190, 1.0, formants=1.12)}).samples[0]
    assert typical_pitch(made) == pytest.approx(190, rel=0.02)
    spectrum = np.abs(np.fft.rfft(made))
    peak = 1000 + np.argmax(np.convolve(spectrum, np.hanning(400), "same")[1000:2200])  # bins of 1 Hz
    assert peak == pytest.approx(1500 * 1.12, rel=0.06)


@pytest.mark.parametrize("ratio", [0.85, 1.0, 1.15])
def test_the_ratio_of_formants_is_found(ratio: float):
    hertz = np.linspace(0, 8000, 513)

    def envelope(factor: float) -> np.ndarray:
        return np.log(sum(1 / (1 + ((hertz / factor - centre) / width) ** 2) for centre, width in FORMANTS) + 1e-3)

    brighter = envelope(ratio) + 2 + hertz / 4000  # level and slope do not count
    assert formant_ratio(envelope(1.0), brighter) == pytest.approx(ratio, abs=0.021)


@pytest.mark.parametrize("name", ["spectral gating", "RNNoise"])
def test_noise_falls_in_the_pauses_and_the_voice_stays_in_step(name: str):
    one = needed("speech_enhancement", name)
    clean = syllables(seconds=4.0).samples[0]
    noisy = clean + 0.3 * noise(4.0).samples[0]
    made = one.run({"noisy": Audio(noisy[None].astype(np.float32), RATE)}).samples[0]
    pause = np.concatenate([np.arange(start + 1600, start + 3600) for start in range(2 * RATE + 4000, 4 * RATE, 8000)])
    assert level_db(made[pause]) < level_db(noisy[pause]) - 6
    spectrum = np.fft.rfft(made, 2 * len(made)) * np.conj(np.fft.rfft(clean, 2 * len(made)))
    lag = int(np.fft.irfft(spectrum).argmax())
    assert min(lag, 2 * len(made) - lag) <= 4


def test_wpe_shortens_an_exponential_tail():
    one = needed("dereverberation", "WPE")
    bursts = (np.arange(4 * RATE) // 4000) % 4 == 0  # 0.25 s of sound, 0.75 s of pause
    wet = np.random.default_rng(0).standard_normal(4 * RATE) * bursts
    for start in range(640, len(wet), 640):  # echoes every 40 ms, each 3.1 dB weaker: 60 dB take 0.77 s
        wet[start : start + 640] += 0.7 * wet[start - 640 : start]
    wet = (0.5 * wet / np.abs(wet).max()).astype(np.float32)
    made = one.run({"reverberant": Audio(wet[None], RATE)}).samples[0]
    tail = np.concatenate([np.arange(start + 5200, start + 12000) for start in range(RATE, 3 * RATE, RATE)])
    assert level_db(made[tail]) < level_db(wet[tail]) - 10
    assert level_db(made[bursts]) > level_db(wet[bursts]) - 6


def test_the_mixture_is_returned_unchanged():
    mixture = noise(1.0)
    made = BASELINES["target_speaker_extraction"][0].run({"mixture": mixture, "speaker": noise(1.0, seed=1)})
    np.testing.assert_array_equal(made.samples, mixture.samples)


def test_a_hole_is_filled_and_the_rest_is_untouched():
    one = needed("audio_edit", "interpolation")
    loud, quiet = noise(3.0).samples[0], 0.1 * noise(3.0, seed=1).samples[0]
    samples = np.concatenate([loud[:RATE], np.zeros(RATE, np.float32), quiet[:RATE]])
    source = Audio(samples[None].astype(np.float32), RATE)
    assert find_hole(samples, RATE) == (RATE, 2 * RATE)
    made = one.run({"caption": "Please repair the missing part", "source": source}).samples[0]
    np.testing.assert_array_equal(made[:RATE], samples[:RATE])
    np.testing.assert_array_equal(made[2 * RATE :], samples[2 * RATE :])
    # The amplitude goes from .1 to .01 along a line.
    for place in (0.1, 0.5, 0.9):
        middle = RATE + round(place * RATE)
        amplitude = np.sqrt(np.mean(made[middle - 1000 : middle + 1000] ** 2))
        assert amplitude == pytest.approx(0.1 * (1 - place) + 0.01 * place, rel=0.2), place
    for caption in ("add a dog barking", "Put back the missing high frequencies"):
        np.testing.assert_array_equal(one.run({"caption": caption, "source": source}).samples[0], samples)
    whole = noise(1.0)
    same = one.run({"caption": "Fill in the missing part", "source": whole})
    np.testing.assert_array_equal(same.samples, whole.samples)


@pytest.mark.parametrize("task", ["text_to_sound", "text_to_music"])
def test_retrieval_returns_the_clip_of_the_same_caption(task: str, training: dict[str, Training]):
    from uniaudio.data.examples import load

    one, captions = needed(task, "retrieval"), training[task]
    assert len(captions.clips) >= 4
    for index, (caption, cut) in enumerate(captions.clips):
        found = captions.nearest(caption.upper() + "!")
        assert found <= index and captions.clips[found][0] == caption
        made = one.run({"caption": caption}, captions)
        np.testing.assert_array_equal(made.samples, load(captions.clips[found][1], RATE).samples)
        assert "-train-" in cut["recording"]["id"]
    assert captions.clips[captions.nearest("a siren, far away")][0].startswith("siren")
    with pytest.raises(ValueError, match="no training caption shares a word"):
        one.run({"caption": "xylophone"}, captions)
    with pytest.raises(InputError, match="needs the training examples"):
        one.run({"caption": "rain"})
    with pytest.raises(InputError, match="no examples at"):
        one.run({"caption": "rain"}, Training(Path("no-such-folder"), task))


def test_changed_words_are_one_span():
    assert changed_words("a b c d", "a x y d") == (1, 2, 2)
    assert changed_words("a b c", "a b new c") == (2, 0, 1)
    assert changed_words("a b c", "b c") == (0, 1, 0)
    assert changed_words("a b c d e", "x b c d y") == (0, 5, 5)
    with pytest.raises(ValueError, match="the same as the text"):
        changed_words("a b", "a b")


def test_a_splice_keeps_what_the_edit_does_not_touch():
    one = needed("speech_edit", "flite splice")
    given = request("speech_edit")  # "The old man bought a boat." -> "... a red boat."
    source, made = given["source"].samples[0], one.run(given).samples[0]
    assert 0.1 < (len(made) - len(source)) / RATE < 0.8
    np.testing.assert_array_equal(made[: RATE // 2], source[: RATE // 2])
    np.testing.assert_allclose(made[-RATE // 5 :], source[-RATE // 5 :], atol=1e-6)
    shorter = one.run({**given, "edited_text": "The old man bought a boat.", "text": VALUES["edited_text"]})
    assert shorter.seconds < given["source"].seconds
    with pytest.raises(ValueError, match="words cannot be exchanged"):
        one.run({**given, "source": Audio(np.zeros((1, RATE), np.float32), RATE)})
