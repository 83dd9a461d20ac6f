"""Generate several requests in one batch, each with its own voice and seed: python examples/custom_request.py"""

import argparse
from dataclasses import replace
from pathlib import Path

import uniaudio
from uniaudio.weights import FOLDER

VOICES = sorted((FOLDER / "voices").glob("*.flac"))
TEXTS = ("The rain has stopped.", "We can go outside now.", "Take your coat with you.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path("batch"), help="the folder to write in")
    parser.add_argument("--model", default="uniaudio-mini", help="a shipped model or the folder of one")
    parser.add_argument("--temperature", type=float, default=0.7)
    options = parser.parse_args()

    engine = uniaudio.load(options.model)
    requests = [{"text": text, "speaker": voice} for text, voice in zip(TEXTS, VOICES, strict=False)]
    sampling = replace(engine.sampling, temperature=options.temperature)  # the same for the whole batch, but for seeds
    samplings = [replace(sampling, seed=seed) for seed in range(len(requests))]
    options.out.mkdir(parents=True, exist_ok=True)
    for request, audio in zip(requests, engine.generate_batch("tts", requests, samplings), strict=True):
        path = options.out / f"{request['speaker'].stem}.wav"
        audio.write(path)
        print(f"{path}: {request['text']} ({audio.seconds:.2f} s)")


if __name__ == "__main__":
    main()
