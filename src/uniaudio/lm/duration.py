"""A small network that says how long each phone of a text lasts, so that a text can be laid out in time.

B batch, P phones, W width
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

OFFSET_SECONDS = 0.02  # durations are learnt as log(seconds + OFFSET_SECONDS), so that zero is representable


@dataclass(frozen=True, kw_only=True)
class DurationConfig:
    """Sizes of the duration predictor; `caption_dim` 0: it hears no description of how a text is to be spoken."""

    num_ids: int = 192
    width: int = 160
    layers: int = 4
    kernel_size: int = 5
    caption_dim: int = 0


class DurationPredictor(nn.Module):
    """Phone ids [B, P] -> seconds [B, P], by residual convolutions over the neighbouring phones."""

    def __init__(self, config: DurationConfig) -> None:
        super().__init__()
        self.config = config
        width, kernel = config.width, config.kernel_size
        self.embedding = nn.Embedding(config.num_ids, width)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, kernel, padding=kernel // 2) for _ in range(config.layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(config.layers))
        self.caption = nn.Linear(config.caption_dim, width, bias=False) if config.caption_dim else None
        self.out_head = nn.Linear(width, 1)

    def forward(self, ids: Tensor, mask: Tensor, caption: Tensor | None = None) -> Tensor:
        """Return log(seconds + OFFSET_SECONDS) [B, P]; positions where the mask [B, P] is False change nothing.

        `caption` [B, D] is the mean of the vectors of a description, zeros for none.
        """
        keep = mask[..., None]
        x = self.embedding(ids)  # [B, P, W]
        if self.caption is not None and caption is not None:
            x = x + self.caption(caption)[:, None]
        x = x * keep
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            y = convolution(norm(x).mul(keep).transpose(1, 2)).transpose(1, 2)
            x = (x + functional.gelu(y)) * keep
        return self.out_head(x)[..., 0] - 2.5

    @torch.no_grad()
    def seconds(self, ids: Tensor, caption: Tensor | None = None) -> Tensor:
        """Return the seconds [P] of the phone ids [P], spoken as the mean [D] of a description's vectors says."""
        style = None if caption is None else caption[None]
        predicted = self(ids[None], torch.ones_like(ids[None], dtype=torch.bool), style)[0]
        return (predicted.float().exp() - OFFSET_SECONDS).clamp(min=0.0)


def duration_loss(
    model: DurationPredictor, ids: Tensor, seconds: Tensor, mask: Tensor, caption: Tensor | None = None
) -> Tensor:
    """Return the mean absolute error of the logarithms over the phones [B, P] where the mask is set."""
    wanted = torch.log(seconds + OFFSET_SECONDS)
    return (model(ids, mask, caption) - wanted).abs()[mask].mean()
