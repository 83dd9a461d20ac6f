"""Aligning a corpus: what is missing is added, what is there stays, and a killed run goes on."""

import json
from pathlib import Path

import pytest
from tests.corpora import speech_rows, write_corpus

from uniaudio.data.align_corpus import align_corpus
from uniaudio.data.manifests import cut_line, read_manifest, recording_cut
from uniaudio.tokenizers.phoneme import phonemes, timed_phonemes

TEXTS = ["The boat is red.", "My sister reads books.", "He opened the old door."]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three sentences by espeak-ng without phone times, two recordings of noise with them, one that is silent."""
    from uniaudio.audio.io import Audio

    folder = write_corpus(tmp_path / "speech", speech_rows(2))
    with (folder / "cuts.jsonl").open("a") as file:
        for index, text in enumerate(TEXTS):
            samples, rate = timed_phonemes(text)[1]
            audio = Audio(samples[None], rate).resample(16000)
            audio.write(folder / f"e{index}.flac")
            length = audio.samples.shape[1]
            file.write(cut_line(recording_cut(f"e{index}", f"e{index}.flac", length, 16000, "train", text=text)))
        Audio(samples[None] * 0, rate).resample(16000).write(folder / "silent.flac")
        file.write(cut_line(recording_cut("silent", "silent.flac", length, 16000, "train", text="Nothing.")))
    return folder


def test_missing_times_are_added(corpus: Path):
    before = {row.id: row.segments for row in read_manifest(corpus)}
    assert align_corpus(corpus) == (3, 1)
    for row in read_manifest(corpus):
        if row.id.startswith("e"):
            true = [(phone, start) for phone, start, _ in timed_phonemes(row.text)[0] if phone != "sil"]
            found = [(phone, start) for phone, start, _ in row.segments or [] if phone != "sil" and phone not in ".,?!"]
            assert [phone for phone, _ in found] == [phone for phone, _ in true]
            errors = sorted(abs(a - b) for (_, a), (_, b) in zip(found, true, strict=True))
            assert errors[len(errors) // 2] < 0.02
            assert row.segments is not None and len(row.segments) > len(phonemes(row.text)) - 1
        else:
            assert row.segments == before[row.id]
    assert align_corpus(corpus) == (0, 1) and not (corpus / ".phones.jsonl").exists()


def test_a_killed_run_goes_on(corpus: Path):
    kept = [["sil", 0.0, 0.5], ["t", 0.5, 1.0]]
    (corpus / ".phones.jsonl").write_text(json.dumps(["e0", kept]) + "\n" + '["e1", [["si')
    assert align_corpus(corpus) == (3, 1)
    rows = {row.id: row for row in read_manifest(corpus)}
    assert rows["e0"].segments == kept and len(rows["e1"].segments or []) > 5
