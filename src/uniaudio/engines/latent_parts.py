"""What the latent engine needs of a model, ours or a public one: this is where the two meet.

B batch, N samples, T latent frames, C channels and F bins of a latent, L vectors of the language of audio, D width,
M rows of text
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uniaudio.diffusion.bridge import Bridge, Condition
from uniaudio.diffusion.denoiser import Denoiser
from uniaudio.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Told:
    """What requests say to the networks: to the bridge by name, to the denoiser as `text` [B, M, D] with its mask
    [B, M] and as `extra` channels [B, C2, T, F]."""

    conditions: dict[str, Condition]
    text: Tensor | None = None
    text_mask: Tensor | None = None
    extra: Tensor | None = None


class Plan(Protocol):
    """One request, read: `seconds` where its length follows from it, and what it says of some latent frames."""

    @property
    def seconds(self) -> float | None: ...

    def told(self, first: int, last: int) -> Told:
        """Return what the request says (a batch of one) about the latent frames from `first` to before `last`."""
        ...


@dataclass(frozen=True)
class Same:
    """A plan that says the same of every frame, as a caption does."""

    what: Told
    seconds: float | None = None

    def told(self, first: int, last: int) -> Told:
        return self.what


@dataclass(frozen=True, kw_only=True)
class Shape:
    """`sample_rate` of the audio; `rate` latent frames a second; a `window` of so many is generated at once, whole
    ones where `fixed`; `channels` and `bins` of a latent; the tokens of a window are `num_tokens` vectors."""

    sample_rate: int
    rate: float
    window: int
    fixed: bool
    channels: int
    bins: int
    num_tokens: int

    @property
    def window_seconds(self) -> float:
        return self.window / self.rate


class LatentModel(Protocol):
    """The networks around bridge and denoiser: what reads requests, and what turns audio into latents and back."""

    name: str
    tasks: tuple[str, ...]
    shape: Shape
    bridge: Bridge
    denoiser: Denoiser

    def parts(self) -> list[nn.Module]:
        """Return the networks that decide what is generated."""
        ...

    def plan(self, task: Task, request: Mapping[str, Any]) -> Plan:
        """Return the plan of a request; raises InputError for a value that cannot be used."""
        ...

    def words(self, caption: str | None) -> Plan:
        """Return the plan of a caption, or of no words at all; raises InputError for one that cannot be used."""
        ...

    def nothing(self, told: Told) -> Told:
        """Return what the empty prompt says, in the shapes of `told`."""
        ...

    def to_latent(self, samples: Tensor) -> Tensor:
        """Return the scaled latent [B, C, T, F] of samples [B, N]."""
        ...

    def to_samples(self, latent: Tensor) -> Tensor:
        """Return the samples [B, N] of a scaled latent [B, C, T, F]."""
        ...

    def loa(self, samples: Tensor) -> Tensor:
        """Return the language of audio [B, L, D] of one window of samples [B, N]; raises InputError if it cannot."""
        ...

    def scores(self, samples: Tensor, loa: Tensor, request: Mapping[str, Any]) -> Tensor:
        """Return how well each of some results [n, N] of one request fits it [n]; `loa` [n, L, D] is of its start."""
        ...

    def scheduler(self, sampler: str) -> Any:
        """Return a scheduler of diffusers for this model's noise schedule, by our name for it."""
        ...


def joined(rows: Sequence[Told]) -> Told:
    """Return several requests as one batch, shorter conditions and texts padded at their end."""
    first = rows[0]
    if len(rows) == 1:
        return first
    names = [name for name in first.conditions if all(name in row.conditions for row in rows)]
    assert len(names) == max(len(row.conditions) for row in rows), "requests of one batch have the same conditions"
    conditions = {name: _stacked([row.conditions[name] for row in rows]) for name in names}
    text = text_mask = None
    if first.text is not None:
        text, text_mask = _stacked([(row.text, row.text_mask) for row in rows])  # pyright: ignore
    extra = None if first.extra is None else torch.cat([row.extra for row in rows if row.extra is not None])
    return Told(conditions=conditions, text=text, text_mask=text_mask, extra=extra)


def repeated(told: Told, times: int) -> Told:
    """Return each row of a batch `times` times, one after the other."""
    if times == 1:
        return told

    def more(value: Tensor | None) -> Tensor | None:
        return None if value is None else value.repeat_interleave(times, dim=0)

    pairs = told.conditions.items()
    conditions = {name: (v.repeat_interleave(times, 0), m.repeat_interleave(times, 0)) for name, (v, m) in pairs}
    return Told(conditions=conditions, text=more(told.text), text_mask=more(told.text_mask), extra=more(told.extra))


def padded(condition: Condition, length: int) -> Condition:
    """Return values [B, M, D] and mask [B, M] with rows that do not count up to `length`."""
    values, mask = condition
    return F.pad(values, (0, 0, 0, length - values.shape[1])), F.pad(mask, (0, length - mask.shape[1]))


def _stacked(rows: Sequence[Condition]) -> Condition:
    length = max(values.shape[1] for values, _ in rows)
    pairs = [padded(row, length) for row in rows]
    return torch.cat([values for values, _ in pairs]), torch.cat([mask for _, mask in pairs])
