"""How much each codebook of a trained codec adds: STOI, word error rate and speaker similarity by number of codebooks.

python benchmarks/codebooks.py --model runs/codec_mini --data corpora/speech --clips 48
"""

import argparse
from pathlib import Path

import numpy as np

from uniaudio.audio.io import read_audio
from uniaudio.data.manifests import read_manifest
from uniaudio.evaluate.metrics.speaker_similarity import similarity, speaker_embedding
from uniaudio.evaluate.metrics.stoi import stoi
from uniaudio.evaluate.metrics.wer import recognise, word_error_rate
from uniaudio.recipes.codec import load_codec
from uniaudio.tokenizers.codec import CodecTokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="runs/codec_mini")
    parser.add_argument("--data", type=Path, default=Path("corpora/speech"))
    parser.add_argument("--clips", type=int, default=48)
    options = parser.parse_args()
    codec = load_codec(options.model)[0]
    rows = [row for row in read_manifest(options.data, "test") if 1.2 <= row.seconds <= 8][: options.clips]
    audio = [read_audio(row.audio, sample_rate=codec.config.sample_rate, mono=True) for row in rows]
    texts = [row.text for row in rows]
    voices = [speaker_embedding(clip) for clip in audio]
    errors = word_error_rate(texts, [recognise(clip) for clip in audio])
    print(f"{len(rows)} held-out clips; word error rate of the originals {errors:.3f}")
    print("codebooks  bits/s   STOI    WER     speaker similarity")
    for count in range(1, codec.config.num_codebooks + 1):
        tokenizer = CodecTokenizer(codec.cut(count))
        made = [tokenizer.decode(tokenizer.encode(clip).ids) for clip in audio]
        quality = np.mean([stoi(a, b) for a, b in zip(audio, made, strict=True)])
        alike = np.mean([similarity(v, speaker_embedding(b)) for v, b in zip(voices, made, strict=True)])
        errors = word_error_rate(texts, [recognise(clip) for clip in made])
        rate = codec.config.frame_rate * count * np.log2(codec.config.codebook_size)
        print(f"{count:9d}  {rate:6.0f}  {quality:.3f}  {errors:.3f}  {alike:.3f}", flush=True)


if __name__ == "__main__":
    main()
