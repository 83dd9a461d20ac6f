"""The first three trainings of AudioLDM 2: they learn one batch, hide what they say, and resume exactly."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from uniaudio import checkpoint
from uniaudio.codec.convnext import ConvNextConfig
from uniaudio.codec.model import Codec, CodecConfig
from uniaudio.diffusion.autoencoder import AutoencoderConfig, MelAutoencoder
from uniaudio.diffusion.vocoder import Vocoder, VocoderConfig
from uniaudio.engines.tokenizers import save_tokenizers
from uniaudio.errors import InputError
from uniaudio.recipes.audioldm2 import begin_as_codec
from uniaudio.recipes.codec import load_codec
from uniaudio.ssl.audiomae import AudioMae, AudioMaeConfig, MaeDecoderConfig
from uniaudio.train.loop import LoopConfig, Objective, TrainState, train
from uniaudio.train.objectives.audiomae import AudioMaeObjective, AudioMaeObjectiveConfig
from uniaudio.train.objectives.mel import (
    AutoencoderObjective,
    AutoencoderObjectiveConfig,
    VocoderObjective,
    VocoderObjectiveConfig,
)
from uniaudio.train.optim import OptimConfig

LOOP = LoopConfig(steps=30, bf16=False, optim=OptimConfig(lr=3e-3, warmup_steps=2))


class _Tones:
    """Two gliding tones, always the same."""

    phones: dict[str, int] = {}

    def __init__(self, num_samples: int) -> None:
        time = torch.arange(num_samples) / 16000
        self.samples = torch.stack([0.3 * torch.sin(2 * torch.pi * (f + 300 * time) * time) for f in (220.0, 900.0)])

    def batch(self, batch_size: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
        return self.samples[:batch_size, None], torch.zeros(batch_size, 1)


def _autoencoder() -> AutoencoderObjective:
    torch.manual_seed(0)
    network = MelAutoencoder(AutoencoderConfig(channels=(16, 16), latent_channels=4, norm_groups=4))
    return AutoencoderObjective(network, _Tones(32 * 160), AutoencoderObjectiveConfig(batch_size=2))


def _vocoder() -> VocoderObjective:
    torch.manual_seed(0)
    network = Vocoder(VocoderConfig(width=32, blocks=2))
    return VocoderObjective(network, _Tones(16 * 160), VocoderObjectiveConfig(batch_size=2))


def _audiomae() -> AudioMaeObjective:
    torch.manual_seed(0)
    network = AudioMae(AudioMaeConfig(frames=64, width=32, blocks=3, heads=2))
    decoder = MaeDecoderConfig(width=16, blocks=2, heads=2)
    return AudioMaeObjective(network, _Tones(64 * 160), AudioMaeObjectiveConfig(batch_size=2, decoder=decoder))


@pytest.mark.parametrize("make", [_autoencoder, _vocoder, _audiomae])
def test_it_learns_one_batch(make) -> None:
    objective: Objective = make()
    state = TrainState(objective, LOOP)
    losses = [state.advance()["loss"] for _ in range(LOOP.steps)]
    assert sum(losses[-3:]) < 0.85 * sum(losses[:3]), losses


def test_some_log_mels_of_the_vocoder_have_been_decoded() -> None:
    plain, heard = _vocoder(), _vocoder()
    heard.autoencoder = MelAutoencoder(AutoencoderConfig(channels=(16, 16), latent_channels=4, norm_groups=4))
    heard.config = replace(heard.config, decoded_share=1.0)
    samples, mels = heard.batch(0, 0)
    assert torch.equal(samples, plain.batch(0, 0)[0]) and mels.shape == plain.batch(0, 0)[1].shape
    assert not any(torch.equal(one, other) for one, other in zip(mels, plain.batch(0, 0)[1], strict=True))
    heard.config = replace(heard.config, decoded_share=0.0)
    assert torch.equal(heard.batch(0, 0)[1], plain.batch(0, 0)[1])


def test_a_vocoder_begins_as_the_end_of_a_codec(tmp_path) -> None:
    sizes = ConvNextConfig(fine_stride=2, fine_width=16, fine_blocks=2, synthesis_n_fft=640, decoder_width=16)
    codec = Codec(CodecConfig(num_codebooks=1, codebook_size=4, convnext=sizes))
    save_tokenizers(tmp_path / "codec", "codec", codec, None, "# codec\n")
    network = Vocoder(VocoderConfig(width=16, blocks=3))
    first = network.blocks[0].state_dict()["expand.weight"].clone()
    begin_as_codec(network, str(tmp_path / "codec"))
    x = torch.randn(1, 5, 16)
    ours = network.head(network.norm_out(network.blocks[2](network.blocks[1](x))))
    decoder: Any = load_codec(tmp_path / "codec")[0].decoder  # as it was saved, in bfloat16
    theirs = decoder.head(decoder.norm_out(decoder.fine_blocks(x)))
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert torch.equal(network.blocks[0].state_dict()["expand.weight"], first)
    with pytest.raises(InputError, match="start=none"):
        begin_as_codec(Vocoder(VocoderConfig(width=32, blocks=3)), str(tmp_path / "codec"))


def test_four_fifths_are_hidden_and_only_they_count(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = _audiomae()
    fbank, places = objective.batch(0, 0)
    assert places.shape == (2, 6)  # a fifth of 4 x 8 patches
    loss, figures = objective.loss((fbank, places), 0)
    assert figures["hidden"] == pytest.approx(1 - 6 / 32)
    embedded = objective.network.embed(fbank)
    states = objective.network.encode(embedded.gather(1, places[..., None].expand(-1, -1, 32)))[-1][:, 1:]
    drawn = objective.decoder(states, places).detach()
    monkeypatch.setattr(objective, "_patches", lambda _: drawn)  # as if all were drawn rightly
    assert float(objective.loss((fbank, places), 0)[0].detach()) == pytest.approx(0, abs=1e-9)
    assert float(loss.detach()) > 0.1


@pytest.mark.parametrize("make", [_autoencoder, _vocoder, _audiomae])
def test_resumed_is_uninterrupted(make, tmp_path) -> None:
    loop = replace(LOOP, steps=4)
    train(make(), loop, tmp_path / "whole")
    first = TrainState(make(), loop)
    for _ in range(2):
        first.advance()
    first.save(tmp_path / "cut" / "checkpoint")
    train(make(), loop, tmp_path / "cut")
    whole, cut = (checkpoint.load(tmp_path / name / "checkpoint").tensors for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
