"""Made corpora: the same seed gives the same corpus, whatever was interrupted, and never a mixture of two."""

import json
import shutil
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from uniaudio.data.manifests import read_manifest
from uniaudio.data.synthesize import DEFAULT_HOURS, KINDS, speech, synthesize
from uniaudio.data.synthesize.corpus import SAMPLE_RATE, Rendered, make_corpus
from uniaudio.data.synthesize.sentences import grammar_sentences, split_of
from uniaudio.data.synthesize.speakers import Speaker
from uniaudio.data.synthesize.speech import Utterance
from uniaudio.errors import InputError

HOURS = 0.02
SPEAKER = Speaker(name="slt-0800-160", engine="flite", base="slt", formant_ratio=0.8, pitch_hz=160.0, split="train")
UTTERANCE = Utterance(id="speech-train-000007", text="A boat.", split="train", speaker=SPEAKER, tempo=1.25)


def fake_speak(utterance: Utterance) -> tuple[np.ndarray, list[list[Any]]]:
    noise = np.random.default_rng(zlib.crc32(repr(utterance).encode()))
    samples = noise.uniform(-0.1, 0.1, int(noise.integers(800, 1600))).astype(np.float32)
    return samples, [["pau", 0.0, len(samples) / SAMPLE_RATE]]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines that make noise, and few sentences of every split."""
    sentences = grammar_sentences(600, seed=0)
    assert {split_of(sentence) for sentence in sentences} == {"train", "dev", "test"}
    monkeypatch.setattr(speech, "all_sentences", lambda: sentences)
    monkeypatch.setattr(speech, "speak", fake_speak)
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")


def content(folder: Path) -> tuple[list[str], dict[str, bytes]]:
    """The sorted manifest rows and every sound file of a corpus."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in (folder / "audio").rglob("*.*")}
    return sorted((folder / "cuts.jsonl").read_text(encoding="utf-8").splitlines()), files


def source(line: str) -> str:
    """The audio file that a manifest line names."""
    return json.loads(line)["recording"]["sources"][0]["source"]


@pytest.mark.usefixtures("engines")
def test_the_same_seed_gives_the_same_corpus(tmp_path: Path) -> None:
    for name in ("one", "two"):
        made = synthesize("speech", tmp_path / name, HOURS, seed=3, workers=0)
        assert made == tmp_path / name / "cuts.jsonl"
    lines, files = content(tmp_path / "one")
    assert (lines, files) == content(tmp_path / "two")
    rows = read_manifest(tmp_path / "one")
    assert {row.split for row in rows} == {"train", "dev", "test"}
    assert files.keys() == {source(line) for line in lines} and len(files) == len(rows) == len(lines)
    for row in rows:
        info = soundfile.info(row.audio)
        assert info.samplerate == 16000 and info.frames / 16000 == pytest.approx(row.seconds, abs=1e-4)
        assert row.text and row.speaker and row.segments and row.segments[0][0] == "pau"
        assert row.custom["instruction"] in row.custom["instructions"]
    synthesize("speech", tmp_path / "other", HOURS, seed=4, workers=0)
    assert content(tmp_path / "other")[0] != lines


@pytest.mark.usefixtures("engines")
def test_a_killed_run_is_finished_to_the_same_corpus(tmp_path: Path) -> None:
    manifest = synthesize("speech", tmp_path, HOURS, seed=3, workers=0)
    whole = content(tmp_path)
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    manifest.write_text("".join(lines[2:9]) + lines[9][:40], encoding="utf-8")
    for line in lines[12:15]:
        (tmp_path / source(line)).unlink()
    synthesize("speech", tmp_path, HOURS, seed=3, workers=0)
    assert content(tmp_path) == whole
    synthesize("speech", tmp_path, HOURS, seed=3, workers=0)
    assert content(tmp_path) == whole


@pytest.mark.usefixtures("engines")
def test_another_corpus_in_the_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthesize("speech", tmp_path, HOURS, seed=3, workers=0)
    before = content(tmp_path)
    with pytest.raises(InputError, match="corpus of other seed; name another folder"):
        synthesize("speech", tmp_path, HOURS, seed=4, workers=0)
    with pytest.raises(InputError, match="corpus of other hours"):
        synthesize("speech", tmp_path, 2 * HOURS, seed=3, workers=0)
    with pytest.raises(InputError, match="corpus of other kind"):
        jobs = speech.plan(HOURS, 3)
        make_corpus(tmp_path, "noise", jobs, speech.render, {"hours": HOURS, "seed": 3}, workers=0)
    with monkeypatch.context() as patch:
        patch.setattr(speech, "all_sentences", lambda: grammar_sentences(600, seed=1))
        with pytest.raises(InputError, match="corpus of other content"):
            synthesize("speech", tmp_path, HOURS, seed=3, workers=0)
    for damaged in ("{", "[]"):
        (tmp_path / "corpus.json").write_text(damaged)
        with pytest.raises(InputError, match="damaged"):
            synthesize("speech", tmp_path, HOURS, seed=3, workers=0)
    assert content(tmp_path) == before


@pytest.mark.usefixtures("engines")
def test_recordings_without_their_description_are_refused(tmp_path: Path) -> None:
    synthesize("speech", tmp_path, HOURS, seed=3, workers=0)
    before = content(tmp_path)
    (tmp_path / "corpus.json").unlink()
    with pytest.raises(InputError, match="holds recordings .* but no corpus.json"):
        synthesize("speech", tmp_path, HOURS, seed=3, workers=0)
    assert not (tmp_path / "corpus.json").exists() and content(tmp_path) == before


@pytest.mark.usefixtures("engines")
@pytest.mark.parametrize("samples", [[], [[0.1, 0.1]], [0.1, 1.5], [0.1, float("nan")]])
def test_what_is_no_recording_is_refused(tmp_path: Path, samples: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    made = Rendered(samples=np.array(samples, np.float32))
    with pytest.raises(InputError, match="did not become mono samples"):
        make_corpus(tmp_path, "speech", speech.plan(HOURS, 3), lambda job: made, {"hours": HOURS, "seed": 3}, workers=0)


def test_every_kind_has_hours() -> None:
    assert KINDS.keys() == DEFAULT_HOURS.keys()


@pytest.mark.parametrize("program", ["flite", "espeak-ng"])
def test_a_missing_engine_is_named(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == program else f"/usr/bin/{name}")
    with pytest.raises(InputError, match=f"{program} is not installed"):
        synthesize("speech", tmp_path, HOURS)


@pytest.mark.parametrize("engine", ["flite", "espeak"])
def test_an_engine_that_fails_is_named_with_the_utterance(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **options: Any) -> None:
        raise subprocess.CalledProcessError(3, command, stderr="no such\nvoice")

    monkeypatch.setattr(subprocess, "run", fail)
    speaker = Speaker(name="any", engine=engine, base="x", formant_ratio=1.0, pitch_hz=100.0, split="train")
    with pytest.raises(
        InputError, match=r"^(flite|espeak-ng) cannot speak speech-train-000007 \('A boat.', any\).*no such voice"
    ):
        speech.speak(replace(UTTERANCE, speaker=speaker, tempo=1.0))


def test_times_follow_the_resampling_and_the_trimming(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Speak at 8 kHz: silence to 0.4 s, 500 Hz to 1.2 s, silence to 1.6 s."""
        commands.append(command)
        seconds = np.arange(int(1.6 * 8000)) / 8000
        tone = 0.5 * np.sin(2 * np.pi * 500 * seconds) * ((seconds >= 0.4) & (seconds < 1.2))
        soundfile.write(command[command.index("-o") + 1], tone, 8000, subtype="PCM_16")
        return subprocess.CompletedProcess(command, 0, stdout="pau:0.400 b:0.560 ow:1.200 pau:1.600 \n")

    monkeypatch.setattr(subprocess, "run", run)
    samples, segments = speech.speak(UTTERANCE)
    assert segments is not None
    # Played at 0.8 of the speed: 0.5 s of silence, of which 0.08 stay, then 0.2 s and 0.8 s of phones.
    assert segments == [["pau", 0.0, 0.08], ["b", 0.08, 0.28], ["ow", 0.28, 1.08], ["pau", 1.08, 1.16]]
    assert len(samples) == round(1.16 * 16000) and samples.dtype == np.float32
    loud = np.flatnonzero(np.abs(samples) > 0.02) / 16000
    assert loud[0] == pytest.approx(0.08, abs=0.005) and loud[-1] == pytest.approx(1.08, abs=0.005)
    middle = samples[4800:12800]  # 0.5 s of the tone, now at 500 * 0.8 Hz
    assert np.argmax(np.abs(np.fft.rfft(middle))) / 0.5 == pytest.approx(400.0, abs=2.0)
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.06, rel=1e-3)
    settings = {value.split("=")[0]: float(value.split("=")[1]) for value in commands[0] if "=" in value}
    assert settings["duration_stretch"] == pytest.approx(0.8 / 1.25)
    assert settings["int_f0_target_mean"] == pytest.approx(160.0 / 0.8)


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
def test_flite_speaks_at_the_asked_pitch_and_tempo() -> None:
    def said(tempo: float, ratio: float, pitch: float) -> tuple[np.ndarray, list[list[Any]]]:
        speaker = Speaker(name="s", engine="flite", base="slt", formant_ratio=ratio, pitch_hz=pitch, split="train")
        line = replace(UTTERANCE, text="We all ran away.", speaker=speaker, tempo=tempo)
        samples, segments = speech.speak(line)
        assert segments is not None
        return samples, segments

    slow, segments = said(0.9, 1.0, 150.0)
    fast, _ = said(1.25, 1.15, 200.0)
    assert len(slow) / len(fast) == pytest.approx(1.25 / 0.9, rel=0.1)
    phones = [phone for phone, _, _ in segments]
    assert phones[0] == phones[-1] == "pau" and {"r", "w"} <= set(phones)
    ends = [end for _, _, end in segments]
    assert [start for _, start, _ in segments][1:] == ends[:-1]
    assert ends[-1] == pytest.approx(len(slow) / 16000, abs=0.02)
    assert pitch_hz(slow) == pytest.approx(150.0, rel=0.1) and pitch_hz(fast) == pytest.approx(200.0, rel=0.1)


def pitch_hz(samples: np.ndarray) -> float:
    """The median pitch of 50 ms pieces, by autocorrelation between 60 and 250 Hz."""
    found = []
    for piece in np.lib.stride_tricks.sliding_window_view(samples, 800)[::400]:
        scores = np.correlate(piece, piece, "full")[799:]
        lag = 64 + int(np.argmax(scores[64:267]))
        if scores[lag] > 0.5 * scores[0] and scores[0] > 0.5:
            found.append(16000 / lag)
    return float(np.median(found))
