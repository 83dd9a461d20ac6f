"""Score files: what is written is read back, foreign files are understood, bad ones are named and never expanded."""

from pathlib import Path

import pytest

from uniaudio.errors import InputError
from uniaudio.tokenizers.midi import Note
from uniaudio.tokenizers.score_files import read_score_file, write_score_file

SCORE = [
    Note(start=0.4, end=0.9, pitch=60, lyric="twin-"),
    Note(start=0.9, end=1.43, pitch=61, lyric="kle"),
    Note(start=1.43, end=2.9, pitch=67, lyric="star's"),
    Note(start=2.9, end=3.1, pitch=65),
    Note(start=3.5, end=6.25, pitch=58, lyric="rhap-"),
    Note(start=6.25, end=6.3, pitch=58, lyric="so-"),
    Note(start=6.3, end=7.0, pitch=72, lyric="dÿ"),
]


@pytest.mark.parametrize("tempo", [40.0, 97.3, 140.0])
@pytest.mark.parametrize("name", ["a.json", "a.musicxml", "a.XML", "a.mid"])
def test_what_is_written_is_read(tmp_path: Path, name: str, tempo: float) -> None:
    if name.endswith("mid"):
        pytest.importorskip("mido")
    write_score_file(tmp_path / name, SCORE, tempo)
    found = read_score_file(tmp_path / name)
    assert [(note.pitch, note.lyric) for note in found] == [(note.pitch, note.lyric) for note in SCORE]
    for ours, theirs in zip(SCORE, found, strict=True):
        assert theirs.start == pytest.approx(ours.start, abs=0.0035)
        assert theirs.end == pytest.approx(ours.end, abs=0.0035)


def test_bars_are_full_and_notes_over_a_bar_line_are_tied(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    write_score_file(tmp_path / "a.xml", SCORE, 120.0)
    root = ElementTree.parse(tmp_path / "a.xml").getroot()
    measures = root.findall("part/measure")
    totals = [sum(int(d.text or 0) for d in measure.findall("note/duration")) for measure in measures]
    assert totals[:-1] == [4 * 480] * 3 and 0 < totals[-1] <= 4 * 480
    ties = [tie.get("type") for tie in root.iter("tie")]
    assert ties == ["start", "stop"] * 3  # over 2, 4 and 6 seconds
    assert [e.text for e in root.iter("syllabic")] == ["begin", "end", "single", "begin", "middle", "end"]


FOREIGN = """<?xml version="1.0"?>
<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 3.1 Partwise//EN" "http://www.musicxml.org/dtds/p.dtd">
<score-partwise><part-list><score-part id="P1"><part-name>S</part-name></score-part></part-list><part id="P1">
<measure number="1"><attributes><divisions>2</divisions></attributes>
 <direction><direction-type><metronome><beat-unit>quarter</beat-unit><beat-unit-dot/><per-minute>40</per-minute>
 </metronome></direction-type></direction>
 <note><grace/><pitch><step>C</step><octave>5</octave></pitch></note>
 <note><pitch><step>B</step><alter>-1</alter><octave>4</octave></pitch><duration>2</duration><voice>1</voice>
  <lyric><syllabic>begin</syllabic><text>hel</text></lyric></note>
 <note><chord/><pitch><step>D</step><octave>5</octave></pitch><duration>2</duration><voice>1</voice></note>
 <note><rest/><duration>2</duration><voice>1</voice></note>
 <backup><duration>4</duration></backup>
 <note><pitch><step>C</step><octave>3</octave></pitch><duration>4</duration><voice>2</voice></note>
</measure>
<measure number="2"><sound tempo="120"/>
 <note><pitch><step>G</step><octave>4</octave></pitch><duration>4</duration><tie type="start"/><voice>1</voice>
  <lyric><syllabic>end</syllabic><text>lo</text></lyric></note></measure>
<measure number="3"><attributes><divisions>4</divisions></attributes>
 <note><pitch><step>G</step><octave>4</octave></pitch><duration>4</duration><tie type="stop"/><voice>1</voice></note>
 <note><pitch><step>A</step><octave>4</octave></pitch><duration>4</duration><voice>1</voice></note>
</measure></part><part id="P2"><measure/></part></score-partwise>"""


def test_a_foreign_file_is_understood(tmp_path: Path) -> None:
    (tmp_path / "a.musicxml").write_text(FOREIGN)
    found = [(n.start, n.end, n.pitch, n.lyric) for n in read_score_file(tmp_path / "a.musicxml")]
    # 40 dotted quarters a minute are 1 s a quarter; then 120 quarters a minute.
    assert found == [(0.0, 1.0, 70, "hel-"), (2.0, 3.5, 67, "lo"), (3.5, 4.0, 69, "-")]


def test_entities_are_never_expanded(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE s [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><s>&b;</s>'
    (tmp_path / "bomb.xml").write_bytes(bomb.encode("utf-16"))
    (tmp_path / "file.xml").write_text('<!DOCTYPE s [<!ENTITY a SYSTEM "file:///etc/hostname">]><s>&a;</s>')
    for name in ("bomb", "file"):
        with pytest.raises(InputError, match="entities"):
            read_score_file(tmp_path / f"{name}.xml")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"x", "is not JSON"),
        ("a.mxl", b"PK", "unzip it"),
        ("a.xml", b"<score-partwise>", "not well-formed"),
        ("a.xml", b"\xff\xfe<\x00", "not well-formed"),
        ("a.xml", b"<html/>", "export it as partwise"),
        ("a.xml", b"<score-partwise><part id='P1'/></score-partwise>", "no notes"),
        ("a.xml", FOREIGN.replace("<divisions>2", "<divisions>0").encode(), "measure 1"),
        ("a.xml", FOREIGN.replace("<step>G", "<step>H").encode(), "measure 2"),
        ("a.xml", FOREIGN.replace("<octave>4", "<octave>40").encode(), "pitch"),
        ("a.mid", b"MThd nonsense", "not a MIDI file"),
        ("a.json", b"{", "not JSON"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    if name.endswith("mid"):
        pytest.importorskip("mido")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_score_file(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_score_file(tmp_path / "none.xml")
    with pytest.raises(InputError, match="cannot write"):
        write_score_file(tmp_path / "none" / "a.json", SCORE)
    with pytest.raises(InputError, match="tempo"):
        write_score_file(tmp_path / "a.json", SCORE, 0.0)
    with pytest.raises(InputError, match="no notes"):
        write_score_file(tmp_path / "a.mid", [])


def test_midi_of_two_channels_gives_the_first_with_its_lyrics(tmp_path: Path) -> None:
    mido = pytest.importorskip("mido")
    file = mido.MidiFile(ticks_per_beat=100)
    voice = [mido.MetaMessage("lyrics", text="la "), mido.Message("note_on", note=60, velocity=9, channel=1)]
    voice += [mido.Message("note_on", note=60, velocity=0, channel=1, time=100)]  # a velocity of 0 ends a note
    voice += [
        mido.Message("note_on", note=62, velocity=9, channel=1),
        mido.Message("note_off", note=62, channel=1, time=50),
    ]
    bass = [mido.Message("note_on", note=36, velocity=9, time=10), mido.Message("note_off", note=36, time=90)]
    drums = [mido.Message("note_on", note=40, velocity=9, channel=9)]
    file.tracks += [mido.MidiTrack(drums), mido.MidiTrack(voice), mido.MidiTrack(bass)]
    file.save(tmp_path / "a.midi")
    found = [(n.start, n.end, n.pitch, n.lyric) for n in read_score_file(tmp_path / "a.midi")]
    assert found == [(0.0, 0.5, 60, "la"), (0.5, 0.75, 62, "-")]
