"""What is held out stays held out: texts and voices of dev and test never enter training."""

import random

from uniaudio.data.synthesize import music, noise, rooms, singing, sound, speech
from uniaudio.data.synthesize.instructions import instructions
from uniaudio.data.synthesize.sentences import all_sentences, grammar_sentences, split_of
from uniaudio.data.synthesize.speakers import speakers, timbre_distance, voice_words
from uniaudio.data.synthesize.speech import plan


def test_a_sentence_never_changes_sides():
    assert split_of("He bowed, before the Queen!") == split_of("he bowed before the queen")
    assert grammar_sentences(50, seed=1) == grammar_sentences(50, seed=1)
    shares: dict[str, int] = dict.fromkeys(("train", "dev", "test"), 0)
    for sentence in grammar_sentences(3000, seed=2):
        shares[split_of(sentence)] += 1
    assert shares["train"] > 2700 and shares["dev"] > 20 and shares["test"] > 20


def test_the_plan_keeps_texts_and_voices_apart():
    utterances = plan(hours=3.0, seed=0)
    texts: dict[str, set[str]] = {"train": set(), "dev": set(), "test": set()}
    voices: dict[str, set[str]] = {"train": set(), "dev": set(), "test": set()}
    for utterance in utterances:
        split = utterance.split
        assert utterance.id.split("-")[1] == utterance.speaker.split == split and split_of(utterance.text) == split
        texts[split].add("".join(c for c in utterance.text.lower() if c.isalpha() or c == " "))
        voices[split].add(utterance.speaker.name)
    for one, two in (("train", "dev"), ("train", "test"), ("dev", "test")):
        assert not texts[one] & texts[two]
        assert not voices[one] & voices[two]
    assert all(texts.values()) and all(voices.values())
    assert len({u.id for u in utterances}) == len(utterances)
    assert utterances == plan(hours=3.0, seed=0)


def test_even_a_tiny_plan_has_every_split():
    assert {utterance.split for utterance in plan(hours=0.001, seed=1)} == {"train", "dev", "test"}


def test_no_training_voice_is_a_held_out_voice_in_disguise():
    everyone = speakers()
    assert len({speaker.name for speaker in everyone}) == len(everyone) == 100
    held_out = [s for s in everyone if s.split != "train"]
    training = [s for s in everyone if s.split == "train"]
    assert (
        len([s for s in training if s.engine == "flite"]) >= 44
        and len([s for s in held_out if s.split == "test"]) == 12
    )
    for one in held_out:
        for two in training:  # whatever the pitch: a style changes it
            assert timbre_distance(one, two) >= 1.0, (one.name, two.name)
            assert one.engine == "flite" or one.base != two.base


def test_descriptions_of_held_out_speech_are_never_trained_on():
    for utterance in plan(hours=0.05, seed=2):
        style, voice = utterance.style, voice_words(utterance.speaker)
        for text in instructions(style, voice, random.Random(utterance.wording), utterance.split, "word"):
            assert split_of(text) == utterance.split


def test_sentences_are_plain():
    for sentence in all_sentences()[:2000]:
        assert 3 < len(sentence.split()) < 15 and sentence[-1] in ".!?" and sentence[0].isupper()
        assert not any(character.isdigit() for character in sentence)


def test_nothing_is_shared_between_splits_of_all_made_corpora():
    """Texts, voices, captions, tunes, noises and rooms: what one corpus holds out, no other one trains on."""
    seen: dict[str, dict[str, set[str]]] = {}

    def note(what: str, split: str, *values: str) -> None:
        seen.setdefault(what, {}).setdefault(split, set()).update(values)

    for utterance in speech.plan(0.5, 0):
        note("text", utterance.split, utterance.text)
        note("voice", utterance.split, utterance.speaker.name)
    for song in singing.plan(0.5, 0):
        note("text", song.split, *song.lines)
        note("singer", song.split, song.singer.name)
        note("piece", song.split, song.piece)
    for scene in sound.plan(0.5, 0):
        note("caption", scene.split, *scene.captions)
    for clip in music.jobs(0.5, 0, "any font"):
        note("piece", clip.split, clip.piece)
    for job in noise.plan(0.5, 0):
        note("noise", job.split, job.noise_type)
    for room in rooms.plan(0.1, 0):
        note("room", room.split, str(room.size))
        note("decay", room.split, str(room.rt60_target))
    assert seen.keys() == {"text", "voice", "singer", "piece", "caption", "noise", "room", "decay"}
    for what, splits in seen.items():
        assert splits.keys() == {"train", "dev", "test"}, what
        for one, two in (("train", "dev"), ("train", "test"), ("dev", "test")):
            assert not splits[one] & splits[two], (what, one, two)
