"""Tiny versions of everything: an untrained engine for all tasks, and trainers that overfit one batch in seconds."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from uniaudio import config
from uniaudio.audio.io import Audio
from uniaudio.codec.convnext import ConvNextConfig
from uniaudio.codec.model import Codec, CodecConfig
from uniaudio.engines.items import ItemReader
from uniaudio.engines.tokens import TokenEngine
from uniaudio.lm.duration import DurationConfig, DurationPredictor
from uniaudio.lm.interface import Legal
from uniaudio.lm.multiscale import MultiScaleConfig, MultiScaleLM
from uniaudio.lm.sampling import Sampling
from uniaudio.nn.transformer import TransformerConfig
from uniaudio.sequence.batch import Batch, collate
from uniaudio.sequence.layout import ROLES, Layout
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS
from uniaudio.tokenizers.base import Item
from uniaudio.tokenizers.semantic import MelFeatures, SemanticTokenizer
from uniaudio.train.loop import LoopConfig, train
from uniaudio.train.objectives.codec import CodecObjective, CodecObjectiveConfig
from uniaudio.train.objectives.lm import LMObjective, LMObjectiveConfig
from uniaudio.train.optim import OptimConfig

CODEC = CodecConfig(
    num_codebooks=3,
    codebook_size=32,
    convnext=ConvNextConfig(
        num_mels=32, dim=16, encoder_width=48, encoder_blocks=1, encoder_code_blocks=1, decoder_width=64,
        decoder_code_blocks=1, decoder_blocks=2,
    ),
)  # fmt: skip
_LOOP = LoopConfig(
    steps=80, bf16=False, log_every=10, ema_decay=0.9, optim=OptimConfig(lr=3e-3, warmup_steps=5, schedule="wsd")
)


def debug_lm(vocabulary: Vocabulary, vector_dim: int = 384, heads: int = 4) -> MultiScaleLM:
    """Return a tiny random multi-scale model for a vocabulary; with 3 `heads` it can be compiled."""
    sizes = MultiScaleConfig(
        num_ids=vocabulary.num_ids,
        num_slots=vocabulary.num_codebooks,
        num_roles=len(ROLES),
        vector_dim=vector_dim,
        global_=TransformerConfig(width=48, layers=2, heads=heads),
        local_=TransformerConfig(width=32, layers=1, heads=2),
    )
    return MultiScaleLM(sizes)


def debug_engine(seed: int = 0, heads: int = 4) -> TokenEngine:
    """Return a tiny engine with random weights that runs every task of the table (what it makes is noise).

    With 3 `heads` its language model can be compiled.
    """
    torch.manual_seed(seed)
    codec = Codec(CODEC).eval()
    vocabulary = Vocabulary.new(CODEC.num_codebooks, CODEC.codebook_size)
    durations = DurationPredictor(DurationConfig(width=16, layers=1)).eval()
    noise = np.random.default_rng(seed).standard_normal((1, 32000)).astype(np.float32) * 0.1
    recording = Audio(noise.clip(-1, 1), 16000)
    semantic = SemanticTokenizer.fit(MelFeatures(), [recording], num_ids=16, seed=seed, frame_rate=CODEC.frame_rate)
    reader = ItemReader(codec, durations, semantic, None)
    lm = debug_lm(vocabulary, heads=heads).eval()
    return TokenEngine("debug", tuple(TASKS), codec, lm, Layout(vocabulary), reader, Sampling(top_k=0, temperature=1.0))


class _Tone:
    """The same two gliding tones at every step, with the interface of `data.crops.Crops`."""

    def __init__(self) -> None:
        self.phones: dict[str, int] = {"low": 0, "high": 1}

    def batch(self, batch_size: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
        time = torch.arange(16 * 640) / 16000
        low, high = (0.3 * torch.sin(2 * torch.pi * (f + 200 * time) * time) for f in (220.0, 900.0))
        samples = torch.stack((low, high))[:, None]
        labels = torch.tensor([[0], [1]]).expand(2, 16)
        return samples, labels


def codec_objective() -> CodecObjective:
    """Return the codec objective on one batch of two tones."""
    torch.manual_seed(0)
    settings = CodecObjectiveConfig(batch_size=2, unquantized_steps=20, codebook_dropout=0.0)
    return CodecObjective(Codec(CODEC), _Tone(), settings)


def lm_objective() -> LMObjective:
    """Return the language-model objective on one batch of two short `tts` sequences with random codes."""
    vocabulary = Vocabulary.new(CODEC.num_codebooks, CODEC.codebook_size)
    layout = Layout(vocabulary)
    generator = torch.Generator().manual_seed(0)

    def draw(seed: int, step: int) -> Batch:
        generator.manual_seed(0)
        sequences = []
        for size in (9, 13):
            codes = torch.randint(CODEC.codebook_size, (CODEC.num_codebooks, size), generator=generator)
            text = Item(ids=torch.randint(50, (size, 1), generator=generator), aligned=True)
            voice = Item(ids=torch.randint(CODEC.codebook_size, (6, CODEC.num_codebooks), generator=generator))
            sequences.append(
                layout.example(TASKS["tts"], {("text", "phoneme"): text, ("speaker", "voice"): voice}, codes)
            )
        return collate(sequences)

    torch.manual_seed(0)
    legal = Legal(tuple(layout.allowed(TASKS["tts"])), vocabulary.mark("end"))
    return LMObjective(debug_lm(vocabulary), legal, draw, LMObjectiveConfig(), vocabulary.fill)


def train_codec_debug(overrides: list[str], folder: Path, minutes: float | None) -> int:
    """Overfit the tiny codec on one batch; returns the steps done in all."""
    loop = config.override(_LOOP, overrides)
    return train(codec_objective(), loop.ending_after(minutes), folder)


def train_tts_debug(overrides: list[str], folder: Path, minutes: float | None) -> int:
    """Overfit the tiny language model on one batch; returns the steps done in all."""
    loop = config.override(_LOOP, overrides)
    return train(lm_objective(), loop.ending_after(minutes), folder)
