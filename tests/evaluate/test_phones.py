"""The judges of tokens give known answers: purities, information, ABX, the speaker probe, and all of them together."""

import math
from pathlib import Path

import pytest
import torch
from tests.corpora import phones_over, write_corpus

from uniaudio.audio.io import read_audio
from uniaudio.codec.model import Codec
from uniaudio.data.manifests import read_manifest
from uniaudio.data.phone_frames import UNKNOWN, frame_phones
from uniaudio.errors import InputError
from uniaudio.evaluate.metrics.phones import (
    Triphone,
    abx,
    histograms,
    phone_figures,
    speaker_probe,
    triphones,
    warped_distance,
)
from uniaudio.evaluate.semantic import evaluate_semantic, held_out
from uniaudio.recipes.debug import CODEC
from uniaudio.tokenizers.semantic import MelFeatures, SemanticTokenizer

SEGMENTS = [["pau", 0.0, 0.1], ["a", 0.1, 0.26], ["b", 0.26, 0.4]]


def test_a_frame_has_the_phone_at_its_centre() -> None:
    names: dict[str, int] = {}
    labels = frame_phones(SEGMENTS, 12, 25.0, names)  # centres at 0.02, 0.06, 0.10, 0.14 ...
    assert names == {"pau": 0, "a": 1, "b": 2}
    assert labels.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, UNKNOWN, UNKNOWN]
    assert frame_phones([["a", 0.0, 1.0]], 2, 50.0, names).tolist() == [1, 1]


def test_tokens_that_are_phones_say_everything_and_a_constant_says_nothing() -> None:
    phones = torch.randint(5, (4000,), generator=torch.Generator().manual_seed(0))
    same = phone_figures((phones * 7) % 11, phones)
    assert same["phone_purity"] == same["cluster_purity"] == 1.0 and same["pnmi"] == pytest.approx(1.0)
    nothing = phone_figures(torch.zeros_like(phones), phones)
    assert nothing["pnmi"] == pytest.approx(0.0, abs=1e-9) and nothing["cluster_purity"] == 1.0
    assert nothing["phone_purity"] == pytest.approx(float(phones.bincount().max()) / 4000)


def test_known_tables() -> None:
    # Two phones, equally often; token 0 has three quarters of phone 0 and one of phone 1, token 1 the rest.
    phones = torch.tensor([0] * 4 + [1] * 4)
    tokens = torch.tensor([0, 0, 0, 1, 0, 1, 1, 1])
    figures = phone_figures(torch.cat([tokens, torch.tensor([3])]), torch.cat([phones, torch.tensor([UNKNOWN])]))
    inside = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert figures["pnmi"] == pytest.approx(1 - inside / math.log(2))
    assert figures["phone_purity"] == figures["cluster_purity"] == pytest.approx(0.75)
    with pytest.raises(ValueError, match="no frame"):
        phone_figures(tokens, torch.full_like(tokens, UNKNOWN))


def test_the_correction_takes_out_what_few_frames_add() -> None:
    generator = torch.Generator().manual_seed(0)
    phones, tokens = (torch.randint(size, (3000,), generator=generator) for size in (20, 50))
    figures = phone_figures(tokens, phones)
    assert figures["pnmi"] > 0.03 and figures["pnmi_corrected"] < 0.01


def test_triphones_leave_out_pauses_and_short_ones() -> None:
    segments = [["pau", 0, 0.1], ["a", 0.1, 0.2], ["b", 0.2, 0.3], ["c", 0.3, 0.4], ["d", 0.4, 0.42], ["e", 0.42, 0.44]]
    found = triphones(torch.arange(50.0)[:, None], segments, "x", 100.0)
    assert [item.phones for item in found] == [("a", "b", "c"), ("b", "c", "d"), ("c", "d", "e")]
    assert found[0].frames[:, 0].tolist() == list(range(10, 40))
    assert not triphones(torch.arange(10.0)[:, None], segments[3:], "x", 10.0)  # one frame in all


def test_warping_forgives_tempo() -> None:
    slow = torch.eye(4)[torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])]
    fast, other = torch.eye(4)[torch.tensor([0, 1, 2])], torch.eye(4)[torch.tensor([0, 3, 2])]
    assert warped_distance(slow, fast) == pytest.approx(0, abs=1e-3)
    assert warped_distance(slow, other) > 0.1  # a right angle on 2 of 8 steps
    ids = torch.tensor([[0, 5], [1, 5]])
    assert warped_distance(ids, ids) == 0
    assert warped_distance(ids[:1], ids[1:]) == pytest.approx(0.5)  # one of two ids differs


def items(spread: float, shift: float = 0.0) -> list[Triphone]:
    """Triphones k-?-t of two vowels by two speakers: clouds around two vectors, the second speaker's shifted."""
    generator = torch.Generator().manual_seed(0)
    centres = {"a": torch.tensor([1.0, 0.0, 0.0]), "i": torch.tensor([0.0, 1.0, 0.0])}
    made = []
    for phone, centre in centres.items():
        for index in range(40):
            moved = centre + (index % 2) * shift * torch.tensor([1.0, -1.0, 0.0])
            frames = moved + spread * torch.randn(5, 3, generator=generator)
            made.append(Triphone(("k", phone, "t"), f"s{index % 2}", frames))
    return made


@pytest.mark.parametrize("across", [False, True])
def test_abx_of_clear_and_of_meaningless_vectors(across: bool) -> None:
    assert abx(items(0.05), across)["error"] == 0.0
    assert abx(items(50.0), across, per_cell=200)["error"] == pytest.approx(0.5, abs=0.1)
    same = [Triphone(item.phones, item.speaker, torch.ones(3, 1, dtype=torch.long)) for item in items(1.0)]
    assert abx(same, across)["error"] == 0.5


def test_abx_across_speakers_sees_the_speaker() -> None:
    moved = items(0.05, shift=1.0)  # the second speaker's i lies where the first one's a is
    assert abx(moved, across=False)["error"] == 0.0
    assert abx(moved, across=True)["error"] == pytest.approx(0.5, abs=0.05)  # wrong for half of the pairs


def test_abx_needs_pairs() -> None:
    alone = items(0.1)[:40]
    assert math.isnan(abx(alone, across=False)["error"]) and abx(alone, across=False)["cells"] == 0


def test_histograms_count_each_level() -> None:
    ids = [torch.tensor([[0, 2], [0, 1], [1, 2], [0, 2]])]
    assert torch.allclose(histograms(ids, 3)[0] ** 2, torch.tensor([0.75, 0.25, 0, 0, 0.25, 0.75]))


def test_the_probe_finds_a_speaker_that_is_there() -> None:
    generator = torch.Generator().manual_seed(0)
    speakers = ["a", "b", "c", "c"] * 40
    noise = torch.randn(160, 20, generator=generator)
    told = noise + 3 * torch.eye(20)[torch.tensor([0, 1, 2, 2] * 40)]
    assert speaker_probe(told, speakers)["accuracy"] > 0.9
    blind = speaker_probe(noise, speakers)
    assert blind["chance"] == 0.5 and blind["accuracy"] < 0.65


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight aligned test recordings of two speakers, and one without phone times."""
    names = ["pau", "hh", "ax", "l", "ow", "hh", "iy", "l", "pau"]
    rows = [
        {"id": f"t{i}", "split": "test", "seconds": 1.5, "speaker": f"s{i % 2}", "phones": phones_over(1.5, names)}
        for i in range(8)
    ]
    rows.append({"id": "plain", "split": "test", "seconds": 1.5, "speaker": "s2"})
    return write_corpus(tmp_path_factory.mktemp("speech"), rows)


def test_everything_together(corpus: Path) -> None:
    torch.manual_seed(0)
    audios = [read_audio(row.audio) for row in read_manifest(corpus, "test")]
    tokenizer = SemanticTokenizer.fit(MelFeatures(), audios, num_ids=12)
    codec = Codec(CODEC).eval()
    results = evaluate_semantic(tokenizer, codec, corpus, limit=6)
    assert (results["recordings"], results["speakers"], results["frames"]) == (6, 2, 6 * 38)
    assert set(results["semantic"]) == set(results["codec_first"])
    for name in ("semantic", "features", "codec_first", "codec"):
        figures = results[name]
        assert all(0 <= value <= 1 for key, value in figures.items() if key != "abx_cells" and not math.isnan(value))
        assert figures["abx_cells"] > 0 and ("pnmi" in figures) == (name in ("semantic", "codec_first"))
    assert results == evaluate_semantic(tokenizer, codec, corpus, limit=6)


def test_held_out_rows_are_of_each_speaker_alike(corpus: Path, tmp_path: Path) -> None:
    chosen = held_out(corpus, 4)
    assert sorted(row.speaker for row in chosen) == ["s0", "s0", "s1", "s1"] and all(row.segments for row in chosen)
    assert held_out(corpus, 4, seed=1) != chosen == held_out(corpus, 4)
    lonely = write_corpus(tmp_path / "speech", [{"id": "a", "split": "test", "seconds": 1.0, "speaker": "x"}])
    with pytest.raises(InputError, match="of 0 speakers: two or more are needed"):
        held_out(lonely, 4)


def test_rates_must_agree(corpus: Path) -> None:
    audios = [read_audio(row.audio) for row in read_manifest(corpus, "test")]
    tokenizer = SemanticTokenizer.fit(MelFeatures(), audios, num_ids=4, frame_rate=50.0)
    with pytest.raises(InputError, match="25 and 50"):
        evaluate_semantic(tokenizer, Codec(CODEC).eval(), corpus, limit=4)
