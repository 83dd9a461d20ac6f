"""The released UniAudio codec: its exact names and shapes come in whole, damage is named, codes equal EnCodec's."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from uniaudio.codec.importer import import_uniaudio_codec, load_encodec
from uniaudio.codec.model import Codec, CodecConfig
from uniaudio.codec.seanet import SEANetConfig
from uniaudio.errors import InputError

FILTERS, DIM, SIZE, LEVELS = 4, 6, 16, 12
YAML = """
generator:
  name: SoundStream
  config:
    n_filters: 4
    D: 6
    target_bandwidths: [0.5, 1, 1.5, 2, 4, 6]
    ratios: [8, 5, 4, 2] # downsampling by 320
    sample_rate: 16000
    bins: 16
d_list: ['mfd']
"""


def conv(name: str, inputs: int, outputs: int, kernel: int) -> dict[str, list[int]]:
    """A weight-normed convolution of the release; `name` ends with its two wrappers."""
    first, second = (inputs, outputs) if name.endswith("convtr") else (outputs, inputs)
    shapes = {"bias": [outputs], "weight_g": [first, 1, 1], "weight_v": [first, second, kernel]}
    return {f"{name}.{key}": shape for key, shape in shapes.items()}


def residual(name: str, width: int) -> dict[str, list[int]]:
    return {
        **conv(f"{name}.block.1.conv.conv", width, width // 2, 3),
        **conv(f"{name}.block.3.conv.conv", width // 2, width, 1),
        **conv(f"{name}.shortcut.conv.conv", width, width, 1),
    }


def lstm(name: str, width: int) -> dict[str, list[int]]:
    shapes = {"weight_ih": [4 * width, width], "weight_hh": [4 * width, width]}
    shapes |= {"bias_ih": [4 * width], "bias_hh": [4 * width]}
    return {f"{name}.lstm.{key}_l{layer}": shape for layer in (0, 1) for key, shape in shapes.items()}


def released_shapes(n: int = FILTERS, dim: int = DIM, size: int = SIZE, levels: int = LEVELS) -> dict[str, list[int]]:
    """Every name of `codec_model`, layer by layer as the published code numbers them, with its shape."""
    shapes = conv("encoder.model.0.conv.conv", 1, n, 7)
    for layer, width, ratio in ((1, n, 2), (4, 2 * n, 4), (7, 4 * n, 5), (10, 8 * n, 8)):
        shapes |= residual(f"encoder.model.{layer}", width)
        shapes |= conv(f"encoder.model.{layer + 2}.conv.conv", width, 2 * width, 2 * ratio)
    shapes |= lstm("encoder.model.13", 16 * n) | conv("encoder.model.15.conv.conv", 16 * n, dim, 7)
    for level in range(levels):
        book = f"quantizer.vq.layers.{level}._codebook"
        shapes |= {f"{book}.inited": [1], f"{book}.cluster_size": [size]}
        shapes |= {f"{book}.embed": [size, dim], f"{book}.embed_avg": [size, dim]}
    shapes |= conv("decoder.model.0.conv.conv", dim, 16 * n, 7) | lstm("decoder.model.1", 16 * n)
    for layer, width, ratio in ((3, 16 * n, 8), (6, 8 * n, 5), (9, 4 * n, 4), (12, 2 * n, 2)):
        shapes |= conv(f"decoder.model.{layer}.convtr.convtr", width, width // 2, 2 * ratio)
        shapes |= residual(f"decoder.model.{layer + 1}", width // 2)
    return shapes | conv("decoder.model.15.conv.conv", n, 1, 7)


def released(**sizes: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in released_shapes(**sizes).items()}
    return {name: torch.ones(1) if name.endswith(".inited") else value for name, value in tensors.items()}


def saved(folder: Path, tensors: dict[str, Tensor]) -> Path:
    """A folder as in the release's zip: discriminator and optimizers are in the file too."""
    data = {"codec_model": tensors, "mfd": {"weight": torch.zeros(2)}, "optimizer_g": {"state": {}, "lr": 2e-4}}
    torch.save(
        {**data, "optimizer_d": {}, "lr_scheduler_g": {"gamma": 0.999}, "epoch": 3, "steps": 4}, folder / "m.pth"
    )
    (folder / "config.yaml").write_text(YAML)
    return folder


def blank(causal: bool = False) -> Codec:
    seanet = SEANetConfig(n_filters=FILTERS, dim=DIM, causal=causal)
    return Codec(CodecConfig(shape="seanet", num_codebooks=LEVELS, codebook_size=SIZE, seanet=seanet)).eval()


@torch.no_grad()
def encodec(samples: Tensor, causal: bool = False) -> Any:
    """A random EnCodec of transformers with the release's layers, and codebooks about the latents of the samples."""
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(1)
    sizes: dict[str, Any] = {
        "num_filters": FILTERS,
        "hidden_size": DIM,
        "codebook_size": SIZE,
        "target_bandwidths": [0.6, 2.4],
    }
    model: Any = EncodecModel(EncodecConfig(**sizes, sampling_rate=16000, use_causal_conv=causal)).eval()
    latents = model.encoder(samples).transpose(1, 2).reshape(-1, DIM)
    for level, layer in enumerate(model.quantizer.layers):
        vectors = latents.std(0) * 0.8**level * torch.randn(SIZE, DIM)
        layer.codebook.embed.copy_(vectors if level else latents.mean(0) + vectors)
    return model


@pytest.mark.parametrize("causal", [False, True])
def test_same_codes_and_waveform_as_transformers_encodec(causal: bool):
    samples = 0.3 * torch.randn(2, 1, 320 * 25, generator=torch.Generator().manual_seed(0))
    model, codec = encodec(samples, causal), blank(causal)
    load_encodec(codec, model.state_dict(), "EncodecModel")
    with torch.no_grad():
        for kbps, levels in ((0.6, 3), (2.4, 12)):
            theirs = model.encode(samples, bandwidth=kbps)
            codes = codec.cut(levels).encode(samples)
            assert torch.equal(codes, theirs.audio_codes[0]) and codes.shape == (2, levels, 25)
            assert codes[:, :3].unique().numel() > SIZE // 2, "the codes must differ, or equality says nothing"
            waveform = model.decode(theirs.audio_codes, theirs.audio_scales).audio_values
            torch.testing.assert_close(codec.decode(codes), waveform, atol=1e-4, rtol=0)
        assert waveform.std() > 1e-2


def test_the_released_checkpoint_comes_in_whole(tmp_path: Path):
    """Against transformers' EnCodec with the same values, renamed here by hand."""
    tensors = released()
    codec = import_uniaudio_codec(saved(tmp_path, tensors))
    assert codec.config.num_codebooks == LEVELS and codec.config.hop_length == 320 and codec.config.frame_rate == 50
    assert not codec.training and not any(parameter.requires_grad for parameter in codec.parameters())
    renamed = {}
    for name, value in tensors.items():
        for old, new in (
            (".model.", ".layers."),
            ("vq.layers", "layers"),
            ("_codebook", "codebook"),
            (".conv.conv.", ".conv."),
            (".convtr.convtr.", ".conv."),
            ("weight_g", "parametrizations.weight.original0"),
            ("weight_v", "parametrizations.weight.original1"),
        ):
            name = name.replace(old, new)
        renamed[name] = value
    samples = 0.3 * torch.randn(1, 1, 3200)
    model = encodec(samples)
    model.load_state_dict(renamed, strict=True)
    with torch.no_grad():
        theirs = model.encode(samples, bandwidth=2.4)
        assert torch.equal(codec.encode(samples), theirs.audio_codes[0])
        waveform = model.decode(theirs.audio_codes, theirs.audio_scales).audio_values
        torch.testing.assert_close(codec.decode(theirs.audio_codes[0]), waveform, atol=1e-4, rtol=1e-4)
    book = codec.quantizer.codebooks[3]
    assert torch.equal(book.get_buffer("vector_sum"), tensors["quantizer.vq.layers.3._codebook.embed_avg"])
    assert bool(book.get_buffer("started"))


def test_without_settings_the_sizes_are_the_published_ones(tmp_path: Path):
    from safetensors.torch import save_file

    tensors = released(n=32, dim=8, size=32, levels=2)
    save_file(tensors, tmp_path / "codec.safetensors")
    codec = import_uniaudio_codec(tmp_path / "codec.safetensors")
    sizes = codec.config.num_codebooks, codec.config.codebook_size, codec.config.dim, codec.config.seanet.n_filters
    assert sizes == (2, 32, 8, 32)
    assert torch.equal(codec.get_parameter("encoder.model.0.conv.bias"), tensors["encoder.model.0.conv.conv.bias"])


NAMES = [
    "encoder.model.0.conv.conv.weight_g",
    "encoder.model.1.shortcut.conv.conv.bias",
    "encoder.model.13.lstm.weight_hh_l1",
    "quantizer.vq.layers.0._codebook.embed",
    "quantizer.vq.layers.11._codebook.inited",
    "quantizer.vq.layers.5._codebook.embed_avg",
    "decoder.model.3.convtr.convtr.weight_v",
    "decoder.model.15.conv.conv.weight_v",
]


@pytest.mark.parametrize("damage", ["lost", "renamed", "cut", "not a number"])
def test_a_damaged_tensor_is_named_and_nothing_is_copied(damage: str):
    whole, codec = released(), blank()
    before = {key: value.clone() for key, value in codec.state_dict().items()}
    for name in NAMES:
        tensors = dict(whole)
        value = tensors.pop(name)
        if damage == "renamed":
            tensors[name + "x"] = value
        elif damage != "lost":
            tensors[name] = torch.cat([value, value]) if damage == "cut" else value * float("nan")
        bad = repr(name + "x" if damage == "renamed" else name)
        with pytest.raises(InputError) as error:
            load_encodec(codec, tensors, "here")
        assert bad in str(error.value) and "\n" not in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in codec.state_dict().items())


def test_a_damaged_file_is_refused_with_the_name_of_the_tensor(tmp_path: Path):
    tensors = released()
    del tensors[NAMES[-1]]
    with pytest.raises(InputError, match=r"lacks 'decoder\.model\.15\.conv\.conv\.weight_v'"):
        import_uniaudio_codec(saved(tmp_path, tensors))


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap",)


def test_files_that_are_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    cut = tmp_path / "cut.pth"
    torch.save({"codec_model": released()}, cut)
    cut.write_bytes(cut.read_bytes()[:3000])
    torch.save({"codec_model": Trap()}, tmp_path / "trap.pth")
    torch.save({"model": {"a": 1}}, tmp_path / "other.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    torch.save({"codec_model": {"encoder.model.0.conv.conv.bias": torch.zeros(4)}}, tmp_path / "part.pth")
    for name, message in (
        ("cut.pth", "damaged"),
        ("trap.pth", "more than plain tensors"),
        ("other.pth", "no tensors under 'codec_model'"),
        ("part.pth", r"lacks a whole 'quantizer\.vq\.layers\.0\._codebook\.embed'"),
        ("list.pth", "no tensors under 'codec_model'"),
        (".", "nor a folder with just one"),
        ("absent.pth", "is no checkpoint"),
    ):
        with pytest.raises(InputError, match=message):
            import_uniaudio_codec(tmp_path / name)
    assert not (tmp_path / "trap").exists(), "nothing in a checkpoint is run"


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("generator: 3", "no generator.config"),
        ("generator: {config: {bins: many}}", "bins"),
        ("generator: {config: {width: 3}}", "width"),
        ("generator: {config: {D: 0}}", "at least 1"),
        ("generator: [", "no generator.config"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, yaml: str, message: str):
    (tmp_path / "other.yaml").write_text(yaml)
    with pytest.raises(InputError, match=message):
        import_uniaudio_codec(saved(tmp_path, released()), tmp_path / "other.yaml")
