"""The multi-scale language model: a global Transformer over frames, a local one over the K slots of a frame.

UniAudio (2310.00704), section 3.3; the summed embedding is the paper's, the concatenated one the released weights'.

B batch, T frames, K slots, D global width, W local width, M predicted frames, V candidates of a slot
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio.lm.interface import Batch, GenerationRequest, Legal
from uniaudio.lm.sampling import forbid_repetition, sample
from uniaudio.nn.cache import KeyValueCache
from uniaudio.nn.transformer import Transformer, TransformerConfig


@dataclass(frozen=True, kw_only=True)
class MultiScaleConfig:
    """Sizes. `num_roles` and `vector_dim` 0 switch the role embedding and the caption projection off."""

    num_ids: int
    num_slots: int
    num_roles: int = 0
    vector_dim: int = 0
    embedding: Literal["sum", "concat"] = "sum"
    global_: TransformerConfig = field(default_factory=TransformerConfig)
    local_: TransformerConfig = field(default_factory=lambda: TransformerConfig(width=256, layers=3, heads=4))


class MultiScaleLM(nn.Module):
    """Predicts frame t + 1 from frames up to t; inside a frame, slot k from the slots before it."""

    def __init__(self, config: MultiScaleConfig) -> None:
        super().__init__()
        self.config = config
        width, local = config.global_.width, config.local_.width
        if config.embedding == "concat" and width % config.num_slots:
            raise ValueError(f"concatenation needs a width ({width}) that is a multiple of {config.num_slots} slots")
        parts = config.num_slots if config.embedding == "concat" else 1
        self.embedding = nn.Embedding(config.num_ids, width // parts)
        self.role_embedding = nn.Embedding(config.num_roles, width) if config.num_roles else None
        self.vector_projection = nn.Linear(config.vector_dim, width) if config.vector_dim else None
        self.global_ = Transformer(config.global_)
        self.to_local = nn.Linear(width, local)
        self.local_embedding = nn.Embedding(config.num_ids, local)  # also the output head (tied)
        self.slot_embedding = nn.Embedding(config.num_slots, local)  # slot 0's is its start vector
        self.local_ = Transformer(config.local_)
        for table in (self.embedding, self.local_embedding, self.slot_embedding, self.role_embedding):
            if table is not None:
                nn.init.normal_(table.weight, std=0.02 if table is self.local_embedding else 0.1)

    def embed(
        self, frames: Tensor, roles: Tensor | None, vectors: Tensor | None = None, vector_mask: Tensor | None = None
    ) -> Tensor:
        """Return [B, T, D] for ids [B, T, K], roles [B, T] and caption vectors [B, T, Dv] where the mask is set."""
        embedded = self.embedding(frames)  # [B, T, K, D or D / K]
        x = embedded.sum(2) if self.config.embedding == "sum" else embedded.flatten(2)
        if self.role_embedding is not None and roles is not None:
            x = x + self.role_embedding(roles)
        if vectors is not None and vector_mask is not None:
            if self.vector_projection is None:
                raise ValueError("this model has no caption projection (vector_dim is 0)")
            x = torch.where(vector_mask[..., None], self.vector_projection(vectors).to(x.dtype) + x, x)
        return x

    def forward(self, embedded: Tensor, positions: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Run the global Transformer: embedded [B, T, D] -> states [B, T, D]; state t predicts frame t + 1."""
        return self.global_(embedded, positions, cache)

    def local_logits(self, states: Tensor, frames: Tensor, legal: Legal) -> list[Tensor]:
        """Return per slot the logits [M, V_k] over the slot's legal ids (slot 0: and the end mark, last).

        `states` [M, D] are the global states that predict frames [M, K] (only slots 0..K-2 are read).
        """
        inputs = self.to_local(states)[:, None] + self.slot_embedding.weight  # [M, K, W]
        earlier = functional.pad(self.local_embedding(frames[:, :-1]), (0, 0, 1, 0))  # slot k sees slot k - 1
        hidden = self.local_(inputs + earlier)  # [M, K, W]
        return [self.head(hidden[:, slot], slot, legal) for slot in range(self.config.num_slots)]

    def head(self, hidden: Tensor, slot: int, legal: Legal) -> Tensor:
        """Return the logits [M, V] of one slot: only legal ids are scored, so that no other can be sampled."""
        start, stop = legal.ranges[slot]
        weight = self.local_embedding.weight[start:stop]
        if slot == 0:
            weight = torch.cat((weight, self.local_embedding.weight[legal.end : legal.end + 1]))
        return functional.linear(hidden, weight)

    def losses(self, batch: Batch, legal: Legal, label_smoothing: float = 0.0) -> list[Tensor]:
        """Return the mean cross-entropy of each slot over the target frames; the end mark counts in slot 0 only."""
        embedded = self.embed(*(_all_but_last(x) for x in (batch.frames, batch.roles, batch.vectors, batch.vector_mask)))
        states = self(embedded, batch.positions[:, :-1])  # [B, T - 1, D]
        predicted = batch.target[:, 1:]
        wanted = batch.frames[:, 1:][predicted]  # [M, K]
        ends = wanted[:, 0] == legal.end
        losses: list[Tensor] = []
        for slot, logits in enumerate(self.local_logits(states[predicted], wanted, legal)):
            start, stop = legal.ranges[slot]
            labels = torch.where(ends, stop - start if slot == 0 else -100, wanted[:, slot] - start)
            losses.append(functional.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing))
        return losses

    @torch.no_grad()
    def generate(self, batch: Batch, request: GenerationRequest) -> list[Tensor]:
        """Continue every prompt of a right-padded batch; return its target frames [T_b, K], without the end mark."""
        rows, longest = batch.frames.shape[0], int(request.max_frames.max())
        cache = self.global_.new_cache(rows, batch.frames.shape[1] + longest)
        local_cache = self.local_.new_cache(rows, self.config.num_slots)
        states = self(self.embed(batch.frames, batch.roles, batch.vectors, batch.vector_mask), batch.positions, cache)
        cache.advance(batch.lengths)
        last = torch.arange(rows), batch.lengths - 1
        state, position = states[last], batch.positions[last]
        roles = torch.full((rows, 1), request.target_role)
        made: list[Tensor] = []
        done = request.max_frames <= 0
        lengths = torch.zeros_like(request.max_frames)
        while not bool(done.all()):
            frame = self.sample_frame(state, request, len(made) >= request.min_frames, made, local_cache)
            done = done | (frame[:, 0] == request.legal.end)
            lengths += ~done
            made.append(frame)
            done = done | (lengths >= request.max_frames)
            if request.on_frame is not None:
                request.on_frame(len(made))
            if not bool(done.all()):
                position = position + 1
                state = self(self.embed(frame[:, None], roles), position[:, None], cache)[:, 0]
                cache.advance(1)
        frames = torch.stack(made, dim=1) if made else batch.frames[:, :0]
        return [frames[row, : int(lengths[row])] for row in range(rows)]

    def sample_frame(
        self, state: Tensor, request: GenerationRequest, may_end: Tensor, made: list[Tensor], cache: KeyValueCache
    ) -> Tensor:
        """Sample one frame [B, K] from states [B, D]; a row that ends has the end mark in every slot.

        `may_end` [B] bool says which rows may end here; `cache` is the local Transformer's, and is reset.
        """
        cache.reset()
        legal, base = request.legal, self.to_local(state)
        ids: list[Tensor] = []
        ended = torch.zeros_like(may_end)
        for slot in range(self.config.num_slots):
            x = base + self.slot_embedding.weight[slot]
            if slot:
                x = x + self.local_embedding(ids[-1])
            hidden = self.local_(x[:, None], None, cache)[:, 0]
            cache.advance(1)
            logits = self.head(hidden, slot, legal)
            start, stop = legal.ranges[slot]
            if slot == 0:
                logits[:, stop - start].masked_fill_(~may_end, float("-inf"))
                forbid_repetition(logits, made, start, request.sampling.repetition_frames)
            choice = sample(logits, request.sampling, request.generators)
            if slot == 0:
                ended = choice == stop - start
            ids.append(torch.where(ended, legal.end, choice + start))
        return torch.stack(ids, dim=1)


def _all_but_last(x: Tensor | None) -> Tensor | None:
    return None if x is None else x[:, :-1]
