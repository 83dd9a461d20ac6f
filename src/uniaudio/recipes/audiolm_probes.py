"""Judge an AudioLM model: tokens, words, sentences, words and voice kept, continuations, in one table by the paper's.

python -m uniaudio.recipes.audiolm_probes --model audiolm-mini --data corpora/made/speech
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from uniaudio.engines.audiolm import AudioLMEngine
from uniaudio.engines.audiolm_folder import load_audiolm
from uniaudio.errors import InputError
from uniaudio.evaluate.audiolm import Voices, continued, grammar_pairs, kept, order_pairs, prefers_first, word_pairs
from uniaudio.evaluate.phone_gram import PhoneJudge
from uniaudio.evaluate.piano import piano_continued, piano_rows
from uniaudio.evaluate.semantic import evaluate_semantic, held_out
from uniaudio.recipes.audiolm import resample

Figures = dict[str, str]

# Figure -> the paper's (tables I to V of 2209.03143); "-": it has none, or one that nothing here compares to.
PAPER: Figures = {
    "ABX within / across speakers, semantic tokens (%)": "6.7 / 7.6",
    "ABX within / across speakers, codec codes (%)": "17.8 / 26.6",
    "ABX of their vectors, semantic tokens (%)": "-",
    "ABX of their vectors, codec codes (%)": "-",
    "word preferred to non-word (%)": "71.5",
    "sentence preferred to one with an error of grammar (%)": "64.7",
    "sentence preferred to its words in another order (%)": "-",
    "WER / CER, recordings (%)": "2.5 / 0.8",
    "WER / CER, codec (%)": "2.6 / 0.9",
    "WER / CER, acoustic generation (%)": "6.0 / 3.4",
    "WER / CER, acoustic generation with a prompt (%)": "-",
    "speaker, codec (%)": "100.0",
    "speaker, acoustic generation without prompt (%)": "3.2",
    "speaker, acoustic generation with a prompt (%)": "-",
    "ViSQOL, codec / semantic tokens alone": "3.9 / 1.1",
    "speaker, continuation (%)": "92.6",
    "words heard a second, continuation": "-",
    "bits a phone by a held-out trigram: recordings / continuations / random order": "-",
    "seams without a click / level within 3 dB / flux as elsewhere (%)": "-",
    "key / tempo kept, recording (%)": "-",
    "key / tempo kept, model (%)": "-",
    "key / tempo kept, acoustic only (%)": "-",
    "pitch classes: correlation with the prompt's, recording / model / acoustic only": "-",
    "seams on piano without a click / level within 3 dB / flux as elsewhere (%)": "-",
}


def percent(*values: float) -> str:
    """Return shares as percentages."""
    return " / ".join(f"{100 * value:.1f}" for value in values)


def judge_tokens(engine: AudioLMEngine, corpus: Path, limit: int, seed: int, split: str) -> Figures:
    """Return the ABX errors of semantic tokens and codec codes, by their ids and by the vectors that they stand for."""
    found = evaluate_semantic(engine.semantic, engine.codec, corpus, limit, seed)
    return {
        f"{what}, {name} (%)": percent(found[one][f"abx_within{by}"], found[one][f"abx_across{by}"])
        for what, by in {"ABX within / across speakers": "_ids", "ABX of their vectors": ""}.items()
        for one, name in {"semantic": "semantic tokens", "codec": "codec codes"}.items()
    }


def judge_pairs(engine: AudioLMEngine, corpus: Path, limit: int, seed: int, split: str) -> Figures:
    """Return how often the semantic stage prefers what is right, of `limit` pairs of each kind."""
    kinds = {"word preferred to non-word": word_pairs}
    kinds |= {"sentence preferred to one with an error of grammar": grammar_pairs}
    kinds |= {"sentence preferred to its words in another order": order_pairs}
    return {f"{name} (%)": percent(prefers_first(engine, pairs(limit, seed), seed)) for name, pairs in kinds.items()}


def judge_said(engine: AudioLMEngine, corpus: Path, limit: int, seed: int, split: str) -> Figures:
    """Return what of `limit` recordings is kept by the codec and when they are said again."""
    ways = kept(engine, Voices(corpus, engine.codec, limit, seed, split), seed)
    names = {"original": "recordings", "codec": "codec", "unprompted": "acoustic generation"}
    names |= {"prompted": "acoustic generation with a prompt"}
    figures = {f"WER / CER, {name} (%)": percent(ways[way]["wer"], ways[way]["cer"]) for way, name in names.items()}
    named = {"codec": "codec", "unprompted": "acoustic generation without prompt", "prompted": names["prompted"]}
    figures |= {f"speaker, {name} (%)": percent(ways[way]["speaker"]) for way, name in named.items()}
    quality = f"{ways['codec']['visqol']:.2f} / {ways['unprompted']['visqol']:.2f}"
    return figures | {"ViSQOL, codec / semantic tokens alone": quality}


def judge_continued(engine: AudioLMEngine, corpus: Path, limit: int, seed: int, split: str) -> Figures:
    """Return what `limit` prompts of 3 s lead to."""
    phones = PhoneJudge(engine.semantic, held_out(corpus, 400, seed, "dev" if split == "test" else "test"))
    found = continued(engine, Voices(corpus, engine.codec, limit, seed, split), phones, seed=seed)
    bits = " / ".join(f"{found[name]:.2f}" for name in ("bits_recorded", "bits", "bits_random"))
    return {
        "speaker, continuation (%)": percent(found["speaker"]),
        "words heard a second, continuation": f"{found['words']:.2f}",
        "bits a phone by a held-out trigram: recordings / continuations / random order": bits,
        "seams without a click / level within 3 dB / flux as elsewhere (%)": percent(
            *(found[name] for name in ("click", "level", "flux"))
        ),
    }


def judge_piano(engine: AudioLMEngine, corpus: Path, limit: int, seed: int, split: str) -> Figures:
    """Return what the continuations of `limit` piano prompts of 3 s keep."""
    found = piano_continued(engine, piano_rows(corpus, limit, split), seed=seed)
    ways = ("recording", "model", "acoustic only")
    figures = {f"key / tempo kept, {way} (%)": percent(found[way]["key"], found[way]["tempo"]) for way in ways}
    chroma = " / ".join(f"{found[way]['chroma']:.2f}" for way in ways)
    seams = percent(*(found["model"][name] for name in ("click", "level", "flux")))
    return figures | {
        "pitch classes: correlation with the prompt's, recording / model / acoustic only": chroma,
        "seams on piano without a click / level within 3 dB / flux as elsewhere (%)": seams,
    }


# Probe -> what it asks, and of how many recordings, pairs or prompts.
PROBES: dict[str, tuple[Callable[[AudioLMEngine, Path, int, int, str], Figures], int]] = {
    "tokens": (judge_tokens, 240),
    "pairs": (judge_pairs, 200),
    "said": (judge_said, 24),
    "continued": (judge_continued, 24),
    "piano": (judge_piano, 19),
}
SPEECH = ("tokens", "pairs", "said", "continued")


def main() -> int:
    """Print the table of a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="an AudioLM model")
    about = "a corpus of made speech with phone times; of made music for the probe `piano`"
    parser.add_argument("--data", type=Path, required=True, help=about)
    parser.add_argument("--only", default=",".join(SPEECH), help=f"some of {','.join(PROBES)} (all of speech)")
    parser.add_argument("--limit", type=int, help="recordings, pairs or prompts of each probe (as many as usual)")
    parser.add_argument("--seed", type=int, default=0)
    about = "whose recordings said, continued and piano take: settings are chosen on dev (test)"
    parser.add_argument("--split", choices=("dev", "test"), default="test", help=about)
    about = "sampling of the coarse stage in place of the model's, e.g. guidance=3 candidates=4"
    parser.add_argument("--sampling", nargs="+", default=[], metavar="KEY=VALUE", help=about)
    options = parser.parse_args()
    figures: Figures = {}
    try:
        unknown = [name for name in options.only.split(",") if name not in PROBES]
        if unknown:
            raise InputError(f"unknown probe {unknown[0]!r}: use some of {', '.join(PROBES)}")
        engine = load_audiolm(options.model)
        resample(engine, options.sampling)
        for name in options.only.split(","):
            probe, usual = PROBES[name]
            figures |= probe(engine, options.data, options.limit or usual, options.seed, options.split)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    width = max(map(len, figures))
    print(f"| {'figure':{width}} | {options.model} | AudioLM |\n|{'-' * (width + 2)}|---|---|")
    print("\n".join(f"| {name:{width}} | {value} | {PAPER[name]} |" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
