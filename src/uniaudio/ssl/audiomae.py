"""AudioMAE (2207.06405): a Transformer over patches of filterbanks, and the language of audio that AudioLDM 2 takes.

B batch, N samples, T frames, F filterbank bands, H x W patches along time and frequency, D width, L vectors
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio.audio.filterbanks import KaldiFbank
from uniaudio.errors import InputError

SAMPLE_RATE = 16000
HOP = 160
POOLINGS = (1, 2, 4, 8)
_LAST = 3  # the blocks whose mean is the language of audio
_MEAN, _STD = -4.2677393, 4.5689974  # of the public model's filterbanks


@dataclass(frozen=True, kw_only=True)
class AudioMaeConfig:
    """Sizes; the public model is 768 wide, has 12 blocks and 12 heads, and sees 1024 frames (10.24 s).

    Raises ValueError for heads that do not divide the width, a width that is no multiple of 4, and partial patches.
    """

    frames: int = 512
    num_mels: int = 128
    patch: int = 16
    width: int = 192
    blocks: int = 6
    heads: int = 6

    def __post_init__(self) -> None:
        if self.width % 4 or self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of 4 and of heads {self.heads}")
        if self.frames % self.patch or self.num_mels % self.patch:
            raise ValueError(f"frames {self.frames} and num_mels {self.num_mels} must be multiples of {self.patch}")
        if self.blocks < _LAST:
            raise ValueError(f"blocks {self.blocks} is too few: the language of audio is the mean of the last {_LAST}")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along time and along frequency, (H, W)."""
        return self.frames // self.patch, self.num_mels // self.patch

    @property
    def num_samples(self) -> int:
        """Samples that the network sees at once."""
        return self.frames * HOP


def public_config() -> AudioMaeConfig:
    """Return the sizes of the public AudioMAE (ViT-B/16)."""
    return AudioMaeConfig(frames=1024, width=768, blocks=12, heads=12)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, width = x.shape
        query, key, value = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, width))


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class VitBlock(nn.Module):
    """A pre-norm block with timm's names: x [B, L, D]; `mask` [L, L] says who may see whom (None: all)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = _Mlp(width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.attn(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))


class _PatchEmbed(nn.Module):
    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x[:, None]).flatten(2).transpose(1, 2)  # [B, H * W, D], frequency fastest


class AudioMae(nn.Module):
    """The encoder, with timm's names of weights; the buffers `loa_mean` and `loa_std` are ours."""

    pos_embed: Tensor
    loa_mean: Tensor
    loa_std: Tensor

    def __init__(self, config: AudioMaeConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.front_end = KaldiFbank(config.num_mels, SAMPLE_RATE)
        self.patch_embed = _PatchEmbed(config.patch, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.register_buffer("pos_embed", sincos_positions(*config.grid, width))
        self.blocks = nn.ModuleList(VitBlock(width, config.heads) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.register_buffer("loa_mean", torch.zeros(width))
        self.register_buffer("loa_std", torch.ones(width))
        nn.init.normal_(self.cls_token, std=0.02)
        initialise(self)

    def fbank(self, samples: Tensor) -> Tensor:
        """Return the normalised filterbank [B, T, F] of the first `frames` frames of samples [B, N] in [-1, 1].

        Shorter recordings end in silence; the last frames, which no whole window fits in, are 0 before normalising.
        """
        config = self.config
        samples = functional.pad(samples[:, : config.num_samples], (0, max(0, config.num_samples - samples.shape[1])))
        frames = self.front_end(samples)
        frames = functional.pad(frames, (0, 0, 0, config.frames - frames.shape[1]))
        return (frames - _MEAN) / (2 * _STD)

    def embed(self, fbank: Tensor) -> Tensor:
        """Return the patches [B, H * W, D] with their positions."""
        return self.patch_embed(fbank) + self.pos_embed[:, 1:]

    def encode(self, patches: Tensor) -> list[Tensor]:
        """Return the normalised states [B, 1 + L, D] of the last three blocks, the class token first."""
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(patches), -1, -1)
        x, states = torch.cat((first, patches), dim=1), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index >= self.config.blocks - _LAST:
                states.append(self.norm(x).float())
        return states

    def features(self, fbank: Tensor) -> Tensor:
        """Return the standardised mean of the last three blocks [B, H * W, D], time-major, without the class token."""
        mean = torch.stack(self.encode(self.embed(fbank))).mean(0)[:, 1:]
        return (mean - self.loa_mean) / self.loa_std

    def loa(self, samples: Tensor, pooling: int) -> Tensor:
        """Return the language of audio [B, L, D] of samples [B, N] at 16 kHz, L = H * W / pooling^2 (see `pool`)."""
        return pool(self.features(self.fbank(samples)), self.config.grid, pooling)

    @torch.no_grad()
    def standardise(self, features: Tensor) -> None:
        """Set the scale by `features` [B, L, D]: afterwards each channel has mean 0 and deviation 1."""
        features = (features.float() * self.loa_std + self.loa_mean).flatten(0, 1)
        self.loa_mean.copy_(features.mean(0))
        self.loa_std.copy_(features.std(0).clamp(min=1e-4))


def pool(features: Tensor, grid: tuple[int, int], pooling: int) -> Tensor:
    """Return (average + maximum) / 2 over squares of `pooling` patches: [B, H * W, D] -> [B, L, D], time-major.

    Squares are cut to the grid where it is lower. Raises InputError for a pooling that does not divide it.
    """
    kernel = min(pooling, grid[0]), min(pooling, grid[1])
    if pooling < 1 or grid[0] % kernel[0] or grid[1] % kernel[1]:
        raise InputError(f"pooling {pooling} does not divide {grid[0]} x {grid[1]} patches: use one of {POOLINGS}")
    planes = features.transpose(1, 2).unflatten(2, grid)  # [B, D, H, W]
    both = functional.avg_pool2d(planes, kernel) + functional.max_pool2d(planes, kernel)
    return (both / 2).flatten(2).transpose(1, 2)


def sincos_positions(height: int, width: int, dim: int) -> Tensor:
    """Return MAE's fixed positions [1, 1 + H * W, D]: the half of the column first, then that of the row; 0 for CLS."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    table = torch.cat((_sincos(columns.flatten(), dim // 2), _sincos(rows.flatten(), dim // 2)), dim=1)
    return torch.cat((torch.zeros(1, dim), table.float()))[None]


def _sincos(places: Tensor, dim: int) -> Tensor:
    rates = 10000.0 ** (-torch.arange(dim // 2, dtype=torch.float64) / (dim // 2))
    angles = places.double()[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), dim=1)


def initialise(module: nn.Module) -> None:
    """Give every matrix Xavier's uniform weights and zero biases, as MAE does."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Conv2d):
            nn.init.xavier_uniform_(part.weight.view(part.weight.shape[0], -1))


def from_timm(tensors: Mapping[str, Tensor]) -> AudioMae:
    """Return the encoder of public weights in timm's names (heads of 64); raises InputError for other weights."""
    try:
        width, _, patch, _ = tensors["patch_embed.proj.weight"].shape
        count = tensors["pos_embed"].shape[1] - 1
        blocks = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    except (KeyError, ValueError) as error:
        raise InputError(f"these are no weights of AudioMAE in timm's names ({error}): check the file") from error
    frames = count // (128 // patch) * patch
    config = AudioMaeConfig(frames=frames, patch=patch, width=width, blocks=blocks, heads=max(1, width // 64))
    network = AudioMae(config)
    own = {name: value for name, value in network.state_dict().items() if name.startswith("loa_")}
    wanted = network.state_dict().keys()
    state = own | {name: value.float() for name, value in tensors.items() if name in wanted}
    if missing := wanted - state.keys():
        raise InputError(f"the weights of AudioMAE lack {min(missing)!r}: check the file")
    network.load_state_dict(state)
    return network.eval()


def load_timm(path: Path) -> AudioMae:
    """Return the encoder of a safetensors file, or of a folder with a `model.safetensors`; raises InputError as
    `from_timm` does, and for a file that cannot be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = path / "model.safetensors" if path.is_dir() else path
    try:
        return from_timm(load_file(file))
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read the weights of AudioMAE {str(file)!r} ({error}): check the file") from error


@dataclass(frozen=True, kw_only=True)
class MaeDecoderConfig:
    """Sizes of the decoder; in turns its blocks see windows of `window` x `window` patches and such windows shifted."""

    width: int = 128
    blocks: int = 2
    heads: int = 4
    window: int = 4


class MaeDecoder(nn.Module):
    """Fills the hidden patches in, from the visible ones around them: local attention, as AudioMAE found best."""

    positions: Tensor

    def __init__(self, encoder: AudioMaeConfig, config: MaeDecoderConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.embed = nn.Linear(encoder.width, width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        self.register_buffer("positions", sincos_positions(*encoder.grid, width)[:, 1:], persistent=False)
        shifts = (0, config.window // 2)
        for index, shift in enumerate(shifts):
            self.register_buffer(f"mask_{index}", local_mask(encoder.grid, config.window, shift), persistent=False)
        self.blocks = nn.ModuleList(VitBlock(width, config.heads) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, encoder.patch**2)
        initialise(self)

    def forward(self, visible: Tensor, places: Tensor) -> Tensor:
        """Return all patches [B, H * W, patch^2] from the states [B, V, D] of those at `places` [B, V]."""
        known = self.embed(visible)
        x = self.mask_token.to(known.dtype).expand(len(known), self.positions.shape[1], -1)
        x = x.scatter(1, places[..., None].expand_as(known), known) + self.positions
        for index, block in enumerate(self.blocks):
            x = block(x, self.get_buffer(f"mask_{index % 2}"))
        return self.head(self.norm(x))


def local_mask(grid: tuple[int, int], window: int, shift: int) -> Tensor:
    """Return who sees whom [H * W, H * W] when patches see those of their window, whose corners lie at `shift`."""
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    columns_of_windows = math.ceil(grid[1] / window) + 1
    own = ((rows + shift) // window * columns_of_windows + (columns + shift) // window).flatten()
    return own[:, None] == own
