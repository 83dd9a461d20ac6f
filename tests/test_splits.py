"""What is held out stays held out: texts and voices of dev and test never enter training."""

import math

from uniaudio.data.synthesize.sentences import all_sentences, grammar_sentences, split_of
from uniaudio.data.synthesize.speakers import PITCHLESS, speakers, twins
from uniaudio.data.synthesize.speech import plan


def test_a_sentence_never_changes_sides():
    assert split_of("He bowed, before the Queen!") == split_of("he bowed before the queen")
    assert grammar_sentences(50, seed=1) == grammar_sentences(50, seed=1)
    shares = dict.fromkeys(("train", "dev", "test"), 0)
    for sentence in grammar_sentences(3000, seed=2):
        shares[split_of(sentence)] += 1
    assert shares["train"] > 2700 and shares["dev"] > 20 and shares["test"] > 20


def test_the_plan_keeps_texts_and_voices_apart():
    utterances = plan(hours=3.0, seed=0)
    texts: dict[str, set[str]] = {"train": set(), "dev": set(), "test": set()}
    voices: dict[str, set[str]] = {"train": set(), "dev": set(), "test": set()}
    for utterance in utterances:
        split = utterance.id.split("-")[0]
        assert utterance.speaker.split == split and split_of(utterance.text) == split
        texts[split].add("".join(c for c in utterance.text.lower() if c.isalpha() or c == " "))
        voices[split].add(utterance.speaker.name)
    for one, two in (("train", "dev"), ("train", "test"), ("dev", "test")):
        assert not texts[one] & texts[two]
        assert not voices[one] & voices[two]
    assert all(texts.values()) and all(voices.values())
    assert len({u.id for u in utterances}) == len(utterances)
    assert utterances == plan(hours=3.0, seed=0)


def test_no_training_voice_is_a_held_out_voice_in_disguise():
    everyone = speakers()
    assert len({speaker.name for speaker in everyone}) == len(everyone)
    held_out = [s for s in everyone if s.split != "train"]
    training = [s for s in everyone if s.split == "train" and s.engine == "flite"]
    assert len(training) == 44 and len([s for s in held_out if s.split == "test"]) == 8
    assert twins() == {"rms-1040-082", "rms-1170-142", "rms-0920-110"}, "rms ignores the pitch asked for"
    for one in held_out:
        if one.name in twins():
            continue  # left out of every evaluation
        for two in training:
            near_formants = abs(math.log(one.formant_ratio / two.formant_ratio)) < 0.03
            near_pitch = one.base in PITCHLESS or abs(math.log(one.pitch_hz / two.pitch_hz)) < 0.08
            assert not (one.base == two.base and near_formants and near_pitch), (one.name, two.name)


def test_sentences_are_plain():
    for sentence in all_sentences()[:2000]:
        assert 3 < len(sentence.split()) < 15 and sentence[-1] in ".!?" and sentence[0].isupper()
        assert not any(character.isdigit() for character in sentence)
