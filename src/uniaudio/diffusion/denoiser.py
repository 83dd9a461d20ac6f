"""The denoiser: AudioLDM 2's UNet with its noise schedule; it owns both the loss and the guided prediction.

B batch, C channels, C2 additional channels, T latent frames, F latent bins, L vectors of the language of audio,
N rows of text, D widths
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from uniaudio.diffusion.library import diffusers_class

Predict = Callable[[Tensor, Tensor], Tensor]  # (noisy latent [B, C, T, F], timestep []) -> prediction [B, C, T, F]


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """The schedule, "scaled_linear": the square roots of the noise variances lie on a line; and what is predicted."""

    num_steps: int = 1000
    start: float = 0.0015
    end: float = 0.0195
    prediction: Literal["epsilon", "v_prediction"] = "epsilon"

    def scheduler(self) -> dict[str, Any]:
        """Return the schedule in the words of diffusers."""
        betas = {"beta_start": self.start, "beta_end": self.end, "beta_schedule": "scaled_linear"}
        return {**betas, "num_train_timesteps": self.num_steps, "prediction_type": self.prediction}


@dataclass(frozen=True, kw_only=True)
class DenoiserConfig:
    """Sizes of the UNet, and how it is trained.

    `channels` are those of its levels, each half as long and high as the one before; `attention` says which attend.
    `loa_dim` and `text_dim` (None: no text) are the widths of the two contexts. All conditions of a row are dropped
    with probability `drop`, and the text alone with `drop_text`, so that the language of audio says something by itself
    (a variation has no words). With `narrow` the kernels are 3 x 1: for latents of one bin, where those of 3 x 3 would
    see nothing but padding on either side. With `in_step`, AudioMAE's patches along time and frequency, the language of
    audio is also laid along time beside the latent, and what it and the text are on average goes to every level with
    the timestep: attention alone learns this only with far more compute. `snr_limit` bounds the weight that the
    loss gives the latent's error at clean steps, which is the ratio of signal to noise, and one more for the velocity
    (min-SNR, 2303.09556, but the noisy steps of the velocity keep theirs); None: no bound. Raises ValueError unless
    `channels` and `attention` go together.
    """

    latent_channels: int = 8
    extra_channels: int = 0
    loa_dim: int = 768
    text_dim: int | None = 1024
    channels: tuple[int, ...] = (128, 256, 384, 640)
    attention: tuple[bool, ...] = (False, True, True, True)
    layers_per_block: int = 2
    transformer_layers: int = 1
    head_width: int = 32
    norm_groups: int = 32
    narrow: bool = False
    in_step: tuple[int, int] | None = None
    noise: NoiseConfig = NoiseConfig()
    drop: float = 0.1
    drop_text: float = 0.1
    snr_limit: float | None = None

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.attention):
            raise ValueError(f"channels {self.channels} and attention {self.attention} must be of the same length")

    def unet(self) -> dict[str, Any]:
        """Return the sizes in the words of diffusers, whose `attention_head_dim` is the number of heads."""
        contexts = [None, self.loa_dim] + ([] if self.text_dim is None else [self.text_dim])
        means = {"class_embed_type": "simple_projection"}
        means |= {"projection_class_embeddings_input_dim": self.loa_dim + (self.text_dim or 0)}
        return {
            **(means if self.in_step else {}),
            "in_channels": self.latent_channels + self.extra_channels + (self.loa_dim if self.in_step else 0),
            "out_channels": self.latent_channels,
            "block_out_channels": self.channels,
            "down_block_types": tuple("CrossAttnDownBlock2D" if one else "DownBlock2D" for one in self.attention),
            "up_block_types": tuple("CrossAttnUpBlock2D" if one else "UpBlock2D" for one in self.attention[::-1]),
            "cross_attention_dim": tuple(tuple(contexts) for _ in self.channels),
            "attention_head_dim": tuple(max(1, width // self.head_width) for width in self.channels),
            "layers_per_block": self.layers_per_block,
            "transformer_layers_per_block": self.transformer_layers,
            "norm_num_groups": self.norm_groups,
        }


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a latent is generated from: `loa` [B, L, D], `text` [B, N, D] and its mask [B, N], `extra` [B, C2, T, F]."""

    loa: Tensor
    text: Tensor | None = None
    text_mask: Tensor | None = None
    extra: Tensor | None = None

    def nothing(self) -> "Given":
        """Return the same without any condition: zeros, as training drops them."""
        text = None if self.text is None else torch.zeros_like(self.text)
        extra = None if self.extra is None else torch.zeros_like(self.extra)
        return Given(loa=torch.zeros_like(self.loa), text=text, text_mask=self.text_mask, extra=extra)


class Denoiser(nn.Module):
    """Predicts the noise (or the velocity) in a latent from the language of audio, text and additional channels."""

    alphas: Tensor

    def __init__(self, config: DenoiserConfig, unet: nn.Module | None = None) -> None:
        """`unet` is one that exists, such as a public model's; without it, a new one of the config's sizes."""
        super().__init__()
        self.config = config
        if unet is None:
            unet = diffusers_class("AudioLDM2UNet2DConditionModel")(**config.unet())
            assert isinstance(unet, nn.Module)
            if config.in_step:  # as if it were not there, until it has learnt something
                for weight in unet.get_submodule("class_embedding").parameters():
                    nn.init.zeros_(weight)
            if config.narrow:
                _narrow(unet)
        self.unet = unet
        noise = config.noise
        betas = torch.linspace(noise.start**0.5, noise.end**0.5, noise.num_steps, dtype=torch.float32) ** 2
        self.register_buffer("alphas", (1 - betas).cumprod(dim=0), persistent=False)  # [num_steps]

    def predict(self, noisy: Tensor, timestep: Tensor, given: Given) -> Tensor:
        """Return the prediction [B, C, T, F] for a noisy latent; `timestep` [] or [B]."""
        if given.extra is not None:
            noisy = torch.cat((noisy, given.extra), dim=1)  # [B, C + C2, T, F]
        settings = {"encoder_hidden_states_1": given.text, "encoder_attention_mask_1": given.text_mask}
        if self.config.in_step:
            along = _along_time(given.loa, self.config.in_step, noisy.shape[2])  # [B, D, T, 1]
            noisy = torch.cat((noisy, along.expand(-1, -1, -1, noisy.shape[3])), dim=1)
            settings["class_labels"] = _means(given)
        return self.unet(noisy, timestep, encoder_hidden_states=given.loa, return_dict=False, **settings)[0]

    def guided(self, given: Given, without: Given | None, guidance: float, rescale: float = 0.0) -> Predict:
        """Return the prediction that sampling uses: away from the one of `without`, `guidance` times as far.

        A guidance of 1 needs no `without`. `rescale` in 0..1 brings the guided prediction back to the standard
        deviation of the conditional one (2305.08891, section 3.4), so that a high guidance does not clip.
        """
        if guidance == 1:
            return lambda noisy, timestep: self.predict(noisy, timestep, given)
        both = _join(given.nothing() if without is None else without, given)

        def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
            plain, told = self.predict(torch.cat((noisy, noisy)), timestep, both).chunk(2)
            result = plain + guidance * (told - plain)
            if not rescale:
                return result
            axes = tuple(range(1, result.ndim))
            ratio = told.std(dim=axes, keepdim=True) / result.std(dim=axes, keepdim=True)
            return rescale * result * ratio + (1 - rescale) * result

        return predict

    def loss(
        self,
        latent: Tensor,
        loa: Tensor,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
        extra: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the mean squared error [] at a random step of each row; latent [B, C, T, F], scaled to unit variance.

        The conditions of some rows are dropped, so that guidance has its unconditional branch.
        """
        device, batch = latent.device, len(latent)
        steps = torch.randint(self.config.noise.num_steps, (batch,), generator=generator, device=device)
        noise = torch.randn(latent.shape, generator=generator, device=device, dtype=latent.dtype)
        kept = (torch.rand(batch, generator=generator, device=device) >= self.config.drop).to(latent.dtype)
        worded = kept * (torch.rand(batch, generator=generator, device=device) >= self.config.drop_text)
        text = None if text is None else text * worded[:, None, None]
        extra = None if extra is None else extra * kept[:, None, None, None]
        given = Given(loa=loa * kept[:, None, None], text=text, text_mask=text_mask, extra=extra)
        alpha = self.alphas[steps][:, None, None, None]  # [B, 1, 1, 1]
        signal, sigma = alpha.sqrt(), (1 - alpha).sqrt()
        is_velocity = self.config.noise.prediction == "v_prediction"
        target = signal * noise - sigma * latent if is_velocity else noise
        errors = (self.predict(signal * latent + sigma * noise, steps, given) - target).square().mean(dim=(1, 2, 3))
        if self.config.snr_limit is not None:
            weight = self.alphas[steps] / (1 - self.alphas[steps]) + is_velocity  # of the latent's error, in the loss
            errors = errors * weight.clamp(max=self.config.snr_limit) / weight
        return errors.mean()


def _along_time(loa: Tensor, grid: tuple[int, int], frames: int) -> Tensor:
    """Return the language of audio [B, L, D] along time, [B, D, frames, 1]: the mean over frequency, interpolated."""
    times = math.isqrt(max(1, loa.shape[1] * grid[0] // grid[1]))  # a pooled grid has the shape of the whole one
    rows = loa.unflatten(1, (times, -1)).mean(dim=2).transpose(1, 2)  # [B, D, times]
    return nn.functional.interpolate(rows, frames, mode="linear")[..., None]


def _means(given: Given) -> Tensor:
    """Return the mean of the language of audio, and that of the text where there is one: [B, D]."""
    loa = given.loa.mean(dim=1)
    if given.text is None:
        return loa
    if given.text_mask is None:
        return torch.cat((loa, given.text.mean(dim=1)), dim=1)
    mask = given.text_mask[..., None].to(given.text.dtype)
    return torch.cat((loa, (given.text * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)), dim=1)


def _narrow(unet: nn.Module) -> None:
    """Make every 3 x 3 convolution of a UNet one of 3 x 1, along time."""
    for parent in list(unet.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and child.kernel_size == (3, 3):
                sizes = {"kernel_size": (3, 1), "stride": (child.stride[0], 1), "padding": (1, 0)}
                slim = nn.Conv2d(child.in_channels, child.out_channels, **sizes)  # pyright: ignore[reportArgumentType]
                setattr(parent, name, slim)


def adopt(unet: nn.Module, noise: NoiseConfig) -> Denoiser:
    """Return the denoiser of a UNet that exists, an AudioLDM2UNet2DConditionModel of diffusers, sizes read from it."""
    sizes: Any = unet.config
    contexts = sizes["cross_attention_dim"]
    contexts = next((one for one in contexts if isinstance(one, list | tuple)), contexts)
    widths = [width for width in contexts if width is not None]
    config = DenoiserConfig(
        latent_channels=sizes["in_channels"],
        loa_dim=widths[0],
        text_dim=widths[1] if len(widths) > 1 else None,
        noise=noise,
    )
    return Denoiser(config, unet)


def _join(first: Given, second: Given) -> Given:
    """Return two sets of conditions as one batch [2 B]; the shorter texts are padded."""
    if first.text is not None and second.text is not None and first.text.shape[1] != second.text.shape[1]:
        length = max(first.text.shape[1], second.text.shape[1])
        first, second = _padded(first, length), _padded(second, length)

    def both(name: str) -> Tensor | None:
        one, other = getattr(first, name), getattr(second, name)
        return None if other is None else torch.cat((one, other))

    loa = torch.cat((first.loa, second.loa))
    return Given(loa=loa, text=both("text"), text_mask=both("text_mask"), extra=both("extra"))


def _padded(given: Given, length: int) -> Given:
    assert given.text is not None
    mask = given.text.new_ones(given.text.shape[:2]) if given.text_mask is None else given.text_mask
    more = length - given.text.shape[1]
    text, mask = nn.functional.pad(given.text, (0, 0, 0, more)), nn.functional.pad(mask, (0, more))
    return replace(given, text=text, text_mask=mask)
