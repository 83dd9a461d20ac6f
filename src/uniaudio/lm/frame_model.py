"""What the language models share: frames of ids become vectors, states become scores of the legal ids.

B batch, T frames, K slots, D width, M predicted cells, V candidates of a slot
"""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniaudio.lm.interface import Batch, GenerationRequest, Legal
from uniaudio.lm.sampling import forbid_repetition, sample


class FrameModel(nn.Module):
    """The input side of a language model over frames. `num_roles` and `vector_dim` 0 switch their part off.

    The sum of a frame's embeddings is the paper's (UniAudio, 2310.00704), concatenation the released weights'.
    """

    def __init__(
        self,
        num_ids: int,
        num_slots: int,
        width: int,
        num_roles: int,
        vector_dim: int,
        embedding: Literal["sum", "concat"],
    ) -> None:
        super().__init__()
        if embedding == "concat" and width % num_slots:
            raise ValueError(f"concatenation needs a width ({width}) that is a multiple of {num_slots} slots")
        self.concatenates = embedding == "concat"
        self.embedding = nn.Embedding(num_ids, width // (num_slots if self.concatenates else 1))
        self.role_embedding = nn.Embedding(num_roles, width) if num_roles else None
        self.vector_projection = nn.Linear(vector_dim, width) if vector_dim else None

    def embed(
        self,
        frames: Tensor,
        roles: Tensor | None,
        vectors: Tensor | None = None,
        vector_mask: Tensor | None = None,
        present: Tensor | None = None,
    ) -> Tensor:
        """Return [B, T, D] for ids [B, T, K], roles [B, T] and caption vectors [B, T, Dv] where the mask is set.

        `present` [B, T, K] bool (None: all) says which ids there are; the others count as zeros.
        """
        embedded = self.embedding(frames)  # [B, T, K, D or D / K]
        if present is not None:
            embedded = embedded * present[..., None]
        x = embedded.flatten(2) if self.concatenates else embedded.sum(2)
        if self.role_embedding is not None and roles is not None:
            x = x + self.role_embedding(roles)
        if vectors is not None and vector_mask is not None:
            if self.vector_projection is None:
                raise ValueError("this model has no caption projection (vector_dim is 0)")
            projected = self.vector_projection(vectors.to(self.vector_projection.weight.dtype))
            x = torch.where(vector_mask[..., None], projected.to(x.dtype) + x, x)
        return x


def score_legal(hidden: Tensor, table: Tensor, slot: int, legal: Legal) -> Tensor:
    """Return the logits [M, V] of a slot for hidden [M, D] and the output table [ids, D].

    Only the slot's legal ids are scored (slot 0: and the end mark, last), so that no other can be sampled.
    """
    start, stop = legal.ranges[slot]
    weight = table[start:stop]
    if slot == 0:
        weight = torch.cat((weight, table[legal.end : legal.end + 1]))
    return functional.linear(hidden, weight)


def slot_loss(logits: Tensor, wanted: Tensor, slot: int, legal: Legal, label_smoothing: float) -> Tensor:
    """Return the mean cross-entropy of logits [M, V] for ids wanted [M].

    A frame that ends has the end mark in every slot, but only slot 0 learns it: the others may not emit it.
    """
    start, stop = legal.ranges[slot]
    labels = torch.where(wanted == legal.end, stop - start if slot == 0 else -100, wanted - start)
    return functional.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)


def choose_first(
    logits: Tensor, request: GenerationRequest, generators: list[torch.Generator], may_end: Tensor, made: list[Tensor]
) -> Tensor:
    """Sample the ids [B] of slot 0 from logits [B, V]: rows end where may_end [B] says so, and none gets stuck.

    `made` are the earlier frames [B, K] of the same rows (the repetition guard looks at the last ones).
    """
    start, stop = request.legal.ranges[0]
    logits[:, stop - start].masked_fill_(~may_end, float("-inf"))
    forbid_repetition(logits, made, start, request.sampling.repetition_frames)
    choice = sample(logits, request.sampling, generators)
    return torch.where(choice == stop - start, request.legal.end, choice + start)


def collect_frames(steps: Iterable[dict[int, Tensor]], batch: Batch, request: GenerationRequest) -> list[Tensor]:
    """Return the frames [T_b, K] of each request, given those [K] of each step by request; tell how many there are."""
    made: list[list[Tensor]] = [[] for _ in request.generators]
    for count, frames in enumerate(steps, start=1):
        for row, frame in frames.items():
            made[row].append(frame)
        if request.on_frame is not None:
            request.on_frame(count)
    return [torch.stack(row) if row else batch.frames[0, :0] for row in made]
