"""Recordings -> semantic ids: clustering, the own features, HuBERT against transformers, and the folder on disk."""

from pathlib import Path

import numpy as np
import pytest
import torch

from uniaudio import checkpoint
from uniaudio.audio.io import Audio
from uniaudio.errors import InputError
from uniaudio.tokenizers import semantic
from uniaudio.tokenizers.semantic import HubertFeatures, MelFeatures, SemanticTokenizer, fit_kmeans, nearest


def tones(seconds: float = 4.0, sample_rate: int = 16000, level: float = 0.3) -> Audio:
    """Four vowels-to-be in turn, each 0.2 s: harmonics of 120 Hz around another peak."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    which = (time / 0.2).astype(int) % 4
    peak = np.array([400.0, 900.0, 1800.0, 3000.0])[which]
    wave = sum(np.exp(-(((120 * n - peak) / 300) ** 2)) * np.sin(2 * np.pi * 120 * n * time) for n in range(1, 33))
    noise = np.random.default_rng(0).normal(size=len(time)) * 1e-3
    return Audio((level * (wave / np.abs(wave).max() + noise)).astype(np.float32)[None], sample_rate)


def test_kmeans_finds_the_clusters() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(8, 5, generator=generator) * 10
    labels = torch.arange(8).repeat(100)
    points = truth[labels] + 0.1 * torch.randn(800, 5, generator=generator)
    centroids = fit_kmeans(points, 8, seed=1)
    assert torch.cdist(truth, centroids).min(1).values.max() < 0.1
    assert len(nearest(points, centroids).unique()) == 8


def test_kmeans_is_deterministic_and_its_seed_matters() -> None:
    points = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    first = fit_kmeans(points, 20, seed=3)
    assert torch.equal(first, fit_kmeans(points, 20, seed=3))
    assert not torch.equal(first, fit_kmeans(points, 20, seed=4))


def test_kmeans_of_repeated_points_has_no_broken_centre() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(20, 1)
    assert torch.isfinite(fit_kmeans(points, 5)).all()


def test_kmeans_needs_enough_frames() -> None:
    with pytest.raises(InputError, match="3 frames are too few for 5 clusters"):
        fit_kmeans(torch.zeros(3, 2), 5)


def test_nearest_is_the_nearest() -> None:
    generator = torch.Generator().manual_seed(0)
    points, centroids = torch.randn(100, 6, generator=generator), torch.randn(9, 6, generator=generator)
    assert torch.equal(nearest(points, centroids, chunk=7), torch.cdist(points, centroids).argmin(1))


def test_mel_features_shape_level_and_rate() -> None:
    features = MelFeatures()
    samples = torch.from_numpy(tones(1.0).samples)
    vectors = features.features(samples)
    assert vectors.shape == (1, 50, 40)
    assert vectors[..., :20].mean(1).abs().max() < 1e-3
    assert torch.allclose(vectors, features.features(samples * 0.5), atol=0.1)  # a quieter recording says the same


def test_slopes_of_a_line() -> None:
    line = torch.arange(10.0)[None, :, None] * 3
    assert torch.allclose(semantic._slopes(line)[0, 2:-2, 0], torch.full((6,), 3.0))


@pytest.fixture(scope="module")
def fitted() -> SemanticTokenizer:
    return SemanticTokenizer.fit(MelFeatures(), [tones(), tones(6.0, level=0.1)], num_ids=8, seed=0)


def test_ids_tell_the_sounds_apart(fitted: SemanticTokenizer) -> None:
    ids = fitted.encode(tones()).ids
    assert ids is not None and ids.shape == (100, 1) and ids.dtype == torch.int64
    assert 0 <= ids.min() and ids.max() < fitted.num_ids == 8
    steady = ids[2::5, 0].reshape(5, 4)  # the middle frame of each 0.2 s, five rounds of four sounds
    assert (steady == steady[0]).all()
    assert len(steady[0].unique()) == 4


@pytest.mark.parametrize("seconds", [0.001, 0.04, 0.05, 1.0, 1.02, 1.5])
@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_frames_cover_the_recording_as_the_codec_does(
    fitted: SemanticTokenizer, seconds: float, sample_rate: int
) -> None:
    audio = tones(seconds, sample_rate)
    assert len(fitted.encode(audio)) == -(-audio.resample(16000).samples.shape[1] // 640)


def test_a_higher_codec_rate_repeats_frames() -> None:
    tokenizer = SemanticTokenizer.fit(MelFeatures(), [tones()], num_ids=4, frame_rate=100.0)
    ids = tokenizer.encode(tones(1.0)).ids
    assert ids is not None and len(ids) == 100
    assert torch.equal(ids[0::2], ids[1::2])


def test_fit_is_deterministic(fitted: SemanticTokenizer) -> None:
    again = SemanticTokenizer.fit(MelFeatures(), [tones(), tones(6.0, level=0.1)], num_ids=8, seed=0)
    assert torch.equal(again.centroids, fitted.centroids)


def test_saved_tokenizer_gives_the_same_ids(fitted: SemanticTokenizer, tmp_path: Path) -> None:
    fitted.save(tmp_path / "semantic")
    loaded = SemanticTokenizer.load(tmp_path / "semantic")
    first, second = fitted.encode(tones(1.0)).ids, loaded.encode(tones(1.0)).ids
    assert first is not None and second is not None
    assert torch.equal(first, second)
    assert loaded.frame_rate == fitted.frame_rate


def test_changed_file_is_refused(fitted: SemanticTokenizer, tmp_path: Path) -> None:
    folder = tmp_path / "semantic"
    fitted.save(folder)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError):
        SemanticTokenizer.load(folder)


def test_missing_model_is_explained(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no semantic model is configured"):
        SemanticTokenizer.load(None)
    with pytest.raises(InputError, match="there is no semantic model at"):
        SemanticTokenizer.load(tmp_path / "none")
    with pytest.raises(
        InputError, match="unknown semantic features 'wavlm': choose one of hubert, mel, own_hubert, pitch"
    ):
        semantic.make_features({"kind": "wavlm"})
    with pytest.raises(InputError, match="settings of the mel features are wrong"):
        semantic.make_features({"kind": "mel", "layer": 3})
    checkpoint.save(tmp_path / "other", {"mean": torch.zeros(3)}, {"frame_rate": 25.0})
    with pytest.raises(InputError, match="is not a semantic model"):
        SemanticTokenizer.load(tmp_path / "other")
    with pytest.raises(InputError, match="no recordings"):
        SemanticTokenizer.fit(MelFeatures(), [], num_ids=4)


def save_hubert(folder: Path, norm: str = "group") -> None:
    from transformers import HubertConfig, HubertModel

    torch.manual_seed(0)
    config = HubertConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=48,
        conv_dim=(16, 16, 16, 16, 16, 16, 16),
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        feat_extract_norm=norm,
    )
    HubertModel(config).save_pretrained(folder)


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_hubert_gives_the_layer_of_transformers(tmp_path: Path, norm: str) -> None:
    transformers = pytest.importorskip("transformers")
    save_hubert(tmp_path, norm)
    features = HubertFeatures(tmp_path, layer=2)
    assert features.frame_rate == 50.0
    samples = torch.from_numpy(tones(1.0).samples)
    network = transformers.HubertModel.from_pretrained(tmp_path).eval()
    ready = transformers.Wav2Vec2FeatureExtractor(do_normalize=norm == "layer")(
        samples[0].numpy(), sampling_rate=16000, return_tensors="pt"
    )
    with torch.no_grad():
        expected = network(ready.input_values, output_hidden_states=True).hidden_states[2]
    assert torch.allclose(features.features(samples), expected, atol=1e-3)


def test_hubert_tokens_and_limits(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    save_hubert(tmp_path)
    tokenizer = SemanticTokenizer.fit(HubertFeatures(tmp_path, layer=2), [tones()], num_ids=8)
    assert len(tokenizer.encode(tones(1.0))) == 25
    assert len(tokenizer.encode(tones(0.001))) == 1  # shorter than the network's first frame
    with pytest.raises(InputError, match="no layer 9: choose one from 1 to 3"):
        HubertFeatures(tmp_path, layer=9).features(torch.zeros(1, 16000))
    with pytest.raises(InputError, match="cannot load the HuBERT model"):
        HubertFeatures(tmp_path / "none").features(torch.zeros(1, 16000))
    narrow = SemanticTokenizer(MelFeatures(), torch.zeros(2, 7), torch.zeros(7), torch.ones(7))
    with pytest.raises(InputError, match="differ in width"):
        narrow.encode(tones(1.0))
