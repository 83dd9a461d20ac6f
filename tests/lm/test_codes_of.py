"""Embeddings that begin as pictures of the codebooks: frames that sound alike begin near one another.

K codebooks, V codes, D width
"""

import pytest
import torch

from uniaudio.errors import InputError
from uniaudio.lm.multiscale import MultiScaleLM
from uniaudio.recipes.debug import debug_engine
from uniaudio.recipes.lm import place_codes
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS


def test_the_distance_of_frames_is_that_of_their_latents():
    engine = debug_engine()
    model, vocabulary = engine.lm, engine.layout.vocabulary
    assert isinstance(model, MultiScaleLM)
    with torch.no_grad():
        model.embedding.weight.mul_(1e-3)
        model.embedding.weight[vocabulary.level(0)[0], 0] += 1.0  # the tables' deviations are not 0
    before = model.embedding.weight.clone()
    place_codes(model, engine.codec, vocabulary)
    first, last = vocabulary.level(0)[0], vocabulary.level(vocabulary.num_codebooks - 1)[1]
    moved = (model.embedding.weight - before).abs().sum(1) > 0
    assert moved[first:last].all() and not moved[:first].any() and not moved[last:].any()
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(vocabulary.codebook_size, (1, vocabulary.num_codebooks, 40), generator=generator)
    latents = engine.codec.quantizer.decode(codes)[0].t()  # [T, C]
    frames = engine.layout.target_frames(codes[0], TASKS["tts"])[:-1]
    added = (model.embedding.weight - before)[frames].sum(1)  # [T, D]
    far, near = torch.pdist(latents), torch.pdist(added)
    assert torch.corrcoef(torch.stack((far, near)))[0, 1] > 0.7


def test_a_codec_of_other_codebooks_is_refused():
    engine = debug_engine()
    assert isinstance(engine.lm, MultiScaleLM)
    with pytest.raises(InputError, match="codebooks of"):
        place_codes(engine.lm, engine.codec, Vocabulary.new(engine.codec.config.num_codebooks, 7))
