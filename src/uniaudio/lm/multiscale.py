"""The multi-scale language model: a global Transformer over frames, a local one over the K slots of a frame.

UniAudio (2310.00704), section 3.3; the summed embedding is the paper's, the concatenated one the released weights'.

B batch, T frames, K slots, D global width, W local width, M predicted frames, V candidates of a slot
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio.lm.frame_model import FrameModel, choose_first, collect_frames, score_legal, slot_loss
from uniaudio.lm.interface import Batch, GenerationRequest, Legal
from uniaudio.lm.sampling import guide, sample
from uniaudio.nn.cache import KeyValueCache
from uniaudio.nn.transformer import Transformer, TransformerConfig


@dataclass(frozen=True, kw_only=True)
class MultiScaleConfig:
    """Sizes. `num_roles` and `vector_dim` 0 switch the role embedding and the caption projection off.

    With `caption_mean` the mean of a caption's vectors is also added to every frame that predicts the target; with
    `in_step`, so are the conditions of the predicted moment and its two neighbours, where some run in step with it.
    With `voice_role` (an index of the roles, 0: none) so is the mean of what a small network says of each frame of it.
    """

    num_ids: int
    num_slots: int
    num_roles: int = 0
    vector_dim: int = 0
    embedding: Literal["sum", "concat"] = "sum"
    caption_mean: bool = False
    in_step: bool = False
    voice_role: int = 0
    global_: TransformerConfig = field(default_factory=TransformerConfig)
    local_: TransformerConfig = field(default_factory=lambda: TransformerConfig(width=256, layers=3, heads=4))


class MultiScaleLM(FrameModel):
    """Predicts frame t + 1 from frames up to t; inside a frame, slot k from the slots before it."""

    def __init__(self, config: MultiScaleConfig) -> None:
        width, local = config.global_.width, config.local_.width
        super().__init__(config.num_ids, config.num_slots, width, config.num_roles, config.vector_dim, config.embedding)
        self.config = config
        self.mean_projection = nn.Linear(config.vector_dim, width, bias=False) if config.caption_mean else None
        self.step_projection = nn.Linear(3 * width, width, bias=False) if config.in_step else None
        self.voice_frames = nn.Linear(width, width) if config.voice_role else None
        self.voice_projection = nn.Linear(width, width, bias=False) if config.voice_role else None
        self.global_ = Transformer(config.global_)
        self.to_local = nn.Linear(width, local)
        self.local_embedding = nn.Embedding(config.num_ids, local)  # also the output head (tied)
        self.slot_embedding = nn.Embedding(config.num_slots, local)  # slot 0's is its start vector
        self.local_ = Transformer(config.local_)
        for table in (self.embedding, self.local_embedding, self.slot_embedding, self.role_embedding):
            if table is not None:
                nn.init.normal_(table.weight, std=0.02 if table is self.local_embedding else 0.1)
        if self.voice_projection is not None:
            nn.init.zeros_(self.voice_projection.weight)  # so that a trained model can get it later

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
        """Return the logits [M, V] of one slot over its legal ids."""
        return score_legal(hidden, self.local_embedding.weight, slot, legal)

    def caption_mean(self, batch: Batch) -> Tensor | None:
        """Return what a batch's captions add to the frames that predict the target: [B, 1, D], or None."""
        if self.mean_projection is None or batch.vectors is None or batch.vector_mask is None:
            return None
        mask = batch.vector_mask[..., None].to(batch.vectors.dtype)  # [B, T, 1]
        mean = (batch.vectors * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
        return self.mean_projection(mean.to(self.mean_projection.weight.dtype))

    def voice_mean(self, batch: Batch, embedded: Tensor) -> Tensor | None:
        """Return what voices add to the frames that predict the target, [B, 1, D], or None; `embedded` [B, T, D]."""
        there = (batch.roles == self.config.voice_role)[..., None]  # [B, T, 1]
        if self.voice_frames is None or self.voice_projection is None or not bool(there.any()):
            return None
        heard = functional.gelu(self.voice_frames(embedded)) * there
        return self.voice_projection(heard.sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1))

    def added(self, batch: Batch, embedded: Tensor) -> Tensor | None:
        """Return what is added to the frames that predict the target, [B, S + 1, D], or None.

        Frame s of them (0 is the last of the prompt) gets row s, and all after S get the last row. `embedded`
        [B, T, D] are the frames of the batch.
        """
        means = [one for one in (self.caption_mean(batch), self.voice_mean(batch, embedded)) if one is not None]
        mean = torch.stack(means).sum(0) if means else None
        last = batch.lengths - batch.target.sum(1) - 1  # [B]
        step = batch.positions - batch.positions.gather(1, last[:, None]) - 1  # [B, T]: which moment of the target
        there = (batch.roles > 0) & ~batch.target & (step >= 0)
        if self.step_projection is None or not bool(there.any()):
            return mean
        counts = step.masked_fill(~there, -1).amax(1) + 1  # [B]
        count = int(counts.max())  # S
        moments = embedded.new_zeros(len(last), count, embedded.shape[2])
        index = step.clamp(0, count - 1)[..., None].expand_as(embedded)
        moments = moments.scatter_add(1, index, embedded * there[..., None])  # [B, S, D]
        around = functional.pad(moments, (0, 0, 1, 1))
        steps = self.step_projection(torch.cat((around[:, :-2], moments, around[:, 2:]), dim=2))
        own = torch.arange(count, device=step.device) < counts[:, None]  # a longer row changes nothing
        steps = functional.pad(steps * own[..., None], (0, 0, 0, 1))
        return steps if mean is None else steps + mean

    def with_added(self, batch: Batch, embedded: Tensor, added: Tensor | None) -> Tensor:
        """Return the frames [B, T, D] of a batch with what `added` says."""
        if added is None:
            return embedded
        last = batch.lengths - batch.target.sum(1) - 1
        step = torch.arange(embedded.shape[1], device=embedded.device) - last[:, None]  # [B, T]
        predicts = (step >= 0) & (step <= batch.target.sum(1)[:, None])
        index = step.clamp(0, added.shape[1] - 1)[..., None].expand_as(embedded)
        return embedded + added.to(embedded.dtype).gather(1, index) * predicts[..., None]

    def losses(
        self, batch: Batch, legal: Legal, label_smoothing: float = 0.0, local_share: float = 1.0
    ) -> list[Tensor]:
        """Return the mean cross-entropy of each slot over the target frames; the end mark counts in slot 0 only.

        Slots after the first learn from a random `local_share` of the frames, which is cheaper: most of the work of
        training is the local Transformer's, and neighbouring frames tell it about the same.
        """
        seen = batch.frames if batch.inputs is None else batch.inputs
        embedded = self.embed(seen, batch.roles, batch.vectors, batch.vector_mask)
        embedded = self.with_added(batch, embedded, self.added(batch, embedded))
        predicted = batch.target[:, 1:]
        states = self(embedded[:, :-1], batch.positions[:, :-1])[predicted]  # [M, D]
        wanted = batch.frames[:, 1:][predicted]  # [M, K]
        if local_share < 1:
            order = torch.randperm(len(wanted), device=wanted.device)
            states, wanted = states[order], wanted[order]
        whole = max(1, round(local_share * len(wanted)))
        logits = self.local_logits(states[:whole], wanted[:whole], legal)
        if whole < len(wanted):
            start = self.to_local(states[whole:]) + self.slot_embedding.weight[0]
            logits[0] = torch.cat((logits[0], self.head(self.local_(start[:, None])[:, 0], 0, legal)))
        return [slot_loss(part, wanted[: len(part), k], k, legal, label_smoothing) for k, part in enumerate(logits)]

    def generate(self, batch: Batch, request: GenerationRequest) -> list[Tensor]:
        """Continue every row of a right-padded batch; return its new target frames [T_b, K], without the end mark."""
        return collect_frames(self.frames(batch, request), batch, request)

    @torch.no_grad()
    def frames(self, batch: Batch, request: GenerationRequest) -> Iterator[dict[int, Tensor]]:
        """Yield the frames [K] of the rows that have not ended, by row, as soon as they are made."""
        device = batch.frames.device
        min_frames, max_frames = request.min_frames.to(device), request.max_frames.to(device)
        rows, longest = batch.frames.shape[0], int(max_frames.max())
        assert rows == request.copies * len(max_frames), "with guidance every request has two rows"
        cache = self.global_.new_cache(rows, batch.frames.shape[1] + longest)
        local_cache = self.local_.new_cache(rows, self.config.num_slots)
        embedded = self.embed(batch.frames, batch.roles, batch.vectors, batch.vector_mask)
        last = torch.arange(rows, device=device), batch.lengths - 1
        added = self.added(batch, embedded)
        states = self(self.with_added(batch, embedded, added), batch.positions, cache)
        cache.advance(batch.lengths)
        state, position = states[last], batch.positions[last]
        roles = torch.full((rows, 1), request.target_role, device=device)
        made: list[Tensor] = []
        recent = [batch.frames[last[0], last[1] - back] for back in range(request.sampling.repetition_frames)][::-1]
        recent = [frame[: len(max_frames)] for frame in recent]
        done = max_frames <= 0
        lengths = torch.zeros_like(max_frames)
        while not bool(done.all()):
            frame = self.sample_frame(state, request, len(made) >= min_frames, recent + made, local_cache)
            done = done | (frame[:, 0] == request.legal.end)
            lengths += ~done
            made.append(frame)
            yield {row: frame[row] for row in (~done).nonzero()[:, 0].tolist()}
            done = done | (lengths >= max_frames)
            if not bool(done.all()):
                position = position + 1
                embedded = self.embed(frame.repeat(request.copies, 1)[:, None], roles)
                if added is not None:
                    step = (batch.target.sum(1) + len(made)).clamp(max=added.shape[1] - 1)
                    embedded = embedded + added[last[0], step][:, None]
                state = self(embedded, position[:, None], cache)[:, 0]
                cache.advance(1)

    def sample_frame(
        self, state: Tensor, request: GenerationRequest, may_end: Tensor, made: list[Tensor], cache: KeyValueCache
    ) -> Tensor:
        """Sample one frame [B, K] from states [B, D] (with guidance [2 B, D]); an end fills every slot of its row.

        `may_end` [B] bool says which rows may end here; `cache` is the local Transformer's, and is reset.
        """
        cache.reset()
        legal, base = request.legal, self.to_local(state)
        ids: list[Tensor] = []
        for slot in range(self.config.num_slots):
            x = base + self.slot_embedding.weight[slot]
            if slot:
                x = x + self.local_embedding(ids[-1].repeat(request.copies))
            hidden = self.local_(x[:, None], None, cache)[:, 0]
            cache.advance(1)
            logits = guide(self.head(hidden, slot, legal), request.sampling)
            if slot == 0:
                ids.append(choose_first(logits, request, request.generators, may_end, made))
            else:
                choice = sample(logits, request.sampling, request.generators) + legal.ranges[slot][0]
                ids.append(torch.where(ids[0] == legal.end, legal.end, choice))
        return torch.stack(ids, dim=1)
