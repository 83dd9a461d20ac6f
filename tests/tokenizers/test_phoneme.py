"""Text -> phones: the inventory is closed and fixed, nothing readable is dropped, nothing unreadable is accepted."""

import hashlib
import threading

import numpy as np
import pytest

from uniaudio.errors import InputError
from uniaudio.tokenizers import phoneme
from uniaudio.tokenizers.phoneme import PHONEMES, PhonemeDurationTokenizer, PhonemeTokenizer, ipa

pytest.importorskip("espeakng_loader")

SENTENCE = "The quick brown fox jumps over the lazy dog, doesn't it?"


def test_ids_never_move() -> None:
    assert len(PHONEMES) == len(set(PHONEMES)) == 135
    assert PHONEMES[:6] == ("<unk>", "sil", ",", ".", "?", "!")
    digest = hashlib.sha256(" ".join(PHONEMES[:135]).encode()).hexdigest()
    assert digest == "01e02e7c11a92167d9d63faf9b6a2f36be7c723e6d146ae57a641a1159c4db97", (
        "appending is fine, moving an id breaks every checkpoint"
    )


def test_marks_and_stress() -> None:
    phones = phoneme.phonemes("Hello, world! How are you? Fine; thanks - really (yes)")
    assert " ".join(phones) == ("h ə l ˈoʊ , w ˈɜː l d ! h ˈaʊ ɑːɹ j uː ? f ˈaɪ n , θ ˈæ ŋ k s , ɹ ˈiə l i , j ˈɛ s .")


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("42", "forty two"),
        ("Dr. Smith", "Doctor Smith"),
        ("1,000 apples", "one thousand apples"),
        ("twenty-one", "twenty one"),
        ("5%", "five percent"),
        ("“Stop”, he said…", "stop, he said"),
        ("fun 😀 times 👍🏽", "fun times"),
        ("hello 你好 world мир", "hello world"),
        ("Wait...   what?!", "wait, what?"),
    ],
)
def test_text_is_spoken_as(text: str, spoken: str) -> None:
    def unstressed(phones: list[str]) -> list[str]:
        return [phone.lstrip("ˈˌ") for phone in phones]

    assert unstressed(phoneme.phonemes(text)) == unstressed(phoneme.phonemes(spoken))


def test_abbreviation_does_not_end_a_sentence() -> None:
    assert phoneme.phonemes("Mr. Brown met J. Smith at 5 p.m. in St. Louis.").count(".") == 1
    assert phoneme.phonemes("He said no. Then I left. It is I. Go.").count(".") == 4


def test_thousands_of_words_stay_inside_the_inventory() -> None:
    onsets, nuclei, codas = "b bl ch d dr f g h j k l m n p qu r s sh st str t th tr v w y z".split(), "", ""
    nuclei = "a e i o u ai ea ee oa oo ou oi ar er or air ire our eau ü é".split()
    codas = ["", *"b ck d f g l lm mb mp n ng nd nt p r s sh st t th tch x dge ble tion ing".split()]
    words = [onset + nucleus + coda for onset in onsets for nucleus in nuclei for coda in codas]
    assert len(words) > 15000
    seen: set[str] = set()
    for start in range(0, len(words), 60):
        seen |= set(phoneme.phonemes(" ".join(words[start : start + 60])))
    assert "<unk>" not in seen
    assert len(seen) > 75


@pytest.mark.parametrize("symbol", ["r̝̊", "ɲ", "tʃʲ", "(fr)ʁ", "iːː", "ɑ̃", "ˈy", "ʈʂ"])
def test_foreign_sounds_map_to_the_nearest(symbol: str) -> None:
    phones = phoneme.normalise_phone(symbol)
    assert phones
    assert set(phones) <= set(PHONEMES) - {"<unk>"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("...", "nothing to speak"),
        ("😀🎉", "nothing to speak"),
        ("привет мир", "only English"),
        ("你好", "only English"),
        ("a" * 1001, "1001 characters"),
    ],
)
@pytest.mark.parametrize("speak", [phoneme.phonemes, phoneme.timed_phonemes])
def test_unspeakable_text_is_refused(speak, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        speak(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["\0hello\0", "a\ud800b", "[[h@loU]] there", "<speak>hi</speak>", "_ ^ | hi", "\u202ehi"]
)
def test_odd_characters_do_no_harm(text: str) -> None:
    assert set(phoneme.phonemes(text)) <= set(PHONEMES) - {"<unk>"}


def test_times_follow_one_another_and_match_the_sound() -> None:
    timed, (samples, rate) = phoneme.timed_phonemes(SENTENCE)
    assert samples.dtype == np.float32 and samples.ndim == 1 and 0.1 < np.abs(samples).max() <= 1
    for (_, _, end), (_, start, _) in zip(timed, timed[1:], strict=False):
        assert end == pytest.approx(start)
    assert timed[-1][2] == pytest.approx(len(samples) / rate)
    assert all(end > start for _, start, end in timed)
    spoken = [phone.lstrip("ˈˌ") for phone, _, _ in timed if phone != "sil"]
    written = [phone.lstrip("ˈˌ") for phone in phoneme.phonemes(SENTENCE) if phone not in (",", "?")]
    assert spoken == written
    # Vowels are loud and pauses are not: the times belong to this sound.
    pauses = [samples[int(start * rate) : int(end * rate)] for phone, start, end in timed if phone == "sil"]
    vowels = [samples[int(s * rate) : int(e * rate)] for phone, s, e in timed if phone.startswith("ˈ")]
    assert np.concatenate(pauses).std() < np.concatenate(vowels).std() / 5


def test_same_text_same_result_from_many_threads() -> None:
    expected = phoneme.timed_phonemes(SENTENCE)
    phones = phoneme.phonemes(SENTENCE)
    failures: list[str] = []

    def work() -> None:
        for _ in range(5):
            timed, (samples, _) = phoneme.timed_phonemes(SENTENCE)
            if timed != expected[0] or not np.array_equal(samples, expected[1][0]):
                failures.append("times")
            if phoneme.phonemes(SENTENCE) != phones:
                failures.append("phones")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_missing_espeak_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "espeakng_loader", None)
    with pytest.raises(InputError, match="pip install espeakng-loader"):
        phoneme.Espeak()


def test_phoneme_tokenizer_round_trip() -> None:
    tokenizer = PhonemeTokenizer()
    item = tokenizer.encode(SENTENCE)
    assert item.ids is not None and item.ids.shape == (len(item), 1)
    assert tokenizer.decode(item.ids) == phoneme.phonemes(SENTENCE)
    assert 0 <= item.ids.min() and item.ids.max() < tokenizer.num_ids


def test_durations_take_the_phone_at_the_centre_of_each_frame() -> None:
    tokenizer = PhonemeDurationTokenizer(frame_rate=25.0)  # frame centres at 0.02, 0.06, 0.10, ... s
    item = tokenizer.encode([("h", 0.0, 0.02), ("ˈaɪ", 0.02, 0.09), ("t", 0.13, 0.2)])
    assert item.ids is not None
    assert [PHONEMES[index] for index in item.ids[:, 0].tolist()] == ["ˈaɪ", "ˈaɪ", "sil", "t", "t"]


def test_durations_of_a_text_cover_its_speech() -> None:
    tokenizer = PhonemeDurationTokenizer(frame_rate=25.0)
    timed, (samples, rate) = phoneme.timed_phonemes(SENTENCE)
    item = tokenizer.encode(SENTENCE)
    assert item.ids is not None
    assert len(item) == -(-len(samples) * 25 // rate)
    assert (item.ids == tokenizer.encode(timed).ids).all()
    runs = tokenizer.decode(item.ids)
    assert (tokenizer.encode(runs).ids == item.ids).all()


def test_ipa_keeps_words_stress_and_marks() -> None:
    assert ipa("The rain has stopped, Dr. Smith. Really?") == "ðə ɹˈeɪn hɐz stˈɑːpt, dˈɑːktɚ smˈɪθ. ɹˈiəli?"
    assert "(" not in ipa("Say déjà vu to Jean-Baptiste.")
    with pytest.raises(InputError):
        ipa("...")


@pytest.mark.parametrize(
    ("timed", "message"),
    [
        ([], "no phones"),
        ([("xx", 0.0, 1.0)], "unknown phone"),
        ([("h", 0.0, 0.5), ("t", 0.4, 0.6)], "follow one another"),
        ([("h", 0.5, 0.5)], "follow one another"),
        ([("h", float("nan"), 0.5)], "follow one another"),
        ([("h", -1.0, 0.5)], "follow one another"),
        ([("h", 0.0, float("inf"))], "at most 600 s"),
    ],
)
def test_bad_times_are_refused(timed: list[tuple[str, float, float]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PhonemeDurationTokenizer().encode(timed)
