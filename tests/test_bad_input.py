"""Everything that a user can get wrong ends in exit code 2, one line on stderr, no traceback and no file."""

import json
import os
import shutil
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from uniaudio import checkpoint
from uniaudio.cli import main
from uniaudio.cli.generate import read_request
from uniaudio.data.manifests import cut_line, recording_cut
from uniaudio.tasks import TASKS

ROOT = Path(__file__).resolve().parents[1]
RATE = 16000
SPEAK = "tts --text Hello. --speaker {voice} -o {out} --model {model}"


@dataclass(frozen=True)
class Bad:
    """A bad call: its arguments, as a line of words or as a list; {name} stands for a file of `files`."""

    call: str | list[str]
    says: str
    id: str

    def arguments(self, places: dict[str, str]) -> list[str]:
        words = self.call.split() if isinstance(self.call, str) else self.call
        return [word.format(**places) for word in words]


def speak(**values: str) -> list[str]:
    """Return a good call of tts with some of its options replaced."""
    options = {"text": "Hello.", "speaker": "{voice}", "out": "{out}", "model": "{model}"} | values
    return ["tts", *(word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value))]


def sound(caption: str = "rain", **values: str) -> list[str]:
    """Return a good call of text-to-sound with some of its options added."""
    options = {"caption": caption, "out": "{out}", "model": "{model}"} | values
    return ["text-to-sound", *(word for name, value in options.items() for word in (f"--{name}", value))]


BAD_AUDIO = [
    Bad(speak(speaker="{folder}/missing.wav"), "no file", "missing-audio"),
    Bad(speak(speaker=""), "is a folder", "no-name-of-audio"),
    Bad(speak(speaker="{empty}"), "0 bytes", "empty-audio"),
    Bad(speak(speaker="{header}"), "0 samples", "audio-without-samples"),
    Bad(speak(speaker="{truncated}"), "damaged", "truncated-wav"),
    Bad(speak(speaker="{truncated_flac}"), "damaged", "truncated-flac"),
    Bad(speak(speaker="{damaged_mp3}"), "damaged", "damaged-mp3"),
    Bad(speak(speaker="{nan}"), "NaN", "nan-audio"),
    Bad(speak(speaker="{one_sample}"), "at least 0.5 s", "one-sample-audio"),
    Bad(speak(speaker="{long}"), "10800.00 s long", "three-hour-audio"),
    Bad(speak(speaker="{text_file}"), "not a sound file", "text-named-wav"),
    Bad(speak(speaker="{folder}"), "is a folder", "folder-as-audio"),
    Bad(
        "voice-conversion --source {one_sample} --speaker {voice} -o {out} --model {model}", "--source", "short-source"
    ),
    Bad("speech-enhancement --noisy {nan} -o {out} --model {model}", "--noisy", "nan-noisy"),
    Bad("speech-edit --edited-text A --text B --source {empty} -o {out} --model {model}", "--source", "empty-source"),
]
BAD_TEXT = [
    Bad(speak(text=""), "empty", "empty-text"),
    Bad(speak(text=" \t\n "), "empty", "blank-text"),
    Bad(speak(text="word " * 2000), "10000 characters", "long-text"),
    Bad(speak(text="🙂🎉🚀"), "nothing to speak", "emoji-text"),
    Bad(speak(text="Привет, как дела?"), "only English", "cyrillic-text"),
    Bad(speak(text="今日はいい天気です。"), "only English", "japanese-text"),
    Bad(speak(text="... !?"), "nothing to speak", "punctuation-text"),
    Bad(sound(" "), "caption is empty", "blank-caption"),
    Bad(sound("rain " * 2000), "10000 characters", "long-caption"),
    Bad(
        "singing-synthesis --score {text_file} --speaker {voice} -o {out} --model {model}", "not JSON", "text-as-score"
    ),
    Bad("singing-synthesis --score {no_notes} --speaker {voice} -o {out} --model {model}", "no notes", "empty-score"),
]
BAD_CALLS = [
    Bad("", "give a task", "no-command"),
    Bad("--vesion", "did you mean --version", "misspelt-version"),
    Bad("ttz --text Hello.", "did you mean tts", "misspelt-task"),
    Bad("voice_conversion", "did you mean voice-conversion", "underscore-in-task"),
    Bad("frobnicate", "unknown task or command", "unknown-task"),
    Bad("tts --txet Hello. --speaker {voice} -o {out}", "did you mean --text", "misspelt-field"),
    Bad("tts --text Hello. --seconds 3 --speaker {voice} -o {out}", "no option '--seconds'", "option-of-another-task"),
    Bad("tts --speaker {voice} -o {out}", "needs --text", "missing-field"),
    Bad("tts --text Hello. --speaker {voice}", "needs -o/--out", "missing-output"),
    Bad(f"{SPEAK} --text Again.", "--text is given twice", "repeated-field"),
    Bad(f"{SPEAK} more", "unexpected 'more'", "word-too-many"),
    Bad("tts --speaker {voice} -o {out} --text", "expected one argument", "field-without-value"),
    Bad(f"{SPEAK} --seed 1.5", "--seed must be", "broken-seed"),
    Bad(f"{SPEAK} --seed -1", "--seed must be", "negative-seed"),
    Bad(f"{SPEAK} --seed {'9' * 5000}", "--seed must be", "endless-seed"),
    Bad(f"{SPEAK} --temperature -0.5", "--temperature must be", "negative-temperature"),
    Bad(f"{SPEAK} --temperature nan", "--temperature must be", "nan-temperature"),
    Bad(f"{SPEAK} --top-p 1.5", "--top-p must be", "top-p-above-1"),
    Bad(f"{SPEAK} --top-p 0", "--top-p must be", "top-p-0"),
    Bad(f"{SPEAK} --top-k -1", "--top-k must be", "negative-top-k"),
    *(Bad(sound(seconds=value), "--seconds must be", f"seconds-{value}") for value in ("0", "-1", "nan", "1e9", "x")),
]
BAD_TARGETS = [
    Bad(speak(out="{folder}/missing/out.wav"), "does not exist", "missing-target-folder"),
    Bad(speak(out="/proc/out.wav"), "cannot write", "read-only-target"),
    Bad(speak(out="{folder}/out.mp3"), "must end in .wav, .flac, .ogg", "unsupported-extension"),
    Bad(speak(out="{folder}/out"), "must end in", "no-extension"),
    Bad(speak(out="{folder}"), "must end in", "folder-as-target"),
    Bad(speak(out="{folder_wav}"), "is a folder", "folder-named-wav-as-target"),
    Bad(speak(out="{empty}/out.wav"), "not a folder", "target-inside-a-file"),
    Bad(speak(out="{folder}/" + "x" * 300 + ".wav"), "too long", "long-target-name"),
]
BAD_MODELS = [
    Bad(speak(model="uniaudio-mni"), "unknown model", "unknown-model"),
    Bad(speak(model=""), "unknown model", "empty-model"),
    Bad(speak(model="x" * 5000), "unknown model", "endless-model"),
    Bad(speak(model="{voice}"), "unknown model", "file-as-model"),
    Bad(speak(model="{folder}"), "config.json cannot be read", "model-without-config"),
    Bad(sound(model="{speech_only}"), "not trained on text_to_sound; it knows: tts", "task-not-trained"),
    Bad("tasks --model {folder}", "config.json", "tasks-of-no-model"),
    *(
        Bad(speak(model=f"{{{name}}}"), says, f"model-{name}".replace("_", "-"))
        for name, says in (
            ("flipped_bit", "model.safetensors"),
            ("truncated_weights", "model.safetensors"),
            ("rehashed_truncated_weights", "damaged"),
            ("changed_config", "config.json"),
            ("config_not_json", "config.json' is damaged"),
            ("config_of_something_else", "config.json' is damaged"),
            ("tasks_no_list", "does not list the tasks"),
            ("no_weights", "no model.safetensors"),
            ("no_hashes", "no sha256.json"),
            ("no_vocabulary", "vocabulary.json"),
            ("other_format", "not an engine"),
        )
    ),
]
BAD_RUNS = [
    Bad("train", "needs RECIPE", "no-recipe"),
    Bad("train tts_dbug", "did you mean tts_debug", "unknown-recipe"),
    Bad("train tts_debug optim.lrs=1 --run {folder}/run", "'lrs' (did you mean 'lr'?)", "unknown-override"),
    Bad("train tts_debug steps=many --run {folder}/run", "must be a whole number", "override-of-another-type"),
    Bad("train tts_debug steps --run {folder}/run", "key=value", "override-without-value"),
    *(
        Bad(f"train {recipe} {change} --corpus {{good_corpus}} --run {{folder}}/run", says, f"override-{change}")
        for recipe, change, says in (
            ("tts_debug", "log_every=0", "log_every 0"),
            ("tts_debug", "steps=-1", "steps -1 is negative"),
            ("tts_debug", "optim.decay_share=0", "decay_share 0.0"),
            ("tts_debug", "optim.warmup_steps=-1", "warmup_steps -1"),
            ("codec_mini", "loop.log_every=-5", "log_every -5"),
            ("codec_mini", "objective.batch_size=0", "batch_size 0"),
            ("codec_mini", "crop_frames=0", "crop_frames 0"),
            ("codec_mini", "crop_frames=1000", "no recording is 20 s"),
            ("codec_mini", "cut=0", "cut 0"),
            ("codec_mini", "cut=7", "7 codebooks asked for"),
            ("durations_mini", "batch_size=0", "batch_size 0"),
            ("mini", "frame_budget=0", "frame_budget 0"),
            ("mini", "global_.heads=7", "not a multiple of 7 heads"),
            ("mini", "local_.heads=0", "heads must be at least 1"),
            ("mini", "num_codebooks=3", "6 values for 3 codebooks"),
        )
    ),
    Bad("train codec_mini --run {folder}/run", "needs --corpus", "recipe-without-corpus"),
    Bad("train codec_mini --corpus {folder}/missing --run {folder}/run", "no folder", "missing-training-corpus"),
    Bad("train codec_mini --corpus {no_corpus} --run {folder}/run", "no manifest", "training-corpus-without-manifest"),
    Bad("train tts_debug --run /proc/run", "cannot write", "read-only-run"),
    Bad("train tts_debug --run {empty}", "not a folder", "file-as-run"),
    Bad("train tts_debug --minutes 0 --run {folder}/run", "--minutes must be", "no-minutes"),
    Bad("synthesize speach --out {folder}/new", "did you mean speech", "unknown-corpus"),
    Bad("synthesize speech --out {folder}/new --hours 0", "--hours must be", "no-hours"),
    Bad("synthesize speech --out {folder}/new --hours -2", "--hours must be", "negative-hours"),
    Bad("synthesize speech --out {folder}/new --hours 1e9", "--hours must be", "endless-hours"),
    Bad("synthesize speech --out {folder}/new --workers 0", "--workers must be", "no-workers"),
    Bad("synthesize speech --out /proc/new", "cannot write", "read-only-corpus"),
    Bad("tokenize {folder}/missing --out {folder}/new", "no folder", "tokenize-missing-corpus"),
    Bad("tokenize {folder} --out {folder}/new", "no manifest", "tokenize-without-manifest"),
    Bad("tokenize {bad_corpus} --out {folder}/new", "cuts.jsonl:1", "tokenize-bad-manifest"),
    Bad("tokenize {latin_corpus} --out {folder}/new", "'utf-8' codec can't decode", "tokenize-manifest-in-latin-1"),
    Bad("tokenize {good_corpus} --workers 0 --out {folder}/new", "--workers must be", "tokenize-no-workers"),
    Bad("prepare librispech --source {folder} --out {folder}/new", "did you mean librispeech", "prepare-unknown"),
    Bad("prepare librispeech --source {folder}/no --out {folder}/new", "there is nothing in", "prepare-missing-source"),
    Bad("prepare librispeech --source {bad_corpus} --out {folder}/new", "librispeech", "prepare-wrong-source"),
    Bad("data repair {folder}", "unknown action 'repair'", "data-unknown-action"),
    Bad("data report {folder}/missing", "no folder", "data-missing-folder"),
    Bad("data report {no_corpus} --out {folder}/new", "neither a corpus", "data-nothing-to-report"),
    Bad("data pair {folder}", "needs --out", "pair-without-out"),
    Bad("data pair {no_corpus} --out {folder}/new", "no corpus below", "pair-without-corpora"),
    Bad("data pair {folder} --tasks sing --out {folder}/new", "unknown task 'sing'", "pair-unknown-task"),
    Bad("data judge {no_corpus}", "no corpus below", "judge-without-corpora"),
    Bad("data align {no_corpus}", "no manifest", "align-without-corpus"),
    Bad("tokenize {good_corpus} --model nope --out {folder}/new", "unknown model", "tokenize-unknown-model"),
    Bad("evaluate tss --out {folder}/new", "did you mean tts", "evaluate-unknown-task"),
    Bad("evaluate tts --model {model} --limit 0 --out {folder}/new", "--limit must be", "evaluate-nothing"),
    Bad("evaluate tts --model {model} --data {folder}/no --out {folder}/new", "no folder", "evaluate-missing-data"),
    Bad("evaluate codec --model nope --out {folder}/new", "unknown model", "evaluate-unknown-model"),
]
ENCODE = "codec encode {voice} -o {folder}/c.safetensors"
BAD_CODES = [
    Bad("codec", "needs ACTION", "codec-without-action"),
    Bad("codec encod {voice} -o {folder}/c.safetensors", "did you mean encode", "codec-unknown-action"),
    Bad("codec encode {voice}", "needs FILE and -o OUT", "encode-without-out"),
    Bad("codec decode -o {out}", "needs FILE and -o OUT", "decode-without-file"),
    Bad("codec info -o {out}", "writes no file", "info-with-out"),
    Bad("codec encode {nan} -o {folder}/c.safetensors", "NaN", "encode-nan"),
    Bad("codec encode {one_sample} -o {folder}/c.safetensors", "at least 0.02 s", "encode-one-sample"),
    Bad("codec encode {voice} -o {folder}/c.wav", "must end in .safetensors", "codes-named-wav"),
    Bad("codec encode {voice} -o {folder}/missing/c.safetensors", "does not exist", "codes-in-missing-folder"),
    Bad("codec encode {voice} -o {folder}/" + "x" * 300 + ".safetensors", "too long", "long-name-of-codes"),
    Bad("codec encode {voice} -o /proc/c.safetensors", "cannot write", "read-only-codes"),
    Bad("codec resynthesize {voice} -o {folder}/out.mp3", "must end in .wav", "resynthesize-to-mp3"),
    Bad(f"{ENCODE} --codec uniaudio-mni", "did you mean uniaudio-mini", "unknown-codec"),
    Bad(f"{ENCODE} --codec {{folder}}", "config.json", "folder-as-codec"),
    Bad(f"{ENCODE} --codec {{flipped_bit}}", "model.safetensors", "damaged-codec"),
    Bad("codec decode {folder}/no.safetensors -o {out}", "no file", "missing-codes"),
    Bad("codec decode {voice} -o {out}", "holds no codes", "audio-as-codes"),
    Bad("codec decode {model}/model.safetensors -o {out}", "holds no codes", "weights-as-codes"),
    Bad("codec info {empty}", "holds no codes", "info-of-an-empty-file"),
]
TABLE = [*BAD_AUDIO, *BAD_TEXT, *BAD_CALLS, *BAD_TARGETS, *BAD_MODELS, *BAD_RUNS, *BAD_CODES]


def write_sounds(folder: Path) -> None:
    """Write a good voice and everything that a recording can be instead."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE * 2).astype(np.float32)
    soundfile.write(folder / "voice.wav", noise, RATE)
    soundfile.write(folder / "eight.wav", np.stack([noise] * 8, axis=1), RATE)
    (folder / "empty.wav").touch()
    soundfile.write(folder / "header.wav", noise[:0], RATE)
    soundfile.write(folder / "one_sample.wav", noise[:1], RATE)
    soundfile.write(folder / "nan.wav", np.where(np.arange(len(noise)) == 99, np.nan, noise), RATE, subtype="FLOAT")
    (folder / "truncated.wav").write_bytes((folder / "voice.wav").read_bytes()[:20000])
    soundfile.write(folder / "whole.flac", noise, RATE)
    (folder / "truncated.flac").write_bytes((folder / "whole.flac").read_bytes()[:20000])
    soundfile.write(folder / "damaged.mp3", noise, RATE)
    content = bytearray((folder / "damaged.mp3").read_bytes())
    content[3000:9000] = np.random.default_rng(1).bytes(6000)
    (folder / "damaged.mp3").write_bytes(content)
    (folder / "text.wav").write_text("This is not a sound file.\n" * 50)
    num_bytes = 3 * 3600 * RATE * 2
    header = (
        b"RIFF"
        + struct.pack("<I", num_bytes + 36)
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 32000, 2, 16)
    )
    (folder / "long.wav").write_bytes(header + b"data" + struct.pack("<I", num_bytes))
    os.truncate(folder / "long.wav", len(header) + 8 + num_bytes)  # sparse: takes no room on the disk


def rehash(model: Path) -> None:
    """Make sha256.json agree with the files again, so that only what is inside them is wrong."""
    hashes = {name: checkpoint._hash(model / name) for name in json.loads((model / "sha256.json").read_text())}
    (model / "sha256.json").write_text(json.dumps(hashes))


def write_models(folder: Path) -> None:
    """Write a good (tiny, untrained) model that knows all tasks, and everything a model folder can be instead."""
    from uniaudio.engines.bundle import save_engine
    from uniaudio.recipes.debug import debug_engine

    save_engine(folder / "model", debug_engine(), "A model card.")
    config = json.loads((folder / "model" / "config.json").read_text())
    assert set(config["tasks"]) == set(TASKS)
    names = [case.call[-1].strip("{}") for case in BAD_MODELS if case.id.startswith("model-") and case.call[0] == "tts"]
    for name in ("speech_only", *(name for name in names if name != "folder")):
        shutil.copytree(folder / "model", folder / name)
    weights = (folder / "model" / "model.safetensors").read_bytes()
    middle = len(weights) // 2
    flipped = weights[:middle] + bytes([weights[middle] ^ 1]) + weights[middle + 1 :]
    (folder / "flipped_bit" / "model.safetensors").write_bytes(flipped)
    (folder / "truncated_weights" / "model.safetensors").write_bytes(weights[:middle])
    (folder / "rehashed_truncated_weights" / "model.safetensors").write_bytes(weights[:middle])
    rehash(folder / "rehashed_truncated_weights")
    (folder / "changed_config" / "config.json").write_text(json.dumps(config))  # without the line breaks
    (folder / "config_not_json" / "config.json").write_text("{oops")
    (folder / "config_of_something_else" / "config.json").write_text("[]")
    (folder / "tasks_no_list" / "config.json").write_text('{"tasks": "tts"}')
    (folder / "speech_only" / "config.json").write_text('{"tasks": ["tts"]}')
    (folder / "no_weights" / "model.safetensors").unlink()
    (folder / "no_hashes" / "sha256.json").unlink()
    (folder / "no_vocabulary" / "vocabulary.json").unlink()
    (folder / "other_format" / "config.json").write_text(json.dumps(config | {"format": "other"}))
    rehash(folder / "other_format")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the folder of all the files of this module, and each of them, by the names that the table uses."""
    folder = tmp_path_factory.mktemp("files")
    write_sounds(folder)
    write_models(folder)
    (folder / "folder.wav").mkdir()
    (folder / "bad_corpus").mkdir()
    (folder / "bad_corpus" / "cuts.jsonl").write_text("{}\n")
    (folder / "latin_corpus").mkdir()
    (folder / "latin_corpus" / "cuts.jsonl").write_bytes('{"id": "a", "té": 0}'.encode("latin-1"))
    (folder / "good_corpus").mkdir()
    (folder / "no_corpus").mkdir()
    (folder / "no_corpus" / "notes.txt").write_text("nothing")
    cut = cut_line(recording_cut("a", "../voice.wav", 2 * RATE, RATE, "train"))
    (folder / "good_corpus" / "cuts.jsonl").write_text(cut)
    (folder / "no_notes.json").write_text("[]")
    places = {path.name if path.is_dir() else path.stem: str(path) for path in folder.iterdir()}
    special = {"truncated_flac": "truncated.flac", "truncated": "truncated.wav", "folder_wav": "folder.wav"}
    special |= {"text_file": "text.wav", "damaged_mp3": "damaged.mp3", "out": "out.wav", "folder": ""}
    return places | {name: str(folder / target) for name, target in special.items()}


def listing(folder: str) -> dict[str, tuple[int, int]]:
    """Return the size and the time of change of every file and folder below `folder`."""
    paths = [path for path in Path(folder).rglob("*") if not path.is_dir() or not any(path.iterdir())]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns if path.is_file() else 0) for path in paths}


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.id)
def test_bad_input_is_one_line(
    bad: Bad, files: dict[str, str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files["folder"])
    before = listing(files["folder"])
    assert main(bad.arguments(files)) == 2
    out, err = capfd.readouterr()
    assert out == "" and "Traceback" not in err
    assert len(err.splitlines()) == 1 and err.startswith("uniaudio: error: "), err
    assert bad.says in err
    assert listing(files["folder"]) == before


def test_the_table_is_long_and_its_names_differ() -> None:
    assert len(TABLE) >= 32
    assert len({bad.id for bad in TABLE}) == len(TABLE)


@pytest.mark.parametrize("name", ["misspelt-task", "damaged-mp3", "emoji-text", "model-flipped-bit"])
def test_bad_input_is_one_line_in_a_process_of_its_own(name: str, files: dict[str, str]) -> None:
    (bad,) = (bad for bad in TABLE if bad.id == name)
    command = [sys.executable, "-m", "uniaudio", *bad.arguments(files)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    before = listing(files["folder"])
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=files["folder"])
    assert run.returncode == 2 and run.stdout == ""
    assert len(run.stderr.splitlines()) == 1 and bad.says in run.stderr, run.stderr
    assert listing(files["folder"]) == before


@pytest.mark.parametrize("bad", [*BAD_AUDIO[:12], *BAD_TEXT[:9], *BAD_CALLS, *BAD_TARGETS], ids=lambda bad: bad.id)
def test_most_bad_input_fails_before_weights_are_loaded(
    bad: Bad, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, precision: str) -> None:
        raise AssertionError(f"{name} was loaded")

    monkeypatch.setattr("uniaudio.engines.load", refuse)
    started = time.process_time()
    assert main(bad.arguments(files)) == 2
    assert time.process_time() - started < 1


@pytest.mark.parametrize("name", ["nan-audio", "empty-text", "emoji-text", "japanese-text", "long-caption"])
def test_recordings_and_texts_are_refused_without_torch(name: str, files: dict[str, str]) -> None:
    (bad,) = (bad for bad in TABLE if bad.id == name)
    code = f"import sys, uniaudio.cli; print(uniaudio.cli.main({bad.arguments(files)!r}), 'torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environment)
    assert run.stdout.split() == ["2", "False"]


def test_eight_channels_are_accepted(files: dict[str, str]) -> None:
    audio = read_request(TASKS["tts"], {"text": "Hello.", "speaker": files["eight"]})["speaker"]
    assert audio.samples.shape == (8, 2 * RATE)
    assert audio.mono().samples.shape == (1, 2 * RATE)
