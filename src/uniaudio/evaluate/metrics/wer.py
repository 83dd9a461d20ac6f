"""Word and character error rates, and the recognisers: pocketsphinx, which is offline, or one of transformers by name.

pocketsphinx's US English model comes inside its package. Whisper and networks with a CTC head are given by folder or
hub name.
"""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.evaluate.metrics import judge_package
from uniaudio.evaluate.public_models import load_network, load_part

RATE = 16000
POCKETSPHINX = "pocketsphinx"
_SILENT = 1e-4  # peak


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Return (substitutions + deletions + insertions) / reference words over all pairs; case and marks do not count.

    Raises ValueError for a reference without words.
    """
    return _rate(word_errors, references, hypotheses)


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Return the same of characters, the spaces between words included."""
    return _rate(character_errors, references, hypotheses)


def word_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Return (word errors, reference words) of one pair; raises ValueError for a reference without words."""
    return _errors(judge_package("jiwer").process_words, reference, hypothesis)


def character_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Return (character errors, reference characters) of one pair; raises ValueError as `word_errors`."""
    return _errors(judge_package("jiwer").process_characters, reference, hypothesis)


def recognise(audio: Audio, recogniser: str = POCKETSPHINX) -> str:
    """Return what a recogniser hears in a recording of at least 0.1 s, in lower case; "" when it hears nothing.

    `recogniser` is "pocketsphinx", or the folder or hub name of a Whisper or CTC model of transformers. Raises
    InputError for one that cannot be loaded and ValueError for more than 30 s before Whisper.
    """
    samples = audio.mono().samples[0]
    peak = float(np.abs(samples).max()) if samples.size else 0.0
    if peak < _SILENT:
        return ""
    if recogniser == POCKETSPHINX:
        return _by_pocketsphinx(audio.mono().resample(RATE).samples[0], peak)
    return plain_words(_by_transformers(audio, recogniser))


def plain_words(text: str) -> str:
    """Return the words of a text in lower case without punctuation."""
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower().replace("-", " ")).split())


def _rate(count: Callable[[str, str], tuple[int, int]], references: Sequence[str], hypotheses: Sequence[str]) -> float:
    pairs = [count(*pair) for pair in zip(references, hypotheses, strict=True)]
    return sum(errors for errors, _ in pairs) / sum(size for _, size in pairs)


def _errors(process: Callable[[str, str], Any], reference: str, hypothesis: str) -> tuple[int, int]:
    wanted = plain_words(reference)
    if not wanted:
        raise ValueError(f"there are no words to be heard in {reference!r}")
    found = process(wanted, plain_words(hypothesis) or " ")
    return found.substitutions + found.deletions + found.insertions, found.substitutions + found.deletions + found.hits


def _by_pocketsphinx(samples: np.ndarray, peak: float) -> str:
    pcm = (samples * (0.8 / peak) * 32767).astype(np.int16)
    decoder = _decoder()
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found is not None else ""


@functools.cache
def _decoder() -> Any:
    return judge_package("pocketsphinx").Decoder(samprate=RATE, loglevel="FATAL")


def _by_transformers(audio: Audio, name: str) -> str:
    import torch

    network, features, tokenizer = _network(name)
    samples = audio.mono().resample(features.sampling_rate).samples[0]
    whisper = network.config.model_type == "whisper"
    if whisper and len(samples) > features.n_samples:
        raise ValueError(f"Whisper hears at most {features.chunk_length} s, got {audio.seconds:.2f} s")
    inputs = features(samples, sampling_rate=features.sampling_rate, return_tensors="pt", return_attention_mask=True)
    with torch.no_grad():
        if not whisper:
            return tokenizer.decode(network(**inputs).logits[0].argmax(-1))
        multilingual = getattr(network.generation_config, "is_multilingual", False)
        english = {"language": "en", "task": "transcribe"} if multilingual else {}
        return tokenizer.decode(network.generate(**inputs, **english)[0], skip_special_tokens=True)


@functools.cache
def _network(name: str) -> tuple[Any, Any, Any]:
    """Return a recogniser, what prepares its input, and its tokenizer; Whisper is kept from writing digits."""
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer
    from transformers import WhisperForConditionalGeneration as Whisper

    whisper = load_part(AutoConfig, name).model_type == "whisper"
    network = load_network(Whisper if whisper else AutoModelForCTC, name)
    features, tokenizer = load_part(AutoFeatureExtractor, name), load_part(AutoTokenizer, name)
    if whisper:
        digits = [index for token, index in tokenizer.get_vocab().items() if re.search(r"\d", token)]
        settings = network.generation_config
        settings.suppress_tokens = sorted({*(settings.suppress_tokens or []), *digits})
    return network, features, tokenizer
