"""The listening page: it is complete, safe to open, moves as a folder, and its pictures show the right sound."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from uniaudio import ui
from uniaudio.audio.io import Audio, write_audio
from uniaudio.errors import InputError
from uniaudio.tasks import TASKS
from uniaudio.ui import Clip, spectrogram, tasks_table, write_page

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Collects (tag, attributes) and text, and checks that every tag is closed in order."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.open = "", []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str, attribute: str) -> list[str]:
        return [value for name, attributes in self.tags if name == tag and (value := attributes.get(attribute))]


def tone(hz: float, seconds: float = 1.0, sample_rate: int = 16000, channels: int = 1) -> Audio:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return Audio(np.tile(0.5 * np.sin(2 * np.pi * hz * time), (channels, 1)).astype(np.float32), sample_rate)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    write_audio(tmp_path / "tone.wav", tone(1000))
    return tmp_path / "tone.wav"


def test_page_shows_every_fact(tmp_path: Path, recording: Path) -> None:
    clip = Clip(
        title="First words",
        task="tts",
        path=recording,
        request={"text": "hello there", "speaker": "slt.wav"},
        inputs={"speaker": recording},
        seed=7,
        model="uniaudio-mini",
        real_time_factor=1.234,
        note="A short one.",
    )
    path = write_page(tmp_path / "demo", "Demo", [clip, Clip(title="Second", task="tts", path=recording)], ["Remark."])
    page = Page(path.read_text(encoding="utf-8"))
    for fact in ("First words", "hello there", "slt.wav", "7", "uniaudio-mini", "1.23", "A short one.", "Remark."):
        assert fact in page.text
    assert TASKS["tts"].about in page.text
    assert page.all("html", "lang") == ["en"]
    assert len(page.all("audio", "src")) == len(page.all("img", "alt")) == 3
    assert all("1.00 s" in alt and "Spectrogram" in alt for alt in page.all("img", "alt"))
    assert len(page.all("audio", "aria-label")) == 3
    assert page.all("nav", "aria-label")
    anchors = [link for link in page.all("a", "href") if link.startswith("#")]
    assert anchors == ["#" + anchor for anchor in page.all("section", "id")]


def test_folder_is_self_contained_and_holds_no_unfinished_file(tmp_path: Path, recording: Path) -> None:
    folder = tmp_path / "demo"
    path = write_page(folder, "Demo", [Clip(title="A & B / ü", task="tts", path=recording)])
    page = Page(path.read_text(encoding="utf-8"))
    sources = page.all("audio", "src") + page.all("img", "src")
    links = [link for link in page.all("a", "href") + page.all("link", "href") if not link.startswith(("#", "data:"))]
    assert all((folder / unquote(source)).is_file() for source in sources + links)
    assert "://" not in path.read_text(encoding="utf-8")
    assert not page.all("script", "src") and "script" not in {tag for tag, _ in page.tags}
    assert {file.name for file in folder.iterdir()} == {"index.html", *map(unquote, sources)}


def test_audio_that_is_already_in_the_folder_is_not_copied(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    (folder / "clips").mkdir(parents=True)
    write_audio(folder / "clips" / "one #1.wav", tone(500))
    path = write_page(folder, "Demo", [Clip(title="One", task="tts", path=folder / "clips" / "one #1.wav")])
    assert Page(path.read_text(encoding="utf-8")).all("audio", "src") == ["clips/one%20%231.wav"]
    assert len(list(folder.rglob("*.wav"))) == 1


@pytest.mark.parametrize(
    "evil", ['<script>alert("1")</script>', "\"><img src=x onerror='a'>", "a & b &lt; c", "</style>"]
)
def test_everything_is_escaped(tmp_path: Path, recording: Path, evil: str) -> None:
    clip = Clip(
        title=evil,
        task=evil,
        path=recording,
        request={evil: evil},
        inputs={evil: recording},
        model=evil,
        note=evil,
    )
    safe = Clip(title="x", task="x", path=recording, request={"x": "x"}, inputs={"x": recording}, model="x", note="x")
    page = Page(write_page(tmp_path / "evil", evil, [clip], [evil]).read_text(encoding="utf-8"))
    expected = Page(write_page(tmp_path / "safe", "x", [safe], ["x"]).read_text(encoding="utf-8"))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in expected.tags]
    assert [set(attributes) for _, attributes in page.tags] == [set(attributes) for _, attributes in expected.tags]
    assert page.text.count(evil) >= 8


def test_a_failure_leaves_the_old_page(tmp_path: Path, recording: Path) -> None:
    folder = tmp_path / "demo"
    before = write_page(folder, "Old", [Clip(title="One", task="tts", path=recording)]).read_bytes()
    with pytest.raises(InputError):
        write_page(folder, "New", [Clip(title="Two", task="tts", path=tmp_path / "absent.wav")])
    assert (folder / "index.html").read_bytes() == before
    assert not list(folder.glob(".*"))


def test_same_clips_give_the_same_page(tmp_path: Path, recording: Path) -> None:
    clips = [Clip(title="One", task="tts", path=recording)]
    for name in ("a", "b"):
        write_page(tmp_path / name, "Demo", clips)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


@pytest.mark.parametrize("sample_rate", [8000, 16000, 24000, 48000])
@pytest.mark.parametrize("hz", [300.0, 1000.0, 3000.0])
def test_a_tone_is_brightest_at_its_own_tick(sample_rate: int, hz: float) -> None:
    picture = spectrogram(tone(hz, sample_rate=sample_rate, channels=2))
    grey = np.asarray(picture.convert("L"), dtype=float)
    plot = grey[ui.MARGIN_TOP : ui.MARGIN_TOP + ui.PLOT_HEIGHT, ui.MARGIN_LEFT : ui.MARGIN_LEFT + ui.PLOT_WIDTH]
    brightest = ui.PLOT_HEIGHT - int(plot.mean(axis=1).argmax()) - 0.5  # rows above the bottom
    share = np.log10(1 + hz / 700) / np.log10(1 + sample_rate / 2 / 700)
    assert brightest == pytest.approx(share * ui.PLOT_HEIGHT, abs=5)


def test_time_runs_to_the_right() -> None:
    samples = tone(1000, seconds=2.0).samples.copy()
    samples[:, :16000] = 0
    grey = np.asarray(spectrogram(Audio(samples, 16000)).convert("L"), dtype=float)
    plot = grey[ui.MARGIN_TOP : ui.MARGIN_TOP + ui.PLOT_HEIGHT, ui.MARGIN_LEFT : ui.MARGIN_LEFT + ui.PLOT_WIDTH]
    columns = plot.max(axis=0)
    assert columns[: ui.PLOT_WIDTH // 2 - 30].max() < 30 < 200 < columns[ui.PLOT_WIDTH // 2 + 30 :].min()


@pytest.mark.parametrize("num_samples", [1, 100, 16000, 16000 * 90])
def test_silence_of_any_length_is_dark(num_samples: int) -> None:
    picture = spectrogram(Audio(np.zeros((1, num_samples), dtype=np.float32), 16000))
    grey = np.asarray(picture.convert("L"))
    plot = grey[ui.MARGIN_TOP : ui.MARGIN_TOP + ui.PLOT_HEIGHT, ui.MARGIN_LEFT : ui.MARGIN_LEFT + ui.PLOT_WIDTH]
    assert plot.max() < 10


def test_a_click_in_a_long_clip_stays_visible() -> None:
    samples = np.zeros((1, 16000 * 120), dtype=np.float32)
    samples[0, 16000 * 60] = 1.0
    grey = np.asarray(spectrogram(Audio(samples, 16000)).convert("L"))
    column = ui.MARGIN_LEFT + ui.PLOT_WIDTH // 2
    assert grey[ui.MARGIN_TOP : ui.MARGIN_TOP + ui.PLOT_HEIGHT, column - 2 : column + 3].max() > 200


def test_colours_get_lighter_evenly() -> None:
    linear = np.array([[int(c[i : i + 2], 16) / 255 for i in (0, 2, 4)] for c in ui.COLOURS]) ** 2.2
    lightness = np.cbrt(linear @ [0.2126, 0.7152, 0.0722])
    steps = np.diff(lightness[1:])
    assert (steps > 0).all() and steps.max() < 2.5 * steps.min()


@pytest.mark.parametrize("seconds", [0.02, 0.5, 3.0, 10.0, 61.7, 3600.0])
def test_time_ticks_are_few_and_inside(seconds: float) -> None:
    ticks = ui._time_ticks(seconds)
    assert 2 <= len(ticks) <= 11
    assert all(0 <= share <= 1.000001 for share, _ in ticks)
    assert all(float(label) == pytest.approx(share * seconds) for share, label in ticks)


def test_picture_opens_again(tmp_path: Path, recording: Path) -> None:
    folder = write_page(tmp_path / "demo", "Demo", [Clip(title="One", task="tts", path=recording)]).parent
    with Image.open(folder / "01-one.png") as picture:
        assert picture.size == (
            ui.MARGIN_LEFT + ui.PLOT_WIDTH + ui.MARGIN_RIGHT,
            ui.MARGIN_TOP + ui.PLOT_HEIGHT + ui.MARGIN_BOTTOM,
        )


def test_tasks_table_has_every_task_and_field() -> None:
    rows = tasks_table().splitlines()[2:]
    assert len(rows) == len(TASKS)
    for task, row in zip(TASKS.values(), rows, strict=True):
        assert row.startswith(f"| `{task.name}` |") and task.about in row and task.target[0] in row
        assert all(f"`{name}`" in row and modality in row for name, modality in task.items)
        assert row.count("|") == rows[0].count("|")
