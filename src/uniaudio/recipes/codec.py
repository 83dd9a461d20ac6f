"""Train the shipped codec, continue its decoder alone, and turn a corpus into tokens with it."""

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from uniaudio import checkpoint, config, weights
from uniaudio.codec.model import Codec, CodecConfig
from uniaudio.codec.public import PublicCodec, is_public, open_codec
from uniaudio.data.crops import CropConfig, Crops
from uniaudio.data.encode import Encoder
from uniaudio.data.manifests import CUTS, read_manifest
from uniaudio.data.tokenize import tokenize
from uniaudio.errors import InputError
from uniaudio.recipes import building
from uniaudio.tokenizers.caption import CaptionTokenizer
from uniaudio.tokenizers.semantic import SemanticTokenizer
from uniaudio.train.loop import LoopConfig, train
from uniaudio.train.objectives.codec import CodecObjective, CodecObjectiveConfig
from uniaudio.train.optim import OptimConfig

FINE = {"fine_stride": 2, "fine_width": 320, "fine_blocks": 4, "synthesis_n_fft": 640}
SHORT = {"short_mels": 32, "short_n_fft": 320, "short_stride": 4}
ENCODER_SIZES = ("num_mels", "mel_n_fft", *SHORT, "encoder_width", "encoder_blocks", "encoder_code_blocks")


@dataclass(frozen=True, kw_only=True)
class CodecRecipe:
    """The codec run. With `start` (a codec run's folder or an engine) the weights start there, and the codec keeps its
    sizes; with `objective.decoder_only=true` besides, its codes stay the same and only the decoder goes on learning,
    with `cut` from the first codebooks alone. `refine` then gives the decoder a fresh last stage of twice the frames;
    `sharpen` gives the encoder short windows beside its long ones; with `decoder` (a run or an engine whose codes have
    the same vectors) it is that one's decoder instead.

    Raises InputError for `crop_frames` or `cut` below 1.
    """

    codec: CodecConfig = field(default_factory=CodecConfig)
    objective: CodecObjectiveConfig = field(default_factory=CodecObjectiveConfig)
    crops: CropConfig = field(default_factory=CropConfig)
    crop_frames: int = 32
    start: str | None = None
    cut: int | None = None
    refine: bool = False
    sharpen: bool = False
    decoder: str | None = None
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=2800,
            ema_decay=0.998,
            optim=OptimConfig(lr=1e-3, warmup_steps=100, schedule="wsd", decay_share=0.4),
        )
    )

    def __post_init__(self) -> None:
        if self.crop_frames < 1:
            raise InputError(f"crop_frames {self.crop_frames} is no length of a crop: use 1 or more")
        if self.cut is not None and self.cut < 1:
            raise InputError(f"cut {self.cut} leaves no codebook: use 1 or more")


def train_codec(overrides: list[str], corpus: Path, folder: Path, minutes: float | None) -> None:
    """Run `CodecRecipe` with overrides on a corpus of recordings, or on all those directly below a folder.

    Raises InputError for a decoder alone without `start`, and for sizes together with `start`.
    """
    recipe = config.override(CodecRecipe(), overrides)
    if recipe.start is None and recipe.objective.decoder_only:
        raise InputError("objective.decoder_only=true needs a trained codec: add start=RUN, the folder of a codec run")
    if recipe.start is not None and recipe.codec != CodecConfig():
        raise InputError(f"start={recipe.start} brings the codec's sizes with it: leave out the codec.* changes")
    rows = [read_manifest(path, "train") for path in _corpora(corpus)]
    torch.manual_seed(recipe.loop.seed)
    with building():
        codec = Codec(recipe.codec) if recipe.start is None else load_codec(recipe.start)[0]
        codec = codec if recipe.cut is None else codec.cut(recipe.cut)
        codec = codec.refined(**FINE) if recipe.refine else codec
        codec = codec.refined(**SHORT) if recipe.sharpen else codec
        codec = codec if recipe.decoder is None else _with_decoder(codec, recipe.decoder)
    shape = codec.config
    crops = Crops(rows, recipe.crop_frames * shape.hop_length, shape.hop_length, shape.sample_rate, recipe.crops)
    train(CodecObjective(codec, crops, recipe.objective), recipe.loop.ending_after(minutes), folder)


def _with_decoder(codec: Codec, model: str) -> Codec:
    """Return the codec with the decoder of another one; raises InputError when that takes other code vectors."""
    other = load_codec(model)[0]
    shape = other.config
    if (shape.shape, shape.dim, shape.hop_length) != ("convnext", codec.config.dim, codec.config.hop_length):
        raise InputError(f"decoder={model} takes other codes: name a codec with the same frames and vectors")
    sizes = {name: value for name, value in asdict(shape.convnext).items() if name not in ENCODER_SIZES}
    joined = codec.refined(**sizes)
    joined.decoder.load_state_dict(other.decoder.state_dict())
    return joined


def _corpora(folder: Path) -> list[Path]:
    """Return `folder` if it is a corpus, else the corpora below it whose sound a codec should know: not rooms."""
    if (folder / CUTS).exists() or folder.is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob(f"*/{CUTS}") if path.parent.name != "rooms")
    return found or [folder]


def tokenize_corpus(
    manifest: Path,
    out: Path,
    model: str,
    workers: int = 0,
    ray: str | None = None,
    bfloat16: bool = False,
    only_semantic: bool = False,
) -> None:
    """Write the token shards of a corpus or of examples that are not there yet, with the tokenizers of a model.

    `bfloat16` computes the codec's matrix products in bfloat16: faster on many processors, and some codes differ. With
    `only_semantic` there are no codes.

    Raises InputError as `uniaudio.data.tokenize.tokenize` does.
    """
    digest = _tokenizer_digest(load_encoder(model)) + ("-semantic" if only_semantic else "")
    load = functools.partial(load_encoder, model, bfloat16, only_semantic)
    tokenize(manifest, out, load, digest, workers=workers, ray=ray)


def load_encoder(model: str, bfloat16: bool = False, only_semantic: bool = False) -> Encoder:
    """Return the tokenizers of a codec run or of an engine, on the GPU if there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    is_run = (Path(model) / "checkpoint").is_dir()
    codec, semantic, captions = (load_codec(model)[0], None, None) if is_run else _load_model(model)
    if only_semantic and semantic is None:
        raise InputError(f"{model} has no semantic tokens: give a model that has them")
    codec = (codec.in_bfloat16() if bfloat16 else codec).to(device)
    return Encoder(codec, semantic, captions, device, only_semantic)


def _load_model(model: str) -> tuple[Codec, SemanticTokenizer | None, Callable[[], CaptionTokenizer]]:
    """Return the tokenizers of an engine, or of a model that is only a codec."""
    from uniaudio.engines.bundle import load_engine
    from uniaudio.engines.tokenizers import holds_tokenizers, load_tokenizers

    if holds_tokenizers(weights.find(model)):
        return *load_tokenizers(model), lambda: CaptionTokenizer(None)
    engine = load_engine(model)
    return engine.codec, engine.reader.semantic, lambda: engine.reader.captions


def _tokenizer_digest(encoder: Encoder) -> str:
    """Return a digest of what makes the ids."""
    import hashlib

    semantic = encoder.semantic
    parts = [] if semantic is None else [semantic.centroids, semantic.mean, semantic.std]
    digest = hashlib.sha256(code_digest(encoder.codec).encode())
    for part in parts:
        digest.update(part.float().numpy().tobytes())
    return digest.hexdigest()[:16]


def load_codec(model: str | Path) -> tuple[Codec, str]:
    """Return the codec of a codec run (its averaged weights) or of an engine, and a digest of what makes its codes."""
    folder = Path(model)
    loaded = checkpoint.load(folder / "checkpoint") if (folder / "checkpoint").is_dir() else None
    if loaded is None:
        codec = _load_model(str(model))[0]
        return codec, code_digest(codec)
    description: dict[str, Any] = loaded.config.get("objective", {})
    if "codec" not in description:
        raise InputError(f"{model} is not a codec run; give the run folder of a codec recipe or a model")
    codec = Codec(config.from_dict(CodecConfig, description["codec"]))
    names = {f"model.codec.{name}": name for name in codec.state_dict()}
    tensors = {short: loaded.tensors[long] for long, short in names.items()}
    tensors |= {k: loaded.tensors[f"ema.codec.{k}"] for k in names.values() if f"ema.codec.{k}" in loaded.tensors}
    checkpoint.load_into(codec, tensors)
    return codec.eval().requires_grad_(False), code_digest(codec)


def load_any_codec(
    model: str | Path, kbps: float | None = None, online: bool = False
) -> tuple[Codec | PublicCodec, str]:
    """Return the codec that `load_codec` finds, or a public one in a folder or of a hub name, and its digest.

    `kbps` and `online` (may a hub be asked?) are for a public one, see `open_codec`. Raises InputError as both do,
    and for `kbps` with a codec of ours.
    """
    if is_public(model):
        codec = open_codec(model, kbps=kbps, local_files_only=not online)
        return codec, code_digest(codec)
    if kbps is not None:
        raise InputError(f"{model} has one bitrate: leave out kbps, which is for EnCodec, DAC and Mimi")
    return load_codec(model)


def code_digest(codec: Codec | PublicCodec) -> str:
    """Return a digest of the codebooks: stores and language models made with other codebooks do not fit."""
    import hashlib

    if isinstance(codec, PublicCodec):
        return codec.digest()
    digest = hashlib.sha256()
    for book in codec.quantizer.codebooks:
        digest.update(book.get_buffer("vectors").float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
