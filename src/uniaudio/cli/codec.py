"""The command of a codec: a recording to codes, codes to sound, both at once, and what a codec or its codes are."""

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
    print(f"{options.out}  {_described(codes, header)}, real-time factor {elapsed / audio.seconds:.4f}")


def _decode(options: Namespace) -> None:
    check_writable(options.out)
    weights.find(options.codec)
    codes, header = read_codes(options.file)
    codec, digest = _load_codec(options.codec)
    if digest != header.digest:
        raise InputError(
            f"{str(options.file)!r} holds codes of {header.codec!r} ({header.digest}), which {options.codec!r} ({digest})"
            " does not know: give the codec that made them with --codec"
        )
    _write(options.out, *_timed(codec, codes, header.num_samples))


def _resynthesize(options: Namespace) -> None:
    check_writable(options.out)
    weights.find(options.codec)
    audio = _recording(options.file)
    codec = _load_codec(options.codec)[0]
    begun = time.perf_counter()
    codes = _codes(codec, audio)
    elapsed = time.perf_counter() - begun
    made, decoding = _timed(codec, codes, max(1, round(audio.seconds * codec.config.sample_rate)))
    _write(options.out, made, elapsed + decoding)


def _info(options: Namespace) -> None:
    if options.file is not None:
        codes, header = read_codes(options.file)
        print(f"{options.file}  {_described(codes, header)}; {header.sample_rate} Hz")
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
    """Return the codes [K, T] of a recording."""
    from uniaudio.tokenizers.codec import CodecTokenizer

    ids = CodecTokenizer(codec).encode(audio).ids  # [T, K]
    assert ids is not None
    return ids.T.numpy()


def _timed(codec: "Codec", codes: "np.ndarray", num_samples: int) -> tuple[Audio, float]:
    """Return the first `num_samples` of what codes [K, T] sound like, and the seconds that it took."""
    import torch

    from uniaudio.tokenizers.codec import CodecTokenizer

    begun = time.perf_counter()
    audio = CodecTokenizer(codec).decode(torch.from_numpy(codes).T)
    return Audio(audio.samples[:, :num_samples], audio.sample_rate), time.perf_counter() - begun


def _write(path: Path, audio: Audio, elapsed: float) -> None:
    audio.write(path)
    print(f"{path}  {audio.seconds:.2f} s of audio, real-time factor {elapsed / audio.seconds:.4f}")


def _described(codes: "np.ndarray", header: CodesHeader) -> str:
    num_codebooks, num_frames = codes.shape
    bits = _bits_per_second(header.frame_rate, num_codebooks, header.codebook_size)
    seconds = header.num_samples / header.sample_rate
    return f"{seconds:.2f} s of audio, {num_frames} frames of {num_codebooks} codes, {bits:g} bits per second"


def _bits_per_second(frame_rate: float, num_codebooks: int, codebook_size: int) -> float:
    import math

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
