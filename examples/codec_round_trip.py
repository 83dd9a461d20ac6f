"""Turn a recording into codes and back: python examples/codec_round_trip.py voice.wav -o decoded.wav"""

import argparse
import math

import uniaudio
from uniaudio.audio.io import read_audio
from uniaudio.tokenizers.codec import CodecTokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording")
    parser.add_argument("-o", "--out", default="decoded.wav")
    parser.add_argument("--model", default="uniaudio-mini", help="a shipped model or the folder of one")
    options = parser.parse_args()

    tokenizer = CodecTokenizer(uniaudio.load(options.model).codec)
    audio = read_audio(options.recording)
    ids = tokenizer.encode(audio).ids  # [T frames, K codebooks]
    assert ids is not None, "the codec's items always have ids"
    tokenizer.decode(ids).write(options.out)

    shape = tokenizer.codec.config
    bits = shape.frame_rate * shape.num_codebooks * math.log2(shape.codebook_size)
    print(f"{options.out}: {audio.seconds:.2f} s in {ids.shape[0]} frames of {ids.shape[1]} codes")
    print(f"{bits:.0f} bits per second, 16-bit samples have {16 * shape.sample_rate}")


if __name__ == "__main__":
    main()
