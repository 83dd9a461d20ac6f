"""A tiny latent diffusion model of ours with random weights, and a caption encoder that needs no download."""

import torch

from uniaudio.diffusion.autoencoder import AutoencoderConfig, MelAutoencoder
from uniaudio.diffusion.bridge import Bridge, BridgeConfig
from uniaudio.diffusion.denoiser import Denoiser, DenoiserConfig
from uniaudio.diffusion.phones import TimedPhones, TimedPhonesConfig
from uniaudio.diffusion.vocoder import Vocoder, VocoderConfig
from uniaudio.engines.latent import LatentEngine, LatentSampling
from uniaudio.engines.latent_model import LatentConfig, Networks, OwnModel
from uniaudio.lm.duration import DurationConfig, DurationPredictor
from uniaudio.ssl.audiomae import AudioMae, AudioMaeConfig
from uniaudio.tokenizers.base import Item

QUICK = LatentSampling(steps=3, guidance=2.0)


class FakeCaptions:
    """A vector for each letter of a caption."""

    def encode(self, caption: str) -> Item:
        generator = torch.Generator().manual_seed(0)
        table = torch.randn(128, 12, generator=generator)
        return Item(vectors=table[[ord(letter) % 128 for letter in caption]])


def tiny_networks(speaks: bool = True) -> Networks:
    """Windows of 0.64 s: 8 latent frames of 8 mel frames, 32 patches of AudioMAE, 8 vectors."""
    torch.manual_seed(0)
    conditions = {"caption": 12, "voice": 16, "phones": 200} if speaks else {"caption": 12}
    bridge = BridgeConfig(conditions=conditions, loa_dim=16, num_tokens=8, width=24, layers=2, heads=2)
    denoiser = DenoiserConfig(
        latent_channels=4, extra_channels=2 if speaks else 0, loa_dim=16, text_dim=12, channels=(8, 16),
        attention=(False, True), layers_per_block=1, head_width=8, norm_groups=4,
    )  # fmt: skip
    phones = TimedPhones(TimedPhonesConfig(width=6, channels=2, bins=2)) if speaks else None
    networks = Networks(
        autoencoder=MelAutoencoder(
            AutoencoderConfig(num_mels=16, latent_channels=4, channels=(8, 16), norm_groups=4, patch=4)
        ),
        vocoder=Vocoder(VocoderConfig(num_mels=16, width=16, blocks=1)),
        audiomae=AudioMae(AudioMaeConfig(frames=64, width=16, blocks=3, heads=2)),
        bridge=Bridge(bridge),
        denoiser=Denoiser(denoiser),
        phones=phones,
        durations=DurationPredictor(DurationConfig(width=8, layers=1)) if speaks else None,
    )
    for network in vars(networks).values():
        if network is not None:
            network.eval().requires_grad_(False)
    return networks


def tiny_engine(speaks: bool = True) -> LatentEngine:
    """Return an engine whose captions are letters."""
    tasks = ("text_to_sound", "text_to_music", *(["tts"] if speaks else []))
    model = OwnModel("tiny", tasks, tiny_networks(speaks), LatentConfig(pooling=2, window=8))
    model.captions = FakeCaptions()  # pyright: ignore[reportAttributeAccessIssue]
    return LatentEngine(model, QUICK)
