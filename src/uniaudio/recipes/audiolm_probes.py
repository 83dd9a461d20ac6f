"""Judge an AudioLM model: tokens, words and their order, words and voice kept, seams, in one table by the paper's."""

import argparse
import sys
from pathlib import Path

from uniaudio.engines.audiolm import AudioLMEngine
from uniaudio.engines.audiolm_folder import load_audiolm
from uniaudio.errors import InputError
from uniaudio.evaluate.audiolm import Voices, continued, kept, order_pairs, prefers_first, word_pairs
from uniaudio.evaluate.semantic import evaluate_semantic

# Figure -> the paper's (tables I to IV of 2209.03143); "-": it has none, or one that nothing here compares to.
PAPER = {
    "ABX within / across speakers, semantic tokens (%)": "6.7 / 7.6",
    "ABX within / across speakers, codec codes (%)": "17.8 / 26.6",
    "word preferred to non-word (%)": "71.5",
    "sentence preferred to its words in another order (%)": "- (64.7 grammatical)",
    "WER / CER, recordings (%)": "2.5 / 0.8",
    "WER / CER, codec (%)": "2.6 / 0.9",
    "WER / CER, acoustic generation (%)": "6.0 / 3.4",
    "WER / CER, acoustic generation with a prompt (%)": "-",
    "speaker, codec (%)": "100.0",
    "speaker, acoustic generation without prompt (%)": "3.2",
    "speaker, acoustic generation with a prompt (%)": "-",
    "speaker, continuation (%)": "92.6",
    "words heard a second, continuation": "-",
    "seams without a click / level within 3 dB / flux as elsewhere (%)": "-",
}


def judge(engine: AudioLMEngine, corpus: Path, pairs: int, limit: int, seed: int = 0) -> dict[str, str]:
    """Return our figures by the names of `PAPER`, on held-out speech of a corpus."""
    tokens = evaluate_semantic(engine.semantic, engine.codec, corpus, limit=10 * limit, seed=seed)
    voices = Voices(corpus, limit, seed)
    ways, went_on = kept(engine, voices, seed), continued(engine, voices, seed=seed)
    words = prefers_first(engine, word_pairs(pairs, seed), seed)
    order = prefers_first(engine, order_pairs(pairs, seed), seed)

    def percent(*values: float) -> str:
        return " / ".join(f"{100 * value:.1f}" for value in values)

    abx = {one: percent(tokens[one]["abx_within"], tokens[one]["abx_across"]) for one in ("semantic", "codec")}
    rates = {name: percent(way["wer"], way["cer"]) for name, way in ways.items()}
    right = {name: percent(way["speaker"]) for name, way in ways.items()}
    seams = percent(went_on["click"], went_on["level"], went_on["flux"])
    spoken = [rates[name] for name in ("original", "codec", "unprompted", "prompted")]
    named = [right[name] for name in ("codec", "unprompted", "prompted")]
    figures = [abx["semantic"], abx["codec"], percent(words), percent(order), *spoken, *named]
    figures += [percent(went_on["speaker"]), f"{went_on['words']:.2f}", seams]
    return dict(zip(PAPER, figures, strict=True))


def main() -> int:
    """Print the table of a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="the folder of an AudioLM model")
    parser.add_argument("--data", type=Path, required=True, help="a corpus of made speech, with phone times")
    parser.add_argument("--pairs", type=int, default=200, help="pairs of words, and of sentences (200)")
    parser.add_argument("--limit", type=int, default=24, help="recordings said again, and prompts gone on from (24)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        figures = judge(load_audiolm(options.model), options.data, options.pairs, options.limit, options.seed)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    width = max(map(len, PAPER))
    print(f"| {'figure':{width}} | {options.model} | AudioLM |\n|{'-' * (width + 2)}|---|---|")
    print("\n".join(f"| {name:{width}} | {value} | {PAPER[name]} |" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
