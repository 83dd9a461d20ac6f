"""Real corpora: every recipe on a miniature in the true layout, and clear refusals of every other folder."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from prepare_expected import EXPECTED
from prepare_layouts import WRITERS, put, tone

from uniaudio.data.manifests import read_cuts, read_manifest
from uniaudio.data.prepare import CORPORA, prepare
from uniaudio.data.prepare.base import split_by_hash, split_by_rank
from uniaudio.data.prepare.scores import note_number, sung_score, timed_phones
from uniaudio.errors import InputError
from uniaudio.tasks import TASKS
from uniaudio.tokenizers.midi import parse_score

NAMES = tuple(CORPORA)
# LibriTTS is LibriTTS-R's layout and part of PromptSpeech; both kinds of RIRS_NOISES come from one folder.
ALIKE = {(one, two) for one in ("libritts", "libritts_r") for two in ("libritts", "libritts_r", "promptspeech")}
ALIKE |= {("rirs_noises", "rirs_noises_noise"), ("rirs_noises_noise", "rirs_noises")}


def test_every_corpus_has_a_miniature_and_serves_known_tasks() -> None:
    assert set(NAMES) == set(WRITERS) == set(EXPECTED)
    for corpus in CORPORA.values():
        assert set(corpus.tasks) <= set(TASKS) and corpus.expects and corpus.about and corpus.licence
        assert "download" in corpus.download or "get " in corpus.download or "copy " in corpus.download


@pytest.mark.parametrize("name", NAMES)
def test_a_miniature_becomes_a_manifest(name: str, tmp_path: Path) -> None:
    expected = EXPECTED[name]
    WRITERS[name](tmp_path / "source")
    manifest = prepare(name, tmp_path / "source", tmp_path / "deep" / "out")
    assert manifest == tmp_path / "deep" / "out" / "cuts.jsonl"
    assert sorted(path.name for path in manifest.parent.iterdir()) == ["corpus.json", "cuts.jsonl"]
    assert json.loads((manifest.parent / "corpus.json").read_text())["kind"] == CORPORA[name].kind

    rows = {row.id.removeprefix(f"{name}-"): row for row in read_manifest(manifest)}
    assert Counter(row.split for row in rows.values()) == expected.splits
    for id, facts in expected.rows.items():
        row = rows[id]
        for key, value in facts.items():
            found = getattr(row, key) if key in ("split", "text", "speaker") else row.custom.get(key)
            assert found == value, (id, key)

    cuts = {cut.id.removeprefix(f"{name}-"): cut for cut in read_cuts(manifest)}
    assert cuts.keys() == rows.keys()
    for id, cut in cuts.items():
        samples = cut.load_audio()
        assert samples.shape == (1, cut.num_samples) and np.abs(samples).max() > 0.25
        assert cut.duration == pytest.approx(rows[id].seconds) and rows[id].audio.is_file()
        assert len(cut.supervisions) == 1 and cut.supervisions[0].recording_id == cut.recording.id
    for id, span in expected.starts.items():
        assert (cuts[id].start, cuts[id].duration) == span


def refusal(name: str, source: Path, out: Path) -> str:
    """The one-line message of a refusal, which must say what to download and must leave nothing behind."""
    with pytest.raises(InputError) as caught:
        prepare(name, source, out)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(f"{name}: ") and str(source) in message
    assert CORPORA[name].download in message and not out.exists()
    return message


@pytest.mark.parametrize("name", NAMES)
def test_an_absent_and_an_empty_folder_are_refused(name: str, tmp_path: Path) -> None:
    assert "there is nothing in" in refusal(name, tmp_path / "gone", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    assert "there is nothing in" in refusal(name, tmp_path / "empty", tmp_path / "out")


@pytest.fixture(scope="module")
def miniatures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every miniature, to read only."""
    folder = tmp_path_factory.mktemp("corpora")
    for name, writer in WRITERS.items():
        writer(folder / name)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_every_other_corpus_is_refused(name: str, miniatures: Path, tmp_path: Path) -> None:
    for other in NAMES:
        if name == other or (name, other) in ALIKE:
            continue
        message = refusal(name, miniatures / other, tmp_path / "out")
        assert "there is no " in message or "missing" in message, message


@pytest.mark.parametrize("name", NAMES)
def test_an_incomplete_folder_is_refused(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / "source")
    needed = tmp_path / "source" / EXPECTED[name].needed
    shutil.rmtree(needed) if needed.is_dir() else needed.unlink()
    named = EXPECTED[name].named or EXPECTED[name].needed
    assert named in refusal(name, tmp_path / "source", tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "file", "content", "named"),
    [
        ("librispeech", "dev-clean/1272/128104/1272-128104-0000.flac", b"fLaC", "1272-128104-0000.flac"),
        ("m4singer", "meta.json", b"[{", "meta.json is not JSON (line 1)"),
        ("clotho", "clotho_captions_development.csv", b"file_name,caption\na.wav,A door.\n", "no column 'caption_1'"),
        ("opencpop", "segments/test.txt", b"2044000001|text|g an\n", "the files are not as published"),
        ("audiocaps", "dataset/train.csv", "ytid,caption\nabc,été".encode("latin-1"), "train.csv is not UTF-8"),
        ("wavcaps", "json_files/FreeSound/fsd_final.json", b'{"data": [{"id": 7}]}', "the files are not as published"),
    ],
)
def test_damaged_files_are_named(name: str, file: str, content: bytes, named: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / "source")
    assert (tmp_path / "source" / file).is_file()
    (tmp_path / "source" / file).write_bytes(content)
    assert named in refusal(name, tmp_path / "source", tmp_path / "out")


def test_a_failure_keeps_the_earlier_manifest(tmp_path: Path) -> None:
    WRITERS["clotho"](tmp_path / "source")
    manifest = prepare("clotho", tmp_path / "source", tmp_path / "out")
    before = manifest.read_bytes()
    assert prepare("clotho", tmp_path / "source", tmp_path / "out").read_bytes() == before
    (tmp_path / "source" / "evaluation" / "Old door 01.wav").write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"evaluation/Old door 01.wav \(damaged\)"):
        prepare("clotho", tmp_path / "source", tmp_path / "out")
    assert manifest.read_bytes() == before
    assert sorted(path.name for path in manifest.parent.iterdir()) == ["corpus.json", "cuts.jsonl"]


def test_another_corpus_in_the_out_folder_is_not_written_over(tmp_path: Path) -> None:
    WRITERS["demand"](tmp_path / "source")
    put(tmp_path / "made" / "cuts.jsonl", "{}\n")
    put(tmp_path / "other" / "corpus.json", '{"kind": "speech", "hours": 20}')
    for out in ("made", "other"):
        with pytest.raises(InputError, match="holds another corpus"):
            prepare("demand", tmp_path / "source", tmp_path / out)
    assert (tmp_path / "made" / "cuts.jsonl").read_text() == "{}\n"


def test_a_few_missing_recordings_are_tolerated_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "source" / "dev-clean" / "84" / "1"
    put(folder / "84-1.trans.txt", "".join(f"84-1-{number:04d} WORD\n" for number in range(101)))
    for number in range(100):
        tone(folder / f"84-1-{number:04d}.flac", seconds=0.05)
    manifest = prepare("librispeech", tmp_path / "source", tmp_path / "out")
    assert len(read_manifest(manifest)) == 100
    assert json.loads((tmp_path / "out" / "corpus.json").read_text())["missing"] == 1


def test_the_folder_around_the_corpus_is_good_enough(tmp_path: Path) -> None:
    WRITERS["librispeech"](tmp_path / "source" / "LibriSpeech")
    assert len(read_manifest(prepare("librispeech", tmp_path / "source", tmp_path / "out"))) == 6


def test_the_older_vctk_archive_is_read_too(tmp_path: Path) -> None:
    put(
        tmp_path / "v" / "speaker-info.txt",
        "ID  AGE  GENDER  ACCENTS  REGION\n225  23  F    English    Southern  England\n",
    )
    put(tmp_path / "v" / "txt" / "p225" / "p225_001.txt", "Please call Stella.")
    tone(tmp_path / "v" / "wav48" / "p225" / "p225_001.wav", rate=48000)
    (row,) = read_manifest(prepare("vctk", tmp_path / "v", tmp_path / "out"))
    assert (row.speaker, row.text, row.custom["region"]) == ("p225", "Please call Stella.", "Southern England")


@pytest.mark.parametrize("name", ["opencpop", "m4singer"])
def test_scores_can_be_sung_and_phones_cover_the_recording(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / "source")
    for row in read_manifest(prepare(name, tmp_path / "source", tmp_path / "out")):
        assert len(parse_score(row.custom["score"])) >= 2
        assert row.segments and row.segments[-1][2] == pytest.approx(row.seconds)
        assert all(before[2] == after[1] for before, after in zip(row.segments, row.segments[1:], strict=False))


def test_an_unknown_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no corpus 'timit'.*librispeech"):
        prepare("timit", tmp_path, tmp_path / "out")


def test_splits_by_group() -> None:
    names = [f"speaker{number}" for number in range(2000)]
    counts = Counter(map(split_by_hash, names))
    assert 0.03 < counts["dev"] / 2000 < 0.07 and 0.03 < counts["test"] / 2000 < 0.07
    assert Counter(split_by_rank(names[:40]).values()) == {"train": 36, "dev": 2, "test": 2}
    assert split_by_rank(names[:40]) == split_by_rank(reversed(names[:40]))
    assert [sorted(split_by_rank(names[:count]).values()) for count in (1, 2, 3)] == [
        ["train"],
        ["test", "train"],
        ["dev", "test", "train"],
    ]


def test_the_table_is_read_without_heavy_imports() -> None:
    heavy = ("lhotse", "torch", "soundfile", "scipy", "pandas")
    code = f"import sys, uniaudio.data.prepare; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": "src"})
    assert run.stdout.strip() == "[]", run.stderr


@pytest.mark.parametrize(
    ("phones", "seconds", "pitches", "slurs", "lyrics"),
    [
        ("n i h ao", (0.1, 0.2, 0.1, 0.2), (60, 60, 60, 60), "0000", ["ni", "hao"]),  # two syllables on one pitch
        ("ai ai", (0.2, 0.2), (60, 60), "00", ["ai", "ai"]),
        ("ai ai ai", (0.2, 0.04, 0.2), (60, 62, 64), "011", ["ai", "-"]),  # a note too short joins the one before
        ("ai ai", (0.04, 0.2), (60, 62), "01", ["ai"]),  # nothing before is long enough to be held
        ("SP a", (0.2, 0.2), (None, 60), "00", ["a"]),
    ],
)
def test_syllables_become_notes(
    phones: str, seconds: tuple[float, ...], pitches: tuple[int | None, ...], slurs: str, lyrics: list[str]
) -> None:
    notes = sung_score(timed_phones(phones.split(), seconds), pitches, [slur == "1" for slur in slurs])
    assert [note.lyric for note in parse_score(notes)] == lyrics


def test_note_names() -> None:
    names = ("C4", "C#4/Db4", "Bb3", "A4", "G#5/Ab5", "rest")
    assert [note_number(name) for name in names] == [60, 61, 58, 69, 80, None]
