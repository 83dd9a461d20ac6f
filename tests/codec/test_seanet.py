"""SEANet against transformers' EnCodec with the same weights, and its own promises on shape and causality."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from uniaudio.codec.seanet import SEANetConfig, SEANetDecoder, SEANetEncoder, encodec_key_map
from uniaudio.errors import InputError

TINY = SEANetConfig(n_filters=4, ratios=(4, 3, 2), num_residual_layers=2, dim=6, num_lstm_layers=2)


class Pair(nn.Module):
    def __init__(self, config: SEANetConfig):
        super().__init__()
        self.encoder = SEANetEncoder(config)
        self.decoder = SEANetDecoder(config)


def public_model(config: SEANetConfig) -> nn.Module:
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    return EncodecModel(
        EncodecConfig(
            hidden_size=config.dim,
            num_filters=config.n_filters,
            num_residual_layers=config.num_residual_layers,
            upsampling_ratios=list(config.ratios),
            kernel_size=config.kernel_size,
            last_kernel_size=config.last_kernel_size,
            residual_kernel_size=config.residual_kernel_size,
            dilation_growth_rate=config.dilation_base,
            compress=config.compress,
            num_lstm_layers=config.num_lstm_layers,
            use_causal_conv=config.causal,
            pad_mode=config.pad_mode,
            norm_type=config.norm,
            use_conv_shortcut=config.conv_shortcut,
            trim_right_ratio=config.trim_right_ratio,
            codebook_size=16,
        )
    ).eval()


def ours_with_weights_of(public: nn.Module, config: SEANetConfig) -> Pair:
    weights = {}
    for key, tensor in public.state_dict().items():
        ours = encodec_key_map(key)
        if ours is not None:
            assert ours not in weights
            weights[ours] = tensor
    pair = Pair(config).eval()
    pair.load_state_dict(weights, strict=True)
    return pair


PARITY = {
    "non_causal": TINY,
    "causal": replace(TINY, causal=True),
    "causal_trimmed_both_sides": replace(TINY, causal=True, trim_right_ratio=0.4, pad_mode="constant"),
    "replicate_identity_shortcut": replace(TINY, pad_mode="replicate", conv_shortcut=False),
    "group_norm": replace(TINY, norm="time_group_norm"),
    "odd_ratios": replace(TINY, ratios=(5, 3), kernel_size=5, last_kernel_size=3, compress=1, num_residual_layers=1),
}


@pytest.mark.parametrize("name", PARITY)
def test_equals_transformers_encodec(name):
    config = PARITY[name]
    public = public_model(config)
    pair = ours_with_weights_of(public, config)
    # Not a multiple of the hop, a multiple, and shorter than the reflection (13 samples in an inner layer).
    for length in (24 * 11 + 5, 240, 7):
        samples = 0.3 * torch.randn(2, 1, length)
        with torch.no_grad():
            latents = public.encoder(samples)
            torch.testing.assert_close(pair.encoder(samples), latents, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(pair.decoder(latents), public.decoder(latents), atol=1e-4, rtol=1e-4)


def test_default_config_has_the_parameters_of_the_public_24khz_shape():
    config = SEANetConfig()
    public = public_model(config)
    count = sum(p.numel() for p in (*public.encoder.parameters(), *public.decoder.parameters()))
    assert sum(p.numel() for p in Pair(config).parameters()) == count
    assert config.hop_length == 320


PUBLIC_KEYS = {
    "encoder.model.0.conv.conv.bias": "encoder.model.0.conv.bias",
    "encoder.model.0.conv.conv.weight_g": "encoder.model.0.conv.parametrizations.weight.original0",
    "encoder.model.1.block.3.conv.conv.weight_v": "encoder.model.1.block.3.conv.parametrizations.weight.original1",
    "encoder.model.1.shortcut.conv.conv.bias": "encoder.model.1.shortcut.conv.bias",
    "encoder.model.13.lstm.weight_ih_l0": "encoder.model.13.lstm.weight_ih_l0",
    "encoder.model.15.conv.conv.weight_g": "encoder.model.15.conv.parametrizations.weight.original0",
    "encoder.model.15.conv.norm.bias": "encoder.model.15.norm.bias",
    "decoder.model.1.lstm.bias_hh_l1": "decoder.model.1.lstm.bias_hh_l1",
    "decoder.model.3.convtr.convtr.weight_v": "decoder.model.3.conv.parametrizations.weight.original1",
    "decoder.model.3.convtr.norm.weight": "decoder.model.3.norm.weight",
    "decoder.model.15.conv.conv.bias": "decoder.model.15.conv.bias",
}


def test_key_map_understands_the_released_checkpoints():
    weight_normed = set(Pair(SEANetConfig()).state_dict())
    group_normed = set(Pair(SEANetConfig(norm="time_group_norm")).state_dict())
    for public, ours in PUBLIC_KEYS.items():
        assert encodec_key_map(public) == ours
        assert ours in weight_normed | group_normed
    assert encodec_key_map("quantizer.vq.layers.0._codebook.embed") is None
    assert encodec_key_map("decoder.extra.weight") is None


def test_weights_stored_as_gain_and_direction_give_the_same_network():
    # The released files have weight_g and weight_v: write ours that way, read it back, compare the sound.
    pair = Pair(TINY).eval()
    old_style = {}
    for key, tensor in pair.state_dict().items():
        key = key.replace(".conv.", ".conv.conv.").replace("parametrizations.weight.original0", "weight_g")
        old_style[key.replace("parametrizations.weight.original1", "weight_v")] = tensor
    copy = Pair(TINY).eval()
    copy.load_state_dict({encodec_key_map(key): tensor for key, tensor in old_style.items()}, strict=True)
    samples = torch.randn(1, 1, 100)
    torch.testing.assert_close(copy.decoder(copy.encoder(samples)), pair.decoder(pair.encoder(samples)))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, 23, 24, 25, 480])
def test_lengths(causal, length):
    pair = Pair(replace(TINY, causal=causal))
    latents = pair.encoder(torch.randn(1, 1, length))
    num_frames = -(-length // TINY.hop_length)
    assert latents.shape == (1, TINY.dim, num_frames)
    assert pair.decoder(latents).shape == (1, 1, num_frames * TINY.hop_length)


def test_causal_network_never_looks_ahead():
    pair = Pair(replace(TINY, causal=True, pad_mode="constant"))
    samples = torch.randn(1, 1, 240, requires_grad=True)
    frame = 4
    pair.encoder(samples)[..., frame].sum().backward()
    assert samples.grad is not None
    # kernel - stride samples of padding on the left: frame t ends with the last sample of its own hop.
    end = (frame + 1) * TINY.hop_length
    assert samples.grad[..., end:].abs().max() == 0
    assert samples.grad[..., end - 1].abs().max() > 0

    latents = torch.randn(1, TINY.dim, 10, requires_grad=True)
    pair.decoder(latents)[..., (frame + 1) * TINY.hop_length - 1].sum().backward()
    assert latents.grad is not None
    assert latents.grad[..., frame + 1 :].abs().max() == 0
    assert latents.grad[..., frame].abs().max() > 0


def test_batched_equals_single():
    pair = Pair(TINY).eval()
    samples = torch.randn(3, 1, 100)
    together = pair.decoder(pair.encoder(samples))
    alone = torch.cat([pair.decoder(pair.encoder(one[None])) for one in samples])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_every_parameter_gets_a_gradient():
    pair = Pair(TINY)
    pair.decoder(pair.encoder(torch.randn(2, 1, 240))).square().mean().backward()
    for name, parameter in pair.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(
    "wrong",
    [
        {"pad_mode": "zero"},
        {"norm": "layer"},
        {"causal": True, "norm": "time_group_norm"},
        {"ratios": ()},
        {"trim_right_ratio": 2.0},
        {"compress": 64},
    ],
)
def test_wrong_config_is_named(wrong):
    with pytest.raises(InputError, match="|".join(wrong)):
        SEANetConfig(**wrong)
