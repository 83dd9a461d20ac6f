"""The command of a codec: a recording to codes, codes to sound, both at once, and what a codec or its codes are."""

import math
import os
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from uniaudio.audio.io import check_writable, read_audio
from uniaudio.cli.command import Command, Parser, number
from uniaudio.cli.corpora import check_name
from uniaudio.cli.models import DEFAULT_MODEL, check_codec
from uniaudio.data.code_files import CodesHeader, check_codes_target, read_codes, write_codes
from uniaudio.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from uniaudio.audio.blocks import Recording
    from uniaudio.codec.model import Codec
    from uniaudio.codec.public import PublicCodec

    AnyCodec = Codec | PublicCodec

MIN_SECONDS, MAX_SECONDS = 0.02, 24 * 3600.0
# Of codecs that need the whole recording at once, in memory: DAC 44 kHz takes 125 MB a second.
MAX_WHOLE_SECONDS, MAX_PUBLIC_SECONDS = 300.0, 60.0


def _load_codec(options: Namespace) -> "tuple[AnyCodec, str]":
    """Return a codec of ours (shipped, a checkpoint, a run) or a public one, and the digest of its codes."""
    from uniaudio.recipes.codec import load_any_codec

    return load_any_codec(options.codec, options.kbps, options.online)


def _options(parser: Parser) -> None:
    parser.add_argument("action", metavar="ACTION", help="; ".join(f"{name}: {what}" for name, what in ABOUT.items()))
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="a recording, or codes (info: may be left out)"
    )
    parser.option("-o", "--out", type=Path, metavar="OUT", help="the file to write (info writes none)")
    about = f"a shipped model, the folder of a checkpoint, a codec run ({DEFAULT_MODEL}), or EnCodec, DAC or Mimi of "
    about += "transformers: its folder, or its name on the hub, as in facebook/encodec_24khz"
    parser.option("--codec", metavar="NAME|DIR", default=DEFAULT_MODEL, help=about)
    about = "the bitrate of EnCodec, DAC or Mimi (all codebooks)"
    parser.option("--kbps", type=number(float, 0, above=True), metavar="X", help=about)
    parser.add_argument("--online", action="store_true", help="fetch a name on the hub that is not in the local cache")


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
    check_codec(options.codec)
    recording = _recording(options.file)
    codec, digest = _load_codec(options)
    begun = time.perf_counter()
    codes = _codes(codec, recording)
    elapsed = time.perf_counter() - begun
    config = codec.config
    header = CodesHeader(
        codec=options.codec,
        digest=digest,
        sample_rate=config.sample_rate,
        frame_rate=config.frame_rate,
        codebook_size=config.codebook_size,
        num_samples=_num_samples(recording, codec),
    )
    write_codes(options.out, codes, header)
    print(f"{_shown(options.out)}  {_described(codes, header)}, real-time factor {elapsed / recording.seconds:.4f}")


def _decode(options: Namespace) -> None:
    check_writable(options.out)
    check_codec(options.codec)
    codes, header = read_codes(options.file)
    codec, digest = _load_codec(options)
    if options.kbps is None:
        codec, digest = _with_codebooks(codec, digest, len(codes))
    shape = codec.config.num_codebooks, codec.config.codebook_size
    if digest != header.digest or shape != (len(codes), header.codebook_size):
        raise InputError(
            f"{str(options.file)!r} holds codes of {header.codec!r} ({header.digest}), not of {options.codec!r} "
            f"({digest}): give the codec that made them with --codec"
        )
    _write(options.out, codec, codes, header.num_samples)


def _resynthesize(options: Namespace) -> None:
    check_writable(options.out)
    check_codec(options.codec)
    recording = _recording(options.file)
    codec = _load_codec(options)[0]
    begun = time.perf_counter()
    codes = _codes(codec, recording)
    _write(options.out, codec, codes, _num_samples(recording, codec), begun)


def _info(options: Namespace) -> None:
    if options.file is not None:
        codes, header = read_codes(options.file)
        print(f"{_shown(options.file)}  {_described(codes, header)}; {header.sample_rate} Hz")
        print(f"made by {header.codec} (codebooks {header.digest})")
        return
    check_codec(options.codec)
    codec, digest = _load_codec(options)
    config = codec.config
    bits = _bits_per_second(config.frame_rate, config.num_codebooks, config.codebook_size)
    level = ", the first for the level" if getattr(config, "has_level", False) else ""
    num_weights = sum(value.numel() for value in codec.state_dict().values())
    for name, value in {
        "codec": options.codec,
        "codebooks": f"{config.num_codebooks} of {config.codebook_size} entries{level} ({digest})",
        "sample rate": f"{config.sample_rate} Hz",
        "frame rate": f"{config.frame_rate:g} Hz ({config.hop_length} samples a frame)",
        "bitrate": f"{bits:g} bits per second",
        "weights": f"{num_weights / 1e6:.2f} million",
    }.items():
        print(f"{name:<12} {value}")


def _recording(path: Path) -> "Recording":
    from uniaudio.audio.blocks import open_recording

    return open_recording(path, min_seconds=MIN_SECONDS, max_seconds=MAX_SECONDS)


def _num_samples(recording: "Recording", codec: "AnyCodec") -> int:
    """Return the length of a recording at the codec's rate."""
    return max(1, round(recording.seconds * codec.config.sample_rate))


def _codes(codec: "AnyCodec", recording: "Recording") -> "np.ndarray":
    """Return the codes [K, T] of a recording; raises InputError for a long one and a codec that takes only wholes."""
    import torch

    from uniaudio.codec.public import PublicCodec
    from uniaudio.codec.streaming import encode_chunks
    from uniaudio.tokenizers.codec import codec_samples, encode_samples

    rate = codec.config.sample_rate
    if _streams(codec):
        blocks = _watched("encode", recording.blocks(rate), _num_samples(recording, codec), rate)
        return encode_chunks(codec, (torch.from_numpy(block)[None, None] for block in blocks))[0].numpy()
    most = MAX_PUBLIC_SECONDS if isinstance(codec, PublicCodec) else MAX_WHOLE_SECONDS
    if recording.seconds > most:
        raise InputError(f"this codec takes at most {most:g} s at once, not {recording.seconds:.0f} s: cut it")
    ids = encode_samples(codec, codec_samples(read_audio(recording.path, mono=True), rate)).ids  # [T, K]
    assert ids is not None
    return ids.T.numpy()


def _decoded(codec: "AnyCodec", codes: "np.ndarray") -> "Iterator[np.ndarray]":
    """Yield samples [n] of what codes [K, T] of the codec sound like."""
    import torch

    from uniaudio.codec.streaming import decode_chunks
    from uniaudio.tokenizers.codec import CodecTokenizer

    ids = torch.from_numpy(codes)
    if _streams(codec):
        yield from (chunk[0, 0].numpy() for chunk in decode_chunks(codec, ids[None]))
    else:
        yield CodecTokenizer(codec).decode(ids.T).samples[0]


def _with_codebooks(codec: "AnyCodec", digest: str, count: int) -> "tuple[AnyCodec, str]":
    """Return a public codec with as many codebooks as the codes have, and its digest; one of ours as it is."""
    from uniaudio.codec.public import PublicCodec

    if not isinstance(codec, PublicCodec) or not 1 + codec.config.has_level <= count <= codec.config.num_codebooks:
        return codec, digest
    codec = codec.cut(count)
    return codec, codec.digest()


def _streams(codec: "AnyCodec") -> "TypeGuard[Codec]":
    """Can the codec work through a long recording piece by piece?"""
    from uniaudio.codec.model import Codec

    return isinstance(codec, Codec) and codec.config.shape == "convnext"


def _write(path: Path, codec: "AnyCodec", codes: "np.ndarray", num_samples: int, begun: float | None = None) -> None:
    """Write the first `num_samples` of what codes [K, T] sound like, and tell how long it took, since `begun`."""
    from uniaudio.audio.blocks import write_blocks

    begun = time.perf_counter() if begun is None else begun
    rate = codec.config.sample_rate
    num_samples = min(num_samples, codes.shape[1] * codec.config.hop_length)
    blocks = _watched("decode", _first(_decoded(codec, codes), num_samples), num_samples, rate)
    seconds = write_blocks(path, blocks, rate) / rate
    elapsed = time.perf_counter() - begun
    print(f"{_shown(path)}  {seconds:.2f} s of audio, real-time factor {elapsed / seconds:.4f}")


def _first(blocks: "Iterable[np.ndarray]", num_samples: int) -> "Iterator[np.ndarray]":
    """Yield the first `num_samples` of blocks [n]."""
    for block in blocks:
        yield block[:num_samples]
        num_samples -= len(block)
        if num_samples <= 0:
            return


def _watched(title: str, blocks: "Iterable[np.ndarray]", num_samples: int, rate: int) -> "Iterator[np.ndarray]":
    """Yield the blocks [n], with a bar on stderr from the second second on, if it is a terminal."""
    from tqdm import tqdm

    with tqdm(desc=title, total=num_samples // rate, unit="s", leave=False, delay=1, disable=None) as bar:
        done = 0
        for block in blocks:
            yield block
            done += len(block)
            bar.update(done // rate - bar.n)


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
