"""Metrics of speech agree with the packages and networks behind them, or with known answers, and fall with noise."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.evaluate.test_signal_metrics import RATE, SILENCE, VOICES, audio, noise, tone, with_noise

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError
from uniaudio.evaluate.metrics.dnsmos import dnsmos
from uniaudio.evaluate.metrics.rate import (
    CLASSES,
    delivery,
    expected_seconds,
    phones_per_second,
    speech_seconds,
    style_class,
    style_ratios,
    typical,
)
from uniaudio.evaluate.metrics.speaker_similarity import similarity, speaker_embedding
from uniaudio.evaluate.metrics.wer import (
    character_error_rate,
    character_errors,
    recognise,
    word_error_rate,
    word_errors,
)

TEXT = "The old man bought a boat."
_CONVOLUTIONS: dict[str, Any] = {
    "conv_dim": (8, 8),
    "conv_kernel": (10, 8),
    "conv_stride": (5, 4),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
_TINY: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    **_CONVOLUTIONS,
}


def voice(seconds: float) -> Audio:
    """Return speech of a length: the shipped voices one after another."""
    return audio(np.concatenate([clip.samples[0] for clip in VOICES])[: round(seconds * RATE)])


def played(clip: Audio, speed: float) -> Audio:
    """Return a clip played faster: shorter and higher by the same factor."""
    return Audio(clip.samples, round(clip.sample_rate * speed)).resample(RATE)


def spoken(pitches: np.ndarray) -> Audio:
    """Return a buzz that follows pitches [N] in Hz, one a sample."""
    phase = 2 * np.pi * np.cumsum(pitches) / RATE
    return audio(0.1 * np.sum([np.sin(k * phase) / k for k in range(1, 12)], axis=0))


def test_dnsmos_is_what_its_package_says(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("librosa")  # the package imports it for another model
    package = pytest.importorskip("speechmos.dnsmos")
    models = Path(package.__file__).parent / "dnsmos_models"
    reference = package.DNSMOS(str(models / "sig_bak_ovr.onnx"), str(models / "model_v8.onnx"))
    monkeypatch.setattr(reference, "audio_melspec", lambda **_: np.zeros((900, 120), np.float32))  # for that model
    # doubled until 9.01 s, just one window, a last window in a begun second
    for clip in (voice(2.3), with_noise(voice(9.5), 5), voice(10.9)):
        expected = reference(clip.samples[0], RATE, False)
        assert dnsmos(clip) == pytest.approx([expected[f"{name}_mos"] for name in ("ovrl", "sig", "bak")], abs=1e-4)


def test_dnsmos_falls_with_noise_and_refuses_silence():
    pytest.importorskip("onnxruntime")
    pytest.importorskip("speechmos")
    scores = [dnsmos(with_noise(voice(4.6), snr)) for snr in (40, 20, 10, 0)]
    for name in ("overall", "background"):
        values = [getattr(score, name) for score in scores]
        assert values == sorted(values, reverse=True) and values[0] > values[-1] + 1
    with pytest.raises(ValueError, match="not silent"):
        dnsmos(SILENCE)
    with pytest.raises(ValueError, match="0.5 s"):
        dnsmos(voice(0.3))


def test_edits_are_counted_in_words_and_in_characters():
    assert word_errors("One two, three four!", "one too three") == (2, 4)
    assert word_errors("one two", "") == (2, 2)
    assert word_errors("one", "one one one") == (2, 1)
    assert character_errors("cat hat", "cut hat") == (1, 7)
    assert character_errors("cat", "cats") == (1, 3)
    assert character_error_rate(["cat hat", "dog"], ["cut hat", ""]) == pytest.approx(4 / 10)
    assert word_error_rate(["cat hat", "dog"], ["cut hat", ""]) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="no words"):
        word_errors("?!", "one")


def test_word_and_character_errors_rise_with_noise():
    clip = voice(2.0)
    clean = recognise(clip)
    heard = [clean, *(recognise(with_noise(clip, snr)) for snr in (5, -10))]
    for rate in (word_error_rate, character_error_rate):
        errors = [rate([clean], [text]) for text in heard]
        assert errors == sorted(errors) and errors[-1] > errors[0] + 0.3


def ctc_folder(folder: Path) -> Path:
    """Save a CTC network that hears "o" in every frame."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    letters = {"<pad>": 0, "<unk>": 1, "|": 2, "H": 3, "E": 4, "L": 5, "O": 6}
    (folder / "letters.json").write_text(json.dumps(letters))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "letters.json"))
    network = Wav2Vec2ForCTC(Wav2Vec2Config(vocab_size=7, pad_token_id=0, **_TINY))
    with torch.no_grad():
        network.lm_head.weight.zero_()
        network.lm_head.bias.copy_(torch.tensor([0.0, 0, 0, 0, 0, 0, 9]))
    for part in (network, tokenizer, Wav2Vec2FeatureExtractor()):
        part.save_pretrained(folder)
    return folder


def whisper_folder(folder: Path) -> Path:
    """Save a Whisper that would rather say "2" than " hello" at every step, and nothing else."""
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

    marks = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
    tokenizer = WhisperTokenizer(vocab={t: i for i, t in enumerate([*marks, "Ġhello", "2"])}, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": marks[1:]})
    size: dict[str, Any] = {
        f"{side}_{name}": 16 if name == "ffn_dim" else 1
        for side in ("encoder", "decoder")
        for name in ("ffn_dim", "layers", "attention_heads")
    }
    config = WhisperConfig(
        vocab_size=7,
        num_mel_bins=8,
        d_model=16,
        max_target_positions=12,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        decoder_start_token_id=1,
        begin_suppress_tokens=None,
        **size,
    )
    network = WhisperForConditionalGeneration(config)
    decoder = network.model.decoder
    with torch.no_grad():
        decoder.embed_tokens.weight.zero_()
        decoder.embed_tokens.weight[5:, 0] = torch.tensor([1.0, 3.0])
        decoder.layer_norm.weight.zero_()
        decoder.layer_norm.bias.copy_(torch.eye(16)[0])
    known = {"is_multilingual": True, "lang_to_id": {"<|en|>": 2}, "task_to_id": {"transcribe": 3}}
    for name, value in {**known, "no_timestamps_token_id": 4, "max_length": 6}.items():
        setattr(network.generation_config, name, value)
    for part in (network, tokenizer, WhisperFeatureExtractor(feature_size=8)):
        part.save_pretrained(folder)
    return folder


def test_a_ctc_network_is_a_recogniser_by_its_folder(tmp_path: Path):
    name = str(ctc_folder(tmp_path))
    assert recognise(VOICES[0], name) == "o"
    assert recognise(Audio(VOICES[0].samples, 22050), name) == "o"
    assert recognise(SILENCE, name) == ""


def test_whisper_is_a_recogniser_that_writes_no_digits(tmp_path: Path):
    name = str(whisper_folder(tmp_path))
    heard = recognise(VOICES[0], name).split()
    assert heard and set(heard) == {"hello"}
    with pytest.raises(ValueError, match="at most 30 s, got 31.00 s"):
        recognise(audio(tone(440, 31)), name)


def xvector_folder(folder: Path) -> Path:
    """Save a random x-vector network of 12 dimensions."""
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector

    layers: dict[str, Any] = {
        "tdnn_dim": (8, 8, 16),
        "tdnn_kernel": (5, 3, 1),
        "tdnn_dilation": (1, 2, 1),
        "xvector_output_dim": 12,
    }
    for part in (WavLMForXVector(WavLMConfig(**_TINY, **layers)), Wav2Vec2FeatureExtractor()):
        part.save_pretrained(folder)
    return folder


def test_an_x_vector_network_is_a_speaker_encoder_by_its_folder(tmp_path: Path):
    import torch
    from transformers import WavLMForXVector

    name = str(xvector_folder(tmp_path))
    found = [speaker_embedding(clip, name) for clip in VOICES[:3]]
    network = WavLMForXVector.from_pretrained(name).eval()
    for clip, vector in zip(VOICES, found, strict=False):
        samples = torch.from_numpy((clip.samples - clip.samples.mean()) / (clip.samples.std() + 1e-7))
        with torch.no_grad():
            expected = network(samples).embeddings[0].numpy()
        assert similarity(vector, expected / np.linalg.norm(expected)) == pytest.approx(1, abs=1e-4)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    for silent in (SILENCE, audio(tone(200, 0.2))):
        with pytest.raises(ValueError, match="no voice"):
            speaker_embedding(silent, name)


def test_similarity_to_the_clean_voice_falls_with_noise():
    clean = speaker_embedding(VOICES[0])
    scores = [similarity(clean, speaker_embedding(with_noise(VOICES[0], snr))) for snr in (40, 20, 10, 0)]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0.9 > scores[-1]


def test_a_judge_that_cannot_be_loaded_is_named_in_one_line(tmp_path: Path):
    (tmp_path / "ctc").mkdir()
    (tmp_path / "empty").mkdir()
    other_kind = str(ctc_folder(tmp_path / "ctc"))
    for name, reason in ((str(tmp_path / "none"), "no folder"), (str(tmp_path / "empty"), "no whole model")):
        for ask in (recognise, speaker_embedding):
            with pytest.raises(InputError, match=reason) as caught:
                ask(VOICES[0], name)
            assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="lacks the weights"):
        speaker_embedding(VOICES[0], other_kind)


def test_speech_is_timed_without_the_silence_around_it():
    speech = tone(200, 1.0)
    for before, after in ((0.0, 0.0), (0.5, 0.2), (0.1, 2.0)):
        padded = np.concatenate([np.zeros(round(before * RATE)), speech, np.zeros(round(after * RATE))])
        assert speech_seconds(audio(padded + 1e-4 * noise(len(padded)))) == pytest.approx(1.0, abs=0.04)
    split = np.concatenate([speech, np.zeros(RATE // 2), speech])
    assert speech_seconds(audio(split)) == pytest.approx(2.5, abs=0.04)
    with pytest.raises(ValueError, match="no speech"):
        speech_seconds(SILENCE)


def test_phones_per_second_counts_the_phones_of_the_text():
    pytest.importorskip("espeakng_loader")
    assert phones_per_second(audio(tone(200, 2.0)), "Hello.") == pytest.approx(2.0, rel=0.03)  # h ə l oʊ
    assert phones_per_second(audio(tone(200, 1.0)), "Hello, hello.") == pytest.approx(8.0, rel=0.03)
    assert expected_seconds("Hello.") < expected_seconds("Hello hello.") < expected_seconds("Hello, hello.")


def test_a_faster_clip_has_a_higher_rate_and_pitch_by_the_factor():
    pytest.importorskip("espeakng_loader")
    pytest.importorskip("parselmouth")
    for clip in VOICES[:3]:
        neutral = delivery(clip, TEXT)
        for speed in (0.76, 1.0, 1.32):
            louder = audio(0.5 * played(clip, speed).samples[0])
            ratios = style_ratios(delivery(louder, TEXT), neutral)
            assert ratios["rate"] == pytest.approx(speed, rel=0.05)
            assert ratios["pitch"] == pytest.approx(speed, rel=0.05)
            assert ratios["range"] == pytest.approx(1.0, rel=0.15)
            assert ratios["energy"] == pytest.approx(0.5, rel=0.05)


def test_pitch_and_its_range_are_those_of_the_sound():
    pytest.importorskip("espeakng_loader")
    pytest.importorskip("parselmouth")
    turns = np.sin(2 * np.pi * 2 * np.arange(3 * RATE) / RATE)
    for hz, swing in ((110, 0.05), (110, 0.2), (220, 0.1), (300, 0.02)):
        found = delivery(spoken(hz * np.exp(swing * turns)), TEXT)
        assert found.pitch == pytest.approx(hz, rel=0.02)
        assert found.range == pytest.approx(swing * np.sin(0.34 * np.pi), rel=0.1)  # 68 % of a sine lie within
    with pytest.raises(ValueError, match="no voice"):
        delivery(audio(0.1 * noise(RATE)), TEXT)
    with pytest.raises(ValueError, match="no speech"):
        delivery(SILENCE, TEXT)


def test_classes_are_the_nearest_on_a_logarithmic_scale():
    for name, classes in CLASSES.items():
        for value, ratio in classes.items():
            assert style_class(name, ratio) == style_class(name, ratio * 1.03) == value
    assert [style_class("rate", r) for r in (0.5, 0.87, 0.89, 1.12, 1.14, 3.0)] == [
        *("slow", "slow", "normal", "normal", "fast", "fast")
    ]


def test_typical_takes_the_median_of_each_value():
    pytest.importorskip("espeakng_loader")
    pytest.importorskip("parselmouth")
    found = [delivery(clip, TEXT) for clip in VOICES[:3]]
    assert typical(found).pitch == sorted(one.pitch for one in found)[1]
    assert typical(found[:1]) == found[0]
    with pytest.raises(ValueError, match="no recording"):
        typical([])
