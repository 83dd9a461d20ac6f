"""Scores: what is refused, the pitch of each frame, and lyrics spread over notes."""

import json
from pathlib import Path

import pytest

from uniaudio.errors import InputError
from uniaudio.tokenizers.midi import MidiTokenizer, Note, parse_score, read_score, score_phonemes, split_syllables
from uniaudio.tokenizers.phoneme import PhonemeDurationTokenizer, is_vowel

TWINKLE = {
    "notes": [
        {"pitch": 60, "start": 0.0, "end": 0.5, "lyric": "Twin-"},
        {"pitch": 60, "start": 0.5, "end": 1.0, "lyric": "kle"},
        {"pitch": 67, "start": 1.0, "end": 1.5, "lyric": "little"},
        {"pitch": 65, "start": 1.5, "end": 2.0},
        {"pitch": 69, "start": 2.4, "end": 3.0, "lyric": "strength"},
        {"pitch": 71, "start": 3.0, "end": 3.5, "lyric": "-"},
    ]
}


def note(**changes: object) -> dict[str, object]:
    return {"pitch": 60, "start": 0.0, "end": 0.5, "lyric": "la", **changes}


def test_read_score(tmp_path: Path) -> None:
    path = tmp_path / "score.json"
    path.write_text(json.dumps(TWINKLE))
    score = read_score(path)
    assert score == parse_score(TWINKLE["notes"])
    assert score[0] == Note(start=0.0, end=0.5, pitch=60, lyric="Twin-")
    assert score[3].lyric == score[5].lyric == "-"


def test_notes_come_back_in_time_order() -> None:
    score = parse_score([note(start=1, end=2, lyric="b"), note(lyric="a")])
    assert [note.lyric for note in score] == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "no notes"),
        ({}, "no notes"),
        ({"notes": []}, "no notes"),
        ("notes", "no notes"),
        (["la"], "note 1 is not an object"),
        ([note(), note(pich=1)], "note 2 has an unknown key 'pich'"),
        ([note(pitch=128)], "pitch 128"),
        ([note(pitch=-1)], "pitch -1"),
        ([note(pitch=60.5)], "pitch 60.5"),
        ([note(pitch=True)], "pitch True"),
        ([{"start": 0, "end": 1}], "pitch None"),
        ([note(start=-0.1)], "start -0.1"),
        ([note(end="1")], "end '1'"),
        ([note(end=float("nan"))], "end nan"),
        ([note(end=float("inf"))], "end inf"),
        ([note(end=0.0)], "at least 0.05 s"),
        ([note(end=0.04)], "at least 0.05 s"),
        ([note(), note(start=0.4, end=1.0)], "overlap at 0.4 s"),
        ([note(end=60.5)], "at most 60 s"),
        ([note(lyric="-")], "first note has no lyric"),
        ([note(lyric=" -- ")], "first note has no lyric"),
        ([note(lyric=5)], "lyric 5"),
    ],
)
def test_bad_scores_are_refused(data: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_score(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b"[" * 100000])
def test_files_that_are_not_json_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "score.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not JSON"):
        read_score(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the score"):
        read_score(tmp_path / "none.json")


def test_pitch_of_each_frame() -> None:
    tokenizer = MidiTokenizer(frame_rate=10.0)
    item = tokenizer.encode(parse_score(TWINKLE))
    assert item.ids is not None and item.ids.shape == (35, 1)
    expected = [61] * 10 + [68] * 5 + [66] * 5 + [0] * 4 + [70] * 6 + [72] * 5
    assert item.ids[:, 0].tolist() == expected
    assert tokenizer.num_ids == 138


@pytest.mark.parametrize("pitch", [0, 127])
def test_decode_undoes_encode(pitch: int) -> None:
    tokenizer = MidiTokenizer()
    item = tokenizer.encode(parse_score([note(pitch=pitch, start=0.2, end=0.8)]))
    assert item.ids is not None
    again = tokenizer.decode(item.ids)
    assert [(n.start, n.end, n.pitch) for n in again] == [(0.2, 0.8, pitch)]
    assert (tokenizer.encode(again).ids == item.ids).all()


def test_empty_score_is_refused() -> None:
    with pytest.raises(InputError, match="no notes"):
        MidiTokenizer().encode([])


@pytest.mark.parametrize(
    ("phones", "syllables"),
    [
        ("h m", ["h m"]),
        ("t w ˈɪ ŋ k əl", ["t w ˈɪ ŋ", "k əl"]),
        ("ɛ k s t ɹ ˈɔːɹ d ɪ n", ["ɛ k s", "t ɹ ˈɔːɹ", "d ɪ n"]),
        ("ˈɑː ə", ["ˈɑː", "ə"]),
    ],
)
def test_syllables(phones: str, syllables: list[str]) -> None:
    assert [" ".join(syllable) for syllable in split_syllables(phones.split())] == syllables


def test_lyrics_are_spread_over_notes() -> None:
    pytest.importorskip("espeakng_loader")
    timed = score_phonemes(parse_score(TWINKLE))
    per_note = [
        " ".join(phone for phone, start, _ in timed if begin - 1e-6 <= start < end - 1e-6)
        for begin, end in [(0, 0.5), (0.5, 1), (1, 1.5), (1.5, 2), (2, 2.4), (2.4, 3), (3, 3.5)]
    ]
    assert per_note == ["t w ˈɪ ŋ", "k əl", "l ˈɪ", "ɾ əl", "", "s t ɹ ˈɛ", "ˈɛ ŋ θ"]
    for phone, start, end in timed:
        assert end > start
        assert is_vowel(phone) or end - start <= 0.08 + 1e-6


@pytest.mark.parametrize("lyric", ["strengths", "extraordinary", "hmm", "I", "Mississippi"])
@pytest.mark.parametrize("seconds", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("held", [0, 1, 4])
def test_phones_fill_the_notes_exactly(lyric: str, seconds: float, held: int) -> None:
    pytest.importorskip("espeakng_loader")
    notes = [note(start=i * seconds, end=(i + 1) * seconds, lyric="-" if i else lyric) for i in range(held + 1)]
    score = parse_score(notes)
    timed = score_phonemes(score)
    assert timed[0][1] == pytest.approx(0) and timed[-1][2] == pytest.approx(score[-1].end)
    for (_, _, end), (_, start, _) in zip(timed, timed[1:], strict=False):
        assert start == pytest.approx(end)
    # The two items of a singing request have the same number of frames.
    assert len(PhonemeDurationTokenizer().encode(timed)) == len(MidiTokenizer().encode(score))


def test_unspeakable_lyric_is_refused() -> None:
    pytest.importorskip("espeakng_loader")
    with pytest.raises(InputError, match="nothing to speak"):
        score_phonemes(parse_score([note(lyric="♪")]))
