"""Made corpora: audio whose text, voice, timing, events or notes are known because we made it.

Each kind is one module with `plan(hours, seed)` -> jobs, `render(job)` -> Rendered, and `needs()`, which says what is
not installed.
"""

import importlib
from pathlib import Path

KINDS = {
    "speech": "English sentences spoken by flite and espeak-ng, with speakers, styles and phone times",
    "singing": "lyrics sung to melodies, with scores and phone times",
    "sound": "scenes of sound events, with captions",
    "music": "pieces played by recorded instruments, with captions",
    "noise": "background noise",
    "rooms": "impulse responses of rooms",
}
DEFAULT_HOURS = {"speech": 20.0, "singing": 11.0, "sound": 10.2, "music": 10.0, "noise": 10.0, "rooms": 0.5}


def synthesize(kind: str, out: Path, hours: float, seed: int = 0, workers: int = 2) -> Path:
    """Make (or finish) the corpus of a kind in `out`; returns its manifest.

    Deterministic for a seed; a second call makes only what is missing. Raises InputError when an engine is missing or
    fails, and when the folder holds another corpus.
    """
    from uniaudio.data.synthesize.corpus import make_corpus

    module = importlib.import_module(f"{__name__}.{kind}")
    module.needs()
    settings = {"hours": hours, "seed": seed}
    return make_corpus(out, kind, module.plan(hours, seed), module.render, settings, workers)
