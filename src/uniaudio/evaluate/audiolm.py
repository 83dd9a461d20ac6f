"""What AudioLM is judged by: words against non-words, order of words, words and voice kept, seams (2209.03143, V).

Pairs are spoken by the engines of the made corpus, in voices and from sentences that training does not have.
"""

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from uniaudio.audio.io import Audio, read_audio
from uniaudio.audio.loudness import active_db
from uniaudio.audio.spectral import LogMel
from uniaudio.codec.model import Codec
from uniaudio.data.manifests import Row, read_manifest
from uniaudio.data.synthesize.corpus import SAMPLE_RATE
from uniaudio.data.synthesize.sentences import all_sentences, split_of
from uniaudio.data.synthesize.speakers import speakers
from uniaudio.data.synthesize.speech import Utterance, needs, speak
from uniaudio.engines.audiolm import AudioLMEngine
from uniaudio.errors import InputError
from uniaudio.evaluate.codecs import round_trip
from uniaudio.evaluate.heard import Heard, like
from uniaudio.evaluate.metrics import left_out
from uniaudio.evaluate.metrics.joins import CLICK_DB, join_click
from uniaudio.evaluate.metrics.visqol import visqol
from uniaudio.evaluate.metrics.wer import character_error_rate, word_error_rate
from uniaudio.evaluate.phone_gram import PhoneJudge
from uniaudio.sequence.batch import collate
from uniaudio.tokenizers.codec import CodecTokenizer

VOWELS = "aeiouy"
_DISAGREEING = {"is": "are", "are": "is", "was": "were", "were": "was", "has": "have", "have": "has", "does": "do"}
_SUBJECTS = frozenset("he she it we they you who".split())
_BEFORE_OTHERS = frozenset("a an the his her its my our their your to of in on at with for from by into".split())
LEVEL_SECONDS = 3.0  # compared before and after a seam
MAX_LEVEL_DB = 3.0
_EDGE = 4  # hops of 10 ms at both ends of a clip, where the zeros around it are a change
_CENTROID_CLIPS = 4  # of each speaker, for the classifier


def word_pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return (word, non-word): the same ending after the beginning of another word, a word that no sentence has."""
    words = sorted({word.lower().strip(".,!?;:'") for line in all_sentences() for word in line.split()})
    known, chooser = set(words), random.Random(seed)
    cut = {word: next((at for at, letter in enumerate(word) if letter in VOWELS), 0) for word in words}
    usable = [word for word in words if 4 <= len(word) <= 9 and word.isalpha() and 1 <= cut[word] <= 3]
    pairs: list[tuple[str, str]] = []
    while len(pairs) < count:
        word, other = chooser.sample(usable, 2)
        made = other[: cut[other]] + word[cut[word] :]
        if made not in known and other[: cut[other]] != word[: cut[word]]:
            pairs.append((word, made))
    return pairs


def order_pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return (test sentence, the same words in another order)."""
    chooser = random.Random(seed)
    lines = [line for line in all_sentences() if split_of(line) == "test" and len(line.split()) >= 5]
    pairs: list[tuple[str, str]] = []
    for line in chooser.sample(lines, min(count, len(lines))):
        words = line.lower().strip(".!?").replace(",", "").split()
        mixed = words
        while mixed == words:
            mixed = chooser.sample(words, len(words))
        pairs.append((" ".join(words) + ".", " ".join(mixed) + "."))
    return pairs


def grammar_pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return (test sentence, the same with one error of grammar): a verb that does not agree with its pronoun, or else
    an article, possessive or preposition after the word that it belongs before."""
    chooser = random.Random(seed)
    lines = [line for line in all_sentences() if split_of(line) == "test"]
    pairs: list[tuple[str, str]] = []
    for line in chooser.sample(lines, len(lines)):
        words = line.lower().strip(".!?").replace(",", "").split()
        wrong = _ungrammatical(words, chooser)
        if wrong != words and len(pairs) < count:
            pairs.append((" ".join(words) + ".", " ".join(wrong) + "."))
    return pairs


def _ungrammatical(words: list[str], chooser: random.Random) -> list[str]:
    """Return words with one error; as they are where no rule applies."""
    for at in range(1, len(words)):
        if words[at - 1] in _SUBJECTS and words[at] in _DISAGREEING:
            return [*words[:at], _DISAGREEING[words[at]], *words[at + 1 :]]
    places = [at for at in range(len(words) - 1) if words[at] in _BEFORE_OTHERS]
    if not places:
        return words
    at = chooser.choice(places)
    return [*words[:at], words[at + 1], words[at], *words[at + 2 :]]


def prefers_first(engine: AudioLMEngine, pairs: Sequence[tuple[str, str]], seed: int = 0) -> float:
    """Return how often the semantic stage finds the first text of a pair likelier, by the mean over its tokens.

    A held-out voice speaks both. Raises InputError where flite is missing.
    """
    needs()
    voices = [voice for voice in speakers() if voice.split == "test" and voice.engine == "flite"]
    chooser, won = random.Random(seed), 0
    for texts in pairs:
        voice = chooser.choice(voices)
        spoken = [Utterance(id=text, text=text, split="test", speaker=voice, tempo=1.0) for text in texts]
        good, bad = (surprise(engine, Audio(speak(one)[0][None], SAMPLE_RATE)) for one in spoken)
        won += good < bad
    return won / len(pairs)


@torch.no_grad()
def surprise(engine: AudioLMEngine, audio: Audio) -> float:
    """Return the mean negative log-likelihood (nats) of a recording's semantic tokens, up to a window of them."""
    ids = engine.semantic.encode(audio).ids
    assert ids is not None
    tokens = engine.stages.tokens(ids[:, 0])[0][: engine.configs["semantic"].window]
    batch = collate([engine.stages.sequence("semantic", None, tokens[None], ended=False)])
    return float(engine.models["semantic"].losses(batch, engine.stages.legal("semantic"))[0])


class Voices:
    """The held-out speakers of a corpus, those of the split "test" or "dev": recordings, and who is nearest to a voice.

    A speaker is the mean voice of four recordings, which have passed through the codec, like most of what is judged.
    """

    def __init__(self, corpus: Path, codec: Codec, limit: int, seed: int = 0, split: str = "test") -> None:
        self._groups: dict[str, list[Row]] = {}
        for row in read_manifest(corpus, split):
            if row.speaker and row.text and 1.2 <= row.seconds <= 8.0:
                self._groups.setdefault(row.speaker, []).append(row)
        self._groups = {name: rows for name, rows in self._groups.items() if len(rows) > _CENTROID_CLIPS + 1}
        if len(self._groups) < 2:
            raise InputError(f"{corpus} has fewer than two speakers with {_CENTROID_CLIPS + 2} {split} recordings")
        self.limit, chooser = limit, random.Random(seed)
        self._centroids: dict[str, np.ndarray] = {}
        for name, rows in self._groups.items():
            chooser.shuffle(rows)
            clips = (read_audio(row.audio, mono=True) for row in rows[:_CENTROID_CLIPS])
            vectors = [Heard(round_trip(codec, audio)).voice for audio in clips]
            self._centroids[name] = np.mean(vectors, axis=0)

    @property
    def names(self) -> list[str]:
        return sorted(self._groups)

    def cases(self) -> Iterator[tuple[Row, Audio]]:
        """Yield up to `limit` recordings, speakers in turn, each with a prompt: 3 s of others of its speaker."""
        made = 0
        for turn in range(max(len(rows) for rows in self._groups.values())):
            for name in self.names:
                rows = self._groups[name][_CENTROID_CLIPS:]
                if turn < len(rows) and made < self.limit:
                    made += 1
                    yield rows[turn], self._prompt(name, rows[turn])

    def _prompt(self, name: str, without: Row) -> Audio:
        parts: list[np.ndarray] = []
        for row in self._groups[name]:
            if row.id != without.id and sum(map(len, parts)) < 3 * SAMPLE_RATE:
                parts.append(read_audio(row.audio).mono().resample(SAMPLE_RATE).samples[0])
        return Audio(np.concatenate(parts)[None, : 3 * SAMPLE_RATE], SAMPLE_RATE)

    def nearest(self, audio: Audio) -> str:
        """Return the speaker whose mean vector is most like the voice of a recording."""
        voice = Heard(audio).voice
        return max(self.names, key=lambda name: float(voice @ self._centroids[name]))


def kept(engine: AudioLMEngine, voices: Voices, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return "wer", "cer", "speaker" (accuracy) and "visqol" of recordings, after the codec, and said
    again without (what semantic tokens alone say) and with a prompt of the speaker. ViSQOL is NaN where its package
    is missing."""
    tokenizer, said, heard = CodecTokenizer(engine.codec), [], {}
    judged = left_out("visqol") is None
    for index, (row, prompt) in enumerate(voices.cases()):
        audio = read_audio(row.audio, mono=True)
        ids = tokenizer.encode(audio).ids
        assert ids is not None
        ways = {
            "original": audio,
            "codec": tokenizer.decode(ids),
            "unprompted": engine.say_again(audio, None, seed + index),
            "prompted": engine.say_again(audio, prompt, seed + index),
        }
        said.append(row.text)
        for way, made in ways.items():
            right = float(voices.nearest(made) == row.speaker)
            quality = visqol(audio, like(audio, made)) if judged else math.nan
            heard.setdefault(way, []).append((Heard(made).words, right, quality))
    return {
        way: {
            "wer": word_error_rate(said, [words for words, _, _ in results]),
            "cer": character_error_rate(said, [words for words, _, _ in results]),
            "speaker": float(np.mean([right for _, right, _ in results])),
            "visqol": float(np.mean([quality for _, _, quality in results])),
        }
        for way, results in heard.items()
    }


def continued(
    engine: AudioLMEngine, voices: Voices, phones: PhoneJudge, seconds: float = 7.0, seed: int = 0
) -> dict[str, float]:
    """Return what 3 s prompts lead to: the share of continuations in the prompt's "speaker"'s voice, "words" heard a
    second, the shares of seams without a "click", within 3 dB in "level" and in spectral "flux" like the rest, and how
    many bits a phone a held-out trigram needs for the continuations ("bits"), for their phones in random order
    ("bits_random") and for the recordings that the prompts are of ("bits_recorded")."""
    figures: dict[str, list[float]] = {}
    rests: list[Audio] = []
    recordings = [read_audio(row.audio, mono=True) for row, _ in voices.cases()]
    for index, (row, prompt) in enumerate(voices.cases()):
        made = engine.continuation(prompt, seconds, seed + index)
        rest = Audio(np.ascontiguousarray(made.samples[:, prompt.samples.shape[1] :]), made.sample_rate)
        rests.append(rest)
        one = {
            "speaker": float(voices.nearest(rest) == row.speaker),
            "words": len(Heard(rest).words.split()) / seconds,
            **seam(made, prompt.seconds),
        }
        for name, value in one.items():
            figures.setdefault(name, []).append(value)
    bits, mixed = phones.bits(rests)
    told = {"bits": bits, "bits_random": mixed, "bits_recorded": phones.bits(recordings)[0]}
    return {name: float(np.mean(values)) for name, values in figures.items()} | told


def seam(audio: Audio, seconds: float) -> dict[str, float]:
    """Return whether (1 or 0) a seam has no "click", a "level" within 3 dB and a "flux" within that of the clip."""
    return {
        "click": float(join_click(audio, seconds) <= CLICK_DB),
        "level": float(abs(level_change(audio, seconds)) <= MAX_LEVEL_DB),
        "flux": float(flux_at(audio, seconds) <= 1),
    }


def level_change(audio: Audio, seconds: float) -> float:
    """Return by how many dB the three seconds after a moment are louder than those before, pauses left out."""
    at, size = round(seconds * audio.sample_rate), round(LEVEL_SECONDS * audio.sample_rate)
    parts = audio.samples[0, max(0, at - size) : at], audio.samples[0, at : at + size]
    before, after = (active_db(part, audio.sample_rate) for part in parts)
    return after - before


def flux_at(audio: Audio, seconds: float) -> float:
    """Return the spectral flux at a moment over the greatest elsewhere in the clip: above 1 nothing changes as fast."""
    hop = audio.sample_rate // 100
    mel = LogMel(audio.sample_rate, n_fft=4 * hop, hop_length=hop, num_mels=40)
    flux = mel(torch.from_numpy(audio.samples[:1]))[0].diff(dim=1).abs().mean(0)[_EDGE:-_EDGE]
    at = round(seconds * audio.sample_rate) // hop - _EDGE
    here = flux[max(0, at - 2) : at + 2].max()
    return float(here / torch.cat((flux[: max(0, at - 5)], flux[at + 5 :])).max().clamp(min=1e-6))
