"""AudioLM's stages as sequences (2209.03143): what each is given and predicts, the same in training and inference.

T frames, n semantic tokens, K codebooks, Q of them coarse
"""

import torch
from torch import Tensor
from torch.nn import functional

from uniaudio.errors import InputError
from uniaudio.lm.interface import Legal
from uniaudio.sequence.layout import Layout, Sequence
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import STAGES
from uniaudio.tokenizers.base import Item
from uniaudio.tokenizers.codec import HIDDEN

Stage = str  # a key of tasks.STAGES


class Stages:
    """The layouts of the stages in one vocabulary; `num_coarse` codebooks are predicted first (all: no fine stage).

    The vocabulary gets the stages' marks. With `dedup` repeated semantic tokens are one token, which stands before
    the coarse codes; without, the tokens run in step with them. Raises InputError for stages that cannot be laid out.
    """

    def __init__(self, vocabulary: Vocabulary, num_coarse: int, num_semantic: int, dedup: bool) -> None:
        num_fine = vocabulary.num_codebooks - num_coarse
        if num_coarse < 1 or num_fine < 0 or 0 < num_fine < num_coarse:
            raise InputError(
                f"{num_coarse} of {vocabulary.num_codebooks} codebooks cannot be coarse: use all, or at most half"
            )
        if not 1 <= num_semantic <= vocabulary.section("semantic").size:
            most = vocabulary.section("semantic").size
            raise InputError(f"{num_semantic} semantic tokens do not fit the vocabulary: use 1 to {most}")
        self.vocabulary, self.num_coarse, self.num_semantic, self.dedup = vocabulary, num_coarse, num_semantic, dedup
        vocabulary.add_marks(["audio_start", *(f"{stage}_task" for stage in STAGES)])  # a saved one has them already
        self.layouts = {"semantic": Layout(vocabulary, 1), "coarse": Layout(vocabulary, num_coarse)}
        if num_fine:
            self.layouts["fine"] = Layout(vocabulary, num_fine, first_level=num_coarse)

    def sequence(self, stage: Stage, given: Tensor | None, target: Tensor, ended: bool) -> Sequence:
        """Return the sequence of a stage: a target [K, T] after what is given.

        `given` is None (semantic), the semantic tokens [n] (coarse) or the coarse codes [Q, T] (fine); the target of
        the semantic stage is [1, n].
        """
        layout, task = self.layouts[stage], STAGES[stage]
        items = {}
        if stage == "coarse":
            assert given is not None
            items = {("semantic", "semantic"): Item(ids=given[:, None], aligned=not self.dedup)}
        elif stage == "fine":
            assert given is not None
            wide = functional.pad(given.t(), (0, layout.num_slots - self.num_coarse), value=HIDDEN)  # [T, K - Q]
            items = {("coarse", "codec"): Item(ids=wide)}
        return layout.example(task, items, target) if ended else layout.continued(task, items, target)

    def training(self, stage: Stage, semantic: Tensor, codes: Tensor, ended: bool) -> Sequence:
        """Return what training sees of a recording: semantic tokens [T], one a frame, and codes [K, T]."""
        if stage == "fine":
            return self.sequence(stage, codes[: self.num_coarse], codes[self.num_coarse :], ended)
        tokens = self.tokens(semantic)[0]
        if stage == "semantic":
            return self.sequence(stage, None, tokens[None], ended)
        return self.sequence(stage, tokens, codes[: self.num_coarse], ended)

    def tokens(self, semantic: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens [n] of semantic ids [T], one a frame, and the frame [n] at which each begins."""
        first = torch.ones(len(semantic), dtype=torch.bool)
        if self.dedup:
            first[1:] = semantic[1:] != semantic[:-1]
        return semantic[first], first.nonzero()[:, 0]

    def legal(self, stage: Stage) -> Legal:
        """Return the ids that a stage may emit; the end mark lies outside of all of them."""
        ranges = self.layouts[stage].allowed(STAGES[stage])
        if stage == "semantic":
            ranges = [(start, start + self.num_semantic) for start, _ in ranges]
        return Legal(tuple(ranges), self.vocabulary.mark("end"))

    def codes(self, stage: Stage, frames: Tensor) -> Tensor:
        """Return the codes or tokens [K, T] of target frames [T, K]."""
        return self.layouts[stage].codes(frames, STAGES[stage])
