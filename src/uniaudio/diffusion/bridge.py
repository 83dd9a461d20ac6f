"""Any conditions -> the language of audio, one continuous vector after the other, by a GPT-2 without a token head.

B batch, N_i rows of condition i, S rows of all conditions with their start and end, L vectors, D their width
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

Condition = tuple[Tensor, Tensor]  # values [B, N_i, D_i], and a mask [B, N_i] of those that count
LoaLoss = Literal["l1", "mse"]  # the public code's, and the paper's (2308.05734, equation 3)


@dataclass(frozen=True, kw_only=True)
class BridgeConfig:
    """`conditions` name the widths D_i, in the order of the sequence; those in `learned_positions` get as many of them.

    `num_tokens` is the usual L. Where `padding_counts`, masked rows take up positions, as in the public models;
    otherwise padding changes nothing. Raises ValueError for no condition, unknown names and heads that do not fit.
    """

    conditions: dict[str, int] = field(default_factory=lambda: {"clap": 512, "text": 1024})
    learned_positions: dict[str, int] = field(default_factory=dict)
    loa_dim: int = 768
    num_tokens: int = 8
    width: int = 768
    layers: int = 12
    heads: int = 12
    max_positions: int = 1024
    dropout: float = 0.0
    padding_counts: bool = False

    def __post_init__(self) -> None:
        if not self.conditions or self.learned_positions.keys() - self.conditions.keys():
            raise ValueError(
                f"learned positions {[*self.learned_positions]} must be of conditions {[*self.conditions]}"
            )
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")


class Bridge(nn.Module):
    """Projects conditions, joins them with learned start and end rows, and rolls out the language of audio."""

    def __init__(self, config: BridgeConfig) -> None:
        from transformers import GPT2Config, GPT2Model

        super().__init__()
        self.config, width = config, config.width
        self.projections = nn.ModuleDict({name: nn.Linear(dim, width) for name, dim in config.conditions.items()})
        self.starts = nn.ParameterDict({name: nn.Parameter(_row(width)) for name in config.conditions})
        self.ends = nn.ParameterDict({name: nn.Parameter(_row(width)) for name in config.conditions})
        shapes = {name: (count, config.conditions[name]) for name, count in config.learned_positions.items()}
        self.positions = nn.ParameterDict({name: nn.Parameter(torch.zeros(shape)) for name, shape in shapes.items()})
        fits = config.loa_dim == width
        self.read = nn.Identity() if fits else nn.Linear(config.loa_dim, width)
        self.write = nn.Identity() if fits else nn.Linear(width, config.loa_dim)
        sizes = {"n_embd": width, "n_layer": config.layers, "n_head": config.heads, "n_positions": config.max_positions}
        dropouts = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), config.dropout)
        self.gpt = GPT2Model(GPT2Config(vocab_size=1, bos_token_id=0, eos_token_id=0, **sizes, **dropouts))
        del self.gpt.wte  # the table of a vocabulary that nothing has

    def prompt(self, conditions: Mapping[str, Condition]) -> Condition:
        """Return the rows [B, S, width] of all conditions and their mask [B, S].

        A condition that is left out is the same as one that is masked as a whole. Raises ValueError for an unknown one
        and for none at all.
        """
        if not conditions or conditions.keys() - self.config.conditions.keys():
            raise ValueError(f"conditions {[*conditions]} must be some of {[*self.config.conditions]}")
        first, _ = next(iter(conditions.values()))
        batch, rows, masks = len(first), [], []
        for name, dim in self.config.conditions.items():
            empty = first.new_zeros(batch, 0, dim), first.new_zeros(batch, 0, dtype=torch.bool)
            values, mask = conditions.get(name, empty)
            if name in self.positions:
                values = values + self.positions[name][: values.shape[1]]
            edges = self.starts[name].expand(batch, 1, -1), self.ends[name].expand(batch, 1, -1)
            rows += [edges[0], self.projections[name](values), edges[1]]  # [B, 1 + N_i + 1, width]
            edge = torch.ones(batch, 1, dtype=torch.bool, device=first.device)
            masks += [edge, mask.bool(), edge]
        return torch.cat(rows, dim=1), torch.cat(masks, dim=1)

    def teacher_forced(self, conditions: Mapping[str, Condition], loa: Tensor) -> Tensor:
        """Return what is predicted for each vector of `loa` [B, L, D] from the true ones before it, [B, L, D]."""
        rows, mask = self.prompt(conditions)
        rows = torch.cat((rows, self.read(loa[:, :-1])), dim=1)  # [B, S + L - 1, width]
        hidden = self._run(rows, _longer(mask, loa.shape[1] - 1), None)
        return self.write(hidden[:, mask.shape[1] - 1 :])

    def rollout(
        self, conditions: Mapping[str, Condition], num_tokens: int | None = None, prefix: Tensor | None = None
    ) -> Tensor:
        """Return `num_tokens` vectors [B, L, D], each predicted from those before it; deterministic.

        With a `prefix` [B, P, D] (in-context generation) they begin with it, and the other L - P are predicted.
        Gradients flow through all of it unless they are switched off outside. Raises ValueError unless P < L.
        """
        from transformers import DynamicCache

        num_tokens = self.config.num_tokens if num_tokens is None else num_tokens
        made = [] if prefix is None else [prefix]
        count = 0 if prefix is None else prefix.shape[1]
        if count >= num_tokens:
            raise ValueError(f"a prefix of {count} leaves nothing to predict of {num_tokens} vectors")
        rows, mask = self.prompt(conditions)
        if prefix is not None:
            rows, mask = torch.cat((rows, self.read(prefix)), dim=1), _longer(mask, count)
        cache = DynamicCache(config=self.gpt.config)
        for _ in range(num_tokens - count):
            made.append(self.write(self._run(rows, mask, cache)[:, -1:]))  # [B, 1, D]
            rows, mask = self.read(made[-1]), _longer(mask, 1)
        return torch.cat(made, dim=1)

    @staticmethod
    def loss(predictions: Tensor, loa: Tensor, kind: LoaLoss = "l1", mask: Tensor | None = None) -> Tensor:
        """Return the distance [] of predictions [B, L, D] from the truth; `mask` [B, L]: the vectors that count."""
        distances = (predictions - loa).abs() if kind == "l1" else (predictions - loa).square()
        if mask is None:
            return distances.mean()
        return (distances.mean(dim=-1) * mask).sum() / mask.sum().clamp(min=1)

    def _run(self, rows: Tensor, mask: Tensor, cache: object | None) -> Tensor:
        """Return the last hidden states [B, N, width] of new rows [B, N, width]; `mask` [B, all] is of the old too."""
        if self.config.padding_counts:
            positions = torch.arange(mask.shape[1], device=mask.device)[None]
        else:
            positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        settings = {"attention_mask": mask.long(), "position_ids": positions[:, -rows.shape[1] :]}
        settings |= {"past_key_values": cache, "use_cache": cache is not None}
        return self.gpt(inputs_embeds=rows, **settings).last_hidden_state


def public_weights(projection: Mapping[str, Tensor], gpt: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of a `Bridge` of the conditions "clap" and "text" from that of a public model's two modules.

    They are diffusers' AudioLDM2ProjectionModel and transformers' GPT2Model, or a GPT2LMHeadModel, whose keys begin
    with "transformer." and whose token head is not used.
    """
    state: dict[str, Tensor] = {}
    for name, suffix in (("clap", ""), ("text", "_1")):
        state[f"starts.{name}"], state[f"ends.{name}"] = (
            projection[f"sos_embed{suffix}"],
            projection[f"eos_embed{suffix}"],
        )
        for part in ("weight", "bias"):
            state[f"projections.{name}.{part}"] = projection[f"projection{suffix}.{part}"]
    if "learnable_positional_embedding" in projection:
        state["positions.text"] = projection["learnable_positional_embedding"][0].T  # [1, D, N] -> [N, D]
    for name, value in gpt.items():
        short = name.removeprefix("transformer.")
        if short.startswith(("h.", "ln_f.", "wpe.")) and not short.endswith((".attn.bias", ".attn.masked_bias")):
            state[f"gpt.{short}"] = value
    return state


def _row(width: int) -> Tensor:
    return 0.02 * torch.randn(width)


def _longer(mask: Tensor, count: int) -> Tensor:
    """Return the mask [B, S + count] with `count` more rows that all count."""
    return torch.cat((mask, mask.new_ones(len(mask), count)), dim=1)
