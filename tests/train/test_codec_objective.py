"""Codec training: it overfits, the two sides of the adversarial game stay apart, and a decoder can learn alone.

B batch, N samples, T frames
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from uniaudio import checkpoint
from uniaudio.audio.io import Audio, write_audio
from uniaudio.codec.model import Codec, CodecConfig
from uniaudio.codec.seanet import SEANetConfig
from uniaudio.data.manifests import cut_line, recording_cut
from uniaudio.errors import InputError
from uniaudio.recipes import debug, run
from uniaudio.recipes.codec import load_codec
from uniaudio.train.loop import LoopConfig, TrainState, train
from uniaudio.train.objectives.adversarial import AdversarialConfig, Adversary
from uniaudio.train.objectives.codec import CodecObjective, CodecObjectiveConfig
from uniaudio.train.optim import OptimConfig

LOOP = LoopConfig(steps=60, bf16=False, ema_decay=0.9, optim=OptimConfig(lr=3e-3, warmup_steps=3, schedule="wsd"))
SETTINGS = CodecObjectiveConfig(batch_size=2, unquantized_steps=2, codebook_dropout=0.5)
GAMES = ("hinge", "lsgan")


def objective(settings: CodecObjectiveConfig = SETTINGS, codec: Codec | None = None) -> CodecObjective:
    torch.manual_seed(0)
    return CodecObjective(Codec(debug.CODEC) if codec is None else codec, debug.codec_objective().crops, settings)


def signals(objective: CodecObjective) -> Tensor:
    return objective.batch(0, 0)[0]  # [B, 1, N]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec run of the debug codec, long enough for its codebooks to have started."""
    folder = tmp_path_factory.mktemp("runs") / "codec"
    train(objective(), replace(LOOP, steps=6), folder)
    return folder


def test_the_codec_overfits_its_batch():
    state = TrainState(debug.codec_objective(), LOOP)
    losses = [state.advance()["mel"] for _ in range(60)]
    assert min(losses[-5:]) < 0.5 * losses[0]


def test_a_seanet_codec_learns_too():
    seanet = SEANetConfig(n_filters=4, ratios=(8, 8, 5, 2), dim=8, num_lstm_layers=1)
    codec = Codec(CodecConfig(shape="seanet", num_codebooks=2, codebook_size=16, seanet=seanet))
    state = TrainState(objective(replace(SETTINGS, codebook_dropout=0.0), codec), replace(LOOP, steps=8))
    losses = [state.advance()["mel"] for _ in range(8)]
    assert losses[-1] < losses[0]


# The adversarial stage


@pytest.mark.parametrize("game", GAMES)
def test_no_gradient_crosses_between_the_two_sides(game: str):
    torch.manual_seed(0)
    adversary = Adversary(AdversarialConfig(game=game))  # type: ignore[arg-type]
    parameters = list(adversary.discriminator.parameters())
    decoded, original = torch.randn(2, 1, 2000, requires_grad=True), torch.randn(2, 1, 2000)
    generator, discriminator, _ = adversary.losses(decoded, original)
    of_decoded = torch.autograd.grad(generator, [decoded, *parameters], retain_graph=True, allow_unused=True)
    assert of_decoded[0] is not None and of_decoded[0].abs().max() > 0
    assert all(gradient is None for gradient in of_decoded[1:])
    of_parameters = torch.autograd.grad(discriminator, [decoded, *parameters], retain_graph=True, allow_unused=True)
    assert of_parameters[0] is None
    own = [gradient for gradient in of_parameters[1:] if gradient is not None]
    assert len(own) == len(parameters) and max(float(gradient.abs().max()) for gradient in own) > 0
    # One backward pass of the sum gives each side exactly its own gradient.
    both = torch.autograd.grad(generator + discriminator, [decoded, *parameters])
    assert torch.equal(both[0], of_decoded[0])
    assert all(torch.equal(together, alone) for together, alone in zip(both[1:], own, strict=True))


@pytest.mark.parametrize("game", GAMES)
def test_the_generator_term_is_that_of_the_discriminator_itself(game: str):
    """The copy with constant weights judges as the discriminator does, and its slope at the signal is the same."""
    torch.manual_seed(0)
    adversary = Adversary(AdversarialConfig(game=game, weight=1.0, feature_weight=0.0))  # type: ignore[arg-type]
    decoded, original = torch.randn(2, 1, 2000, requires_grad=True), torch.randn(2, 1, 2000)
    term = adversary.losses(decoded, original)[0]
    wanted = adversary.game.generator(adversary.discriminator(decoded))
    assert torch.equal(term, wanted)
    assert torch.equal(torch.autograd.grad(term, decoded)[0], torch.autograd.grad(wanted, decoded)[0])


@pytest.mark.parametrize("game", GAMES)
def test_the_discriminator_learns_in_the_loop(game: str):
    adversarial = AdversarialConfig(game=game, weight=0.0, feature_weight=0.0, start_step=1)  # type: ignore[arg-type]
    state = TrainState(objective(replace(SETTINGS, adversarial=adversarial)), replace(LOOP, steps=13))
    figures = [state.advance() for _ in range(13)]
    assert "discriminator" not in figures[0] and all("discriminator" in row for row in figures[1:])
    assert figures[-1]["discriminator"] < figures[1]["discriminator"]
    assert figures[-1]["real_above_fake"] > max(0.0, figures[1]["real_above_fake"])


def test_the_codec_moves_towards_what_the_discriminator_takes_for_real():
    codec_moves = {}
    for weight in (0.0, 1.0):
        adversarial = AdversarialConfig(weight=weight, feature_weight=weight)
        state = TrainState(objective(replace(SETTINGS, adversarial=adversarial)), replace(LOOP, steps=2))
        state.advance()
        codec_moves[weight] = state.objective.module.get_parameter("codec.decoder.head.weight").detach().clone()
    assert not torch.equal(codec_moves[0.0], codec_moves[1.0])


def test_only_a_share_of_the_batch_is_judged():
    torch.manual_seed(0)
    decoded, original = torch.randn(4, 1, 2000, requires_grad=True), torch.randn(4, 1, 2000)
    for share, judged in ((1.0, 4), (0.5, 2), (0.01, 1)):
        generator, _, _ = Adversary(AdversarialConfig(batch_share=share)).losses(decoded, original)
        (slope,) = torch.autograd.grad(generator, decoded)
        assert [bool(row.abs().max() > 0) for row in slope] == [row < judged for row in range(4)]


@pytest.mark.parametrize("bf16", [False, True])
def test_an_adversarial_run_resumes_exactly(tmp_path: Path, bf16: bool):
    settings = replace(SETTINGS, adversarial=AdversarialConfig(start_step=2, batch_share=0.5))
    loop = replace(LOOP, steps=5, bf16=bf16)
    train(objective(settings), loop, tmp_path / "whole")
    for _ in range(5):
        train(objective(settings), replace(loop, stop_after_minutes=0.0), tmp_path / "parts")
    whole, parts = (checkpoint.load(tmp_path / name / "checkpoint") for name in ("whole", "parts"))
    assert whole.config["step"] == parts.config["step"] == 5
    assert whole.tensors.keys() == parts.tensors.keys()
    assert any(name.startswith("model.discriminator.") for name in whole.tensors)
    for name, value in whole.tensors.items():
        assert torch.equal(value, parts.tensors[name]), name


@pytest.mark.parametrize(
    ("change", "word"),
    [({"batch_share": 0.0}, "batch_share"), ({"batch_share": 1.5}, "1.5"), ({"weight": -1.0}, "weight")],
)
def test_bad_adversarial_settings_are_refused(change: dict[str, float], word: str):
    with pytest.raises(InputError, match=word):
        AdversarialConfig(**change)  # type: ignore[arg-type]


# The decoder alone


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("adversarial", [None, AdversarialConfig()])
def test_a_decoder_learns_while_the_codes_stay(trained: Path, adversarial: AdversarialConfig | None, bf16: bool):
    codec, _ = load_codec(trained)
    settings = replace(SETTINGS, decoder_only=True, adversarial=adversarial)
    decoder_objective = objective(settings, codec)
    samples = signals(decoder_objective)
    before, codes = {k: v.clone() for k, v in codec.state_dict().items()}, codec.encode(samples)
    state = TrainState(decoder_objective, replace(LOOP, steps=6, bf16=bf16))
    figures = [state.advance() for _ in range(6)]
    assert torch.equal(codec.encode(samples), codes)
    changed = {name.split(".")[0] for name, value in codec.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"decoder"}
    assert "content" not in figures[0] and "commitment" not in figures[0] and "probe" not in decoder_objective.module
    frozen = {n for n, p in decoder_objective.module.named_parameters() if not p.requires_grad}
    assert frozen and all(name.startswith("codec.encoder.") for name in frozen)


def test_a_decoder_run_improves_the_sound_and_is_a_codec_run_itself(trained: Path, tmp_path: Path):
    codec, digest = load_codec(trained)
    decoder_objective = objective(replace(SETTINGS, decoder_only=True), codec)
    samples = signals(decoder_objective)
    codes = codec.encode(samples)
    mel_before = float(decoder_objective.mel(codec.decode(codes), samples))
    train(decoder_objective, replace(LOOP, steps=20), tmp_path / "decoder")
    after, digest_after = load_codec(tmp_path / "decoder")
    assert digest_after == digest and torch.equal(after.encode(samples), codes)
    assert float(decoder_objective.mel(after.decode(codes), samples)) < mel_before


def test_a_loaded_codec_can_go_on_as_a_whole(trained: Path):
    codec, _ = load_codec(trained)
    before = {k: v.clone() for k, v in codec.state_dict().items()}
    TrainState(objective(replace(SETTINGS, unquantized_steps=0), codec), replace(LOOP, steps=2)).advance()
    changed = {name.split(".")[0] for name, value in codec.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"encoder", "decoder", "quantizer"}


# What the checkpoint says of the run


@pytest.mark.parametrize("shape", ["convnext", "seanet"])
def test_describe_says_what_is_needed_and_no_more(shape: str):
    config = replace(debug.CODEC, shape=shape, seanet=SEANetConfig(n_filters=4, num_lstm_layers=0))
    plain = objective(codec=Codec(config)).describe()
    assert set(plain["codec"]) == {"shape", "num_codebooks", "codebook_size", shape}
    assert not {"decoder_only", "adversarial"} & set(plain["loss"]), "an older run has no such words and is the same"
    full = objective(replace(SETTINGS, decoder_only=True, adversarial=AdversarialConfig()), Codec(config)).describe()
    assert full["loss"]["decoder_only"] is True and full["loss"]["adversarial"]["game"] == "hinge"
    assert json.loads(json.dumps(full)) == full


def test_a_seanet_run_is_loaded_and_resumed(tmp_path: Path):
    seanet = SEANetConfig(n_filters=4, ratios=(8, 8, 5, 2), dim=8, num_lstm_layers=0)
    config = CodecConfig(shape="seanet", num_codebooks=2, codebook_size=16, seanet=seanet)
    for steps in (1, 2):
        train(objective(codec=Codec(config)), replace(LOOP, steps=2, stop_after_minutes=0.0), tmp_path)
        assert checkpoint.load(tmp_path / "checkpoint").config["step"] == steps
    assert load_codec(tmp_path)[0].config == config


# The recipe


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    noise = np.random.default_rng(0).standard_normal((1, 16000)).astype(np.float32) * 0.1
    write_audio(folder / "a.wav", Audio(noise.clip(-1, 1), 16000))
    cut = recording_cut("a", "a.wav", 16000, 16000, "train", phones=[["AA", 0.0, 1.0]])
    (folder / "cuts.jsonl").write_text(cut_line(cut))
    return folder


def test_the_recipe_trains_a_decoder_alone(trained: Path, corpus: Path, tmp_path: Path):
    changes = [f"start={trained}", "objective.decoder_only=true", "objective.batch_size=2", "crop_frames=8"]
    changes += ["objective.adversarial={}", "loop.steps=2", "loop.bf16=false", "loop.optim.warmup_steps=1"]
    run("codec_mini", changes, corpus=corpus, run=tmp_path / "decoder")
    samples = 0.1 * torch.randn(1, 1, 6400)
    (first, digest), (second, digest_after) = load_codec(trained), load_codec(tmp_path / "decoder")
    assert digest == digest_after and torch.equal(first.encode(samples), second.encode(samples))
    assert not torch.equal(first.decode(first.encode(samples)), second.decode(first.encode(samples)))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (["objective.decoder_only=true"], "start="),
        (["start=somewhere", "codec.num_codebooks=3"], "codec"),
        (['objective.adversarial={"game": "chess"}'], "hinge"),
    ],
)
def test_the_recipe_refuses_what_cannot_be(corpus: Path, tmp_path: Path, changes: list[str], word: str):
    with pytest.raises(InputError, match=word):
        run("codec_mini", changes, corpus=corpus, run=tmp_path / "run")
