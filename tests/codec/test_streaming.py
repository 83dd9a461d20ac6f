"""Coding in chunks: equal to the whole for any chunks, as late as stated, causal where it says so, memory flat.

B batch, N samples, T frames, K codebooks
"""

import dataclasses
import gc
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from uniaudio import config
from uniaudio.audio.spectral import LogMel
from uniaudio.codec.convnext import ConvNextConfig, FrameConv1d, Stream
from uniaudio.codec.model import Codec, CodecConfig
from uniaudio.codec.streaming import StreamingDecoder, StreamingEncoder, decode_chunks, encode_chunks
from uniaudio.errors import InputError

NUM_CODEBOOKS = 3
PLAIN = ConvNextConfig(
    hop_length=80,
    stride=2,
    num_mels=20,
    mel_n_fft=256,
    synthesis_n_fft=320,
    dim=8,
    encoder_width=24,
    encoder_blocks=2,
    encoder_code_blocks=1,
    decoder_width=32,
    decoder_code_blocks=1,
    decoder_blocks=2,
)
FINE = dataclasses.replace(PLAIN, fine_stride=2, fine_width=16, fine_blocks=2, synthesis_n_fft=160)
# Odd sizes, and windows that reach over several code frames.
ODD = dataclasses.replace(
    PLAIN, hop_length=21, stride=3, kernel_size=5, mel_n_fft=300, synthesis_n_fft=200, encoder_code_blocks=0
)
SHORT = dataclasses.replace(PLAIN, short_mels=8, short_n_fft=64, short_stride=4)
SIZES = {"plain": PLAIN, "fine": FINE, "odd": ODD, "short": SHORT}
SIZES |= {f"{name}-causal": dataclasses.replace(sizes, causal=True) for name, sizes in SIZES.items()}


@pytest.fixture(params=SIZES, scope="module")
def codec(request: pytest.FixtureRequest) -> Codec:
    """A tiny codec whose codebooks have seen its latents."""
    torch.manual_seed(0)
    codec = Codec(CodecConfig(num_codebooks=NUM_CODEBOOKS, codebook_size=16, convnext=SIZES[request.param]))
    for parameter in codec.encoder.parameters():
        if not parameter.any():  # what starts at zero would hide a mistake
            torch.nn.init.normal_(parameter, std=0.05)
    for seed in range(3):
        codec(sound(40 * codec.config.hop_length, seed, batch=4))
    return codec.eval()


def sound(num_samples: int, seed: int = 5, batch: int = 2) -> Tensor:
    """Noise that swells to full scale and back to digital silence: [B, 1, N]."""
    noise = torch.randn(batch, 1, num_samples, generator=torch.Generator().manual_seed(seed))
    swell = torch.sin(torch.arange(num_samples) / 700.0).clamp(min=0)
    return (0.3 * swell * noise).clamp(-1, 1)


def latents(codec: Codec, chunks: list[Tensor]) -> Tensor:
    """What the encoder makes of chunks [B, 1, N] of a recording of whole frames, one after the other: [B, D, T]."""
    stream, parts = Stream(), []
    for index, chunk in enumerate(chunks):
        stream.last = index == len(chunks) - 1
        parts.append(codec.encoder(chunk, stream))
    return torch.cat(parts, 2)


@pytest.mark.parametrize("chunk_frames", [1, 2, 3, 7, 64])
def test_chunks_equal_the_whole(codec: Codec, chunk_frames: int):
    hop = codec.config.hop_length
    for num_samples in (1, hop, 5 * hop + 13, 40 * hop - 1):
        samples = sound(num_samples)
        codes = codec.encode(samples)
        assert torch.equal(encode_chunks(codec, samples, chunk_frames), codes)
        decoded = torch.cat(list(decode_chunks(codec, codes, chunk_frames)), 2)
        assert decoded.shape == (2, 1, codes.shape[2] * hop)
        assert (decoded - codec.decode(codes)).abs().max() < 1e-5


def test_blocks_of_any_length_equal_the_whole(codec: Codec):
    hop, generator = codec.config.hop_length, torch.Generator().manual_seed(1)
    for longest, frames in ((hop // 3, 8), (2 * hop, 20), (20 * hop, 60)):
        samples = sound(frames * hop)
        sizes, left = [0, 1, 1], samples.shape[2] - 2
        while left:
            sizes.append(int(torch.randint(1, min(longest, left) + 1, (), generator=generator)))
            left -= sizes[-1]
        blocks = list(samples.split(sizes, 2))
        assert torch.equal(encode_chunks(codec, iter(blocks), 3), codec.encode(samples))
        with torch.no_grad():
            assert (latents(codec, blocks) - codec.encoder(samples)).abs().max() < 1e-4


def test_a_loud_tone_beside_silence_is_the_same_in_chunks(codec: Codec):
    hop = codec.config.hop_length
    samples = torch.sin(torch.arange(40 * hop) * 0.3)[None, None] * (torch.arange(40 * hop) > 17 * hop)
    with torch.no_grad():
        whole, parts = codec.encoder(samples), latents(codec, list(samples.split(hop, 2)))
    assert (whole - parts).abs().max() < 1e-4


def test_fewer_codebooks_decode_in_chunks(codec: Codec):
    codes = codec.encode(sound(9 * codec.config.hop_length))[:, :1]
    decoded = torch.cat(list(decode_chunks(codec, codes, 4)), 2)
    assert (decoded - codec.decode(codes)).abs().max() < 1e-5


def test_output_comes_exactly_as_late_as_stated(codec: Codec):
    hop = codec.config.hop_length
    encoder, decoder = StreamingEncoder(codec), StreamingDecoder(codec)
    samples, codes, come = sound(36 * hop), [], 0
    for chunk in samples.split(hop * 2 // 3, 2):
        codes.append(encoder.push(chunk))
        come += chunk.shape[2]
        assert sum(part.shape[2] for part in codes) == max(0, (come - encoder.latency) // hop + 1)
    codes = torch.cat([*codes, encoder.finish()], 2)
    gone = 0
    for frame in range(codes.shape[2]):
        gone += decoder.push(codes[..., frame : frame + 1]).shape[2]
        assert gone == max(0, (frame + 1) * hop - decoder.latency)
    assert gone and gone + decoder.finish().shape[2] == samples.shape[2]


def test_no_output_depends_on_what_comes_later_and_no_less_lookahead_would_do(codec: Codec):
    hop, sizes = codec.config.hop_length, codec.config.convnext
    ends = 5 * hop + sizes.encoder_lookahead
    frames = 3 + -(-sizes.decoder_lookahead // hop)  # after these, at least two frames of samples are final
    num_samples = max(ends // hop + 2, frames + 2) * hop
    samples = torch.randn(1, 1, num_samples, generator=torch.Generator().manual_seed(0)).requires_grad_()
    latent = codec.encoder(samples)
    (gradient,) = torch.autograd.grad(latent[:, :, :5].abs().sum(), samples)
    assert gradient[..., ends:].eq(0).all() and gradient[..., ends - sizes.hop_length : ends].ne(0).any()
    latent = latent.detach().requires_grad_()
    final = frames * hop - sizes.decoder_lookahead
    decoded = codec.decoder(latent)
    (gradient,) = torch.autograd.grad(decoded[..., :final].abs().sum(), latent, retain_graph=True)
    assert gradient[..., frames:].eq(0).all() and gradient[..., frames - 1].ne(0).any()
    (gradient,) = torch.autograd.grad(decoded[..., final : final + 4].abs().sum(), latent)
    assert gradient[..., frames].ne(0).any()


@pytest.mark.parametrize(("causal", "latency"), [(True, 640 + 480), (False, 640 + 9952 + 11040)])
def test_latency_of_the_default_sizes(causal: bool, latency: int):
    sizes = ConvNextConfig(causal=causal)
    assert (sizes.encoder_lookahead == 0) is causal
    assert sizes.hop_length * sizes.stride + sizes.encoder_lookahead + sizes.decoder_lookahead == latency


def test_a_coder_takes_one_recording_after_the_other(codec: Codec):
    encoder, decoder = StreamingEncoder(codec), StreamingDecoder(codec)
    for num_samples, seed in ((3001, 1), (40, 2), (2500, 3)):
        samples = sound(num_samples, seed)
        codes = torch.cat([encoder.push(samples), encoder.finish()], 2)
        assert torch.equal(codes, codec.encode(samples))
        decoded = torch.cat([decoder.push(codes), decoder.finish()], 2)
        assert (decoded - codec.decode(codes)).abs().max() < 1e-5


def test_nothing_gives_nothing(codec: Codec):
    assert StreamingEncoder(codec).finish().shape == (1, NUM_CODEBOOKS, 0)
    codes = encode_chunks(codec, torch.zeros(2, 1, 0))
    assert codes.shape == (2, NUM_CODEBOOKS, 0) and codes.dtype == torch.int64
    assert torch.cat(list(decode_chunks(codec, codes)), 2).shape == (2, 1, 0)


def test_causal_or_not_the_parameters_are_the_same():
    causal = Codec(CodecConfig(convnext=dataclasses.replace(FINE, causal=True))).state_dict()
    centred = Codec(CodecConfig(convnext=FINE)).state_dict()
    assert {k: v.shape for k, v in causal.items()} == {k: v.shape for k, v in centred.items()}
    old = config.to_dict(FINE)
    del old["causal"]
    assert config.from_dict(ConvNextConfig, old) == FINE


def test_a_causal_convolution_is_the_centred_one_later():
    centred, causal = FrameConv1d(4, 6, PLAIN), FrameConv1d(4, 6, dataclasses.replace(PLAIN, causal=True))
    causal.load_state_dict(centred.state_dict())
    x = torch.randn(2, 4, 30)
    assert torch.equal(centred(x), functional.conv1d(x, centred.weight, centred.bias, padding=3))
    assert (causal(x)[..., 3:] - centred(x)[..., :-3]).abs().max() < 1e-5


def test_a_causal_mel_window_ends_with_its_hop():
    centred, causal = LogMel(16000, 256, 80, 20), LogMel(16000, 256, 80, 20, causal=True)
    samples = sound(8000)[:, 0]
    later = functional.pad(samples, (causal.left - centred.left, 0))[:, :8000]
    assert (causal(samples) - centred(later))[..., :-3].abs().max() < 1e-5  # the last three see the end
    assert causal(samples).shape == centred(samples).shape and causal.right == 0


def test_what_cannot_be_chunked_is_refused(codec: Codec):
    seanet = Codec(CodecConfig(shape="seanet", num_codebooks=1, codebook_size=4))
    codes = torch.zeros(1, 1, 2, dtype=torch.long)
    for refused in (StreamingEncoder, StreamingDecoder):
        with pytest.raises(InputError, match="whole recordings only"):
            refused(seanet)
    with pytest.raises(InputError, match="chunk_frames 0"):
        encode_chunks(codec, sound(100), 0)
    with pytest.raises(InputError, match="chunk_frames -1"):
        decode_chunks(codec, codes, -1)
    with pytest.raises(ValueError, match="codes must be in"):
        list(decode_chunks(codec, codes + codec.config.codebook_size))


def live_bytes() -> int:
    """What all tensors that exist now hold; unlike the process's size, it hides no growth in memory freed before."""
    storages = [found.untyped_storage() for found in gc.get_objects() if type(found) is Tensor]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def test_memory_does_not_grow_with_the_recording():
    sizes = dataclasses.replace(PLAIN, hop_length=400, mel_n_fft=512, synthesis_n_fft=800, decoder_width=8)
    codec = Codec(CodecConfig(num_codebooks=1, codebook_size=16, convnext=sizes)).eval()
    quarter, used = sound(15 * 16000, batch=1), []

    def recording() -> Iterator[Tensor]:
        for index in range(20):
            if index % 5 == 2:
                used.append(live_bytes())
            yield quarter.clone()

    codes = encode_chunks(codec, recording(), 50)
    assert codes.shape == (1, 1, 300 * 20)
    assert len(used) == 4 and max(used) - used[0] < 1e5  # the samples since then: 14 MB
    used.clear()
    for index, _ in enumerate(decode_chunks(codec, codes, 50)):
        if index % 40 == 1:
            used.append(live_bytes())
    assert len(used) == 3 and max(used) - used[0] < 2e4  # the samples since then: 13 MB
