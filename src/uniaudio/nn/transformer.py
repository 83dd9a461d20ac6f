"""A causal Transformer over vectors: pre-norm blocks, rotary or relative positions, a plain feed-forward with GELU.

B batch, T frames, D width
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio.nn.attention import SelfAttention
from uniaudio.nn.cache import KeyValueCache
from uniaudio.nn.relative import RelativeBias
from uniaudio.nn.rotary import rotary_table


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes of one Transformer; `expansion` is the feed-forward's width over D.

    Raises ValueError for a size below 1 and for heads that do not divide the width.
    """

    width: int = 384
    layers: int = 6
    heads: int = 6
    expansion: float = 4.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of {self.heads} heads")


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        inner = int(config.width * config.expansion)
        self.attention_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.attention = SelfAttention(config.width, config.heads, config.dropout)
        self.feed_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.expand = nn.Linear(config.width, inner, bias=False)
        self.contract = nn.Linear(inner, config.width, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        cache: KeyValueCache | None,
        layer: int,
        mask: Tensor | None,
    ) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), rotary, cache, layer, mask))
        y = functional.gelu(self.expand(self.feed_norm(x)))
        return x + self.dropout(self.contract(y))


class Transformer(nn.Module):
    """[B, T, D] -> [B, T, D]; one forward serves training (no cache), prompts and single steps (with a cache)."""

    def __init__(self, config: TransformerConfig, relative: RelativeBias | None = None) -> None:
        super().__init__()
        self.config, self.relative = config, relative
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, eps=1e-6)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2 and not name.startswith("relative."):
                last = name.endswith(("out.weight", "contract.weight"))
                nn.init.normal_(parameter, std=0.02 / ((2 * config.layers) ** 0.5 if last else 1.0))

    def forward(self, x: Tensor, positions: Tensor | None = None, cache: KeyValueCache | None = None) -> Tensor:
        """Run over x [B, T, D] at positions [B, T] (None: no positions); the caller advances the cache."""
        rotary = None
        mask = None if cache is None else cache.mask(x.shape[1])
        if positions is not None and self.relative is not None:
            mask = self._relative_mask(positions, cache, mask, x.dtype)
        elif positions is not None:
            rotary = rotary_table(positions, self.config.width // self.config.heads)
        for layer, block in enumerate(self.blocks):
            x = block(x, rotary, cache, layer, mask)
        return self.norm(x)

    def _relative_mask(
        self, positions: Tensor, cache: KeyValueCache | None, mask: Tensor | None, dtype: torch.dtype
    ) -> Tensor:
        """Return what is added to the scores [B, H, T, S]: the bias of the distance, -inf where nothing may be seen."""
        assert self.relative is not None
        keys = positions if cache is None else cache.keep_positions(positions)
        if mask is None:
            length = positions.shape[1]
            mask = torch.ones(length, length, dtype=torch.bool, device=positions.device).tril()
        return self.relative(positions, keys).to(dtype).masked_fill(~mask, float("-inf"))

    def new_cache(self, batch: int, capacity: int) -> KeyValueCache:
        """Return an empty cache for `batch` rows of up to `capacity` frames, in the weights' dtype."""
        weight = self.norm.weight
        head_width = self.config.width // self.config.heads
        return KeyValueCache(
            self.config.layers, batch, self.config.heads, capacity, head_width, weight.dtype, str(weight.device)
        )
