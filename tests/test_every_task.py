"""Every entry of every table works: all eleven tasks, all seven modalities, from request to audio."""

import pytest
import torch

from tests.requests import noise, request_for
from uniaudio.engines.tokens import TokenEngine
from uniaudio.errors import InputError
from uniaudio.lm.sampling import Sampling
from uniaudio.recipes.debug import debug_engine
from uniaudio.sequence.layout import ROLES, Layout, is_aligned
from uniaudio.sequence.vocabulary import Vocabulary, standard_marks
from uniaudio.tasks import MODALITIES, TASKS
from uniaudio.tokenizers import TOKENIZERS
from uniaudio.tokenizers.midi import Note
from uniaudio.tokenizers.voice import VoiceTokenizer

SECONDS = 1.2


@pytest.fixture(scope="module")
def engine() -> TokenEngine:
    return debug_engine()


def test_the_tables_agree():
    assert len(TASKS) == 11 and len(MODALITIES) == 7
    assert set(TOKENIZERS) == set(MODALITIES)
    marks = standard_marks()
    assert len(set(marks)) == len(marks)
    for task in TASKS.values():
        assert task.metrics and task.about.endswith(".")
        assert set(task.help) == set(task.given), f"{task.name}: every field needs a help text and no other"
        assert {modality for _, modality in task.items} <= set(MODALITIES)
        assert task.length in ("text", "seconds", *task.given)


@pytest.mark.parametrize("name", TASKS)
def test_an_example_starts_with_its_prompt(engine: TokenEngine, name: str):
    task = TASKS[name]
    items = engine.reader.read(task, request_for(task))
    prompt = engine.layout.prompt(task, items)
    codes = torch.randint(0, 32, (3, 21))
    example = engine.layout.example(task, items, codes)
    size = len(prompt)
    assert example.num_prompt == size and len(example) == size + 21 + 1
    for part in ("frames", "positions", "roles"):
        assert torch.equal(getattr(example, part)[:size], getattr(prompt, part))
    assert torch.equal(engine.layout.codes(example.frames[size:-1]), codes)
    vocabulary = engine.layout.vocabulary
    assert example.frames[0].tolist() == [vocabulary.mark("start")] * 3
    assert example.frames[1].tolist() == [vocabulary.mark(f"{name}_task")] * 3
    assert example.frames[-1].tolist() == [vocabulary.mark("end")] * 3
    assert (example.roles[size:] == ROLES.index("target")).all()
    assert int(example.frames.max()) < vocabulary.num_ids and int(example.frames.min()) >= 0


@pytest.mark.parametrize("name", TASKS)
def test_items_in_step_share_the_positions_of_the_target(engine: TokenEngine, name: str):
    task = TASKS[name]
    items = engine.reader.read(task, request_for(task))
    example = engine.layout.example(task, items, torch.zeros(3, 5, dtype=torch.long))
    target_at = int(example.positions[example.num_prompt])
    for _, modality in task.items:
        role = example.roles[: example.num_prompt] == ROLES.index(modality)
        places = example.positions[: example.num_prompt][role]
        aligned = any(is_aligned(m, items[f, m]) for f, m in task.items if m == modality)
        if aligned:
            assert int(places.min()) == target_at, f"{modality} must start with the target"
        else:
            assert int(places.max()) < target_at, f"{modality} must end before the target"


@pytest.mark.parametrize("name", TASKS)
def test_the_debug_engine_generates_the_right_length(engine: TokenEngine, name: str):
    task = TASKS[name]
    request = request_for(task)
    audio = engine.generate(name, request, seconds=SECONDS if task.length == "seconds" else None)
    assert audio.sample_rate == 16000 and audio.samples.shape[0] == 1
    assert abs(audio.samples).max() <= 1
    low, high = engine.num_frames(task, engine.reader.read(task, request), engine.sampling, SECONDS)
    assert low == high, "every task of the debug engine has a known length"
    assert audio.samples.shape[1] == low * 640
    if task.length == "seconds":
        assert low == round(SECONDS * 25)
    elif hasattr(request.get(task.length), "seconds"):
        assert abs(audio.seconds - request[task.length].seconds) <= 0.04
    elif name == "singing_synthesis":
        assert audio.seconds == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize("name", TASKS)
def test_the_same_seed_gives_the_same_audio(engine: TokenEngine, name: str):
    request = request_for(TASKS[name])
    seconds = 0.4 if TASKS[name].length == "seconds" else None
    first, again, other = (
        engine.generate(name, request, sampling=Sampling(seed=seed, temperature=1.0, top_k=0), seconds=seconds).samples
        for seed in (3, 3, 4)
    )
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("name", TASKS)
def test_no_illegal_id_is_ever_generated(engine: TokenEngine, name: str):
    task = TASKS[name]
    items = [engine.reader.read(task, request_for(task))]
    hot = Sampling(seed=1, temperature=50.0, top_k=0)
    codes = engine.generate_frames(task, items, [hot], 0.8)[0]
    assert codes.shape[0] == 3 and int(codes.min()) >= 0 and int(codes.max()) < 32


def test_batched_equals_single(engine: TokenEngine):
    speakers = [noise(1.0, seed=1), noise(2.0, seed=2), noise(3.5, seed=3)]
    texts = ["Hello there.", "A much longer sentence than the first one.", "Yes."]
    requests = [{"text": text, "speaker": speaker} for text, speaker in zip(texts, speakers, strict=True)]
    samplings = [Sampling(seed=seed) for seed in (5, 6, 7)]
    together = engine.generate_batch("tts", requests, samplings)
    for request, sampling, audio in zip(requests, samplings, together, strict=True):
        alone = engine.generate("tts", request, sampling=sampling)
        assert alone.samples.shape == audio.samples.shape
        assert abs(alone.samples - audio.samples).max() < 1e-4


def test_a_text_without_durations_ends_by_itself_or_at_its_bound(engine: TokenEngine):
    task = TASKS["tts"]
    durations, engine.reader.durations = engine.reader.durations, None
    try:
        items = engine.reader.read(task, request_for(task))
        low, high = engine.num_frames(task, items, engine.sampling, None)
        codes = engine.generate_frames(task, [items], [engine.sampling], None)[0]
    finally:
        engine.reader.durations = durations
    assert not items["text", "phoneme"].aligned
    assert low < high and low <= codes.shape[1] <= high
    expected = high / 2
    ratios = engine.num_frames(task, items, Sampling(min_ratio=0.8, max_ratio=1.2), None)
    assert ratios == (round(expected * 0.8), round(expected * 1.2))


def test_ratios_bound_only_a_length_that_is_expected(engine: TokenEngine):
    sampling = Sampling(min_ratio=0.5, max_ratio=2.0)
    for name, lengths in (("speech_enhancement", (38, 38)), ("text_to_sound", (25, 100))):
        task = TASKS[name]
        assert engine.num_frames(task, engine.reader.read(task, request_for(task)), sampling, 2.0) == lengths
    task = TASKS["tts"]
    low, high = engine.num_frames(task, engine.reader.read(task, request_for(task)), sampling, None)
    assert low == high


def test_a_batch_differs_in_its_seeds_only(engine: TokenEngine):
    request = request_for(TASKS["tts"])
    with pytest.raises(ValueError, match="one sampling per request"):
        engine.generate_batch("tts", [request, request], [Sampling()])
    with pytest.raises(ValueError, match="seeds only"):
        engine.generate_batch("tts", [request, request], [Sampling(), Sampling(seed=1, temperature=0.5)])


def test_a_long_text_reads_its_voice_once(engine: TokenEngine, monkeypatch: pytest.MonkeyPatch):
    encode, calls = VoiceTokenizer.encode, []
    monkeypatch.setattr(VoiceTokenizer, "encode", lambda self, value: calls.append(value) or encode(self, value))
    task, request = TASKS["tts"], request_for(TASKS["tts"])
    texts = ["The first part.", "And the second one."]
    parts = engine.reader.read_parts(task, request, texts)
    assert len(calls) == 1
    for text, items in zip(texts, parts, strict=True):
        alone = engine.reader.read(task, {**request, "text": text})
        assert items.keys() == alone.keys()
        assert all(torch.equal(items[key].ids, alone[key].ids) for key in alone)  # type: ignore[arg-type]


def test_requests_that_do_not_fit_are_refused(engine: TokenEngine):
    with pytest.raises(InputError, match="unknown task"):
        engine.generate("sing", {})
    with pytest.raises(InputError, match="lacks speaker"):
        engine.generate("tts", {"text": "Hello."})
    with pytest.raises(InputError, match="unknown fields: voice"):
        engine.generate("tts", {"text": "Hello.", "speaker": noise(1), "voice": noise(1)})
    with pytest.raises(InputError, match="a text is needed, not int"):
        engine.generate("tts", {"text": 123, "speaker": noise(1)})
    with pytest.raises(InputError, match="seconds"):
        engine.generate("text_to_sound", {"caption": "rain"}, seconds=-1.0)
    with pytest.raises(InputError, match="follows from its text"):
        engine.generate("tts", request_for(TASKS["tts"]), seconds=2.0)
    with pytest.raises(InputError, match="a recording is needed .*, not int"):
        engine.generate("tts", {"text": "Hello.", "speaker": 3})
    overlapping = [Note(start=0.0, end=0.5, pitch=60, lyric="la"), Note(start=0.2, end=0.7, pitch=62, lyric="la")]
    with pytest.raises(InputError, match="notes overlap"):
        engine.generate("singing_synthesis", {"score": overlapping, "speaker": noise(1)})
    with pytest.raises(InputError, match="the same"):
        engine.generate("speech_edit", {"source": noise(2), "text": "One two.", "edited_text": "One two."})
    engine_of_one = debug_engine()
    engine_of_one.tasks = ("tts",)
    with pytest.raises(InputError, match="was not trained on text_to_music; it knows: tts"):
        engine_of_one.generate("text_to_music", {"caption": "a slow waltz"})


def test_ids_never_move():
    """The ids of a vocabulary with 4 codebooks of 1024, as they were first released."""
    vocabulary = Vocabulary.new(4, 1024)
    assert [(s.name, s.start, s.size) for s in vocabulary.sections] == [
        ("marks", 0, 128),
        ("codec", 128, 4097),
        ("phoneme", 4225, 192),
        ("semantic", 4417, 1024),
        ("midi", 5441, 138),
    ]
    assert [vocabulary.mark(m) for m in ("start", "end", "vector", "codec_start", "tts_task")] == [0, 1, 2, 3, 21]
    before = {name: vocabulary.mark(name) for name in vocabulary.marks}
    vocabulary.add_marks(["laughter_task"])
    vocabulary.add_section("laughter", 10)
    assert {name: vocabulary.mark(name) for name in before} == before
    assert vocabulary.mark("laughter_task") == len(before) and vocabulary.section("laughter").start == 5579
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary
    layout = Layout(vocabulary)
    assert layout.allowed(TASKS["tts"]) == [(128 + 1024 * k, 128 + 1024 * (k + 1)) for k in range(4)]
