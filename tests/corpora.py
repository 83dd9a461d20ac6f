"""Small corpora of noise in the true format, for every kind."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.requests import VALUES, noise
from uniaudio.data.manifests import CUTS, cut_line, recording_cut

PHONES = ["pau", "hh", "ax", "l", "ow", "pau"]
SPLITS = ("train", "dev", "test")


def write_corpus(folder: Path, rows: list[dict[str, Any]], kind: str | None = None) -> Path:
    """Write recordings of noise; a row has id, split, seconds and what else `recording_cut` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / CUTS).open("w", encoding="utf-8") as file:
        for index, row in enumerate(rows):
            audio = noise(row["seconds"], seed=index)
            audio.write(folder / f"{row['id']}.flac")
            facts = {name: value for name, value in row.items() if name not in ("id", "split", "seconds")}
            cut = recording_cut(
                row["id"], f"{row['id']}.flac", audio.samples.shape[1], audio.sample_rate, row["split"], **facts
            )
            file.write(cut_line(cut))
    if kind is not None:
        (folder / "corpus.json").write_text(json.dumps({"kind": kind}))
    return folder


def phones_over(seconds: float, names: list[str] | None = None) -> list[list[Any]]:
    """Return equally long [phone, start, end] over a recording; the default says "Hello."."""
    names = names or PHONES
    edges = np.linspace(0, seconds, len(names) + 1)
    return [[name, float(edges[i]), float(edges[i + 1])] for i, name in enumerate(names)]


def speech_rows(
    count: int = 12, texts: tuple[str, ...] = ("Hello.", "Hello hello.", "Hello hello hello hello.")
) -> list:
    """Return `count` utterances over the three splits, two speakers in each."""
    rows = []
    for index in range(count):
        split = SPLITS[index * 3 // count]
        seconds = 1.6 + 0.1 * index
        text = texts[index % len(texts)]
        names = ["pau", *["hh", "ax", "l", "ow"] * len(text.split()), "pau"]
        style = {
            "style": {"rate": "slow"},
            "instructions": [f"a slow voice {split} {index}", f"slowly {split} {index}"],
        }
        row = {"id": f"speech-{split}-{index}", "split": split, "seconds": seconds, "text": text}
        rows.append({**row, "speaker": f"{split}{index % 2}", "phones": phones_over(seconds, names), "custom": style})
    return rows


def small_corpora(folder: Path) -> Path:
    """Write one small corpus of each kind below `folder`."""
    write_corpus(folder / "speech", speech_rows(), "speech")
    plain = [{"split": split, "index": i} for split in SPLITS for i in range(4)]

    def rows(kind: str, seconds: float, custom: Any, **more: Any) -> list[dict[str, Any]]:
        return [
            {
                "id": f"{kind}-{p['split']}-{p['index']}",
                "split": p["split"],
                "seconds": seconds,
                **more,
                "custom": custom(p),
            }
            for p in plain
        ]

    score = VALUES["score"]["notes"]
    sung = rows("singing", 1.6, lambda p: {"score": score, "piece": f"{p['split']}{p['index']}"}, text="hello")
    sung = [{**row, "speaker": f"singer-{row['split']}", "text": f"{row['text']} {i}"} for i, row in enumerate(sung)]
    write_corpus(folder / "singing", sung, "singing")
    classes = ("rain", "dog", "siren", "knock")

    def sound(p: dict[str, Any]) -> dict[str, Any]:
        wordings = [f"{classes[p['index']]} wording {n} {p['split']}" for n in range(3)]
        return {"captions": wordings, "classes": [classes[p["index"]]]}

    write_corpus(folder / "sound", rows("sound", 2.0, sound), "sound")
    write_corpus(folder / "music", rows("music", 2.0, sound), "music")
    write_corpus(folder / "noise", rows("noise", 4.0, lambda p: {"noise_type": f"hum-{p['split']}"}), "noise")
    write_corpus(
        folder / "rooms", rows("rooms", 0.3, lambda p: {"rt60": 0.3, "room": f"r-{p['split']}{p['index']}"}), "rooms"
    )
    return folder
