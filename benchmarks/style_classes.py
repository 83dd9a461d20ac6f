"""How often the asked rate, pitch, range and energy are found in made test recordings: the ceiling of those figures.

python benchmarks/style_classes.py --data corpora/made/speech --limit 200

A class is told by comparing with neutral speech of the same voice. Neutral speech is, in turn: the same text by the
engine that made the corpus, with the same word emphasised or not, and the median of the voice's other plain recordings.
Prints the share of recordings in the right class.
"""

import argparse
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from uniaudio.audio.io import Audio, read_audio
from uniaudio.data.manifests import Row, read_manifest
from uniaudio.data.synthesize.speakers import Speaker, speakers
from uniaudio.data.synthesize.speech import Utterance, speak
from uniaudio.data.synthesize.styles import PLAIN, Style
from uniaudio.evaluate.metrics.rate import CLASSES, Delivery, delivery, style_class, style_ratios, typical

SAMPLE_RATE = 16000


def spoken_by_engine(row: Row, speaker: Speaker, style: Style) -> Delivery:
    utterance = Utterance(id="", text=row.text, split="test", speaker=speaker, tempo=1.0, style=style)
    return delivery(Audio(speak(utterance)[0][None], SAMPLE_RATE), row.text)


def is_plain(row: Row) -> bool:
    style = row.custom["style"]
    return style["emphasis"] is None and all(style[name] == "normal" for name in CLASSES)


def neutrals(
    row: Row, speaker: Speaker, rows: list[Row], spoken: dict[str, Delivery]
) -> Iterator[tuple[str, Delivery]]:
    """Yield the neutral deliveries that a recording is compared with, by name."""
    emphasis = row.custom["style"]["emphasis"]
    yield "same text", spoken_by_engine(row, speaker, PLAIN)
    yield "same text and emphasis", spoken_by_engine(row, speaker, Style(emphasis=emphasis))
    others = [other for other in rows if other.speaker == row.speaker and other.id != row.id and is_plain(other)]
    if own := [spoken[other.id] for other in others if other.id in spoken]:
        yield "other texts", typical(own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("corpora/made/speech"))
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, default=200)
    options = parser.parse_args()
    rows = read_manifest(options.data, options.split)
    rows = random.Random(0).sample(rows, min(options.limit, len(rows)))
    voices = {speaker.name: speaker for speaker in speakers()}
    spoken: dict[str, Delivery] = {}
    for row in rows:
        try:
            spoken[row.id] = delivery(read_audio(row.audio), row.text)
        except ValueError as error:
            print(f"{row.id} is left out: {error}")
    right: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row in (row for row in rows if row.id in spoken):
        for kind, neutral in neutrals(row, voices[row.speaker], rows, spoken):
            for name, ratio in style_ratios(spoken[row.id], neutral).items():
                right[kind, name].append(style_class(name, ratio) == row.custom["style"][name])
    for (kind, name), found in sorted(right.items()):
        print(f"{kind:<24} {name:<8} {np.mean(found):.3f} of {len(found)}")


if __name__ == "__main__":
    main()
