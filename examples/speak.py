"""Speak a text in one of the demo voices: python examples/speak.py "The rain has stopped." -o hello.wav"""

import argparse
from dataclasses import replace

import uniaudio
from uniaudio.weights import FOLDER

VOICES = {path.stem: path for path in sorted((FOLDER / "voices").glob("*.flac"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("-o", "--out", default="hello.wav")
    parser.add_argument("--voice", choices=VOICES, default="awb-0920-098")
    parser.add_argument("--model", default="uniaudio-mini", help="a shipped model or the folder of one")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    engine = uniaudio.load(options.model)
    request = {"text": options.text, "speaker": VOICES[options.voice]}
    audio = engine.generate("tts", request, sampling=replace(engine.sampling, seed=options.seed))
    audio.write(options.out)
    print(f"{options.out}: {audio.seconds:.2f} s")


if __name__ == "__main__":
    main()
