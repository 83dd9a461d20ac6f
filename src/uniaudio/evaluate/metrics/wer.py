"""Word error rate by the offline recogniser pocketsphinx (its US English model comes inside the package)."""

import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.evaluate.metrics import judge_package

RATE = 16000


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Return (substitutions + deletions + insertions) / reference words over all pairs; case and marks do not count."""
    heard = [plain_words(hypothesis) or " " for hypothesis in hypotheses]
    return float(judge_package("jiwer").wer([plain_words(reference) for reference in references], heard))


def recognise(audio: Audio) -> str:
    """Return what the recogniser hears in a recording of at least 0.1 s, in lower case; "" when it hears nothing."""
    samples = audio.mono().resample(RATE).samples[0]
    peak = float(np.abs(samples).max()) if samples.size else 0.0
    if peak < 1e-4:
        return ""
    pcm = (samples * (0.8 / peak) * 32767).astype(np.int16)
    decoder = _decoder()
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found is not None else ""


def plain_words(text: str) -> str:
    """Return the words of a text in lower case without punctuation."""
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower().replace("-", " ")).split())


@functools.cache
def _decoder() -> Any:
    return judge_package("pocketsphinx").Decoder(samprate=RATE, loglevel="FATAL")
