"""AudioMAE: the language of audio against a public implementation, pooling counts, masks, positions."""

import pytest
import torch

from uniaudio.errors import InputError
from uniaudio.ssl.audiomae import (
    AudioMae,
    AudioMaeConfig,
    MaeDecoder,
    MaeDecoderConfig,
    from_timm,
    load_timm,
    local_mask,
    pool,
    public_config,
)

SMALL = AudioMaeConfig(frames=64, width=24, blocks=3, heads=2)


@pytest.mark.parametrize(("pooling", "count"), [(1, 512), (2, 128), (4, 32), (8, 8)])
def test_pooling_counts_of_the_public_size(pooling: int, count: int) -> None:
    assert pool(torch.zeros(1, 512, 4), public_config().grid, pooling).shape == (1, count, 4)


def test_pooling_is_the_mean_of_average_and_maximum() -> None:
    features = torch.arange(8.0)[None, :, None]  # 4 x 2 patches, frequency fastest
    assert pool(features, (4, 2), 2)[0, :, 0].tolist() == [(1.5 + 3) / 2, (5.5 + 7) / 2]
    with pytest.raises(InputError, match="pooling 3"):
        pool(features, (4, 2), 3)


def test_language_of_audio_is_that_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    ours = AudioMae(SMALL).eval()
    settings = transformers.ViTMAEConfig(
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=96,
        image_size=(64, 128),
        patch_size=16,
        num_channels=1,
        mask_ratio=0.0,
        layer_norm_eps=1e-6,
    )
    theirs = transformers.ViTMAEModel(settings).eval()
    theirs.load_state_dict(_transformers_names(ours.state_dict()), strict=True)
    fbank = torch.randn(2, 64, 128)
    with torch.no_grad():
        noise = torch.arange(32.0).expand(2, 32)  # nothing is hidden, and the order stays
        found = theirs(fbank[:, None], noise=noise, output_hidden_states=True).hidden_states
        wanted = torch.stack([theirs.layernorm(state) for state in found[-3:]]).mean(0)[:, 1:]
        assert torch.allclose(ours.features(fbank), wanted, atol=2e-6)


def _transformers_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    names = {
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
        "norm": "layernorm",
    }
    parts = {
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
        "attn.proj": "attention.o_proj",
    }
    found = {}
    for name, value in state.items():
        stem, _, last = name.rpartition(".")
        if name in ("cls_token", "pos_embed"):
            found[names[name]] = value
        elif stem in names:
            found[f"{names[stem]}.{last}"] = value
        elif name.startswith("blocks."):
            _, index, part = stem.split(".", 2)
            if part == "attn.qkv":
                pieces = zip(("q_proj", "k_proj", "v_proj"), value.chunk(3), strict=True)
                found |= {f"layers.{index}.attention.{to}.{last}": one for to, one in pieces}
            else:
                found[f"layers.{index}.{parts[part]}.{last}"] = value
    return found


def test_public_weights_load_by_their_names(tmp_path) -> None:
    from safetensors.torch import save_file

    own = AudioMae(AudioMaeConfig(frames=64, width=128, blocks=3, heads=2))
    public = {name: value for name, value in own.state_dict().items() if not name.startswith("loa_")}
    save_file(public | {"head.weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    loaded = load_timm(tmp_path)
    assert loaded.config == own.config
    samples = 0.1 * torch.randn(1, 9000)
    assert torch.equal(loaded.loa(samples, 2), own.loa(samples, 2))
    with pytest.raises(InputError, match="timm"):
        from_timm({})
    with pytest.raises(InputError, match=r"norm\.bias"):
        from_timm({name: value for name, value in public.items() if name != "norm.bias"})


def test_standardised_features() -> None:
    network, fbank = AudioMae(SMALL), torch.randn(8, 64, 128)
    with torch.no_grad():
        network.standardise(network.features(fbank))
        found = network.features(fbank).flatten(0, 1)
    assert torch.allclose(found.mean(0), torch.zeros(24), atol=1e-4)
    assert torch.allclose(found.std(0), torch.ones(24), atol=1e-3)


def test_silence_ends_short_recordings() -> None:
    network, samples = AudioMae(SMALL), 0.1 * torch.randn(1, 5000)
    longer = torch.cat((samples, torch.zeros(1, 3000)), dim=1)
    assert torch.equal(network.loa(samples, 4), network.loa(longer, 4))
    assert network.loa(samples, 4).shape == (1, 2, 24)


def test_local_windows() -> None:
    plain, shifted = (local_mask((8, 8), 4, shift) for shift in (0, 2))
    assert plain.sum(1).unique().tolist() == [16]
    assert shifted.sum(1).unique().tolist() == [4, 8, 16]
    assert not plain[3, 4] and bool(shifted[3, 4])


def test_a_decoder_knows_only_what_is_visible() -> None:
    decoder = MaeDecoder(SMALL, MaeDecoderConfig(width=16, blocks=2, heads=2))
    places = torch.tensor([[0, 5, 9]])
    states = torch.randn(1, 3, 24, requires_grad=True)
    assert decoder(states, places).shape == (1, 32, 256)
