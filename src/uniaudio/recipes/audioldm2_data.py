"""Compute once what the stages of AudioLDM 2 are trained on: latents, language of audio, captions and phones."""

import argparse
import hashlib
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from uniaudio import checkpoint, config
from uniaudio.audio.filterbanks import TacotronMel
from uniaudio.audio.io import read_audio
from uniaudio.config import to_dict
from uniaudio.data.alignment import timed_phones
from uniaudio.data.latents import KINDS, PHONE_RATE, LatentWriter, window_phones, window_starts
from uniaudio.data.manifests import CUTS, Row, read_manifest
from uniaudio.diffusion.autoencoder import AutoencoderConfig, MelAutoencoder
from uniaudio.engines.latent_coders import CodecLatent, CodecLatentConfig, new_codec_latent, with_its_codec
from uniaudio.errors import InputError
from uniaudio.recipes.audioldm2 import load_audiomae, load_autoencoder
from uniaudio.ssl.audiomae import SAMPLE_RATE, AudioMae, AudioMaeConfig
from uniaudio.tokenizers.caption import CaptionTokenizer
from uniaudio.tokenizers.phoneme import TimedPhone

PARTS = "parts"  # the checkpoint of the two encoders inside a folder of latents


@dataclass(frozen=True, kw_only=True)
class LatentDataConfig:
    """`limits` say how many recordings of each kind are taken, drawn at random, with at most `windows` windows and
    `captions` wordings of each. The scales of latents and features are those of `measured` windows. Latents of a codec
    have `channels` components."""

    limits: dict[str, int] = field(default_factory=lambda: {"sound": 4000, "music": 2500, "speech": 2500})
    windows: int = 4
    captions: int = 3
    batch_size: int = 16
    measured: int = 128
    channels: int = 32
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class _Window:
    row: Row
    kind: str
    first: int  # sample at which it begins


class _Encoders:
    """Both encoders on batches of windows, in bfloat16: what they are stored in has no more digits either."""

    def __init__(self, autoencoder: MelAutoencoder | CodecLatent, audiomae: AudioMae) -> None:
        self.autoencoder, self.audiomae = autoencoder, audiomae
        self.num_samples = audiomae.config.num_samples

    @torch.no_grad()
    def __call__(self, windows: Sequence[_Window]) -> tuple[Tensor, Tensor]:
        """Return latents [B, C, T, F] and features [B, P, D] of some windows."""
        heard = self.read(windows)
        fbank = self.audiomae.fbank(heard)
        with torch.autocast("cpu", torch.bfloat16):
            features = self.audiomae.features(fbank)
            if isinstance(self.autoencoder, CodecLatent):
                return self.autoencoder.to_latent(heard), features
            mel = TacotronMel(num_mels=self.autoencoder.config.num_mels)
            return self.autoencoder.encode(mel(heard)), features

    def read(self, windows: Sequence[_Window]) -> Tensor:
        """Return the samples [B, N] of some windows, what lies after their recordings silent."""
        samples = np.zeros((len(windows), self.num_samples), np.float32)
        for row, window in zip(samples, windows, strict=True):
            audio = read_audio(window.row.audio, sample_rate=SAMPLE_RATE, mono=True).samples[0]
            part = audio[window.first : window.first + self.num_samples]
            row[: len(part)] = part
        return torch.from_numpy(samples)

    def standardise(self, windows: Sequence[_Window]) -> None:
        """Set the scales of both encoders by some windows."""
        batches = list(_batches(windows, 16))
        if isinstance(self.autoencoder, CodecLatent):
            self.autoencoder.fit(self.read(windows))
        else:
            self.autoencoder.standardise(torch.cat([self(batch)[0] for batch in batches]))
        self.audiomae.standardise(torch.cat([self(batch)[1] for batch in batches]))


def make_latents(corpus: Path, autoencoder: str | Path, audiomae: Path, out: Path, settings: LatentDataConfig) -> None:
    """Write the folder `out` from the training recordings below `corpus`, with the encoders of two runs.

    In place of the run of an autoencoder, the name (or folder) of a codec can be given. Raises InputError when there is
    no recording, and for runs of other kinds.
    """
    is_run = (Path(autoencoder) / "checkpoint").is_dir()
    coder = load_autoencoder(autoencoder) if is_run else new_codec_latent(str(autoencoder), settings.channels)
    encoders = _Encoders(coder, load_audiomae(audiomae))
    rows = {kind: _chosen(corpus / kind, settings.limits.get(kind, 0), settings.seed) for kind in KINDS}
    draw, most = random.Random(settings.seed), settings.windows
    windows = [
        one for kind in KINDS for row in rows[kind] for one in _windows(row, kind, encoders.num_samples, most, draw)
    ]
    if not windows:
        raise InputError(f"{corpus} has no recordings of {', '.join(KINDS)}; make some: uniaudio synthesize sound")
    encoders.standardise(random.Random(settings.seed).sample(windows, min(settings.measured, len(windows))))
    digest = _save_parts(out / PARTS, encoders)
    frames = round(encoders.num_samples / SAMPLE_RATE * PHONE_RATE)
    latents, features = encoders(windows[:1])
    shapes = tuple(latents.shape[1:]), tuple(features.shape[1:])
    writer = LatentWriter(out, len(windows), *shapes, frames)
    captions = CaptionTokenizer()
    owners: dict[str, int] = {}
    timed: dict[str, Sequence[TimedPhone]] = {}
    for batch in _batches(windows, settings.batch_size):
        for one in batch:
            if one.row.id not in owners:
                texts = [] if one.kind == "speech" else _wordings(one.row)[: settings.captions]
                owners[one.row.id] = writer.recording(one.row, one.kind, [_vectors(captions, text) for text in texts])
                timed[one.row.id] = _timed(one.row) if one.kind == "speech" else []
        phones = [window_phones(timed[one.row.id], one.first / SAMPLE_RATE, frames) for one in batch]
        writer.windows(*encoders(batch), phones, [owners[one.row.id] for one in batch])
        if writer.count % (20 * settings.batch_size) < settings.batch_size:
            print(f"{writer.count} of {len(windows)} windows", flush=True)
    writer.close({"digest": digest, "grid": list(encoders.audiomae.config.grid)})


def load_parts(folder: Path) -> tuple[MelAutoencoder | CodecLatent, AudioMae]:
    """Return the encoders that a folder of latents was made with, frozen.

    Raises InputError for latents of another version of a codec.
    """
    loaded = checkpoint.load(folder / PARTS)
    if "codec_latent" in loaded.config:
        sizes = config.from_dict(CodecLatentConfig, loaded.config["codec_latent"])
        autoencoder: MelAutoencoder | CodecLatent = with_its_codec(CodecLatent(sizes))
    else:
        autoencoder = MelAutoencoder(config.from_dict(AutoencoderConfig, loaded.config["autoencoder"]))
    audiomae = AudioMae(config.from_dict(AudioMaeConfig, loaded.config["audiomae"]))
    checkpoint.load_into(autoencoder, loaded.tensors, f"{_name(autoencoder)}.")
    checkpoint.load_into(audiomae, loaded.tensors, "audiomae.")
    return autoencoder.eval().requires_grad_(False), audiomae.eval().requires_grad_(False)


def _chosen(corpus: Path, limit: int, seed: int) -> list[Row]:
    """Return up to `limit` training recordings of a corpus, if it is there; of speech those with timed phones."""
    if limit < 1 or not (corpus / CUTS).exists():
        return []
    rows = read_manifest(corpus, "train")
    if corpus.name == "speech":
        rows = [row for row in rows if row.segments]
    return random.Random(seed).sample(rows, min(limit, len(rows)))


def _windows(row: Row, kind: str, num_samples: int, most: int, draw: random.Random) -> list[_Window]:
    starts = window_starts(round(row.seconds * SAMPLE_RATE), num_samples)
    return [_Window(row=row, kind=kind, first=first) for first in draw.sample(starts, min(most, len(starts)))]


def _name(autoencoder: nn.Module) -> str:
    return "codec_latent" if isinstance(autoencoder, CodecLatent) else "autoencoder"


def _save_parts(folder: Path, encoders: _Encoders) -> str:
    """Write the encoders with their scales; return a digest of their weights."""
    parts: dict[str, nn.Module] = {_name(encoders.autoencoder): encoders.autoencoder, "audiomae": encoders.audiomae}
    tensors = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    about = {name: to_dict(part.config) for name, part in parts.items()}  # pyright: ignore
    checkpoint.save(folder, tensors, about)
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].float().numpy().tobytes())
    return digest.hexdigest()[:16]


def _batches(windows: Sequence[_Window], size: int) -> Iterator[Sequence[_Window]]:
    for first in range(0, len(windows), size):
        yield windows[first : first + size]


def _wordings(row: Row) -> list[str]:
    return [text for text in row.custom.get("captions") or [row.custom.get("caption") or row.text] if text]


def _vectors(captions: CaptionTokenizer, text: str) -> Tensor:
    vectors = captions.encode(text).vectors
    assert vectors is not None
    return vectors


def _timed(row: Row) -> Sequence[TimedPhone]:
    """Return the timed phones of a recording in our names, none where they cannot be told."""
    try:
        return timed_phones(row.text, row.segments or [])
    except InputError:
        return []


def main() -> int:
    """Compute the latents of a folder of corpora from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="a folder with the corpora music, sound and speech")
    parser.add_argument("--autoencoder", required=True, help="the run of latent_autoencoder, or the name of a codec")
    parser.add_argument("--audiomae", type=Path, required=True, help="the run of latent_audiomae")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the latents")
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE", help="changes, as in captions=2")
    options = parser.parse_args()
    try:
        settings = config.override(LatentDataConfig(), options.changes)
        make_latents(options.corpus, options.autoencoder, options.audiomae, options.out, settings)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
