"""The report on data: hours, speakers and levels are right, and every bad row is named by its line."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.corpora import SPLITS, small_corpora

from uniaudio import recipes
from uniaudio.audio.io import Audio, write_audio
from uniaudio.data.examples import read_examples
from uniaudio.data.manifests import read_cuts, read_manifest
from uniaudio.data.pairs import pair
from uniaudio.data.report import report
from uniaudio.errors import InputError
from uniaudio.evaluate.corpora import judge_ratio


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    small_corpora(folder / "made")
    pair(folder / "made", folder / "examples", ["tts", "speech_enhancement"])
    return folder


def test_hours_and_speakers_are_counted(data: Path):
    corpora, tasks = report(data, limit=None)
    speech = next(one for one in corpora if one.name == "made/speech")
    rows = read_manifest(data / "made" / "speech")
    assert sum(speech.hours.values()) == pytest.approx(sum(row.seconds for row in rows) / 3600)
    assert speech.clips == dict.fromkeys(SPLITS, 4) and speech.speakers == dict.fromkeys(SPLITS, 2)
    assert not speech.bad and not speech.duplicates and speech.audio["heard"] == 12
    assert speech.audio["rms_db"] == pytest.approx(-20, abs=0.5), "noise of 0.1"
    names = {one.name: sum(one.clips.values()) for one in tasks}
    assert names["examples/tts"] == len(list(read_examples(data / "examples" / "tts")))


def test_everything_bad_is_named_by_its_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "data"
    shutil.copytree(data / "made" / "speech", folder / "speech")
    rows = read_manifest(folder / "speech")
    lines = (folder / "speech" / "cuts.jsonl").read_text().splitlines()
    place = {json.loads(line)["id"]: number for number, line in enumerate(lines, 1)}
    rows[0].audio.unlink()
    rows[1].audio.write_bytes(rows[1].audio.read_bytes()[:200])
    write_audio(rows[2].audio, Audio(np.zeros((1, 8000), np.float32), 16000))
    shutil.copy(rows[4].audio, rows[5].audio)
    lines += ["{}", lines[3]]
    (folder / "speech" / "cuts.jsonl").write_text("\n".join(lines) + "\n")
    found = report(folder, limit=None)[0][0]
    text = "\n".join(found.bad)
    for row in rows[:3]:
        assert f"cuts.jsonl:{place[row.id]}: " in text, row.id
    assert "cuts.jsonl:13: not a manifest row" in text and "cuts.jsonl:14: the id" in text
    assert "lasts 0.50 s" in text and "there is no file" in text
    assert len(found.duplicates) == 1 and rows[4].id in found.duplicates[0] and rows[5].id in found.duplicates[0]
    recipes.report(folder, tmp_path / "out", None, 1)
    printed = capsys.readouterr().out
    assert all(f"bad: {line}" in printed for line in (*found.bad, *found.duplicates))
    assert (tmp_path / "out" / "index.html").exists()
    stored = json.loads((tmp_path / "out" / "report.json").read_text())
    assert stored["corpora"][0]["bad"] == found.bad
    with pytest.raises(InputError, match="neither a corpus"):
        report(tmp_path / "out", limit=None)


def test_the_ratio_judge_hears_a_wrong_label(data: Path):
    folder = data / "examples" / "speech_enhancement"
    right = judge_ratio(folder, "snr_db", random.Random(0), 50)
    assert right["within_1_db"] == 1.0 and right["mixtures"] > 5
    lines = [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]
    for one in lines:
        one["labels"]["snr_db"] += 3
    wrong = data / "examples" / "wrong"
    wrong.mkdir()
    (wrong / "examples.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    assert judge_ratio(wrong, "snr_db", random.Random(0), 50)["within_1_db"] == 0.0


def test_manifests_are_lhotse_cuts(data: Path):
    cuts = list(read_cuts(data / "made" / "speech", "dev"))
    rows = read_manifest(data / "made" / "speech", "dev")
    assert {cut.id for cut in cuts} == {row.id for row in rows}
    for cut in cuts:
        row = next(row for row in rows if row.id == cut.id)
        assert cut.load_audio().shape == (1, round(row.seconds * 16000))
        phones = cut.supervisions[0].alignment["phone"]
        assert [item.symbol for item in phones] == [segment[0] for segment in row.segments or []]
        assert cut.supervisions[0].speaker == row.speaker and cut.custom["split"] == "dev"


def test_bad_manifests_are_named(tmp_path: Path):
    with pytest.raises(InputError, match="no manifest"):
        read_manifest(tmp_path)
    (tmp_path / "cuts.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(InputError, match=r"cuts.jsonl:1"):
        read_manifest(tmp_path)
    with pytest.raises(InputError, match=r"cuts.jsonl:1: not a lhotse cut"):
        list(read_cuts(tmp_path))
    (tmp_path / "cuts.jsonl").write_text("")
    with pytest.raises(InputError, match="no rows"):
        read_manifest(tmp_path, "test")
