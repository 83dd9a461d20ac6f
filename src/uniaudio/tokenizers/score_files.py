"""Scores with lyrics as files: MusicXML, MIDI and JSON, by the file's extension; it knows no audio.

The times of notes are seconds. MusicXML is that of W3C's MusicXML 4.0, one part, one voice; MIDI carries the lyrics as
lyric events at the notes. Of further parts, voices and notes of a chord in MusicXML and further channels in MIDI, only
the first is read; repeats are not followed.
"""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from uniaudio.errors import InputError
from uniaudio.tokenizers.midi import MELISMA, MIN_NOTE_SECONDS, Note, parse_score, read_score

EXTENSIONS = (".json", ".musicxml", ".xml", ".mid", ".midi")
MAX_BYTES = 20_000_000
_DIVISIONS = 480  # of a quarter note, in MusicXML and MIDI that we write
_BAR = 4 * _DIVISIONS
_DEFAULT_BPM = 120.0
_NEAR_SECONDS = 0.03  # a MIDI lyric belongs to the note that begins within
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SPELLED = (("C", 0), ("C", 1), ("D", 0), ("D", 1), ("E", 0), ("F", 0))
_SPELLED += (("F", 1), ("G", 0), ("G", 1), ("A", 0), ("A", 1), ("B", 0))
_BEATS = {"whole": 4.0, "half": 2.0, "quarter": 1.0, "eighth": 0.5, "16th": 0.25}
_DOCTYPE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE score-partwise PUBLIC '
    '"-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">\n'
)


def read_score_file(path: str | Path) -> list[Note]:
    """Return the notes of a `.musicxml`, `.xml`, `.mid` or `.midi` file, or of a JSON file of any other name, in time
    order.

    Raises InputError for a file that cannot be read or is no score, and as `parse_score` does.
    """
    path = Path(path)
    extension = _extension(path) if path.suffix.lower() == ".mxl" else path.suffix.lower()
    if extension not in EXTENSIONS[1:]:
        return read_score(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"the score {path} is larger than {MAX_BYTES // 1_000_000} MB: split it")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the score {path}: {error.strerror}") from error
    notes = _read_midi(path) if extension.startswith(".mid") else _read_musicxml(path, content)
    try:
        return parse_score([asdict(note) for note in notes])
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def write_score_file(path: str | Path, notes: Sequence[Note], tempo_bpm: float = _DEFAULT_BPM) -> None:
    """Write notes in the format of the path's extension; `tempo_bpm` (quarter notes a minute) sets the bars.

    JSON keeps the times; MusicXML and MIDI round them to 1/480 of a quarter note. Raises InputError for another
    extension, a tempo outside 10 to 400, notes that `parse_score` refuses, and a path that cannot be written.
    """
    path = Path(path)
    extension = _extension(path)
    if not 10 <= tempo_bpm <= 400:
        raise InputError(f"the tempo is {tempo_bpm!r}: it must be from 10 to 400 quarter notes a minute")
    score = parse_score([asdict(note) for note in notes])
    try:
        if extension == ".json":
            path.write_text(
                json.dumps({"notes": [asdict(note) for note in score]}, ensure_ascii=False, indent=1), "utf-8"
            )
        elif extension.startswith(".mid"):
            _write_midi(path, score, tempo_bpm)
        else:
            path.write_text(_musicxml(score, tempo_bpm), "utf-8")
    except OSError as error:
        raise InputError(f"cannot write the score {path}: {error.strerror}") from error


def _extension(path: Path) -> str:
    extension = path.suffix.lower()
    if extension == ".mxl":
        raise InputError(f"{path} is compressed MusicXML: unzip it, and give the .musicxml or .xml file in it")
    if extension not in EXTENSIONS:
        raise InputError(f"{path} is no score that is known: its name must end in {', '.join(EXTENSIONS)}")
    return extension


def _spans(score: Sequence[Note], tempo_bpm: float) -> list[tuple[int, int]]:
    """Return the start and the end of each note in ticks of 1/_DIVISIONS quarter: none overlap or get too short."""
    per_second = _DIVISIONS * tempo_bpm / 60
    shortest = math.ceil(MIN_NOTE_SECONDS * per_second - 1e-6)
    spans: list[tuple[int, int]] = []
    now = 0
    for note in score:
        start = max(now, round(note.start * per_second))
        now = max(start + shortest, round(note.end * per_second))
        spans.append((start, now))
    return spans


# MusicXML


def _musicxml(score: Sequence[Note], tempo_bpm: float) -> str:
    """Return a score as a MusicXML document in bars of 4/4: notes over a bar line are tied, gaps are rests."""
    root = ElementTree.Element("score-partwise", version="4.0")
    parts = ElementTree.SubElement(root, "part-list")
    _text(ElementTree.SubElement(parts, "score-part", id="P1"), "part-name", "Voice")
    part = ElementTree.SubElement(root, "part", id="P1")
    syllabic = _syllabics(score)
    spans = _spans(score, tempo_bpm)
    measure = part
    for start, end, number in _barred(spans):
        if start % _BAR == 0:
            measure = ElementTree.SubElement(part, "measure", number=str(start // _BAR + 1))
            if start == 0:
                _first_measure(measure, tempo_bpm)
        element = ElementTree.SubElement(measure, "note")
        if number is None:
            ElementTree.SubElement(element, "rest")
            _text(element, "duration", end - start)
            continue
        first, last = spans[number]
        _fill_note(element, score[number], end - start, (start > first, end < last), syllabic[number])
    body = ElementTree.tostring(root, encoding="unicode")
    return _DOCTYPE + body + "\n"


def _barred(spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, int | None]]:
    """Yield (start, end, number of the note, or None for a rest) in ticks, cut at bar lines."""
    now = 0
    for number, (start, end) in enumerate(spans):
        for stop, name in ((start, None), (end, number)):
            while now < stop:
                bar_line = (now // _BAR + 1) * _BAR
                yield now, min(stop, bar_line), name
                now = min(stop, bar_line)


def _first_measure(measure: ElementTree.Element, tempo_bpm: float) -> None:
    attributes = ElementTree.SubElement(measure, "attributes")
    _text(attributes, "divisions", _DIVISIONS)
    time = ElementTree.SubElement(attributes, "time")
    _text(time, "beats", 4)
    _text(time, "beat-type", 4)
    direction = ElementTree.SubElement(measure, "direction")
    metronome = ElementTree.SubElement(ElementTree.SubElement(direction, "direction-type"), "metronome")
    _text(metronome, "beat-unit", "quarter")
    _text(metronome, "per-minute", f"{tempo_bpm:g}")
    ElementTree.SubElement(direction, "sound", tempo=repr(float(tempo_bpm)))


def _fill_note(element: ElementTree.Element, note: Note, duration: int, tied: tuple[bool, bool], syllabic: str) -> None:
    """Write pitch, duration, ties (from the note before, to the next) and, where it begins, the lyric of a note."""
    step, alter = _SPELLED[note.pitch % 12]
    pitch = ElementTree.SubElement(element, "pitch")
    _text(pitch, "step", step)
    if alter:
        _text(pitch, "alter", alter)
    _text(pitch, "octave", note.pitch // 12 - 1)
    _text(element, "duration", duration)
    kinds = [kind for kind, holds in zip(("stop", "start"), tied, strict=True) if holds]
    for kind in kinds:
        ElementTree.SubElement(element, "tie", type=kind)
    notations = ElementTree.SubElement(element, "notations") if kinds else element
    for kind in kinds:
        ElementTree.SubElement(notations, "tied", type=kind)
    if note.lyric != MELISMA and not tied[0]:
        lyric = ElementTree.SubElement(element, "lyric", number="1")
        _text(lyric, "syllabic", syllabic)
        _text(lyric, "text", note.lyric.removesuffix("-"))


def _text(parent: ElementTree.Element, tag: str, value: object) -> None:
    ElementTree.SubElement(parent, tag).text = str(value)


def _syllabics(score: Sequence[Note]) -> list[str]:
    """Return MusicXML's syllabic of each note; "" for a held one."""
    found: list[str] = []
    is_open = False
    for note in score:
        if note.lyric == MELISMA:
            found.append("")
            continue
        goes_on = note.lyric.endswith("-")
        names = {(False, False): "single", (False, True): "begin", (True, True): "middle", (True, False): "end"}
        found.append(names[is_open, goes_on])
        is_open = goes_on
    return found


def _read_musicxml(path: Path, content: bytes) -> list[Note]:
    try:
        _refuse_entities(content)
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, expat.ExpatError, ValueError, LookupError) as error:
        raise InputError(f"{path} is not well-formed XML ({error}): export it again as MusicXML") from error
    if root.tag != "score-partwise":
        raise InputError(f"{path} is <{root.tag}>, not <score-partwise>: export it as partwise MusicXML")
    part = root.find("part")
    reader = _PartReader()
    for measure in () if part is None else part:
        try:
            reader.read(measure)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            number = measure.get("number")
            raise InputError(f"{path} has a bad value in measure {number} ({error}): repair it") from error
    if not reader.notes:
        raise InputError(f"{path} has no notes in its first part: put the voice first")
    return reader.notes


def _refuse_entities(content: bytes) -> None:
    """Raise ValueError where a document declares an entity: expanded ones can fill the memory or read files."""

    def refuse(*_: object) -> None:
        raise ValueError("it declares entities, which are not read")

    scanner = expat.ParserCreate()
    scanner.EntityDeclHandler = refuse
    scanner.Parse(content, True)


@dataclass
class _PartReader:
    """The state while the measures of a part are read, in order."""

    notes: list[Note] = field(default_factory=list)
    divisions: float = 1.0
    seconds_per_quarter: float = 60 / _DEFAULT_BPM
    now: float = 0.0  # seconds
    voice: str | None = None
    tied: bool = False  # whether the next note prolongs the last

    def read(self, measure: ElementTree.Element) -> None:
        """Add the notes of a measure. Raises ValueError, TypeError or KeyError for values that make no sense."""
        start, latest = self.now, self.now
        for element in measure:
            if element.tag == "note":
                self._note(element)
            elif element.tag in ("backup", "forward"):
                self.now += self._seconds(element) * (1 if element.tag == "forward" else -1)
                self.now = max(self.now, start)
            elif element.tag == "attributes" and element.find("divisions") is not None:
                self.divisions = _positive(element.findtext("divisions"))
            elif element.tag in ("direction", "sound"):
                self._tempo(element)
            latest = max(latest, self.now)
        self.now = latest

    def _seconds(self, element: ElementTree.Element) -> float:
        return _positive(element.findtext("duration")) / self.divisions * self.seconds_per_quarter

    def _tempo(self, element: ElementTree.Element) -> None:
        sound = element if element.tag == "sound" else element.find("sound")
        if sound is not None and sound.get("tempo"):
            self.seconds_per_quarter = 60 / _positive(sound.get("tempo"))
            return
        metronome = element.find("direction-type/metronome")
        if metronome is not None and metronome.findtext("per-minute"):
            beats = _BEATS[metronome.findtext("beat-unit", "quarter")]
            beats *= 1.5 if metronome.find("beat-unit-dot") is not None else 1.0
            self.seconds_per_quarter = 60 / _positive(metronome.findtext("per-minute")) / beats

    def _note(self, element: ElementTree.Element) -> None:
        if element.find("grace") is not None or element.find("chord") is not None:
            return
        start, end = self.now, self.now + self._seconds(element)
        self.now = end
        pitch, voice = element.find("pitch"), element.findtext("voice", "1")
        if pitch is None:
            return
        self.voice = self.voice or voice
        if voice != self.voice:
            return
        octave, alter = int(pitch.findtext("octave", "")), round(float(pitch.findtext("alter") or 0))
        number = 12 * (octave + 1) + _STEPS[pitch.findtext("step", "").strip()] + alter
        kinds = {tie.get("type") for tie in element.findall("tie")}
        if self.tied and "stop" in kinds and self.notes[-1].pitch == number:
            self.notes[-1] = replace(self.notes[-1], end=end)
        else:
            self.notes.append(Note(start=start, end=end, pitch=number, lyric=_lyric(element)))
        self.tied = "start" in kinds


def _positive(text: str | None) -> float:
    value = float(text or "")
    if not 0 < value < math.inf:
        raise ValueError(f"{text!r} is not a positive number")
    return value


def _lyric(element: ElementTree.Element) -> str:
    """Return the first verse of a note as our lyric: "twin-" goes on, "-" is held."""
    lyric = element.find("lyric")
    text = "" if lyric is None else "".join(part.text or "" for part in lyric.findall("text")).strip()
    if lyric is None or not text:
        return MELISMA
    return text + ("-" if lyric.findtext("syllabic") in ("begin", "middle") and not text.endswith("-") else "")


# MIDI


def _write_midi(path: Path, score: Sequence[Note], tempo_bpm: float) -> None:
    mido = _mido()
    file = mido.MidiFile(type=0, ticks_per_beat=_DIVISIONS, charset="utf-8")
    events: list[tuple[int, int, Any]] = []  # tick, order within it, message
    for note, (start, end) in zip(score, _spans(score, tempo_bpm), strict=True):
        events.append((start, 1, mido.MetaMessage("lyrics", text=note.lyric)))
        events.append((start, 2, mido.Message("note_on", note=note.pitch, velocity=80)))
        events.append((end, 0, mido.Message("note_off", note=note.pitch, velocity=0)))
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo_bpm))])
    now = 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    file.tracks.append(track)
    file.save(path)


def _read_midi(path: Path) -> list[Note]:
    """Return the notes of the channel that begins first, each with the lyric that begins with it."""
    messages = _midi_messages(path)
    lyrics: list[tuple[float, str]] = []
    found: list[Note] = []
    sounding: dict[int, float] = {}  # pitch -> start
    channel: int | None = None
    times = itertools.accumulate(message.time for message in messages)
    for now, message in zip(times, messages, strict=True):
        if message.type == "lyrics":
            lyrics.append((now, message.text.strip()))
        if message.type not in ("note_on", "note_off") or message.channel == 9:
            continue
        channel = message.channel if channel is None else channel
        if message.channel != channel:
            continue
        if message.note in sounding:
            found.append(Note(start=sounding.pop(message.note), end=now, pitch=message.note))
        if message.type == "note_on" and message.velocity > 0:
            sounding[message.note] = now
    if not found:
        raise InputError(f"{path} has no notes: export the voice's track")
    found.sort(key=lambda note: note.start)
    return [replace(note, lyric=_near(lyrics, note.start)) for note in found]


def _midi_messages(path: Path) -> list[Any]:
    """Return the messages of all tracks in time order; `time` is seconds since the one before."""
    mido = _mido()
    bad = (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, mido.KeySignatureError)
    for charset in ("utf-8", "latin-1"):
        try:
            return list(mido.MidiFile(path, charset=charset))
        except bad as error:
            if not isinstance(error, UnicodeDecodeError):
                raise InputError(f"{path} is not a MIDI file ({type(error).__name__}): export it again") from error
    raise AssertionError("every byte is a letter of latin-1")


def _mido() -> Any:
    try:
        return import_module("mido")
    except ImportError as error:
        raise InputError("MIDI files need mido: `pip install mido`") from error


def _near(lyrics: Sequence[tuple[float, str]], start: float) -> str:
    time, text = min(lyrics, key=lambda lyric: abs(lyric[0] - start), default=(math.inf, ""))
    return text if text and abs(time - start) <= _NEAR_SECONDS else MELISMA
