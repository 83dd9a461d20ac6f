"""Causal self-attention on `scaled_dot_product_attention`, with and without a cache.

B batch, T frames, D width, H heads, E head width
"""

from torch import Tensor, nn
from torch.nn import functional

from uniaudio.nn.cache import KeyValueCache
from uniaudio.nn.rotary import rotate


class SelfAttention(nn.Module):
    """Multi-head causal self-attention with rotary positions; queries and keys are normalised per head."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of {heads} heads")
        self.heads, self.dropout = heads, dropout
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.query_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.key_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        cache: KeyValueCache | None = None,
        layer: int = 0,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Attend from x [B, T, D] to itself, or with a cache to everything cached and itself; [B, T, D].

        With a cache the mask [B, 1, T, S'] is always explicit: `is_causal` aligns a single query with key 0.
        """
        batch, length, width = x.shape
        projected = self.query_key_value(x).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # [B, H, T, E] each
        query, key = _normalise(query, self.query_norm), _normalise(key, self.key_norm)
        if rotary is not None:
            query, key = rotate(query, rotary), rotate(key, rotary)
        if cache is not None:
            key, value = cache.append(layer, key, value)
            key, value = key.to(query.dtype), value.to(query.dtype)
        dropout = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=cache is None and mask is None
        )
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


def _normalise(x: Tensor, norm: nn.RMSNorm) -> Tensor:
    """Apply a norm in the dtype of x: with mixed dtypes torch has no fused kernel."""
    assert norm.weight is not None
    return functional.rms_norm(x, norm.normalized_shape, norm.weight.to(x.dtype), norm.eps)
