"""Judges of sets, classes, captions, tempo and harmony: known answers, and worse figures for worse sound."""

import sys
from pathlib import Path

import numpy as np
import pytest

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError
from uniaudio.evaluate.embedders import Clap, embedder
from uniaudio.evaluate.metrics.caption_agreement import Named, caption_agreement, clap_agreement, named_in
from uniaudio.evaluate.metrics.chroma_similarity import chroma, chroma_similarity
from uniaudio.evaluate.metrics.class_accuracy import average_precision, class_accuracy, contains
from uniaudio.evaluate.metrics.diversity import diversity, diversity_within
from uniaudio.evaluate.metrics.frechet_distance import frechet_distance, gaussian_distance
from uniaudio.evaluate.metrics.kl_divergence import kl_divergence
from uniaudio.evaluate.metrics.tempo import beat_f_measure, beat_times, tempo_bpm, tempo_error

RATE = 16000
SILENCE = Audio(np.zeros((1, 4 * RATE), np.float32), RATE)
RANDOM = np.random.default_rng


def rising(values: list[float]) -> bool:
    return all(first < second for first, second in zip(values, values[1:], strict=False))


# Frechet distance


def covariance(size: int, seed: int) -> np.ndarray:
    factor = RANDOM(seed).standard_normal((size, size))
    return factor @ factor.T / size + 0.1 * np.eye(size)


def test_the_distance_of_two_gaussians_has_its_closed_forms():
    zero, one, cov = np.zeros(3), np.array([1.0, 2.0, 2.0]), covariance(3, 0)
    assert gaussian_distance(zero, cov, zero, cov) == pytest.approx(0, abs=1e-9)
    assert gaussian_distance(zero, cov, one, cov) == pytest.approx(9)
    assert gaussian_distance(zero, 4 * np.eye(3), zero, 9 * np.eye(3)) == pytest.approx(3)  # 3 (2 - 3)^2
    variances = np.array([1.0, 4.0, 0.0]), np.array([9.0, 4.0, 2.0])
    wanted = sum((np.sqrt(a) - np.sqrt(b)) ** 2 for a, b in zip(*variances, strict=True))
    assert gaussian_distance(zero, np.diag(variances[0]), zero, np.diag(variances[1])) == pytest.approx(wanted)


def test_the_distance_agrees_with_the_matrix_square_root_of_scipy():
    linalg = pytest.importorskip("scipy.linalg")
    first, second = covariance(6, 1), covariance(6, 2)  # which do not commute
    wanted = np.trace(first + second - 2 * linalg.sqrtm(first @ second).real)
    assert gaussian_distance(np.zeros(6), first, np.zeros(6), second) == pytest.approx(wanted, rel=1e-6)


def test_samples_of_two_gaussians_are_as_far_apart_as_these():
    first, second = covariance(4, 3), covariance(4, 4)
    mean = np.array([1.0, -1.0, 0.5, 0.0])
    drawn = RANDOM(0).multivariate_normal(np.zeros(4), first, 40000)
    other = RANDOM(1).multivariate_normal(mean, second, 40000)
    assert frechet_distance(drawn, other) == pytest.approx(
        gaussian_distance(np.zeros(4), first, mean, second), rel=0.05
    )
    assert frechet_distance(drawn, drawn) == pytest.approx(0, abs=1e-6)
    assert rising([frechet_distance(drawn, drawn + RANDOM(2).normal(0, s, drawn.shape)) for s in (0.2, 0.5, 1, 2)])


def test_too_few_embeddings_have_no_distance():
    with pytest.raises(ValueError, match="needs 129 embeddings in each set, got 100"):
        frechet_distance(RANDOM(0).normal(size=(400, 128)), RANDOM(1).normal(size=(100, 128)))
    assert frechet_distance(np.eye(8)[:4], np.eye(8)[4:], least=4) > 0
    with pytest.raises(ValueError, match="cannot be compared"):
        frechet_distance(np.ones((9, 2)), np.ones((9, 3)))


# KL divergence


def test_kl_divergence_has_its_known_values():
    even, one, half = np.full(4, 0.25), np.array([1.0, 0, 0, 0]), np.array([0.5, 0.5, 0, 0])
    assert kl_divergence(even, even) == pytest.approx(0, abs=1e-9)
    assert kl_divergence(one, even) == pytest.approx(np.log(4), abs=1e-3)
    assert kl_divergence(half, even) == pytest.approx(np.log(2), abs=1e-3)
    assert kl_divergence(even, half) > 5  # not symmetric: what is heard in the reference alone costs most
    assert rising([kl_divergence(one, (1 - s) * one + s * even) for s in (0.0, 0.2, 0.5, 1.0)])


@pytest.mark.parametrize(
    "wrong", [np.array([0.5, 0.2]), np.array([1.5, -0.5]), np.array([0.5, np.nan]), np.ones(3) / 3]
)
def test_only_distributions_of_one_length_are_compared(wrong: np.ndarray):
    with pytest.raises(ValueError, match="sum to 1|cannot be compared"):
        kl_divergence(np.array([0.5, 0.5]), wrong)


# Classes


def test_class_accuracy_looks_at_as_many_classes_as_are_asked():
    heard = {"dog": 0.9, "rain": 0.6, "cat": 0.5, "siren": 0.06}
    assert class_accuracy(heard, ["dog"]) == class_accuracy(heard, ["rain", "dog"]) == 1
    assert class_accuracy(heard, ["rain"]) == 0
    assert class_accuracy(heard, ["dog", "siren"]) == 0.5
    assert class_accuracy(heard, ["dog", "cat", "siren"]) == pytest.approx(2 / 3)
    assert contains(heard, "cat") and not contains(heard, "siren") and contains(heard, "siren", threshold=0.05)
    for asked in ([], ["whale"]):
        with pytest.raises(ValueError, match="no class|does not know 'whale'"):
            class_accuracy(heard, asked)


def test_average_precision_is_that_of_the_ranking():
    truth = np.array([[1, 0], [0, 0], [1, 0], [0, 0]], bool)  # the second label never occurs
    ranking = np.array([[0.9, 0.8, 0.7, 0.1], [0.0] * 4]).T
    assert average_precision(ranking, truth) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert average_precision(-ranking, truth) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert average_precision(truth.astype(float), truth) == 1
    with pytest.raises(ValueError, match="no clip"):
        average_precision(ranking, np.zeros_like(truth))


# Captions


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("Two loud knocks, then a siren far away", ["knock", "siren"]),
        ("A dog's loud bark while rain patters down", ["dog", "rain"]),
        ("An alarm clock beeping, and nothing else", ["alarm_clock"]),  # and no clock
        ("A rooster crow after harsh caws", ["rooster", "crow"]),
        ("Remove the dog bark, please", ["dog"]),
        ("A person laughs out loud", ["laughter"]),
        ("Replace the knock with a quiet cough", ["knock", "cough"]),
        ("A fast joyful thing", []),  # the words of music need an instrument
    ],
)
def test_events_are_found_in_captions_and_instructions(text: str, events: list[str]):
    assert named_in(text) == [Named("event", (event,)) for event in events]


def test_what_a_caption_of_music_names():
    found = named_in("A sad jazz piece for tenor saxophone with double bass, very slow in tempo.")
    assert set(found) == {
        Named("style", ("jazz piano", "swing")),
        Named("instrument", ("tenor saxophone",)),
        Named("instrument", ("double bass",)),
        Named("tempo", ("very slow",)),
    }
    quartet = [thing.labels[0] for thing in named_in("A string quartet playing")]
    assert quartet == ["violin", "viola", "cello"]


def test_caption_agreement_is_the_share_of_what_is_named_that_is_heard():
    heard = {
        "event": {"dog": 0.8, "rain": 0.7, "siren": 0.1},
        "instrument": {"piano": 0.9, "cello": 0.2},
        "tempo": {"slow": 0.8, "fast": 0.2},
    }
    assert caption_agreement(heard, "A dog barks while rain falls") == 1
    assert caption_agreement(heard, "A dog bark, then a siren") == 0.5
    assert caption_agreement(heard, "A siren wails") == 0
    assert caption_agreement(heard, "Fast music for piano") == 0.5
    with pytest.raises(ValueError, match="names nothing"):
        caption_agreement(heard, "The colour of the sky")


# Embeddings of other networks: tiny ones with random weights


@pytest.fixture(scope="module")
def clap_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, PreTrainedTokenizerFast

    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("clap")
    heads = {"num_attention_heads": [2, 2], "depths": [1, 1], "num_hidden_layers": 2}
    audio = {**heads, "hidden_size": 32, "patch_embeds_hidden_size": 16, "spec_size": 64, "window_size": 4}
    audio |= {"num_mel_bins": 32, "enable_fusion": False, "projection_dim": 8}
    text = {"vocab_size": 8, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "pad_token_id": 1}
    text |= {"num_attention_heads": 2, "projection_dim": 8, "max_position_embeddings": 40}
    ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=8)).save_pretrained(folder)
    ClapFeatureExtractor(feature_size=32, max_length_s=1, truncation="rand_trunc").save_pretrained(folder)
    words = {word: index for index, word in enumerate(("<s>", "<pad>", "</s>", "<unk>", "a", "dog", "rain", "piano"))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>").save_pretrained(folder)
    return str(folder)


def tone(hz: float, seconds: float = 1.5, rate: int = RATE) -> Audio:
    time = np.arange(round(seconds * rate)) / rate
    return Audio((0.3 * np.sin(2 * np.pi * hz * time))[None].astype(np.float32), rate)


def test_clap_gives_the_cosine_of_sound_and_text(clap_folder: str):
    clap, sound = Clap(clap_folder), tone(440)
    assert np.linalg.norm(clap.audio(sound)) == pytest.approx(1, abs=1e-5)
    texts = ["a dog", "rain", "piano"]
    scores = [clap_agreement(sound, text, clap_folder) for text in texts]
    assert scores == pytest.approx([float(clap.audio(sound) @ clap.text(text)) for text in texts])
    assert len(set(scores)) == 3 and all(-1 <= score <= 1 for score in scores)
    assert embedder(clap_folder)(sound) == pytest.approx(clap.audio(sound)[None])  # no crop is drawn by chance
    with pytest.raises(ValueError, match="silent"):
        clap.audio(SILENCE)


def test_a_spectrogram_transformer_embeds_clips(tmp_path: Path):
    from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ASTModel(ASTConfig(**sizes, max_length=64, num_mel_bins=32)).save_pretrained(tmp_path)
    ASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path)
    embed = embedder(str(tmp_path))
    assert embed(tone(440)).shape == (1, 16)
    assert embed(tone(440)) == pytest.approx(embed(tone(440, rate=48000)), abs=0.05)  # any rate
    with pytest.raises(InputError, match="not CLAP"):
        Clap(str(tmp_path))


@pytest.mark.parametrize("name", ["/no/such/folder", "."])
def test_a_network_that_is_not_there_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="give a folder of one, or 'own'") as caught:
        embedder(name)
    assert "\n" not in str(caught.value)


# Diversity


def test_diversity_is_the_mean_distance_of_pairs():
    assert diversity(np.ones((5, 3))) == pytest.approx(0)
    assert diversity(np.eye(4)) == pytest.approx(1)
    assert diversity(np.array([[1.0, 0], [-3.0, 0]])) == pytest.approx(2)
    vectors = RANDOM(0).normal(size=(6, 5))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [1 - unit[i] @ unit[j] for i in range(6) for j in range(i)]
    assert diversity(vectors) == pytest.approx(np.mean(pairs))
    assert diversity_within([np.ones((2, 2)), np.eye(2)]) == pytest.approx(0.5)
    spread = RANDOM(1).normal(size=(50, 8))
    assert rising([diversity(np.ones(8) + amount * spread) for amount in (0.1, 0.3, 1.0, 3.0)])


@pytest.mark.parametrize("few", [np.ones((1, 3)), np.zeros((0, 3)), np.array([[0.0, 0], [1, 0]])])
def test_sets_without_diversity_are_refused(few: np.ndarray):
    with pytest.raises(ValueError, match="two clips|is zero"):
        diversity(few)
    with pytest.raises(ValueError, match="no group"):
        diversity_within([])


# Tempo and beats


def clicks(bpm: float, seconds: float = 10.0, late: np.ndarray | None = None) -> tuple[Audio, np.ndarray]:
    """Return a metronome of short noise bursts, and their times."""
    times = np.arange(0.25, seconds - 0.3, 60 / bpm)
    times = times if late is None else times + late[: len(times)]
    samples = RANDOM(0).normal(0, 0.001, round(seconds * RATE))
    burst = RANDOM(1).normal(0, 0.2, 400) * np.exp(-np.arange(400) / 80)
    for time in times:
        samples[round(time * RATE) :][: len(burst)] += burst
    return Audio(samples[None].clip(-1, 1).astype(np.float32), RATE), times


@pytest.mark.parametrize("bpm", [72.0, 90.0, 120.0, 133.0, 160.0])
def test_the_tempo_of_a_metronome(bpm: float):
    audio, times = clicks(bpm)
    assert tempo_bpm(audio) == pytest.approx(bpm, rel=0.01)
    beats = beat_times(audio)
    assert np.abs(times[:, None] - beats).min(1).max() < 0.05  # each of them is found


def test_half_and_double_time_are_no_error():
    assert tempo_error(120, 120) == tempo_error(60, 120) == tempo_error(240, 120) == tempo_error(40, 120) == 0
    assert tempo_error(132, 120) == pytest.approx(0.1)
    assert rising([tempo_error(bpm, 100) for bpm in (100, 103, 108, 115)])
    for wrong in ((0, 120), (120, -1)):
        with pytest.raises(ValueError, match="above 0"):
            tempo_error(*wrong)


def test_beats_of_a_metronome_and_their_loss():
    pytest.importorskip("mir_eval")
    audio, times = clicks(120)
    assert beat_f_measure(times, beat_times(audio)) > 0.9
    assert beat_f_measure(times, times) == 1
    assert beat_f_measure(times, times + 0.25) == 0  # in between
    assert beat_f_measure(times, times[::2]) == pytest.approx(2 * 0.5 / 1.5, abs=0.03)  # all right, half of them
    shifts = RANDOM(2).standard_normal(len(times))
    scores = [beat_f_measure(times, times + late * shifts) for late in (0.01, 0.07, 0.15)]
    assert rising(scores[::-1])
    with pytest.raises(ValueError, match="no beats"):
        beat_f_measure(times, times[:0])


def test_what_has_no_tempo_says_so(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="nothing begins"):
        tempo_bpm(SILENCE)
    with pytest.raises(ValueError, match="at least 3 s"):
        beat_times(tone(440))
    monkeypatch.setitem(sys.modules, "mir_eval", None)
    monkeypatch.setitem(sys.modules, "mir_eval.beat", None)
    with pytest.raises(InputError, match="mir_eval"):
        beat_f_measure(np.ones(2), np.ones(2))


# Chroma


def chord(*pitches: int, seconds: float = 2.0) -> Audio:
    time = np.arange(round(seconds * RATE)) / RATE
    made = sum(np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time) for pitch in pitches)
    return Audio((0.1 * np.asarray(made))[None].astype(np.float32), RATE)


def test_chroma_is_where_the_notes_are():
    for pitch in (48, 57, 61, 71):
        assert (chroma(chord(pitch)).argmax(1) == pitch % 12).all()
    heard = chroma(chord(60, 64, 67)).mean(0)
    assert set(np.argsort(heard)[-3:]) == {0, 4, 7}


def test_chroma_similarity_of_chords():
    c_major = chord(60, 64, 67)
    assert chroma_similarity(c_major, c_major) == pytest.approx(1)
    assert chroma_similarity(c_major, chord(72, 76, 79)) > 0.95  # an octave up
    assert chroma_similarity(chord(60), chord(66)) == pytest.approx(-1 / 11, abs=0.03)  # two different notes
    assert chroma_similarity(c_major, chord(57, 60, 64)) == pytest.approx(5 / 9, abs=0.1)  # two of three notes
    half = Audio(c_major.samples * (np.arange(2 * RATE) < RATE), RATE)
    assert chroma_similarity(c_major, half) == pytest.approx(0.6, abs=0.15)  # silence is no agreement


def test_chroma_similarity_falls_with_noise():
    music = Audio(np.concatenate([chord(*notes).samples for notes in ((60, 64), (62, 65), (55, 59))], 1), RATE)
    noise = RANDOM(0).standard_normal(music.samples.shape)
    noisy = [Audio((music.samples + level * noise).clip(-1, 1).astype(np.float32), RATE) for level in (0, 0.1, 0.4, 1)]
    scores = [chroma_similarity(music, one) for one in noisy]
    assert scores[0] == pytest.approx(1) and rising(scores[::-1])
    for wrong, why in ((SILENCE, "silent"), (tone(440, 0.2), "at least 0.51 s")):
        with pytest.raises(ValueError, match=why):
            chroma_similarity(wrong, music)
