"""A small HuBERT (2106.07447): stacked log-mel frames, a Transformer that sees both sides, hidden states as features.

B batch, N samples, T frames, S mel frames in one frame, M mel bands, D width
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio import config
from uniaudio.audio.spectral import LogMel, hz_to_mel
from uniaudio.errors import InputError
from uniaudio.nn.rotary import rotary_table
from uniaudio.nn.transformer import Block, TransformerConfig

SAMPLE_RATE = 16000
_HOP = 160  # samples per mel frame
_WINDOW_SECONDS, _CONTEXT_SECONDS = 6.0, 1.0  # longer recordings than one sees in training go through in parts
_SCALE = ".scale"


@dataclass(frozen=True, kw_only=True)
class HubertConfig:
    """Sizes; `stack` mel frames of 10 ms are one frame of the network. Raises ValueError for a size below 1."""

    num_mels: int = 40
    stack: int = 4
    transformer: TransformerConfig = field(default_factory=lambda: TransformerConfig(width=256, layers=6, heads=4))

    def __post_init__(self) -> None:
        for name in ("num_mels", "stack"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")

    @property
    def frame_rate(self) -> float:
        """Frames per second (Hz)."""
        return SAMPLE_RATE / (_HOP * self.stack)


class Hubert(nn.Module):
    """Log-mel frames [B, T * S, M] -> hidden states [B, T, D]; every frame sees all others.

    A masked frame is replaced by a learnt vector behind the front end, so nothing of it is left.
    """

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.config = config
        width = config.transformer.width
        self.embed = nn.Linear(config.num_mels * config.stack, width)
        self.mask_vector = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.ModuleList(Block(config.transformer) for _ in range(config.transformer.layers))
        for name, parameter in self.blocks.named_parameters():
            if parameter.ndim == 2:
                last = name.endswith(("out.weight", "contract.weight"))
                nn.init.normal_(parameter, std=0.02 / ((2 * config.transformer.layers) ** 0.5 if last else 1.0))

    def forward(self, mel: Tensor, masked: Tensor | None = None) -> Tensor:
        """Return the last layer's [B, T, D], each frame scaled to unit power; `masked` [B, T] is True where hidden."""
        batch, length = mel.shape[0], mel.shape[1] // self.config.stack
        x = self.embed(mel.reshape(batch, length, -1)).float()  # [B, T, D]; what blocks add up stays in float32
        if masked is not None:
            x = torch.where(masked[..., None], self.mask_vector, x)
        positions = torch.arange(length, device=x.device).expand(batch, length)
        rotary = rotary_table(positions, self.config.transformer.width // self.config.transformer.heads)
        everything = torch.ones(1, 1, length, length, dtype=torch.bool, device=x.device)  # blocks are causal without
        for layer, block in enumerate(self.blocks):
            x = block(x, rotary, None, layer, everything)
        return functional.rms_norm(x.float(), x.shape[-1:])


class MelFrames(nn.Module):
    """Samples [B, N] -> log-mel frames [B, T * S, M], lengthened by silence to whole frames."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.stack = config.stack
        self._mel = LogMel(SAMPLE_RATE, n_fft=512, hop_length=_HOP, num_mels=config.num_mels)

    def forward(self, samples: Tensor) -> Tensor:
        padded = functional.pad(samples, (0, -samples.shape[-1] % (_HOP * self.stack)))
        return self._mel(padded).transpose(1, 2)


def normalise(mel: Tensor) -> Tensor:
    """Give every band of mel [B, T * S, M] mean 0 and variance 1 over the louder frames of its recording.

    That takes out the microphone, the level, and what of a voice does not change: its tilt and its average formants.
    """
    loudness = mel.mean(-1, keepdim=True)
    louder = (loudness >= loudness.mean(1, keepdim=True)).to(mel.dtype)  # [B, T * S, 1]
    count = louder.sum(1, keepdim=True)
    mean = (mel * louder).sum(1, keepdim=True) / count
    variance = ((mel - mean).square() * louder).sum(1, keepdim=True) / count
    return (mel - mean) / (variance + 0.01).sqrt()


def warp_matrix(num_mels: int, factor: float) -> Tensor:
    """Return [M, M]: `mel @ matrix.T` is the mel spectrum whose band at f Hz is that of `mel` at f * `factor` Hz.

    A longer or shorter vocal tract (vocal tract length perturbation, Jaitly and Hinton 2013), by linear interpolation.
    """
    top = float(hz_to_mel(torch.tensor(SAMPLE_RATE / 2)))
    centres = torch.arange(1, num_mels + 1, dtype=torch.float64) * top / (num_mels + 1)
    hz = 700.0 * (10.0 ** (centres / 2595.0) - 1.0) * factor
    place = (hz_to_mel(hz) * (num_mels + 1) / top - 1).clamp(0, num_mels - 1)
    bands = torch.arange(num_mels, dtype=torch.float64)
    return (1 - (place[:, None] - bands).abs()).clamp(min=0).float()


class HubertFrames:
    """Features of a trained network's last layer, for `SemanticTokenizer`; the weights travel with the tokenizer.

    `packed` is what `pack` made of the network, so a loaded tokenizer computes exactly what the fitted one did. With
    `bf16` the Transformer runs in bfloat16: faster and good enough for training labels, but not the same everywhere.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, settings: HubertConfig, packed: Mapping[str, Tensor], bf16: bool = False) -> None:
        self.config, self.packed, self.bf16 = settings, dict(packed), bf16
        self.network = Hubert(settings)
        try:
            self.network.load_state_dict(unpack(packed))
        except RuntimeError as error:
            why = " ".join(str(error).split())[:160]
            raise InputError(f"the semantic network is damaged ({why}): fetch the model again") from error
        self.network.eval().requires_grad_(False)
        self._mel = MelFrames(settings)

    @classmethod
    def of_layer(cls, network: Hubert, layer: int) -> "HubertFrames":
        """Return the features of layer 1 to the number of layers; the layers above it are left out."""
        assert 1 <= layer <= network.config.transformer.layers
        settings = replace(network.config, transformer=replace(network.config.transformer, layers=layer))
        state = network.state_dict()
        kept = [name for name in state if not name.startswith("blocks.") or int(name.split(".")[1]) < layer]
        return cls(settings, pack({name: state[name] for name in kept}))

    @property
    def frame_rate(self) -> float:
        return self.config.frame_rate

    def settings(self) -> dict[str, Any]:
        return {"kind": "own_hubert", "config": config.to_dict(self.config)}

    def tensors(self) -> dict[str, Tensor]:
        return self.packed

    @torch.no_grad()
    def features(self, samples: Tensor) -> Tensor:
        """Samples [B, N] in [-1, 1] -> [B, T, D] with T = N / hop, rounded up."""
        mel = normalise(self._mel(samples.cpu()))  # [B, T * S, M]
        stack, total = self.config.stack, mel.shape[1] // self.config.stack
        window, context = (math.ceil(s * self.frame_rate) for s in (_WINDOW_SECONDS, _CONTEXT_SECONDS))
        window = total if total <= window + 2 * context else window
        parts = []
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            for start in range(0, total, window):
                first, last = max(0, start - context), min(total, start + window + context)
                hidden = self.network(mel[:, first * stack : last * stack])
                parts.append(hidden[:, start - first : start - first + window])
        return torch.cat(parts, dim=1)


def pack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return matrices as int8 with a scale per row ("NAME.scale"), everything else as float32."""
    packed: dict[str, Tensor] = {}
    for name, value in tensors.items():
        value = value.detach().float().cpu()
        if value.ndim == 2:
            scale = value.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
            packed[name], packed[name + _SCALE] = (value / scale).round().to(torch.int8), scale
        else:
            packed[name] = value
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what `pack` stored, as float32."""
    whole = {name: value for name, value in packed.items() if not name.endswith(_SCALE)}
    return {
        name: value.float() * packed[name + _SCALE] if name + _SCALE in packed else value.float()
        for name, value in whole.items()
    }
