"""EnCodec, DAC and Mimi of transformers behind the interface of `uniaudio.codec.model.Codec`.

B batch, C channels, N samples, T frames, K codebooks
"""

import dataclasses
import hashlib
import json
import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio.errors import InputError

LEVEL_RANGE_DB = 100.0  # of the level codes: from -100 dB to full scale


@dataclass(frozen=True, kw_only=True)
class PublicCodecConfig:
    """What defines the codes; `kind` is the model type of transformers, the rest as in `CodecConfig`.

    With `has_level` the first of the `num_codebooks` is not the model's own but the level (see `ChunkedEncodec`).
    """

    kind: str
    sample_rate: int
    hop_length: int
    num_codebooks: int
    codebook_size: int
    has_level: bool = False

    @property
    def frame_rate(self) -> float:
        """Code frames per second (Hz)."""
        return self.sample_rate / self.hop_length

    def codebooks_within(self, kbps: float) -> int:
        """Return how many codebooks fit into a bitrate, at most all; the level costs next to nothing.

        Raises InputError when none fits.
        """
        per_codebook = self.frame_rate * math.log2(self.codebook_size)  # bits per second
        count = int(round(kbps * 1000, 6) // per_codebook)
        if count < 1:
            raise InputError(f"{kbps:g} kbps is too little for {self.kind}: use {per_codebook / 1000:g} or more")
        return min(count + self.has_level, self.num_codebooks)


class PublicCodec(nn.Module, ABC):
    """A network of transformers, always in evaluation mode; the subclasses know how to call it."""

    def __init__(self, network: nn.Module, config: PublicCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.network: Any = network
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "PublicCodec":
        """Stay in evaluation mode: DAC draws random codebooks in training mode."""
        return super().train(False)

    @torch.no_grad()
    def encode(self, samples: Tensor) -> Tensor:
        """Return codes [B, K, ceil(N / hop)] int64 of samples [B, 1, N] in [-1, 1]; autocast does not change them."""
        with torch.autocast(samples.device.type, enabled=False):
            return self._encode(samples.float())

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Return samples [B, 1, T * hop] of codes [B, K', T], K' <= K; raises ValueError for ids out of range."""
        self._check_count(codes.shape[1])
        size = self.config.codebook_size
        if codes.numel() and (int(codes.min()) < 0 or int(codes.max()) >= size):
            raise ValueError(f"codes must be in [0, {size}), got {int(codes.min())}..{int(codes.max())}")
        samples = self._decode(codes)
        # DAC with odd strides (16 and 24 kHz) ends a few samples early.
        return functional.pad(samples, (0, codes.shape[2] * self.config.hop_length - samples.shape[2]))

    def cut(self, num_codebooks: int) -> "PublicCodec":
        """Return the codec of the first `num_codebooks`, which shares this one's network.

        Raises InputError when there are not that many.
        """
        self._check_count(num_codebooks)
        return type(self)(self.network, dataclasses.replace(self.config, num_codebooks=num_codebooks))

    def digest(self) -> str:
        """Return a digest of what the codes mean: the quantiser's weights and the number of codebooks."""
        digest = hashlib.sha256(str(self.config.num_codebooks).encode())
        for value in self.network.quantizer.state_dict().values():
            digest.update(value.float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _check_count(self, count: int) -> None:
        least, most = 1 + self.config.has_level, self.config.num_codebooks
        if not least <= count <= most:
            raise InputError(f"{count} codebooks asked for, this {self.config.kind} codec takes {least} to {most}")

    @abstractmethod
    def _encode(self, samples: Tensor) -> Tensor:
        """Return codes [B, K, T] of samples [B, 1, N]."""

    @abstractmethod
    def _decode(self, codes: Tensor) -> Tensor:
        """Return samples [B, 1, N] of codes [B, K, T]."""


class Encodec(PublicCodec):
    """EnCodec without chunks: 24 and 32 kHz."""

    def _codes(self, samples: Tensor, count: int) -> Tensor:
        """Return codes [B, count, T] of samples [B, C, N]."""
        quantizer = self.network.quantizer
        per_codebook = quantizer.frame_rate * math.log2(quantizer.codebook_size) / 1000
        codes = quantizer.encode(self.network.encoder(samples), (count + 0.5) * per_codebook)  # it rounds down
        return codes.transpose(0, 1)  # [B, K, T]

    def _encode(self, samples: Tensor) -> Tensor:
        return self._codes(samples, self.config.num_codebooks)

    def _decode(self, codes: Tensor) -> Tensor:
        return self.network.decoder(self.network.quantizer.decode(codes.transpose(0, 1)))


class ChunkedEncodec(Encodec):
    """EnCodec 48 kHz: stereo, in overlapping chunks of a second that are normalised to one level.

    One channel goes in as two equal ones, and the mean of the two comes out. The published codec keeps each chunk's
    level beside its codes; here the first codebook holds it, the same id in all frames of a chunk, in equal steps of
    dB. Chunks start at whole frames, 148 apart instead of 148.5, so a frame is coded once.
    """

    @property
    def _chunk(self) -> int:
        return self.network.config.chunk_length // self.config.hop_length  # frames

    @property
    def _step(self) -> int:
        return self.network.config.chunk_stride // self.config.hop_length  # frames

    def _starts(self, num_frames: int) -> range:
        """Return the first frame of each chunk."""
        return range(0, max(1, num_frames - (self._chunk - self._step)), self._step)

    def _encode(self, samples: Tensor) -> Tensor:
        hop, steps = self.config.hop_length, self.config.codebook_size - 1
        starts = self._starts(-(-samples.shape[2] // hop))
        parts = []
        for start in starts:
            chunk = samples[..., start * hop : (start + self._chunk) * hop]
            scale = chunk.square().mean(2, keepdim=True).sqrt() + 1e-8  # [B, 1, 1]
            stereo = (chunk / scale).expand(-1, self.network.config.audio_channels, -1)
            codes = self._codes(stereo, self.config.num_codebooks - 1)
            level = ((1 + 20 * scale.log10() / LEVEL_RANGE_DB) * steps).round().clamp(0, steps).long()
            codes = torch.cat([level.expand(-1, 1, codes.shape[2]), codes], 1)
            parts.append(codes if start == starts[-1] else codes[..., : self._step])
        return torch.cat(parts, 2)

    def _decode(self, codes: Tensor) -> Tensor:
        hop, steps = self.config.hop_length, self.config.codebook_size - 1
        starts = self._starts(codes.shape[2])
        overlap = (self._chunk - self._step) * hop  # samples
        rise = (torch.arange(overlap, device=codes.device) + 0.5) / overlap
        samples = torch.zeros(codes.shape[0], 1, codes.shape[2] * hop, device=codes.device)
        for start in starts:
            part = codes[..., start : start + self._chunk]
            # Generated level codes may vary within a chunk; the frames of the overlap have those of the next one.
            level = part[:, :1, : self._step].float().mean(2, keepdim=True)  # [B, 1, 1]
            scale = 10 ** ((level / steps - 1) * LEVEL_RANGE_DB / 20)
            sound = super()._decode(part[:, 1:]).mean(1, keepdim=True) * scale
            if start != starts[0]:
                sound[..., :overlap] *= rise
            if start != starts[-1]:
                sound[..., sound.shape[2] - overlap :] *= 1 - rise
            samples[..., start * hop : start * hop + sound.shape[2]] += sound
        return samples


class Dac(PublicCodec):
    """DAC 16, 24 and 44.1 kHz; the recording is lengthened by silence to whole frames, as in its feature extractor."""

    def _encode(self, samples: Tensor) -> Tensor:
        whole = functional.pad(samples, (0, -samples.shape[2] % self.config.hop_length))
        return self.network.encode(whole, n_quantizers=self.config.num_codebooks, return_dict=True).audio_codes

    def _decode(self, codes: Tensor) -> Tensor:
        return self.network.decode(audio_codes=codes, return_dict=True).audio_values[:, None]


class Mimi(PublicCodec):
    """Mimi 24 kHz; its first codebook is the semantic one."""

    def _encode(self, samples: Tensor) -> Tensor:
        codes = self.network.encode(samples, num_quantizers=self.config.num_codebooks, return_dict=True)
        return codes.audio_codes

    def _decode(self, codes: Tensor) -> Tensor:
        return self.network.decode(codes, return_dict=True).audio_values


NETWORKS = {"encodec": "EncodecModel", "dac": "DacModel", "mimi": "MimiModel"}


def _shape(config: Any) -> tuple[type[PublicCodec], PublicCodecConfig]:
    """Return the adapter for a config of transformers, and its sizes with all codebooks.

    Raises InputError for a kind of chunks, levels or channels that none of the published models has.
    """
    name, has_level = config.model_type, False
    if name == "dac":
        kind, ratios, count = Dac, config.downsampling_ratios, config.n_codebooks
    else:
        kind, ratios, count = Encodec if name == "encodec" else Mimi, config.upsampling_ratios, config.num_quantizers
    hop = math.prod(ratios) * (config.latent_stride if name == "mimi" else 1)
    if name == "encodec" and config.chunk_length_s is not None:
        kind, has_level, chunk = ChunkedEncodec, True, config.chunk_length
        if not config.normalize or chunk % hop or not chunk // 2 < (config.chunk_stride or 0) < chunk:
            raise InputError("this EnCodec cuts recordings in another way than the 48 kHz model: use a published one")
    elif name != "dac" and (config.audio_channels != 1 or (name == "encodec" and config.normalize)):
        raise InputError(f"this {name} has two channels or levels, but no chunks as at 48 kHz: use a published one")
    return kind, PublicCodecConfig(
        kind=name,
        sample_rate=config.sampling_rate,
        hop_length=hop,
        num_codebooks=count + has_level,
        codebook_size=config.codebook_size,
        has_level=has_level,
    )


def is_public(source: str | Path) -> bool:
    """Is this the folder of a model of transformers, or a name on a hub (owner/name) and no file or folder?

    Our own checkpoints have a config.json too, but none that names a `model_type`.
    """
    if not os.path.exists(source):  # a hub allows at most 96 characters
        return re.fullmatch(r"(?=.{3,96}$)[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]+", str(source)) is not None
    try:
        return "model_type" in json.loads((Path(source) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def open_codec(
    source: str | Path,
    *,
    num_codebooks: int | None = None,
    kbps: float | None = None,
    local_files_only: bool = True,
) -> PublicCodec:
    """Return the public codec in a folder of transformers or of a hub name (facebook/encodec_24khz), in float32.

    It uses the first `num_codebooks`, or those within `kbps` kilobits per second, or all; the published figures are
    mostly for EnCodec at 6 kbps and for Mimi with 8 codebooks. At 48 kHz one of them is the level. A hub name is
    looked up in the local cache alone unless `local_files_only` is false. Weights are safetensors. Raises InputError
    for a source that is none of `NETWORKS`, for incomplete or damaged weights, and for a number of codebooks or a
    bitrate that the codec lacks.
    """
    if num_codebooks is not None and kbps is not None:
        raise InputError("num_codebooks and kbps both choose how many codebooks: give one of them")
    from transformers import AutoConfig

    config: Any = _from_pretrained(AutoConfig, source, local_files_only)
    if config.model_type not in NETWORKS:
        raise InputError(f"{source} is a {config.model_type} model, not a codec: give one of {', '.join(NETWORKS)}")
    kind, shape = _shape(config)
    codec = kind(_load_network(NETWORKS[config.model_type], source, local_files_only), shape)
    if kbps is not None:
        num_codebooks = shape.codebooks_within(kbps)
    return codec if num_codebooks is None else codec.cut(num_codebooks)


def _load_network(name: str, source: str | Path, local_files_only: bool) -> nn.Module:
    """Return a network with all its weights: transformers alone would fill in random ones."""
    import transformers

    options = {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
    network, info = _from_pretrained(getattr(transformers, name), source, local_files_only, **options)
    if info["missing_keys"]:
        raise InputError(f"the weights in {source} lack {min(info['missing_keys'])!r}: fetch the codec again")
    return network


def _from_pretrained(cls: Any, source: str | Path, local_files_only: bool, **options: Any) -> Any:
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    is_folder = os.path.isdir(source)
    local = local_files_only or is_folder
    try:
        with _quiet(local):
            return cls.from_pretrained(source, local_files_only=local, **options)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        if is_folder:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{source} holds no whole EnCodec, DAC or Mimi of transformers: {reason}") from error
        if local:
            raise InputError(
                f"{source} is no folder, nor a model in the local cache of the hub: check the name, or have it fetched "
                "(--online)"
            ) from error
        raise InputError(f"{source} is no folder, nor a model on the hub: check the name and the network") from error


@contextmanager
def _quiet(no_bars: bool) -> Iterator[None]:
    """Let the libraries report nothing but errors: what is wrong with a codec is said in one line of ours."""
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging

    before, bars = [(log, log.get_verbosity()) for log in (logging, hub)], logging.is_progress_bar_enabled()
    for log, _ in before:
        log.set_verbosity_error()
    if no_bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        for log, verbosity in before:
            log.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
