"""Several sequences as one right-padded batch.

B batch, T frames, K codebooks, D width of a caption vector
"""

from collections.abc import Sequence as ListOf
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from uniaudio.sequence.layout import ROLES, Sequence


@dataclass
class Batch:
    """frames [B, T, K], positions [B, T], roles [B, T], lengths [B], target [B, T] bool (frames that carry loss),
    vectors [B, T, D] or None with vector_mask [B, T]; inputs [B, T, K] or None: the frames as training shows them, some
    hidden. Padding repeats id 0 and is seen by nobody."""

    frames: Tensor
    positions: Tensor
    roles: Tensor
    lengths: Tensor
    target: Tensor
    vectors: Tensor | None = None
    vector_mask: Tensor | None = None
    inputs: Tensor | None = None

    def twice(self) -> "Batch":
        """Return the rows [2 B, ...] of this batch two times, one after the other."""
        filled = {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}
        return replace(self, **{name: torch.cat((value, value)) for name, value in filled.items()})


def hide_conditions(batch: Batch, rows: Tensor, fill: int) -> Tensor:
    """Return the frames [B, T, K] with `fill` in every frame of a condition of the rows [B] bool.

    Their caption vectors are masked in the batch; marks and the target stay as they are.
    """
    hidden = rows[:, None] & (batch.roles > ROLES.index("mark")) & (batch.roles < ROLES.index("target"))  # [B, T]
    if batch.vector_mask is not None:
        batch.vector_mask = batch.vector_mask & ~hidden
    return torch.where(hidden[..., None], fill, batch.frames)


def collate(sequences: ListOf[Sequence], vector_dim: int = 0) -> Batch:
    """Pad sequences on the right to the longest; `vector_dim` > 0 makes room for caption vectors."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    longest, slots = int(lengths.max()), sequences[0].frames.shape[1]
    shape = (len(sequences), longest)
    batch = Batch(
        frames=torch.zeros(*shape, slots, dtype=torch.long),
        positions=torch.zeros(shape, dtype=torch.long),
        roles=torch.zeros(shape, dtype=torch.long),
        lengths=lengths,
        target=torch.zeros(shape, dtype=torch.bool),
    )
    if vector_dim and any(sequence.vectors for sequence in sequences):
        batch.vectors = torch.zeros(*shape, vector_dim)
        batch.vector_mask = torch.zeros(shape, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        size = len(sequence)
        batch.frames[row, :size] = sequence.frames
        batch.positions[row, :size] = sequence.positions
        batch.roles[row, :size] = sequence.roles
        batch.target[row, sequence.num_prompt : size] = True
        for first, vectors in sequence.vectors if batch.vectors is not None else []:
            assert batch.vectors is not None and batch.vector_mask is not None
            batch.vectors[row, first : first + len(vectors)] = vectors
            batch.vector_mask[row, first : first + len(vectors)] = True
    return batch
