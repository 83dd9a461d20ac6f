"""Streams of audio equal the whole, long ones too; the first chunk comes early; a compiled engine does as a plain one.

N samples
"""

import itertools
import math

import numpy as np
import pytest
import torch
from tests.requests import noise, request_for

from uniaudio.codec.model import Codec, CodecConfig
from uniaudio.codec.seanet import SEANetConfig
from uniaudio.engines import stream
from uniaudio.engines.tokens import TokenEngine
from uniaudio.errors import InputError
from uniaudio.lm.compiled import CompiledLM
from uniaudio.lm.sampling import Sampling
from uniaudio.recipes.debug import debug_engine
from uniaudio.tasks import TASKS

LONG_TEXT = "The rain has stopped, and the old man goes down to the river. " * 3
GUIDED = Sampling(temperature=1.0, top_k=8, guidance=2.0)


@pytest.fixture(scope="module", params=["plain", "compiled"])
def engine(request: pytest.FixtureRequest) -> TokenEngine:
    engine = debug_engine(heads=3)
    if request.param == "compiled":
        engine.compile()
        assert isinstance(engine.generator, CompiledLM)
    return engine


def joined(chunks: list) -> np.ndarray:
    return np.concatenate([chunk.samples for chunk in chunks], axis=1)


@pytest.mark.parametrize("name", TASKS)
def test_chunks_equal_the_whole(engine: TokenEngine, name: str):
    request = request_for(TASKS[name])
    given = {"seconds": 3.0} if TASKS[name].length == "seconds" else {}
    whole = engine.generate(name, request, **given).samples
    chunks = joined(list(engine.stream(name, request, **given)))
    assert chunks.shape == whole.shape
    assert np.abs(chunks - whole).max() <= 1e-4


def test_a_long_text_streams_part_by_part(engine: TokenEngine):
    request = {"text": LONG_TEXT, "speaker": noise(1)}
    whole = engine.generate("tts", request).samples
    chunks = list(engine.stream("tts", request))
    assert len(chunks) > 6
    assert np.abs(joined(chunks) - whole).max() <= 1e-4


def test_the_first_chunk_comes_before_the_rest_is_made(engine: TokenEngine, monkeypatch: pytest.MonkeyPatch):
    made = []
    steps = stream._steps
    monkeypatch.setattr(stream, "_steps", lambda *given: (made.append(1) or one for one in steps(*given)))
    chunks = engine.stream("text_to_sound", {"caption": "rain"}, seconds=10.0)
    assert not made
    first = next(chunks)
    latency = engine.codec.config.convnext.decoder_lookahead / 640
    assert first.seconds >= 0.1
    assert len(made) <= math.ceil(latency + stream.FIRST_SECONDS * 25)


def test_a_long_target_is_made_in_windows(engine: TokenEngine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream, "WINDOW_SECONDS", 1.6)
    monkeypatch.setattr(stream, "OVERLAP_SECONDS", 0.6)
    asked = []
    ask = TokenEngine.ask
    monkeypatch.setattr(TokenEngine, "ask", lambda self, *given: asked.append(ask(self, *given)) or asked[-1])
    request, sampling = {"caption": "wind"}, GUIDED
    whole = engine.generate("text_to_sound", request, seconds=4.0, sampling=sampling).samples
    assert whole.shape == (1, 100 * 640)
    plans = [(batch.target[0].sum().item(), wanted.max_frames.item()) for batch, wanted in asked]
    assert plans == [(0, 40), (15, 25), (15, 25), (15, 10)]
    prompt = asked[0][0].lengths[0]
    assert all(batch.lengths[0] <= prompt + 15 for batch, _ in asked)
    chunks = joined(list(engine.stream("text_to_sound", request, seconds=4.0, sampling=sampling)))
    assert np.abs(chunks - whole).max() <= 1e-4
    endless = engine.stream("text_to_sound", request, seconds=math.inf, sampling=sampling)
    begun = joined(list(itertools.islice(endless, 6)))
    assert np.abs(begun[:, : 2 * 16000] - whole[:, : 2 * 16000]).max() <= 1e-4
    progress = []
    engine.generate("text_to_sound", request, seconds=2.0, on_frame=lambda done, total: progress.append((done, total)))
    assert progress[-1] == (50, 50)


def test_windows_are_continued_as_training_shows_them(engine: TokenEngine):
    """The prompt of a second window is what training would see: roles, positions, and no end mark."""
    task = TASKS["text_to_music"]
    items = engine.reader.read(task, request_for(task))
    codes = torch.randint(0, 32, (3, 7))
    whole, part = engine.layout.example(task, items, codes), engine.layout.continued(task, items, codes)
    assert len(part) == len(whole) - 1 and part.num_prompt == whole.num_prompt
    for name in ("frames", "positions", "roles"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[:-1])


def test_a_codec_of_whole_recordings_gives_one_chunk(engine: TokenEngine):
    codec = Codec(
        CodecConfig(
            shape="seanet",
            num_codebooks=3,
            codebook_size=32,
            seanet=SEANetConfig(n_filters=4, ratios=(4, 2), num_lstm_layers=0, dim=8),
        )
    ).eval()
    codes = list(torch.randint(0, 32, (9, 3)))
    chunks = list(stream.audio_chunks(codec, iter(codes)))
    assert len(chunks) == 1
    whole = codec.decode(torch.stack(codes, 1)[None])[0].clamp(-1, 1).numpy()
    assert np.abs(chunks[0].samples - whole).max() <= 1e-6


def test_bad_requests_are_refused_before_the_first_chunk(engine: TokenEngine):
    for name, request, given, told in (
        ("sing", {}, {}, "unknown task"),
        ("text_to_sound", {"caption": "rain"}, {"seconds": 0.0}, "seconds must be above 0, not 0"),
        ("text_to_sound", {"caption": "rain"}, {"seconds": math.nan}, "seconds must be above 0"),
        ("tts", request_for(TASKS["tts"]), {"seconds": 2.0}, "follows from its text"),
    ):
        with pytest.raises(InputError, match=told):
            engine.stream(name, request, **given)
    with pytest.raises(InputError, match="at most 60"):
        engine.generate("text_to_sound", {"caption": "rain"}, seconds=61.0)


@pytest.mark.parametrize("name", TASKS)
def test_a_compiled_engine_makes_the_same_codes(name: str):
    plain, compiled = debug_engine(heads=3), debug_engine(heads=3)
    compiled.compile()
    task, given = TASKS[name], {"seconds": 1.0} if TASKS[name].length == "seconds" else {}
    items = [plain.reader.read(task, request_for(task))] * 2
    samplings = [Sampling(temperature=1.0, top_k=8, guidance=2.0, seed=seed) for seed in (1, 2)]
    codes = [one.generate_frames(task, items, samplings, given.get("seconds")) for one in (plain, compiled)]
    assert [part.tolist() for part in codes[0]] == [part.tolist() for part in codes[1]]


def test_precisions(monkeypatch: pytest.MonkeyPatch):
    engine = debug_engine(heads=3)
    engine.compile("int8")
    assert engine.precision == "int8" and isinstance(engine.generator, CompiledLM)
    audio = engine.generate("tts", request_for(TASKS["tts"]))
    assert np.isfinite(audio.samples).all()
    with pytest.raises(InputError, match="unknown precision 'int3'"):
        engine.compile("int3")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    bare = debug_engine(heads=3)
    bare.compile()
    assert bare.generator is bare.lm
    with pytest.raises(InputError, match="debug cannot be computed in int8"):
        bare.compile("int8")
