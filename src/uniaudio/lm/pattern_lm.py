"""A language model with one Transformer that predicts codes in the order of a pattern: the baselines of multi-scale.

UniAudio (2310.00704), ablation of flattening, parallel, delay and coarse-first prediction.

B batch, T frames, K slots, S steps, L elements (prompt frames, then steps), D width, M predicted cells, V candidates
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from uniaudio.lm.frame_model import FrameModel, choose_first, score_legal, slot_loss
from uniaudio.lm.interface import Batch, GenerationRequest, Legal
from uniaudio.lm.patterns import PATTERNS, Pattern
from uniaudio.lm.sampling import guide, sample
from uniaudio.nn.cache import KeyValueCache
from uniaudio.nn.relative import RelativeBias
from uniaudio.nn.transformer import Transformer, TransformerConfig


@dataclass(frozen=True, kw_only=True)
class PatternConfig:
    """Sizes and the code order. `num_roles` and `vector_dim` 0 switch the role embedding and captions off.

    `relative_buckets` > 0 takes T5's relative positions in place of rotary ones, see `nn.relative`.
    """

    num_ids: int
    num_slots: int
    pattern: str = "delay"
    num_roles: int = 0
    vector_dim: int = 0
    embedding: Literal["sum", "concat"] = "sum"
    relative_buckets: int = 0
    relative_distance: int = 128
    transformer: TransformerConfig = field(default_factory=TransformerConfig)


@dataclass
class _Line:
    """A batch in pattern order, right-padded: prompt frames as they are, then the steps of the target.

    frames [B, L, K] and, as the model is shown them, inputs [B, L, K], with filled [B, L, K] bool; positions, roles and
    in_prompt (bool) [B, L]; vectors as in a batch.
    """

    frames: Tensor
    inputs: Tensor
    filled: Tensor
    positions: Tensor
    roles: Tensor
    in_prompt: Tensor
    vectors: Tensor | None
    vector_mask: Tensor | None


class PatternLM(FrameModel):
    """Predicts step s + 1, all its cells at once, from the prompt and the steps up to s.

    A state stands one position before the frame that it predicts, as in the multi-scale model. The slots' heads are
    the parts of one table, so their legal ids must not overlap.
    """

    def __init__(self, config: PatternConfig) -> None:
        width = config.transformer.width
        super().__init__(config.num_ids, config.num_slots, width, config.num_roles, config.vector_dim, config.embedding)
        if config.pattern not in PATTERNS:
            raise ValueError(f"no pattern {config.pattern!r}; there are {', '.join(PATTERNS)}")
        self.config = config
        self.pattern = PATTERNS[config.pattern](config.num_slots)
        buckets, heads = config.relative_buckets, config.transformer.heads
        relative = RelativeBias(heads, buckets, config.relative_distance) if buckets else None
        self.transformer = Transformer(config.transformer, relative)
        self.heads = nn.Embedding(config.num_ids, width)
        for table in (self.embedding, self.heads, self.role_embedding):
            if table is not None:
                nn.init.normal_(table.weight, std=0.02 if table is self.heads else 0.1)

    def forward(self, embedded: Tensor, positions: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Run the Transformer: embedded [B, L, D] -> states [B, L, D]; state s predicts step s + 1."""
        return self.transformer(embedded, positions, cache)

    def head(self, hidden: Tensor, slot: int, legal: Legal) -> Tensor:
        """Return the logits [M, V] of one slot over its legal ids."""
        return score_legal(hidden, self.heads.weight, slot, legal)

    def losses(self, batch: Batch, legal: Legal, label_smoothing: float = 0.0) -> list[Tensor]:
        """Return the mean cross-entropy of each slot over the target frames; the end mark counts in slot 0 only."""
        line = self.arrange(batch, legal)
        embedded = self.embed(line.inputs, line.roles, line.vectors, line.vector_mask, line.filled)
        states = self(embedded[:, :-1], line.positions[:, :-1])  # [B, L - 1, D]
        predicted = (line.filled & ~line.in_prompt[..., None])[:, 1:]  # [B, L - 1, K]
        losses: list[Tensor] = []
        for slot in range(self.config.num_slots):
            cells = predicted[..., slot]
            logits = self.head(states[cells], slot, legal)  # [M, V]
            losses.append(slot_loss(logits, line.frames[:, 1:, slot][cells], slot, legal, label_smoothing))
        return losses

    def arrange(self, batch: Batch, legal: Legal) -> _Line:
        """Put the target frames of a batch, which must be the last of each row, in pattern order."""
        num_frames = batch.target.sum(1)  # [B]
        num_prompt, last_frame = (batch.lengths - num_frames)[:, None], batch.lengths[:, None] - 1  # [B, 1] both
        device, longest = batch.frames.device, batch.frames.shape[1]
        rows = torch.arange(len(num_frames), device=device)[:, None]
        targets = (num_prompt + torch.arange(int(num_frames.max()), device=device)).clamp(max=longest - 1)  # [B, T]
        ended = batch.frames[rows, last_frame][:, 0, 0] == legal.end
        steps, filled = self.pattern.to_steps(batch.frames[rows, targets], num_frames, ended)
        elements = torch.arange(int(num_prompt.max()) + steps.shape[1], device=device)  # [L]
        step = elements - num_prompt  # [B, L], below 0 in the prompt
        in_prompt, own = step < 0, step.clamp(0, steps.shape[1] - 1)
        same, prompt_cell = elements.clamp(max=longest - 1), in_prompt[..., None]
        frames = inputs = torch.where(prompt_cell, batch.frames[:, same], steps[rows, own])
        if batch.inputs is not None:
            steps, _ = self.pattern.to_steps(batch.inputs[rows, targets], num_frames, ended)
            inputs = torch.where(prompt_cell, batch.inputs[:, same], steps[rows, own])
        moment = batch.positions[rows, num_prompt - 1] + self.pattern.moment(num_frames, step + 1)
        return _Line(
            frames=frames,
            inputs=inputs,
            filled=prompt_cell | (filled[rows, own] & (step < steps.shape[1])[..., None]),
            positions=torch.where(in_prompt, batch.positions[:, same], moment),
            roles=torch.where(in_prompt, batch.roles[:, same], batch.roles[rows, last_frame]),
            in_prompt=in_prompt,
            vectors=None if batch.vectors is None else batch.vectors[:, same],
            vector_mask=None if batch.vector_mask is None else batch.vector_mask[:, same] & in_prompt,
        )

    @torch.no_grad()
    def generate(self, batch: Batch, request: GenerationRequest) -> list[Tensor]:
        """Continue every row of a right-padded batch; return its new target frames [T_b, K], without the end mark."""
        device, rows = batch.frames.device, batch.frames.shape[0]
        target = _Target(self.pattern, request, batch)
        num_prompt = batch.lengths - batch.target.sum(1)
        cache = self.transformer.new_cache(rows, batch.frames.shape[1] + self.pattern.num_steps(target.longest + 1))
        states = self(self.embed(batch.frames, batch.roles, batch.vectors, batch.vector_mask), batch.positions, cache)
        cache.advance(num_prompt)  # target frames that are given go in step by step, as the pattern orders them
        last = torch.arange(rows, device=device), num_prompt - 1
        state, before = states[last], batch.positions[last]
        roles = torch.full((rows, 1), request.target_role, device=device)
        while not bool(target.done.all()):
            ids, filled = (part.repeat(request.copies, 1)[:, None] for part in self.sample_step(state, target))
            target.step += 1
            embedded = self.embed(ids, roles, present=filled)
            position = before[:, None] + self.pattern.moment(target.num_frames, target.steps()).repeat(
                request.copies, 1
            )
            state = self(embedded, position, cache)[:, 0]
            cache.advance(1)
        spans = zip(target.num_given.tolist(), (target.num_frames - 1).tolist(), strict=True)
        return [target.frames[row, given:count] for row, (given, count) in enumerate(spans)]

    def sample_step(self, state: Tensor, target: "_Target") -> tuple[Tensor, Tensor]:
        """Sample one step from states [B, D] (with guidance [2 B, D]); return its ids [B, K] and which there are."""
        ids = torch.zeros_like(target.frames[:, 0])
        filled = torch.zeros_like(ids, dtype=torch.bool)
        request = target.request
        for slot in range(self.config.num_slots):
            frame, there = target.cells(slot)
            forced = there & (frame == target.max_frames)  # slot 0 alone gets here: no more frames, so the end mark
            given = there & (frame < target.num_given)
            chosen = (there & ~forced & ~given & ~target.done).nonzero()[:, 0]  # [M] rows; others draw no numbers
            if len(chosen):
                rows = torch.cat([chosen + copy * len(there) for copy in range(request.copies)])
                logits = guide(self.head(state[rows], slot, request.legal), request.sampling)
                generators = [request.generators[row] for row in chosen.tolist()]
                if slot == 0:
                    may_end, made = target.before_end(chosen, int(frame[chosen[0]]))
                    ids[chosen, 0] = choose_first(logits, request, generators, may_end, made)
                else:
                    ids[chosen, slot] = sample(logits, request.sampling, generators) + request.legal.ranges[slot][0]
            ids[:, slot] = torch.where(forced, request.legal.end, ids[:, slot])
            ids[given, slot] = target.frames[given, frame[given], slot]
            filled[:, slot] = there
            target.write(ids[:, slot], slot, frame, there)
        target.finish_step()
        return ids, filled


class _Target:
    """The frames [B, T + 1, K] of a generation while they are being filled, the end mark's included.

    `num_frames` [B] counts with the end mark's frame: the most there can be, until the row has ended. The first
    `num_given` [B] frames are the batch's.
    """

    def __init__(self, pattern: Pattern, request: GenerationRequest, batch: Batch) -> None:
        self.pattern, self.request, self.step = pattern, request, 0
        device, rows = batch.frames.device, len(request.max_frames)
        self.num_given = batch.target.sum(1)[:rows]
        self.min_frames = request.min_frames.to(device) + self.num_given
        self.max_frames = request.max_frames.to(device).clamp(min=0) + self.num_given
        self.longest = int(self.max_frames.max())
        shape = (len(self.max_frames), self.longest + 1, pattern.num_slots)
        self.frames = torch.zeros(shape, dtype=torch.long, device=device)
        for row, (given, end) in enumerate(zip(self.num_given.tolist(), batch.lengths.tolist(), strict=False)):
            self.frames[row, :given] = batch.frames[row, end - given : end]
        self.num_frames = self.max_frames + 1
        self.done = self.max_frames == self.num_given
        self.complete = self.told = int(self.num_given.max())  # frames of the longest row

    def steps(self) -> Tensor:
        """Return the number of the current step as [B, 1]."""
        return torch.full_like(self.num_frames, self.step)[:, None]

    def cells(self, slot: int) -> tuple[Tensor, Tensor]:
        """Return the frame [B] that `slot` predicts now, and where there is one; the end mark is in slot 0 alone."""
        frame, there = (x[:, 0, slot] for x in self.pattern.frame_at(self.num_frames, self.steps()))
        return frame, there if slot == 0 else there & (frame < self.num_frames - 1)

    def before_end(self, rows: Tensor, frame: int) -> tuple[Tensor, list[Tensor]]:
        """Return for rows [M] whether they may end at `frame`, and their last frames [M, K] before it."""
        recent = self.frames[rows, max(0, frame - self.request.sampling.repetition_frames) : frame]
        return frame >= self.min_frames[rows], list(recent.unbind(1))

    def write(self, ids: Tensor, slot: int, frame: Tensor, there: Tensor) -> None:
        """Keep the ids [B] of one slot of frames [B]; an end mark says how many frames a row has."""
        rows = there.nonzero()[:, 0]
        self.frames[rows, frame[rows], slot] = ids[rows]
        if slot == 0:
            self.num_frames = torch.where(there & (ids == self.request.legal.end), frame + 1, self.num_frames)
        if slot == self.pattern.num_slots - 1 and len(rows):
            self.complete = max(self.complete, int(frame[rows].max()) + 1)  # this slot is every frame's last

    def finish_step(self) -> None:
        """Mark the rows that have every cell of their frames (they need not say the end mark); tell the progress."""
        last = self.pattern.step_of(self.num_frames, self.num_frames[:, None] - 2)  # [B, 1, K], the last frame's
        self.done = self.done | (last.amax((1, 2)) <= self.step) | (self.num_frames == 1)
        if self.request.on_frame is not None and self.complete > self.told:
            self.told = self.complete
            self.request.on_frame(self.told - int(self.num_given.max()))
