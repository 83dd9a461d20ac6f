"""A listening page: players, requests and spectrograms of audio clips in one folder; it knows no model."""

from __future__ import annotations

import html
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from uniaudio.tasks import TASKS

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from uniaudio.audio.io import Audio

RANGE_DB = 80.0  # what the darkest colour lies below the brightest
WINDOW_SECONDS = 0.046
NUM_BANDS = 128
# Anchors of the perceptually uniform map "magma" (CC0): lightness rises evenly, so it also reads in grey.
COLOURS = ("000004", "180f3d", "440f76", "721f81", "9e2f7f", "cd4071", "f1605d", "fd9668", "feca8d", "fcfdbf")
PLOT_WIDTH, PLOT_HEIGHT = 900, 256  # pixels inside the axes
MARGIN_LEFT, MARGIN_TOP, MARGIN_RIGHT, MARGIN_BOTTOM = 72, 12, 24, 44
PAPER, INK = (20, 20, 26), (225, 225, 232)  # one picture for light and dark pages


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip of a page: an audio file, the request that made it, and how it was made.

    `inputs` are recordings to hear beside it (a voice, a noisy recording), by their field in the request.
    `real_time_factor` is seconds of work per second of audio, below 1 is faster than real time.
    """

    title: str
    task: str
    path: Path
    request: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Path] = field(default_factory=dict)
    seed: int | None = None
    model: str = ""
    real_time_factor: float | None = None
    note: str = ""


def write_page(folder: Path | str, title: str, clips: Sequence[Clip], notes: Iterable[str] = ()) -> Path:
    """Write `folder`/index.html with a player and a spectrogram for each clip and return its path.

    Audio from elsewhere is copied into the folder, so that the folder can be moved or served as it is. Each file is
    complete or absent: it is written under another name first. Raises InputError for a file that is not audio.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sections = []
    for number, clip in enumerate(clips, start=1):
        stem = f"{number:02d}-{_slug(clip.title)}"
        players = [_player(folder, stem, clip.path, "Result", f"{clip.title} ({clip.task})")]
        for name, path in clip.inputs.items():
            players.append(_player(folder, f"{stem}-{_slug(name)}", path, f"Given: {name}", f"{clip.title}, {name}"))
        sections.append(_section(f"clip-{number}", clip, players))
    page = folder / "index.html"
    _replace(page, _page(title, clips, sections, notes).encode())
    return page


def tasks_table() -> str:
    """Return the task table as Markdown: one row per task, as README.md shows it."""
    rows = ["| task | what it does | given | predicts | judged by |", "|---|---|---|---|---|"]
    for task in TASKS.values():
        fields: dict[str, list[str]] = {}
        for name, modality in task.items:
            fields.setdefault(name, []).append(modality)
        given = "<br>".join(f"`{name}` ({', '.join(modalities)})" for name, modalities in fields.items())
        metrics = ", ".join(metric.replace("_", " ") for metric in task.metrics)
        rows.append(f"| `{task.name}` | {task.about} | {given} | {task.target[0]} | {metrics} |")
    return "\n".join(rows)


def spectrogram(audio: Audio) -> Image.Image:
    """Draw the log-mel spectrogram of `audio` (channels averaged) with axes in seconds and hertz, as an RGB picture."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    level = _level_db(audio.samples.mean(axis=0), audio.sample_rate, PLOT_WIDTH)  # [bands, columns]
    anchors = np.array([[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for colour in COLOURS], dtype=np.float64)
    position = (level / RANGE_DB + 1.0) * (len(anchors) - 1)
    pixels = np.stack([np.interp(position, np.arange(len(anchors)), channel) for channel in anchors.T], axis=-1)
    plot = Image.fromarray(pixels[::-1].round().astype(np.uint8))  # low frequencies at the bottom
    plot = plot.resize((PLOT_WIDTH, PLOT_HEIGHT), Image.Resampling.BILINEAR)

    size = (MARGIN_LEFT + PLOT_WIDTH + MARGIN_RIGHT, MARGIN_TOP + PLOT_HEIGHT + MARGIN_BOTTOM)
    picture = Image.new("RGB", size, PAPER)
    picture.paste(plot, (MARGIN_LEFT, MARGIN_TOP))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=13)
    bottom = MARGIN_TOP + PLOT_HEIGHT
    for share, label in _time_ticks(audio.seconds):
        x = MARGIN_LEFT + share * PLOT_WIDTH
        draw.line([(x, bottom), (x, bottom + 5)], fill=INK)
        draw.text((x, bottom + 8), label, fill=INK, font=font, anchor="ma")
    for share, label in _frequency_ticks(audio.sample_rate):
        y = bottom - share * PLOT_HEIGHT
        draw.line([(MARGIN_LEFT - 5, y), (MARGIN_LEFT - 1, y)], fill=INK)
        draw.text((MARGIN_LEFT - 8, y), label, fill=INK, font=font, anchor="rm")
    draw.text((MARGIN_LEFT + PLOT_WIDTH / 2, size[1] - 4), "time (s)", fill=INK, font=font, anchor="md")
    upwards = Image.new("RGB", (PLOT_HEIGHT, 20), PAPER)
    ImageDraw.Draw(upwards).text((PLOT_HEIGHT / 2, 10), "frequency (Hz)", fill=INK, font=font, anchor="mm")
    picture.paste(upwards.transpose(Image.Transpose.ROTATE_90), (4, MARGIN_TOP))
    return picture


def _level_db(samples: np.ndarray, sample_rate: int, max_columns: int) -> np.ndarray:
    """Mel band levels of samples [N] in dB below the loudest, in [-RANGE_DB, 0]: [bands, columns]."""
    import numpy as np

    width = 2 ** max(5, round(np.log2(WINDOW_SECONDS * sample_rate)))
    hop = width // 4
    num_frames = len(samples) // hop + 1
    samples = np.pad(samples.astype(np.float32), (0, max(0, width - len(samples))))
    # Windows are centred, but stay inside the sound at both ends: a window over the edge would draw a click there.
    starts = (np.arange(num_frames) * hop - width // 2).clip(0, len(samples) - width)
    views = np.lib.stride_tricks.sliding_window_view(samples, width)  # [N - width + 1, width]
    num_columns = min(max_columns, num_frames)
    column = np.arange(num_frames) * num_columns // num_frames
    power = np.zeros((num_columns, NUM_BANDS))
    window, bands = np.hanning(width).astype(np.float32), _mel_bands(width, sample_rate)
    for first in range(0, num_frames, 1024):  # in blocks: memory does not grow with the length of the clip
        spectrum = np.abs(np.fft.rfft(views[starts[first : first + 1024]] * window)) ** 2
        np.add.at(power, column[first : first + 1024], spectrum @ bands)
    power /= np.bincount(column, minlength=num_columns)[:, None]
    loudest = max(float(power.max()), 1e-3)  # so that silence and 16-bit rounding (about 3e-8) stay dark
    return 10 * np.log10(np.maximum(power.T / loudest, 10 ** (-RANGE_DB / 10)))


def _mel(hz: np.ndarray | float) -> np.ndarray:
    """Mel scale of O'Shaughnessy (1987): 2595 log10(1 + f / 700)."""
    import numpy as np

    return 2595.0 * np.log10(1.0 + np.asarray(hz) / 700.0)


def _mel_bands(width: int, sample_rate: int) -> np.ndarray:
    """Triangular mel bands [width // 2 + 1, NUM_BANDS], each of sum 1; never narrower than one bin."""
    import numpy as np

    bins = _mel(np.fft.rfftfreq(width, 1.0 / sample_rate))[:, None]
    step = _mel(sample_rate / 2) / (NUM_BANDS - 1)
    centre = np.arange(NUM_BANDS) * step
    bin_step = np.gradient(bins[:, 0])
    half = np.maximum(step, np.interp(centre, bins[:, 0], bin_step))
    bands = np.maximum(0.0, 1.0 - np.abs(bins - centre) / half)
    return bands / np.maximum(bands.sum(axis=0), 1e-9)


def _time_ticks(seconds: float) -> list[tuple[float, str]]:
    """(share of the axis, label) at a round step that gives at most ten marks."""
    steps = (s * 10.0**p for p in range(-3, 5) for s in (1, 2, 5))
    step = next((step for step in steps if seconds / step <= 10), 1e5)
    num_ticks = int(seconds / step + 1e-6) + 1
    return [(i * step / seconds if seconds else 0.0, f"{i * step:g}") for i in range(num_ticks)]


def _frequency_ticks(sample_rate: int) -> list[tuple[float, str]]:
    """(share of the axis, label) of the octaves of 250 Hz below half the sample rate."""
    top = sample_rate / 2
    marks = [(hz, f"{hz // 1000} k" if hz >= 1000 else str(hz)) for hz in (0, 250, 500, 1000, 2000, 4000, 8000, 16000)]
    return [(float(_mel(hz) / _mel(top)), label) for hz, label in marks if hz <= top]


def _slug(text: str) -> str:
    """A file name part: lower-case letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48] or "clip"


def _replace(path: Path, content: bytes) -> None:
    """Write a file under another name and rename it, so that nobody sees half a file."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def _inside(folder: Path, stem: str, path: Path) -> Path:
    """The path of an audio file relative to the page; a file from elsewhere is copied into the folder first."""
    if path.resolve().is_relative_to(folder.resolve()):
        return path.resolve().relative_to(folder.resolve())
    copy = folder / (stem + path.suffix.lower())
    unfinished = copy.with_name(f".{copy.name}.unfinished")
    shutil.copyfile(path, unfinished)
    os.replace(unfinished, copy)
    return copy.relative_to(folder)


def _player(folder: Path, stem: str, path: Path, label: str, subject: str) -> str:
    """Draw the spectrogram of one recording and return its figure: picture, caption and player."""
    import io

    from uniaudio.audio.io import read_audio

    audio = read_audio(path)
    source = _inside(folder, stem, path)
    encoded = io.BytesIO()
    spectrogram(audio).save(encoded, format="PNG", optimize=True)
    picture = Path(f"{stem}.png")
    _replace(folder / picture, encoded.getvalue())
    facts = f"{audio.seconds:.2f} s, {audio.sample_rate} Hz"
    alt = f"Spectrogram of {subject}: {facts}; time runs to the right, frequency upwards, brighter is louder."
    return f"""<figure>
<figcaption>{_text(label)} <small>{_text(facts)}</small></figcaption>
<img src="{_url(picture)}" alt="{_text(alt)}" loading="lazy">
<audio controls preload="metadata" src="{_url(source)}" aria-label="{_text(f"{label}: {subject}")}">
<a href="{_url(source)}">Download</a></audio>
</figure>"""


def _section(anchor: str, clip: Clip, players: Sequence[str]) -> str:
    """One clip as HTML: heading, what the task does, players, and the request as a list of terms."""
    about = TASKS[clip.task].about if clip.task in TASKS else ""
    facts = {"task": clip.task, **clip.request}
    if clip.model:
        facts["model"] = clip.model
    if clip.seed is not None:
        facts["seed"] = str(clip.seed)
    if clip.real_time_factor is not None:
        facts["real-time factor"] = f"{clip.real_time_factor:.2f} s of work per second of audio"
    terms = "\n".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in facts.items())
    paragraphs = "".join(f"<p>{_text(text)}</p>\n" for text in (about, clip.note) if text)
    return f"""<section id="{anchor}" aria-labelledby="{anchor}-title">
<h2 id="{anchor}-title">{_text(clip.title)}</h2>
{paragraphs}<div class="figures">
{chr(10).join(players)}
</div>
<dl>
{terms}
</dl>
</section>"""


def _page(title: str, clips: Sequence[Clip], sections: Sequence[str], notes: Iterable[str]) -> str:
    """The whole document, with its style inside and nothing fetched from elsewhere."""
    links = "\n".join(
        f'<li><a href="#clip-{number}">{_text(clip.title)}</a> <small>{_text(clip.task)}</small></li>'
        for number, clip in enumerate(clips, start=1)
    )
    remarks = "\n".join(f"<p>{_text(note)}</p>" for note in notes)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{_text(title)}</h1>
{remarks}
</header>
<nav aria-label="Clips"><ol>
{links}
</ol></nav>
<main>
{chr(10).join(sections)}
</main>
</body>
</html>
"""


def _text(text: str) -> str:
    """Escape text for HTML, in elements and in quoted attributes."""
    return html.escape(text, quote=True)


def _url(path: Path) -> str:
    """A relative path as the value of a src or href attribute."""
    return quote(path.as_posix())


STYLE = """
:root { color-scheme: light dark; --paper: #fbfbfa; --card: #fff; --ink: #1c1c22; --soft: #5a5a66;
  --line: #dddde2; --link: #7a1f7d; }
@media (prefers-color-scheme: dark) { :root { --paper: #141419; --card: #1d1d24; --ink: #ececf1; --soft: #a9a9b6;
  --line: #34343f; --link: #f0a3c4; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 64rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 0 0 .25rem; }
p { margin: .25rem 0 .75rem; max-width: 44rem; }
small, dt { color: var(--soft); font-size: .875rem; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
nav ol { columns: 18rem; padding-left: 1.5rem; margin: 1rem 0 1.5rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1.25rem;
  margin-bottom: 1.5rem; scroll-margin-top: 1rem; }
.figures { display: grid; gap: 1.25rem; }
figure { margin: 0; }
figcaption { font-weight: 600; margin-bottom: .25rem; }
figcaption small { font-weight: 400; }
img { display: block; width: 100%; height: auto; border-radius: .25rem .25rem 0 0; }
audio { display: block; width: 100%; margin-top: .25rem; }
dl { margin: 1rem 0 0; }
dl div { display: grid; grid-template-columns: minmax(6.5rem, 20%) 1fr; gap: .75rem; padding: .25rem 0;
  border-top: 1px solid var(--line); }
dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
"""
