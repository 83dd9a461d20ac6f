"""Bar charts with intervals as SVG: text that can be read and compared, and no plotting library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

ROW, NAME, BAR, NUMBER, GAP, HEAD = 20, 110, 180, 60, 24, 28
COLUMNS = 3


@dataclass(frozen=True)
class Panel:
    """One chart: bar -> {"mean"} or {"mean", "low", "high"}, or None where there is no figure."""

    title: str
    bars: Mapping[str, Mapping[str, float] | None]


def bars(panels: Sequence[Panel]) -> str:
    """Return the panels side by side, each from 0 to its own greatest value."""
    height = HEAD + ROW * max(len(panel.bars) for panel in panels) + GAP
    width = NAME + BAR + NUMBER + GAP
    rows = -(-len(panels) // COLUMNS)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS * width} {rows * height}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{COLUMNS * width}" height="{rows * height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        left, top = (number % COLUMNS) * width + GAP / 2, (number // COLUMNS) * height
        parts.append(f'<text x="{left}" y="{top + 18}" font-weight="bold">{escape(panel.title)}</text>')
        parts += _panel(panel, left, top + HEAD)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel, left: float, top: float) -> list[str]:
    known = [figure.get("high", figure["mean"]) for figure in panel.bars.values() if figure is not None]
    scale = BAR / max([*known, 1e-9])
    parts: list[str] = []
    for row, (name, figure) in enumerate(panel.bars.items()):
        y = top + row * ROW
        parts.append(f'<text x="{left}" y="{y + 14}">{escape(name)}</text>')
        if figure is None:
            continue
        x, end = left + NAME, left + NAME + figure["mean"] * scale
        colour = "#3b6ea5" if name.startswith("multi") else "#9db8d2"
        parts.append(f'<rect x="{x}" y="{y + 3}" width="{end - x:.1f}" height="{ROW - 6}" fill="{colour}"/>')
        if "low" in figure:
            low, high = (x + figure[edge] * scale for edge in ("low", "high"))
            parts.append(f'<path d="M{low:.1f} {y + ROW / 2}H{high:.1f}" stroke="#222"/>')
        parts.append(f'<text x="{x + BAR + 6}" y="{y + 14}">{figure["mean"]:.3g}</text>')
    return parts
