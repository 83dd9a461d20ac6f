"""Put trained parts together as a model folder: codec, duration and language-model runs, or a codec alone."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from uniaudio import checkpoint, config
from uniaudio.engines.bundle import save_engine
from uniaudio.engines.items import ItemReader
from uniaudio.engines.tokenizers import save_tokenizers
from uniaudio.engines.tokens import TokenEngine
from uniaudio.errors import InputError
from uniaudio.lm import orders
from uniaudio.lm.duration import DurationConfig, DurationPredictor
from uniaudio.lm.sampling import Sampling
from uniaudio.recipes.codec import load_codec
from uniaudio.sequence.layout import Layout
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tokenizers.semantic import SemanticTokenizer

SAMPLING = Sampling(temperature=0.4, top_k=30)  # chosen on the dev split


def assemble(
    codec_run: Path, duration_run: Path, lm_run: Path, name: str, sampling: Sampling = SAMPLING
) -> TokenEngine:
    """Return the engine made of the averaged weights of three runs; the codec is cut to the model's codebooks."""
    described, tensors = _averaged(lm_run)
    lm = orders.build(orders.read_config(described["lm"]))
    checkpoint.load_into(lm, tensors)
    described, tensors = _averaged(duration_run)
    durations = DurationPredictor(config.from_dict(DurationConfig, described["duration"]))
    checkpoint.load_into(durations, tensors)
    codec = load_codec(codec_run)[0].cut(lm.config.num_slots)
    for module in (lm, durations, codec):
        module.eval().requires_grad_(False)
    layout = Layout(Vocabulary.new(lm.config.num_slots, codec.config.codebook_size))
    reader = ItemReader(codec, durations, None, None)
    return TokenEngine(name, ("tts",), codec, lm, layout, reader, sampling)


def _averaged(run: Path) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """Return the description and the averaged weights (buffers as they are) of a training run."""
    loaded = checkpoint.load(run / "checkpoint")
    if "objective" not in loaded.config:
        raise InputError(f"{run} is not a training run")
    tensors = {k.removeprefix("model."): v for k, v in loaded.tensors.items() if k.startswith("model.")}
    tensors |= {k.removeprefix("ema."): v for k, v in loaded.tensors.items() if k.startswith("ema.")}
    return loaded.config["objective"], tensors


def count_values(engine: TokenEngine) -> dict[str, int]:
    """Return the number of parameters of each part of an engine."""
    parts = {"codec": engine.codec, "lm": engine.lm, "duration": engine.reader.durations}
    return {
        name: sum(p.numel() for p in part.parameters()) for name, part in parts.items() if isinstance(part, nn.Module)
    }


def main() -> int:
    """Assemble a model folder from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codec", type=Path, default=Path("runs/codec_mini"))
    parser.add_argument("--durations", type=Path, default=Path("runs/durations_mini"))
    parser.add_argument("--lm", type=Path, default=Path("runs/tts_mini"))
    parser.add_argument("--semantic", type=Path, help="a semantic tokenizer, for a model that is only a codec")
    parser.add_argument("--only-codec", action="store_true", help="leave durations and language model out")
    parser.add_argument("--name", default="uniaudio-mini")
    parser.add_argument("--card", type=Path, required=True, help="the model card (README.md of the model)")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    try:
        card = options.card.read_text(encoding="utf-8")
        if options.only_codec:
            semantic = None if options.semantic is None else SemanticTokenizer.load(options.semantic)
            codec = load_codec(options.codec)[0]
            save_tokenizers(options.out, options.name, codec, semantic, card)
            values = {"codec": sum(p.numel() for p in codec.parameters())}
        else:
            engine = assemble(options.codec, options.durations, options.lm, options.name)
            save_engine(options.out, engine, card)
            values = count_values(engine)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    size = sum(path.stat().st_size for path in options.out.iterdir()) / 1e6
    print(f"{options.out}: {values} values, {size:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
