"""The judges of codecs give known answers, and a codec is judged by audio type with Opus beside it."""

import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.evaluate.test_metrics import VOICES, with_noise
from tests.requests import noise
from torch import Tensor

from uniaudio.audio.io import Audio, read_audio
from uniaudio.data.manifests import cut_line, recording_cut
from uniaudio.errors import InputError
from uniaudio.evaluate import codecs
from uniaudio.evaluate.held_out import held_out
from uniaudio.evaluate.metrics import OPTIONAL, left_out, pesq
from uniaudio.evaluate.metrics.codes import CodeCounts
from uniaudio.evaluate.metrics.mel_distance import mel_distance
from uniaudio.evaluate.metrics.pitch import pitch_error, pitch_track, voicing_error
from uniaudio.evaluate.opus import _packet_sizes, opus_round_trip
from uniaudio.evaluate.report import BESIDE, table

RATE = 16000


def tone(hz: float, seconds: float = 1.0) -> Audio:
    """Return a voice-like tone: ten harmonics."""
    time = np.arange(round(seconds * RATE)) / RATE
    samples = sum(np.sin(2 * np.pi * hz * n * time) / n for n in range(1, 11))
    return Audio((0.1 * samples)[None].astype(np.float32), RATE)


# Codes


def test_code_counts_know_use_entropy_and_bits():
    counts = CodeCounts(3, 8)
    counts.add(np.array([[0, 1, 2, 3], [5, 5, 5, 5], [1, 1, 2, 2]]))
    counts.add(np.array([[4, 5, 6, 7], [5, 5, 5, 5], [1, 1, 2, 2]]))
    assert counts.frames == 8
    assert counts.use().tolist() == [1, 1 / 8, 2 / 8]
    assert counts.entropy() == pytest.approx([3, 0, 1]) and counts.perplexity() == pytest.approx([8, 1, 2])
    assert counts.bits_per_second(25.0) == pytest.approx((25 * 3 * 3, 25 * 4))


@pytest.mark.parametrize("codes", [[[0], [1]], [[0], [1], [8]], [[0], [1], [-1]]])
def test_codes_that_do_not_fit_are_refused(codes: list[list[int]]):
    with pytest.raises(ValueError, match="do not fit 3 codebooks of 8"):
        CodeCounts(3, 8).add(np.array(codes))


# Distances and quality


def test_mel_distance_is_the_gain_in_db_and_grows_with_noise():
    original = noise(1.0)
    softer = Audio(original.samples / 2, RATE)
    assert mel_distance(original, original) == 0
    assert mel_distance(original, softer) == pytest.approx(6.02, abs=0.01)
    scores = [mel_distance(tone(220), with_noise(tone(220), snr)) for snr in (40, 20, 0)]
    assert 0 < scores[0] < scores[1] < scores[2]
    silent, hiss = (Audio(np.full((1, RATE), level, np.float32), RATE) for level in (0, 1e-6))
    assert mel_distance(silent, hiss) == 0, "both are silence"


def test_pesq_is_at_its_top_for_the_original_and_falls_with_noise():
    pytest.importorskip("pesq")
    original = read_audio(VOICES[0])
    silent = Audio(np.zeros_like(original.samples), RATE)
    scores = [pesq.pesq(original, made) for made in (original, with_noise(original, 20), with_noise(original, 0))]
    assert scores[0] == pytest.approx(4.644, abs=0.001) and scores == sorted(scores, reverse=True)
    assert pesq.pesq(original, silent) == pesq.WORST < scores[2] < 1.6
    with pytest.raises(ValueError, match="of speech"):
        pesq.pesq(silent, original)


def test_visqol_is_at_its_top_for_the_original():
    pytest.importorskip("visqol")
    from uniaudio.evaluate.metrics.visqol import visqol

    original = Audio(read_audio(VOICES[0]).samples[:, :RATE], RATE)
    assert visqol(original, original) == pytest.approx(5, abs=0.01) and visqol(original, with_noise(original, 5)) < 3.5


def test_pitch_and_voicing_errors_are_shares_of_frames():
    original = np.array([0, 100.0, 200.0, 300.0, 400.0])
    made = np.array([100.0, 0, 200 * 2 ** (49 / 1200), 300 * 2 ** (-51 / 1200), 800.0])
    assert pitch_error(original, made) == pytest.approx(2 / 3) and voicing_error(original, made) == pytest.approx(2 / 5)
    assert pitch_error(original, original) == voicing_error(original, original) == 0
    with pytest.raises(ValueError, match="no frame is voiced"):
        pitch_error(original, np.zeros(5))
    with pytest.raises(ValueError, match="cannot be compared"):
        voicing_error(original, made[1:])


def test_the_pitch_of_a_tone_is_found():
    pytest.importorskip("parselmouth")
    first, near, far = (pitch_track(tone(220 * 2 ** (cents / 1200))) for cents in (0, 40, 70))
    assert np.median(first[first > 0]) == pytest.approx(220, abs=0.5) and np.mean(first > 0) > 0.9
    assert pitch_error(first, near) == 0 and pitch_error(first, far) > 0.95
    assert not pitch_track(Audio(np.zeros((1, RATE), np.float32), RATE)).any()
    with pytest.raises(ValueError, match=r"more than 0\.04 s"):
        pitch_track(tone(220, 0.03))


@pytest.mark.parametrize("package", OPTIONAL)
def test_a_missing_optional_judge_is_a_line_that_says_how_to_get_it(package: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, package, None)
    line = left_out(package)
    assert line is not None and OPTIONAL[package] in line and "\n" not in line


# Opus


def test_opus_keeps_the_length_and_takes_about_the_bits_that_were_asked():
    original = read_audio(VOICES[0])
    rates, scores = [], []
    for kbps in (6, 12, 24):
        made, bits = opus_round_trip(original, kbps)
        assert made.samples.shape == original.samples.shape and made.sample_rate == RATE
        rates.append(bits / original.seconds / 1000)
        scores.append(mel_distance(original, made))
    assert rates == pytest.approx([6, 12, 24], rel=0.15) and scores == sorted(scores, reverse=True)
    with pytest.raises(InputError, match="6 to 256 kbps"):
        opus_round_trip(original, 1)


def test_ogg_packets_are_counted_across_segments_and_pages():
    def page(*segments: int) -> bytes:
        return b"OggS" + bytes(22) + bytes([len(segments), *segments]) + bytes(sum(segments))

    assert list(_packet_sizes(page(19) + page(255, 45, 255, 0, 7, 255) + page(255, 10))) == [19, 300, 255, 7, 520]


# The evaluation


@dataclass(frozen=True)
class PcmConfig:
    sample_rate: int = RATE
    frame_rate: float = float(RATE)
    hop_length: int = 1
    num_codebooks: int = 2
    codebook_size: int = 256


class PcmCodec:
    """Loses nothing: the two codes of a sample are the bytes of its 16 bits."""

    config = PcmConfig()

    def encode(self, samples: Tensor) -> Tensor:
        levels = (samples[:, 0] * 32768).round().clamp(-32768, 32767).long() + 32768  # [B, N]
        return torch.stack((levels // 256, levels % 256), dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        return ((codes[:, 0] * 256 + codes[:, 1] - 32768) / 32768)[:, None].float()


def write_recordings(folder: Path, recordings: dict[str, Audio], split: str = "test", text: str = "") -> Path:
    """Write a corpus of one split; the speaker is the first letter of the id."""
    folder.mkdir(parents=True)
    cuts = []
    for name, audio in recordings.items():
        audio.write(folder / f"{name}.flac")
        size = audio.samples.shape[1]
        cuts.append(cut_line(recording_cut(name, f"{name}.flac", size, RATE, split, text=text, speaker=name[0])))
    (folder / "cuts.jsonl").write_text("".join(cuts))
    return folder


def short_voice() -> Audio:
    return Audio(np.ascontiguousarray(read_audio(VOICES[0]).samples[:, : 2 * RATE]), RATE)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, list, Path]:
    """Judge a lossless codec on one clip of speech, singing and music each."""
    folder = tmp_path_factory.mktemp("judged")
    write_recordings(folder / "made" / "speech", {"a": short_voice()}, text="She had your dark suit.")
    write_recordings(folder / "made" / "singing", {"b": tone(330, 2.0)})
    write_recordings(folder / "made" / "music", {"c": noise(20.0)})
    results, clips = codecs.evaluate_codec(PcmCodec(), held_out(folder / "made", 2), folder / "out")
    return results, clips, folder / "out"


def test_a_lossless_codec_is_perfect_and_opus_is_not(judged: tuple[dict, list, Path]):
    results = judged[0]
    assert list(results) == ["speech", "singing", "music", "all"]
    speech, beside = results["speech"], results["speech"][BESIDE]
    assert speech["stoi"]["mean"] == pytest.approx(1, abs=1e-3) and speech["speaker_similarity"]["mean"] > 0.999
    assert speech["wer_codec"] == speech["wer_original"] and speech["mel_distance_db"]["mean"] < 0.01
    assert beside["opus 6 kbps"]["stoi"]["mean"] < beside["opus 12 kbps"]["stoi"]["mean"] < 0.999
    assert beside["opus 6 kbps"]["mel_distance_db"]["mean"] > beside["opus 12 kbps"]["mel_distance_db"]["mean"] > 0.1
    assert 4000 < beside["opus 6 kbps"]["bits_per_second"] < beside["opus 12 kbps"]["bits_per_second"] < 16000
    assert speech["bits_per_second"] == RATE * 16 and speech["real_time_factor"] > 0
    if importlib.util.find_spec("parselmouth") is not None:
        assert results["singing"]["pitch_error"]["mean"] == 0
    if importlib.util.find_spec("pesq") is not None:
        assert beside["opus 6 kbps"]["pesq"]["mean"] < speech["pesq"]["mean"] == pytest.approx(4.644, abs=0.01)


def test_each_audio_type_has_its_figures(judged: tuple[dict, list, Path]):
    results = judged[0]
    assert "wer_ratio" in results["speech"] and not {"wer_ratio", "pesq"} & set(results["singing"])
    assert "pitch_error" in results["singing"] and not {"stoi", "pitch_error"} & set(results["music"])
    assert results["all"]["code_frames"] == (2 + 2 + codecs.MAX_SECONDS) * RATE
    types = ("speech", "singing", "music")
    assert results["all"]["code_frames"] == sum(results[kind]["code_frames"] for kind in types)
    assert results["all"]["codebook_use"][1] == max(results[kind]["codebook_use"][1] for kind in types) == 1


def test_the_clips_are_kept_and_the_table_has_a_column_for_each(judged: tuple[dict, list, Path]):
    results, clips, out = judged
    assert [clip.path for clip in clips] == [out / "speech/a.wav", out / "singing/b.wav", out / "music/c.wav"]
    assert all(clip.path.exists() and clip.inputs["original"].exists() for clip in clips)
    lines = table({"codec": {"seed": 0, **json.loads(json.dumps(results))}}).splitlines()
    assert lines[0].split() == ["codec"] and lines[2].split()[:2] == ["codec,", "speech"]
    assert lines[2].split()[2:] == ["opus", "6", "kbps", "opus", "12", "kbps"]
    (stoi, _) = (line for line in lines if line.split()[0] == "stoi")
    assert stoi.count("[") == 3 and sum(line.startswith("codec, ") for line in lines) == 4


def test_a_missing_judge_leaves_its_figure_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "parselmouth", None)
    folder = write_recordings(tmp_path / "singing", {"b": tone(330, 1.5)})
    figures = codecs.evaluate_codec(PcmCodec(), held_out(folder, 1), tmp_path / "out")[0]["singing"]
    assert "pip install praat-parselmouth" in figures["pitch_error"] and figures["stoi"]["mean"] > 0.99
    assert "pitch_error" not in figures[BESIDE]["opus 6 kbps"]
    assert "praat-parselmouth" in table({"codec": figures})


def test_clips_that_cannot_be_judged_are_left_out_of_the_mean(tmp_path: Path):
    pytest.importorskip("parselmouth")
    folder = write_recordings(tmp_path / "singing", {"a": tone(330, 1.5), "b": noise(1.5)})
    figures = codecs.evaluate_codec(PcmCodec(), held_out(folder, 2), tmp_path / "out")[0]["singing"]
    assert figures["pitch_error"] == {"mean": 0, "low": 0, "high": 0, "clips": 1}
    assert "clips" not in figures["voicing_error"] and figures["clips"] == 2


def test_held_out_takes_test_rows_speakers_in_turn(tmp_path: Path):
    clip = noise(1.5)
    made = tmp_path / "made"
    write_recordings(made / "speech", {"a1": clip, "a2": clip, "b1": clip, "c1": noise(9.0)})
    write_recordings(made / "sound", {"x": noise(9.0)})
    write_recordings(made / "rooms", {"r": clip})
    rows = held_out(made, 2)
    assert {kind: [row.id for row in found] for kind, found in rows.items()} == {"speech": ["a1", "b1"], "sound": ["x"]}
    assert [row.id for row in held_out(made / "speech", 9)["speech"]] == ["a1", "b1", "a2"], "one corpus, too"
    assert list(held_out(made / "sound", 1)) == ["sound"]
    other = write_recordings(tmp_path / "mine", {"a": clip}, text="Hello.")
    assert list(held_out(other, 1)) == ["speech"], "of unknown kind"
    (other / "corpus.json").write_text('{"kind": "music"}')
    assert list(held_out(other, 1)) == ["music"]
    with pytest.raises(InputError, match="no rows of split 'test'"):
        held_out(write_recordings(tmp_path / "train_only", {"a": clip}, "train"), 1)
    with pytest.raises(InputError, match="no test recording of speech lasts 1.2 to 8 s"):
        held_out(write_recordings(tmp_path / "short", {"a": noise(1.0)}), 1)
