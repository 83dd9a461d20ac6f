"""Put the runs of AudioLDM 2 together as a model folder."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from uniaudio import config
from uniaudio.diffusion.bridge import Bridge, BridgeConfig
from uniaudio.diffusion.denoiser import Denoiser, DenoiserConfig
from uniaudio.diffusion.phones import TimedPhones, TimedPhonesConfig
from uniaudio.engines import load
from uniaudio.engines.latent import LatentEngine, LatentSampling
from uniaudio.engines.latent_coders import CodecLatent
from uniaudio.engines.latent_folder import save_latent
from uniaudio.engines.latent_model import LatentConfig, Networks, OwnModel
from uniaudio.engines.tokens import TokenEngine
from uniaudio.errors import InputError
from uniaudio.lm.duration import DurationPredictor
from uniaudio.recipes.audioldm2 import load_vocoder
from uniaudio.recipes.audioldm2_data import load_parts
from uniaudio.recipes.audioldm2_stages import start_from
from uniaudio.recipes.trained import averaged
from uniaudio.tasks import TASKS

SAMPLING = LatentSampling(sampler="dpmpp", steps=20, guidance=3.0)
TASK_SAMPLING = {"tts": LatentSampling(sampler="dpmpp", steps=20, guidance=2.0)}
TASKS_OF_MINI = ("text_to_sound", "text_to_music", "tts")


def assemble(
    latents: Path, vocoder: Path, stages: Sequence[Path], durations: str | None, name: str, tasks: Sequence[str]
) -> LatentEngine:
    """Return the engine of a folder of latents (its encoders), a vocoder run, which latents of a codec do without, and
    runs of stages, the last one winning.

    `durations` is a model whose duration predictor lays texts out. Raises InputError for runs that lack a network, and
    for an unknown task.
    """
    if unknown := [task for task in tasks if task not in TASKS]:
        raise InputError(f"unknown task {unknown[0]!r}; the tasks are: {', '.join(TASKS)}")
    described: dict = {}
    for run in stages:
        described |= averaged(run)[0]
    if missing := {"denoiser", "phones", "bridge"} - described.keys():
        raise InputError(f"no run given here has trained the {min(missing)}: give one of each stage, or a joint one")
    networks: dict[str, nn.Module] = {
        "denoiser": Denoiser(config.from_dict(DenoiserConfig, described["denoiser"])),
        "phones": TimedPhones(config.from_dict(TimedPhonesConfig, described["phones"])),
        "bridge": Bridge(config.from_dict(BridgeConfig, described["bridge"])),
    }
    for run in stages:
        start_from(networks, run)
    for part in networks.values():
        part.eval().requires_grad_(False)
    coder, audiomae = load_parts(latents)
    parts: dict[str, nn.Module] = {"audiomae": audiomae}
    if isinstance(coder, CodecLatent):
        parts["codec_latent"], window = coder, round(audiomae.config.num_samples / coder.sample_rate * coder.rate)
    else:
        parts |= {"autoencoder": coder, "vocoder": load_vocoder(vocoder)}
        window = audiomae.config.frames // coder.config.reduction
    speaks: dict[str, Any] = {} if durations is None else {"durations": _durations(durations)}
    sizes = LatentConfig(pooling=int(described["loss"]["pooling"]), window=window)
    model = OwnModel(name, tuple(tasks), Networks(**networks, **parts, **speaks), sizes)
    return LatentEngine(model, SAMPLING, {task: TASK_SAMPLING[task] for task in tasks if task in TASK_SAMPLING})


def _durations(model: str) -> DurationPredictor:
    engine = load(model)
    durations = engine.reader.durations if isinstance(engine, TokenEngine) else None
    if durations is None:
        raise InputError(f"{model} has no duration predictor: give a model of speech, or leave tts out")
    return durations


def main() -> int:
    """Assemble a model folder from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latents", type=Path, default=Path("runs/latents"), help="the folder of latents")
    parser.add_argument("--vocoder", type=Path, default=Path("runs/latent_vocoder"))
    parser.add_argument(
        "--stages", type=Path, nargs="+", default=[Path("runs/latent_joint")], help="the later one wins"
    )
    parser.add_argument("--durations", default="uniaudio-mini", help="the model whose durations lay texts out")
    parser.add_argument("--tasks", default=",".join(TASKS_OF_MINI), help="A,B,...")
    parser.add_argument("--name", default="audioldm2-mini")
    parser.add_argument("--card", type=Path, required=True, help="the model card (README.md of the model)")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    tasks = options.tasks.replace("-", "_").split(",")
    try:
        card = options.card.read_text(encoding="utf-8")
        durations = options.durations if "tts" in tasks else None
        engine = assemble(options.latents, options.vocoder, options.stages, durations, options.name, tasks)
        save_latent(options.out, engine, card)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    size = sum(path.stat().st_size for path in options.out.iterdir()) / 1e6
    print(f"{options.out}: {size:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
