"""The only place that orders frames: a task and its items become one sequence, in training and inference alike.

T frames, K codebooks, D width of a caption vector

    start  {task}_task  {modality}_start item {modality}_end ...  {audio}_start  target  end

Every mark fills a whole frame. Frames carry a position (for rotary embedding) and a role. The frames of an item that
runs in step with the target have the positions of the target's frames, so that "the same moment" is distance 0
whatever the lengths; everything else stands before them in sequence order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import MODALITIES, Task
from uniaudio.tokenizers.base import Item

ROLES = ("mark", *MODALITIES, "target")
_SHARED_SECTION = {"voice": "codec", "phoneme_duration": "phoneme"}

Items = Mapping[tuple[str, str], Item]  # (field, modality) -> its frames


@dataclass
class Sequence:
    """frames [T, K] ids, positions [T], roles [T] (index in ROLES), vectors: (first frame, [n, D]) of caption items;
    num_prompt: how many frames come before the target."""

    frames: Tensor
    positions: Tensor
    roles: Tensor
    num_prompt: int
    vectors: list[tuple[int, Tensor]] = field(default_factory=list)

    def __len__(self) -> int:
        return self.frames.shape[0]


class Layout:
    """Builds sequences for one vocabulary, in frames of `num_slots` ids (None: one for each codebook).

    Slot k of a codec target holds codebook `first_level` + k; a target of semantic tokens has them in its one slot.
    """

    def __init__(self, vocabulary: Vocabulary, num_slots: int | None = None, first_level: int = 0) -> None:
        self.vocabulary, self.first_level = vocabulary, first_level
        self.num_slots = vocabulary.num_codebooks if num_slots is None else num_slots

    def prompt(self, task: Task, items: Items) -> Sequence:
        """Return the frames before the target: marks and conditions in the task's order.

        Raises KeyError when an item of the task is missing.
        """
        base = self._target_position(task, items)
        builder = _Builder(self)
        builder.mark("start")
        builder.mark(f"{task.name}_task")
        for name, modality in task.items:
            item = items[name, modality]
            builder.mark(f"{modality}_start")
            builder.item(modality, item, base if is_aligned(modality, item) else None)
            builder.mark(f"{modality}_end")
        builder.mark(f"{task.target[0]}_start")
        assert builder.cursor == base, "the target must start right after the last mark"
        return builder.sequence()

    def example(self, task: Task, items: Items, codes: Tensor) -> Sequence:
        """Return the prompt followed by the target codes [K, T] and the end mark: what training sees."""
        prompt = self.prompt(task, items)
        target = self.target_frames(codes, task)  # [T + 1, K]
        first = int(prompt.positions[-1]) + 1
        return Sequence(
            frames=torch.cat((prompt.frames, target)),
            positions=torch.cat((prompt.positions, torch.arange(first, first + len(target)))),
            roles=torch.cat((prompt.roles, torch.full((len(target),), ROLES.index("target")))),
            num_prompt=len(prompt),
            vectors=prompt.vectors,
        )

    def continued(self, task: Task, items: Items, codes: Tensor) -> Sequence:
        """Return the prompt followed by the codes [K, T] that there are of the target already, without an end."""
        whole = self.example(task, items, codes)
        return replace(whole, frames=whole.frames[:-1], positions=whole.positions[:-1], roles=whole.roles[:-1])

    def target_frames(self, codes: Tensor, task: Task) -> Tensor:
        """Return the ids [T + 1, K] of codes [K, T] and the end mark."""
        end = torch.full((1, self.num_slots), self.vocabulary.mark("end"))
        starts = torch.tensor([start for start, _ in self.allowed(task)])
        return torch.cat((torch.where(codes.t() < 0, self.vocabulary.fill, codes.t() + starts), end))

    def allowed(self, task: Task) -> list[tuple[int, int]]:
        """Return the legal ids [start, stop) of each slot of the target; the end mark is legal in slot 0 besides."""
        if task.target[1] == "semantic":
            section = self.vocabulary.section("semantic")
            return [(section.start, section.start + section.size)] * self.num_slots
        assert task.target[1] == "codec", f"{task.name} predicts {task.target[1]}, which has no layout"
        return [self.vocabulary.level(self.first_level + slot) for slot in range(self.num_slots)]

    def codes(self, frames: Tensor, task: Task | None = None) -> Tensor:
        """Return the codes [K, T] of target frames [T, K] (without the end mark), by default of a codec target."""
        levels = [self.vocabulary.level(self.first_level + slot) for slot in range(frames.shape[1])]
        starts = [start for start, _ in (levels if task is None else self.allowed(task))]
        return (frames - torch.tensor(starts, device=frames.device)).t()

    def codec_ids(self, codes: Tensor) -> Tensor:
        """Return ids [T, K] of the codes [T, K] of a condition; a code of -1 is a hidden cell."""
        starts = torch.tensor([self.vocabulary.level(k)[0] for k in range(codes.shape[1])])
        return torch.where(codes < 0, self.vocabulary.fill, codes + starts)

    def _target_position(self, task: Task, items: Items) -> int:
        """Return the position of the target's first frame: after every mark and every item that is not in step."""
        position = 3
        for name, modality in task.items:
            item = items[name, modality]
            position += 2 + (0 if is_aligned(modality, item) else len(item))
        return position


def is_aligned(modality: str, item: Item) -> bool:
    """Does the item run in step with the target? The item says so itself, or its modality does."""
    return MODALITIES[modality] if item.aligned is None else item.aligned


class _Builder:
    """Collects frames, positions and roles; the cursor is the next position that is not yet taken."""

    def __init__(self, layout: Layout) -> None:
        self.layout, self.vocabulary, self.cursor = layout, layout.vocabulary, 0
        self.frames: list[Tensor] = []
        self.positions: list[Tensor] = []
        self.roles: list[Tensor] = []
        self.vectors: list[tuple[int, Tensor]] = []
        self.length = 0

    def mark(self, name: str) -> None:
        self._add(torch.full((1, self.layout.num_slots), self.vocabulary.mark(name)), "mark", None)

    def item(self, modality: str, item: Item, aligned_at: int | None) -> None:
        slots = self.layout.num_slots
        if item.vectors is not None:
            self.vectors.append((self.length, item.vectors))
            frames = torch.full((len(item), slots), self.vocabulary.mark("vector"))
        elif modality in ("codec", "voice"):
            assert item.ids is not None and item.ids.shape[1] == slots, f"{modality} needs {slots} ids a frame"
            frames = self.layout.codec_ids(item.ids)
        else:
            assert item.ids is not None
            section = self.vocabulary.section(_SHARED_SECTION.get(modality, modality))
            assert len(item) == 0 or int(item.ids.max()) < section.size, f"{modality} ids do not fit their section"
            assert item.ids.shape[1] in (1, slots), f"{modality} needs 1 or {slots} ids a frame"
            frames = (item.ids + section.start).expand(-1, slots)  # a single id fills the frame
        self._add(frames, modality, aligned_at)

    def _add(self, frames: Tensor, role: str, aligned_at: int | None) -> None:
        first = self.cursor if aligned_at is None else aligned_at
        self.frames.append(frames)
        self.positions.append(torch.arange(first, first + len(frames)))
        self.roles.append(torch.full((len(frames),), ROLES.index(role)))
        self.length += len(frames)
        if aligned_at is None:
            self.cursor += len(frames)

    def sequence(self) -> Sequence:
        return Sequence(
            frames=torch.cat(self.frames),
            positions=torch.cat(self.positions),
            roles=torch.cat(self.roles),
            num_prompt=self.length,
            vectors=self.vectors,
        )
