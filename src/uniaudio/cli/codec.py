"""The command of a codec: a recording to codes, codes to sound, both at once, and what a codec or its codes are."""

import math
import os
import time
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniaudio import weights
from uniaudio.audio.io import Audio, check_writable, read_audio
from uniaudio.cli.command import Command, Parser
from uniaudio.cli.corpora import check_name
from uniaudio.cli.models import DEFAULT_MODEL
from uniaudio.data.code_files import CodesHeader, check_codes_target, read_codes, write_codes
from uniaudio.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from uniaudio.codec.model import Codec

MIN_SECONDS, MAX_SECONDS = 0.02, 3600.0
MAX_WHOLE_SECONDS = 300.0  # of codecs that need the whole recording at once, in memory


def _load_codec(name: str) -> "tuple[Codec, str]":
    """Return the codec of a shipped model, of a checkpoint folder or of a codec run, and the digest of its codes."""
    from uniaudio.recipes.codec import load_codec

    return load_codec(name)


def _options(parser: Parser) -> None:
    parser.add_argument("action", metavar="ACTION", help="; ".join(f"{name}: {what}" for name, what in ABOUT.items()))
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="a recording, or codes (info: may be left out)"
    )
    parser.option("-o", "--out", type=Path, metavar="OUT", help="the file to write (info writes none)")
    about = f"a shipped model, the folder of a checkpoint, or a codec run ({DEFAULT_MODEL})"
    parser.option("--codec", metavar="NAME|DIR", default=DEFAULT_MODEL, help=about)


def _run(options: Namespace) -> None:
    check_name(options.action, ABOUT, "action")
    if options.action == "info":
        if options.out is not None:
            raise InputError("uniaudio codec info writes no file: leave out -o")
    elif options.file is None or options.out is None:
        raise InputError(f"uniaudio codec {options.action} needs FILE and -o OUT: see `uniaudio codec --help`")
    _ACTIONS[options.action](options)


def _encode(options: Namespace) -> None:
    check_codes_target(options.out)
    weights.find(options.codec)
    audio = _recording(options.file)
    codec, digest = _load_codec(options.codec)
    begun = time.perf_counter()
    codes = _codes(codec, audio)
    elapsed = time.perf_counter() - begun
    config = codec.config
    header = CodesHeader(
        codec=options.codec,
        digest=digest,
        sample_rate=config.sample_rate,
        frame_rate=config.frame_rate,
        codebook_size=config.codebook_size,
        num_samples=max(1, round(audio.seconds * config.sample_rate)),
    )
    write_codes(options.out, codes, header)
    print(f"{_shown(options.out)}  {_described(codes, header)}, real-time factor {elapsed / audio.seconds:.4f}")


def _decode(options: Namespace) -> None:
    check_writable(options.out)
    weights.find(options.codec)
    codes, header = read_codes(options.file)
    codec, digest = _load_codec(options.codec)
    shape = codec.config.num_codebooks, codec.config.codebook_size
    if digest != header.digest or shape != (len(codes), header.codebook_size):
        raise InputError(
            f"{str(options.file)!r} holds codes of {header.codec!r} ({header.digest}), not of {options.codec!r} "
            f"({digest}): give the codec that made them with --codec"
        )
    begun = time.perf_counter()
    _write(options.out, _decoded(codec, codes, header.num_samples), begun)


def _resynthesize(options: Namespace) -> None:
    check_writable(options.out)
    weights.find(options.codec)
    audio = _recording(options.file)
    codec = _load_codec(options.codec)[0]
    num_samples = max(1, round(audio.seconds * codec.config.sample_rate))
    begun = time.perf_counter()
    _write(options.out, _decoded(codec, _codes(codec, audio), num_samples), begun)


def _info(options: Namespace) -> None:
    if options.file is not None:
        codes, header = read_codes(options.file)
        print(f"{_shown(options.file)}  {_described(codes, header)}; {header.sample_rate} Hz")
        print(f"made by {header.codec} (codebooks {header.digest})")
        return
    weights.find(options.codec)
    codec, digest = _load_codec(options.codec)
    config = codec.config
    bits = _bits_per_second(config.frame_rate, config.num_codebooks, config.codebook_size)
    num_weights = sum(value.numel() for value in codec.state_dict().values())
    for name, value in {
        "codec": options.codec,
        "codebooks": f"{config.num_codebooks} of {config.codebook_size} entries ({digest})",
        "sample rate": f"{config.sample_rate} Hz",
        "frame rate": f"{config.frame_rate:g} Hz ({config.hop_length} samples a frame)",
        "bitrate": f"{bits:g} bits per second",
        "weights": f"{num_weights / 1e6:.2f} million",
    }.items():
        print(f"{name:<12} {value}")


def _recording(path: Path) -> Audio:
    return read_audio(path, mono=True, min_seconds=MIN_SECONDS, max_seconds=MAX_SECONDS)


def _codes(codec: "Codec", audio: Audio) -> "np.ndarray":
    """Return the codes [K, T] of a recording; raises InputError for a long one and a codec that takes only wholes."""
    from uniaudio.codec.streaming import encode_chunks
    from uniaudio.tokenizers.codec import codec_samples, encode_samples

    samples = codec_samples(audio, codec.config.sample_rate)
    if _streams(codec):
        return encode_chunks(codec, samples[None, None])[0].numpy()
    if audio.seconds > MAX_WHOLE_SECONDS:
        raise InputError(f"this codec takes at most {MAX_WHOLE_SECONDS:g} s at once, not {audio.seconds:.0f} s: cut it")
    ids = encode_samples(codec, samples).ids  # [T, K]
    assert ids is not None
    return ids.T.numpy()


def _decoded(codec: "Codec", codes: "np.ndarray", num_samples: int) -> Audio:
    """Return the first `num_samples` of what codes [K, T] of the codec sound like."""
    import torch

    from uniaudio.codec.streaming import decode_chunks
    from uniaudio.tokenizers.codec import CodecTokenizer

    ids = torch.from_numpy(codes).T  # [T, K]
    if not _streams(codec):
        audio = CodecTokenizer(codec).decode(ids)
        return Audio(audio.samples[:, :num_samples], audio.sample_rate)
    samples = torch.cat(list(decode_chunks(codec, ids.T[None])), dim=2)[0, :, :num_samples]
    return Audio(samples.clamp(-1, 1).numpy(), codec.config.sample_rate)


def _streams(codec: Any) -> bool:
    """Can the codec work through a long recording piece by piece?"""
    from uniaudio.codec.model import Codec

    return isinstance(codec, Codec) and codec.config.shape == "convnext"


def _write(path: Path, audio: Audio, begun: float) -> None:
    elapsed = time.perf_counter() - begun
    audio.write(path)
    print(f"{_shown(path)}  {audio.seconds:.2f} s of audio, real-time factor {elapsed / audio.seconds:.4f}")


def _shown(path: Path) -> str:
    return os.fsencode(path).decode(errors="replace")  # a name need not be text


def _described(codes: "np.ndarray", header: CodesHeader) -> str:
    num_codebooks, num_frames = codes.shape
    bits = _bits_per_second(header.frame_rate, num_codebooks, header.codebook_size)
    seconds = header.num_samples / header.sample_rate
    return f"{seconds:.2f} s of audio, {num_frames} frames of {num_codebooks} codes, {bits:g} bits per second"


def _bits_per_second(frame_rate: float, num_codebooks: int, codebook_size: int) -> float:
    return frame_rate * num_codebooks * math.log2(codebook_size)


ABOUT = {
    "encode": "write the codes of a recording to OUT.safetensors",
    "decode": "write the sound of codes to OUT.wav",
    "resynthesize": "write a recording as it sounds after the codec to OUT.wav",
    "info": "show what a codec, or a file of codes, is",
}
_ACTIONS: dict[str, Any] = {"encode": _encode, "decode": _decode, "resynthesize": _resynthesize, "info": _info}

CODEC_COMMANDS = (
    Command(
        name="codec",
        about="Turn recordings into codes and back.",
        add_options=_options,
        run=_run,
    ),
)
