"""The semantic network: what it sees and hides, its features, its training, and the tokenizer made of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.corpora import phones_over, write_corpus
from torch import Tensor

from uniaudio import checkpoint
from uniaudio.audio.io import Audio
from uniaudio.data.manifests import read_manifest
from uniaudio.data.phone_frames import UNKNOWN
from uniaudio.errors import InputError
from uniaudio.nn.transformer import TransformerConfig
from uniaudio.recipes import run
from uniaudio.recipes.ssl import SemanticFit, fit_semantic, layer_features, load_hubert
from uniaudio.ssl.hubert import Hubert, HubertConfig, HubertFrames, MelFrames, normalise, pack, unpack, warp_matrix
from uniaudio.ssl.invariance import least_disturbed
from uniaudio.ssl.kmeans import fit_kmeans, nearest
from uniaudio.tokenizers.semantic import MelFeatures, ProjectedFeatures, SemanticTokenizer
from uniaudio.train.loop import LoopConfig, TrainState
from uniaudio.train.objectives.ssl import HubertObjective, HubertObjectiveConfig, LabelledSpeech
from uniaudio.train.optim import OptimConfig

TINY = HubertConfig(num_mels=20, transformer=TransformerConfig(width=32, layers=3, heads=2))
SIZES = ["hubert.num_mels=20", "hubert.transformer.width=32", "hubert.transformer.layers=3"]
SIZES += ["hubert.transformer.heads=2", "objective.frame_budget=150", "clusters=8", "directions=6"]


def syllables(seed: int, seconds: float = 1.6) -> Audio:
    """Five tones of 0.2 s over and over, from one of them on."""
    random = np.random.default_rng(seed)
    time = np.arange(3200) / 16000
    pitches = np.resize(np.roll([200.0, 500.0, 1100.0, 2300.0, 4700.0], random.integers(5)), round(seconds / 0.2))
    samples = np.concatenate([np.sin(2 * np.pi * f * time) for f in pitches])
    return Audio((0.3 * samples + 1e-3 * random.standard_normal(len(samples))).astype(np.float32)[None], 16000)


@pytest.fixture(scope="module")
def network() -> Hubert:
    torch.manual_seed(0)
    return Hubert(TINY).eval()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of tones, 12 for training and 3 to test."""
    splits = ["train"] * 12 + ["test"] * 3
    rows = [{"id": f"{split}-{i}", "split": split, "seconds": 1.6} for i, split in enumerate(splits)]
    folder = write_corpus(tmp_path_factory.mktemp("corpora") / "speech", rows)
    for index, row in enumerate(rows):
        syllables(index).write(folder / f"{row['id']}.flac")
    return folder


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    run("hubert_mini", [*SIZES, "loop.steps=4", "loop.log_every=1"], corpus=corpus, run=folder)
    return folder


def mel_of(network: Hubert, audio: Audio) -> Tensor:
    return normalise(MelFrames(network.config)(torch.from_numpy(audio.samples)))


# The network


def test_every_frame_sees_both_sides_and_masked_ones_are_gone(network: Hubert) -> None:
    mel = mel_of(network, syllables(0)).requires_grad_()
    hidden = network(mel)
    assert hidden.shape == (1, 40, 32)
    (gradient,) = torch.autograd.grad(hidden[0, 20, 0], mel)
    reached = gradient[0].abs().sum(1).reshape(40, 4).sum(1) > 0
    assert reached.all()
    masked = torch.zeros(1, 40, dtype=torch.bool)
    masked[0, 10:15] = True
    (gradient,) = torch.autograd.grad(network(mel, masked)[0, 12].square().sum() + network(mel, masked)[0, 0, 0], mel)
    reached = gradient[0].abs().sum(1).reshape(40, 4).sum(1) > 0
    assert torch.equal(reached, ~masked[0])


def test_a_batch_is_as_its_rows(network: Hubert) -> None:
    mels = torch.cat([mel_of(network, syllables(seed)) for seed in range(3)])
    together = network(mels)
    assert torch.allclose(together[1], network(mels[1:2])[0], atol=1e-5)


def test_a_warp_moves_the_bands() -> None:
    assert torch.allclose(warp_matrix(40, 1.0), torch.eye(40), atol=1e-6)
    assert torch.allclose(warp_matrix(40, 1.3).sum(1), torch.ones(40))
    tone = MelFrames(HubertConfig())(0.3 * torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)[None])[0, 50]
    higher = MelFrames(HubertConfig())(0.3 * torch.sin(2 * torch.pi * 1300 * torch.arange(16000) / 16000)[None])[0, 50]
    assert int((warp_matrix(40, 1000 / 1300) @ tone).argmax()) == int(higher.argmax()) != int(tone.argmax())


def test_level_and_tone_control_change_no_feature(network: Hubert) -> None:
    mel = MelFrames(TINY)(torch.from_numpy(syllables(0).samples))
    changed = mel - 1.5 + torch.linspace(-1, 1, 20)
    assert torch.allclose(normalise(mel).mean((0, 1)), normalise(changed).mean((0, 1)), atol=0.2)
    frames = HubertFrames.of_layer(network, 2)
    loud = torch.from_numpy(syllables(0).samples)
    assert torch.allclose(frames.features(loud), frames.features(0.5 * loud), atol=0.05)
    assert torch.isfinite(frames.features(torch.zeros(1, 16000))).all()


# Its features


@pytest.mark.parametrize("num_samples", [1, 639, 640, 641, 16000])
def test_features_cover_the_recording(network: Hubert, num_samples: int) -> None:
    frames = HubertFrames.of_layer(network, 3)
    assert frames.features(torch.ones(2, num_samples)).shape == (2, -(-num_samples // 640), 32)
    assert frames.frame_rate == 25.0


def test_a_layer_is_the_network_up_to_there_in_8_bits(network: Hubert) -> None:
    frames = HubertFrames.of_layer(network, 2)
    assert len(frames.network.blocks) == 2
    stored = sum(value.nbytes for value in frames.tensors().values())
    assert stored < 1.3 * sum(value.numel() for value in frames.network.state_dict().values())
    for name, value in unpack(pack(network.state_dict())).items():
        step = network.state_dict()[name].abs().amax() / 127
        assert (value - network.state_dict()[name]).abs().max() <= 0.51 * step


def test_long_recordings_go_through_in_parts(network: Hubert) -> None:
    frames = HubertFrames.of_layer(network, 3)
    long = torch.from_numpy(np.concatenate([syllables(seed, 6.0).samples for seed in range(4)], axis=1))
    parts, whole = frames.features(long), network(normalise(MelFrames(TINY)(long)))
    assert parts.shape == whole.shape == (1, 600, 32)
    alike = torch.nn.functional.cosine_similarity(parts, whole, dim=-1)
    assert alike.mean() > 0.97  # what is 2 s away matters little


def test_a_tokenizer_travels_with_its_network(network: Hubert, tmp_path: Path) -> None:
    audios = [syllables(seed) for seed in range(4)]
    projected = ProjectedFeatures.fit(HubertFrames.of_layer(network, 2), audios, 12)
    tokenizer = SemanticTokenizer.fit(projected, audios, num_ids=8)
    tokenizer.save(tmp_path / "semantic")
    loaded = SemanticTokenizer.load(tmp_path / "semantic")
    first, second = tokenizer.encode(audios[0]).ids, loaded.encode(audios[0]).ids
    assert first is not None and second is not None
    assert torch.equal(first, second) and len(first.unique()) > 2
    stored = checkpoint.load(tmp_path / "semantic")
    for gone, told in (("network.of.embed.weight", "embed.weight"), ("network.matrix", "matrix")):
        tensors = {name: value for name, value in stored.tensors.items() if name != gone}
        checkpoint.save(tmp_path / "damaged", tensors, stored.config)
        with pytest.raises(InputError, match=told):
            SemanticTokenizer.load(tmp_path / "damaged")


def test_what_the_nuisance_disturbs_is_left_out() -> None:
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator))[0]
    telling, nuisance = torch.randn(3000, 6, generator=generator), torch.randn(1000, 6, generator=generator)
    nuisance[:, :4] = 0  # the last two directions, also the loudest, say nothing
    telling[:, 4:] *= 3
    matrix = least_disturbed(telling @ turn, 3 * nuisance @ turn, 4)
    assert matrix.shape == (6, 4) and (turn[4:] @ matrix).abs().max() < 0.05 * (turn[:4] @ matrix).abs().max()
    with pytest.raises(InputError, match="7 directions cannot be kept of 6"):
        least_disturbed(telling, nuisance, 7)


def test_projected_features_differ_less_between_speeds() -> None:
    audios = [syllables(seed) for seed in range(6)]
    plain = MelFeatures(scaled=True)
    projected = ProjectedFeatures.fit(plain, audios, 4)
    faster = Audio(audios[0].resample(13600).samples, 16000)  # all tones higher by 18 %
    shares = []
    for features in (plain, projected):
        first, second = (features.features(torch.from_numpy(audio.samples))[0] for audio in (audios[0], faster))
        same = second[((torch.arange(len(first)) + 0.5) * 0.85).long()] - first
        shares.append(float(same.square().sum() / (first - first.mean(0)).square().sum()))
    assert shares[1] < 0.8 * shares[0]
    with pytest.raises(InputError, match="no recordings"):
        ProjectedFeatures.fit(plain, [], 4)
    wrong = ProjectedFeatures(MelFeatures(num_coefficients=5), projected.matrix)
    with pytest.raises(InputError, match="differ in width"):
        wrong.features(torch.zeros(1, 16000))


def test_kmeans_by_mini_batches_finds_the_clusters() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = 10 * torch.randn(12, 6, generator=generator)
    points = truth[torch.arange(12).repeat(500)] + 0.1 * torch.randn(6000, 6, generator=generator)
    centroids = fit_kmeans(points, 12, seed=1, iterations=30, batch_size=300)
    assert torch.cdist(truth, centroids).min(1).values.max() < 0.2
    assert len(nearest(points, centroids).unique()) == 12
    assert torch.equal(centroids, fit_kmeans(points, 12, seed=1, iterations=30, batch_size=300))


# Its training


def objective(corpus: Path, **settings: float) -> HubertObjective:
    torch.manual_seed(0)
    rows = read_manifest(corpus, "train")
    audios = [syllables(seed) for seed in range(4)]
    teacher = SemanticTokenizer.fit(MelFeatures(scaled=True), audios, num_ids=8)
    config = replace(HubertObjectiveConfig(frame_budget=150), **settings)
    return HubertObjective(Hubert(TINY), LabelledSpeech(rows, teacher, TINY), config, {})


def test_a_batch_is_a_pure_function_of_seed_and_step(corpus: Path) -> None:
    first, again = objective(corpus), objective(corpus)
    again.batch(0, 7)
    for one, other in zip(first.batch(0, 3), again.batch(0, 3), strict=True):
        assert torch.equal(one, other)
    mel, labels, phones, hidden = first.batch(0, 4)
    assert phones.shape == labels.shape
    assert mel.shape == (len(labels), 4 * labels.shape[1], 20) and hidden.shape == labels.shape == (3, 40)
    assert not torch.equal(mel, first.batch(0, 3)[0])


def test_spans_are_hidden_at_the_asked_share(corpus: Path) -> None:
    made = objective(corpus, mask_share=0.4)
    hidden = made._hidden(200, 100, np.random.default_rng(0))
    assert 0.36 < float(hidden.float().mean()) < 0.46
    inside = hidden[:, 5:-5]
    alone = inside[:, 1:-1] & ~inside[:, :-2] & ~inside[:, 2:]
    assert not alone.any()  # a span of 5 has no frame without a hidden neighbour
    assert made._hidden(4, 2, np.random.default_rng(0)).any(1).all()


def test_labels_are_those_of_what_was_recorded(corpus: Path) -> None:
    plain = objective(corpus, warp=0.0, noise_share=0.0)
    warped = objective(corpus, warp=0.2)
    (mel, labels, *_), (other, same, *_) = plain.batch(0, 1), warped.batch(0, 1)
    kept = plain.speech[plain.speech.choose(150, 8.0, 25.0, np.random.default_rng((0, 1)))[0]]
    assert torch.allclose(mel[0], normalise(kept[0].float()[None])[0], atol=1e-5)
    assert torch.equal(labels[0], kept[1].long()) and torch.equal(labels, same)
    assert not torch.allclose(mel, other, atol=0.1)


def test_the_loss_is_of_hidden_frames_alone_and_falls(corpus: Path) -> None:
    made = objective(corpus, warp=0.05)
    mel, labels, phones, hidden = made.batch(0, 0)
    elsewhere = torch.where(hidden, labels, (labels + 1) % 8)
    with torch.no_grad():
        found, other = (made.loss((mel, own, phones, hidden), 0)[0] for own in (labels, elsewhere))
        assert torch.equal(found, other)
    loop = LoopConfig(steps=60, bf16=False, optim=OptimConfig(lr=3e-3, warmup_steps=3))
    state = TrainState(made, loop)
    losses = [state.advance()["loss"] for _ in range(60)]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:3])


def test_phones_are_named_on_all_frames_of_the_recordings_that_have_them(corpus: Path, tmp_path: Path) -> None:
    rows = read_manifest(corpus, "train")
    names = ["pau", "ah", "ee", "oo", "pau"]
    timed = [replace(row, segments=phones_over(1.6, names if index % 2 else ["x", "y"])) for index, row in
             enumerate(rows)]  # fmt: skip
    plain = objective(corpus)
    speech = LabelledSpeech(timed, plain.speech.teacher, TINY)
    assert sorted(speech.phones) == ["ah", "ee", "oo", "pau"], "those without a pause called pau stay unknown"
    labels = {tuple(speech[index][2].unique().tolist()) for index in range(len(timed))}
    assert labels == {(UNKNOWN,), tuple(range(4))}
    made = HubertObjective(Hubert(TINY), speech, replace(plain.config, phone_weight=1.0), {})
    mel, clusters, phones, hidden = made.batch(0, 0)
    unhidden = (phones != UNKNOWN) & ~hidden
    changed = torch.where(unhidden, (phones + 1) % 4, phones)
    with torch.no_grad():
        found, other = (made.loss((mel, clusters, own, hidden), 0)[0] for own in (phones, changed))
    assert unhidden.any() and not torch.equal(found, other)
    state = TrainState(made, LoopConfig(steps=60, bf16=False, optim=OptimConfig(lr=3e-3, warmup_steps=3)))
    accuracy = [state.advance()["phone_accuracy"] for _ in range(60)]
    assert np.mean(accuracy[-10:]) > np.mean(accuracy[:3])
    with pytest.raises(InputError, match="timed phones"):
        HubertObjective(Hubert(TINY), plain.speech, replace(plain.config, phone_weight=1.0), {})


def test_two_iterations_and_a_tokenizer(corpus: Path, trained: Path, tmp_path: Path) -> None:
    log = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == [1, 2, 3, 4] and "accuracy" in log[0]
    second = [*SIZES, "loop.steps=2", f"teacher={trained}", f"start={trained}", "layer=2", "clusters=6"]
    run("hubert_mini", second, corpus=corpus.parent, run=tmp_path / "second")  # a folder of corpora will do
    teacher = SemanticTokenizer.load(tmp_path / "second" / "teacher")
    assert teacher.num_ids == 6 and isinstance(teacher.features, ProjectedFeatures)
    assert isinstance(teacher.features.inner, HubertFrames) and teacher.features.matrix.shape == (32, 6)
    fit = SemanticFit(layer=2, num_ids=8, directions=10)
    made = fit_semantic(tmp_path / "second", corpus, tmp_path / "semantic", fit)
    ids = SemanticTokenizer.load(tmp_path / "semantic").encode(syllables(20)).ids
    assert ids is not None and torch.equal(ids, made.encode(syllables(20)).ids) and len(ids) == 40  # type: ignore[arg-type]


def test_a_resumed_run_is_as_one_that_never_stopped(corpus: Path, trained: Path, tmp_path: Path) -> None:
    folder, changes = tmp_path / "parts", [*SIZES, "loop.log_every=1"]
    run("hubert_mini", [*changes, "loop.steps=4"], corpus=corpus, run=folder, minutes=1e-9)
    assert checkpoint.load(folder / "checkpoint").config["step"] == 1
    run("hubert_mini", [*changes, "loop.steps=4"], corpus=corpus, run=folder)
    for name, value in load_hubert(folder).state_dict().items():
        assert torch.equal(value, load_hubert(trained).state_dict()[name]), name
    with pytest.raises(InputError, match="another configuration"):
        run("hubert_mini", [*changes, "layer=2"], corpus=corpus, run=folder)


def test_what_does_not_fit_is_told(corpus: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no layer 4: choose one from 1 to 3"):
        layer_features(trained, 4)
    with pytest.raises(InputError, match="has other sizes"):
        run("hubert_mini", [f"start={trained}"], corpus=corpus, run=tmp_path / "a")
    with pytest.raises(InputError, match="layer 0 is not possible"):
        run("hubert_mini", ["layer=0"], corpus=corpus, run=tmp_path / "b")
    with pytest.raises(InputError, match="mask_share 1.0 is no share"):
        HubertObjectiveConfig(mask_share=1.0)
    checkpoint.save(tmp_path / "c" / "checkpoint", {"ema.x": torch.zeros(1)}, {"objective": {"codec": {}}})
    with pytest.raises(InputError, match="no run of a semantic network"):
        load_hubert(tmp_path / "c")
    (tmp_path / "noise").mkdir()
    write_corpus(tmp_path / "noise" / "noise", [{"id": "n", "split": "train", "seconds": 1.0}])
    with pytest.raises(InputError, match="neither speech nor singing"):
        run("hubert_mini", SIZES, corpus=tmp_path / "noise", run=tmp_path / "d")
