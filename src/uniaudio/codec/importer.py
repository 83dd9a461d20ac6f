"""Weights of UniAudio's released universal codec, and of EnCodec by its public names, into our SEANet codec.

B batch, K codebooks, S codebook size, D width of a code vector
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from uniaudio import config
from uniaudio.codec.model import Codec, CodecConfig
from uniaudio.codec.seanet import SEANetConfig, TrimmedConvTranspose1d, encodec_key_map
from uniaudio.errors import InputError

_BOOK = re.compile(r"quantizer\.(?:vq\.)?layers\.(\d+)\._?codebook\.(inited|cluster_size|embed|embed_avg)")
_BUFFERS = {"inited": "started", "cluster_size": "cluster_size", "embed": "vectors", "embed_avg": "vector_sum"}
_SUFFIXES = (".pth", ".pt", ".safetensors")
_AGAIN = "fetch the checkpoint again, and the config.yaml that belongs to it"


@dataclass(frozen=True, kw_only=True)
class ReleasedConfig:
    """`generator.config` of the codec's config.yaml, with the names and defaults of the published code.

    D is the width of a code vector, `bins` the codebook size; `target_bandwidths` (kbps) ends with that of all
    codebooks, each of which counts 10 bits a frame. Raises InputError for sizes below 1.
    """

    n_filters: int = 32
    D: int = 512
    target_bandwidths: tuple[float, ...] = (0.5, 1, 1.5, 2, 4, 6)
    ratios: tuple[int, ...] = (8, 5, 4, 2)
    sample_rate: int = 16000
    bins: int = 1024
    normalize: bool = False
    causal: bool = False

    def __post_init__(self) -> None:
        sizes = (self.n_filters, self.D, self.sample_rate, self.bins, *self.ratios)
        if min(sizes) < 1 or not self.ratios or self.num_codebooks < 1:
            raise InputError("the sizes of the codec must all be at least 1, with at least one codebook")

    @property
    def num_codebooks(self) -> int:
        """K of the last bandwidth."""
        frame_rate = math.ceil(self.sample_rate / math.prod(self.ratios))
        return int(1000 * (self.target_bandwidths or (0.0,))[-1] // (frame_rate * 10))

    def ours(self) -> CodecConfig:
        """Return the same sizes in our words."""
        seanet = SEANetConfig(
            sample_rate=self.sample_rate, n_filters=self.n_filters, ratios=self.ratios, dim=self.D, causal=self.causal
        )
        return CodecConfig(shape="seanet", num_codebooks=self.num_codebooks, codebook_size=self.bins, seanet=seanet)


def import_uniaudio_codec(source: str | Path, settings: str | Path | None = None) -> Codec:
    """Return the released UniAudio codec with all its codebooks (the language model used `cut(3)`), in evaluation mode.

    `source` is the checkpoint (.pth, read without running anything in it, or .safetensors) or its folder; `settings`
    is its config.yaml, by default the one beside it. Without that, the sizes are the published ones with the width,
    size and number of the codebooks in the file. Codes equal the published code's for whole frames; it lengthened the
    rest of a frame by reflection, ours by silence. Raises InputError that names the first wrong tensor or setting.
    """
    path = _find(Path(source))
    tensors = _read_tensors(path)
    yaml = path.parent / "config.yaml" if settings is None else Path(settings)
    released = _read_settings(yaml) if settings is not None or yaml.is_file() else _settings_of(tensors, path)
    codec = Codec(released.ours())
    load_encodec(codec, tensors, path)
    return codec.eval().requires_grad_(False)


def load_encodec(codec: Codec, tensors: Mapping[str, Tensor], source: str | Path) -> None:
    """Copy the tensors of `source` into a SEANet codec, all or none.

    Names are those of the EnCodec and UniAudio releases or of transformers. Raises InputError that names the first
    unknown, missing, wrongly shaped or damaged tensor.
    """
    own, found = codec.state_dict(), dict[str, Tensor]()
    for name, tensor in tensors.items():
        ours = _our_name(name)
        if ours is None or ours not in own:
            raise InputError(f"{source} has {name!r}, which has no place in a codec of these sizes: {_AGAIN}")
        if ours.endswith(".started"):
            tensor = tensor.reshape(own[ours].shape) if tensor.numel() == 1 else tensor
        if tensor.shape != own[ours].shape:
            shapes = f"{list(tensor.shape)}, not {list(own[ours].shape)}"
            raise InputError(f"{name!r} in {source} is {shapes}: {_AGAIN}")
        if not tensor.isfinite().all():
            raise InputError(f"{name!r} in {source} holds values that are no numbers: {_AGAIN}")
        found[ours] = tensor
    for name in own:
        if name not in found:
            raise InputError(f"{source} lacks {_released_name(codec, name)!r}: {_AGAIN}")
    codec.load_state_dict(found)


def _our_name(name: str) -> str | None:
    """Return our name of a released tensor, None if it is no part of a codec."""
    book = _BOOK.fullmatch(name)
    return f"quantizer.codebooks.{book[1]}.{_BUFFERS[book[2]]}" if book else encodec_key_map(name)


def _released_name(codec: Codec, name: str) -> str:
    """Return the name that the UniAudio release gives to our tensor."""
    for theirs, ours in _BUFFERS.items():
        if name.startswith("quantizer.") and name.endswith(f".{ours}"):
            return f"quantizer.vq.layers.{name.split('.')[2]}._codebook.{theirs}"
    owner, found, rest = name.partition(".conv.")
    if not found:
        return name  # of the LSTM
    wrapper = "convtr" if isinstance(codec.get_submodule(owner), TrimmedConvTranspose1d) else "conv"
    rest = rest.replace("parametrizations.weight.original0", "weight_g")
    return f"{owner}.{wrapper}.{wrapper}.{rest.replace('parametrizations.weight.original1', 'weight_v')}"


def _find(source: Path) -> Path:
    """Return the checkpoint itself, or the only one in a folder; raises InputError."""
    found = [path for path in sorted(source.glob("*")) if path.suffix in _SUFFIXES] if source.is_dir() else [source]
    if len(found) != 1 or not found[0].is_file():
        raise InputError(f"{source} is no checkpoint, nor a folder with just one: give the {', '.join(_SUFFIXES)} file")
    return found[0]


def _read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        is_safe = path.suffix == ".safetensors"
        data = load_file(path) if is_safe else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises errors of zip, of pickle and of torch's reader
        raise InputError(f"{path} is damaged, or holds more than plain tensors: {_AGAIN}") from error
    tensors = data.get("codec_model", data) if isinstance(data, dict) else None
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in tensors.items()
    ):
        raise InputError(f"{path} has no tensors under 'codec_model': give the checkpoint of the codec")
    return tensors


def _read_settings(path: Path) -> ReleasedConfig:
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))["generator"]["config"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise InputError(f"{path} has no generator.config: give the config.yaml of the codec") from error
    return config.from_dict(ReleasedConfig, data)


def _settings_of(tensors: Mapping[str, Tensor], source: Path) -> ReleasedConfig:
    """Return the published sizes with the width, size and number of the codebooks among the tensors."""
    first = "quantizer.vq.layers.0._codebook.embed"
    if first not in tensors or tensors[first].ndim != 2:
        raise InputError(f"{source} lacks a whole {first!r}: {_AGAIN}")
    levels = [int(book[1]) for book in map(_BOOK.fullmatch, tensors) if book]
    bins, width = tensors[first].shape
    return ReleasedConfig(D=width, bins=bins, target_bandwidths=(0.5 * (1 + max(levels)),))
