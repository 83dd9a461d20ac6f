"""One valid request for every field of the task table, on synthetic audio."""

from typing import Any

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.tasks import Task


def noise(seconds: float, seed: int = 0) -> Audio:
    samples = np.random.default_rng(seed).standard_normal((1, round(seconds * 16000))) * 0.1
    return Audio(samples.clip(-1, 1).astype(np.float32), 16000)


VALUES: dict[str, Any] = {
    "text": "The old man bought a boat.",
    "edited_text": "The old man bought a red boat.",
    "caption": "two knocks, then a siren far away",
    "instruction": "a low, slow voice",
    "score": {
        "notes": [
            {"pitch": 60, "start": 0.0, "end": 0.5, "lyric": "hello"},
            {"pitch": 64, "start": 0.5, "end": 1.0, "lyric": "-"},
        ]
    },
}


def request_for(task: Task) -> dict[str, Any]:
    return {name: VALUES.get(name) or noise(1.5, seed=index) for index, name in enumerate(task.given)}
