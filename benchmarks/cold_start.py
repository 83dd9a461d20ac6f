"""From the shell to a file: seconds of `uniaudio tts` in a fresh process, and where they go.

python benchmarks/cold_start.py --repeats 5 --precision float32
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from uniaudio.weights import FOLDER

TEXT = "The rain has stopped, and the sun is out again."  # about three seconds
VOICE = FOLDER / "voices" / "awb-0920-098.flac"
STAGES = """
import os, time
begun = float(os.environ["BEGUN"])
def told(name):
    global begun
    now = time.time()
    print(f"{name}\\t{now - begun}", flush=True)
    begun = now
told("interpreter")
import torch
told("import torch")
import uniaudio.engines.bundle, uniaudio.cli.generate
told("import the package")
from uniaudio.audio.io import read_audio
from uniaudio.tokenizers.phoneme import phonemes
voice = read_audio(os.environ["VOICE"])
phonemes(os.environ["TEXT"])
told("read text and voice")
engine = uniaudio.engines.load(os.environ["MODEL"], precision=os.environ["PRECISION"])
told("load the weights")
from uniaudio.tasks import TASKS
if engine.generator is not engine.lm:
    engine.generator.session(engine.legal(TASKS["tts"]), engine.sampling_for("tts"))
told("build the graph")
items = engine.reader.read(TASKS["tts"], {"text": os.environ["TEXT"], "speaker": voice})
told("tokenize the request")
codes = engine.generate_frames(TASKS["tts"], [items], [engine.sampling_for("tts")], None)
told("generate the frames")
engine.decode(codes[0]).write(os.environ["OUT"])
told("decode and write")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default="uniaudio-mini")
    parser.add_argument("--precision", default="float32")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.wav"
        request = ["--text", TEXT, "--speaker", str(VOICE), "-o", str(out)]
        command = [sys.executable, "-m", "uniaudio", "tts", *request, "--model", options.model]
        command += ["--precision", options.precision, "--quiet"]
        walls, works = [], []
        for _ in range(options.repeats):
            before, begun = os.times(), time.perf_counter()
            subprocess.run(command, check=True)
            walls.append(time.perf_counter() - begun)
            after = os.times()
            spent = after.children_user - before.children_user + after.children_system - before.children_system
            works.append(spent)
        settings = {"TEXT": TEXT, "VOICE": str(VOICE), "OUT": str(out)}
        settings |= {"MODEL": options.model, "PRECISION": options.precision}
        best: dict[str, float] = {}
        for _ in range(options.repeats):
            environment = {**os.environ, **settings, "BEGUN": str(time.time())}
            run = subprocess.run(
                [sys.executable, "-c", STAGES], check=True, env=environment, capture_output=True, text=True
            )
            for name, seconds in (line.split("\t") for line in run.stdout.splitlines()):
                best[name] = min(best.get(name, float("inf")), float(seconds))
    print(
        f"uniaudio tts, {options.model}, {options.precision}, {options.repeats} runs: best {min(walls):.2f} s, ", end=""
    )
    print(f"worst {max(walls):.2f} s; processor time, best {min(works):.2f} s")
    print("| stage | seconds (best) |\n|---|---|")
    for name, seconds in best.items():
        print(f"| {name} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
