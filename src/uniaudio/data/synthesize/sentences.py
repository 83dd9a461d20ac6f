"""English sentences to be spoken, from permissively licensed and public-domain text; it knows nothing of sound.

Sources, read from Debian packages where they are installed: the example sentences of WordNet 3.0 (`wordnet-base`,
WordNet licence) and the King James Bible (`bible-kjv`, public domain). Without them a grammar of our own makes
plain sentences, so a corpus can be made anywhere.
"""

import functools
import hashlib
import random
import re
import shutil
import subprocess
from pathlib import Path

WORDNET = Path("/usr/share/wordnet")
_PLAIN = re.compile(r"^[A-Za-z][A-Za-z' ,;:.!?-]*$")
_ABBREVIATION = re.compile(r"\b[A-Z]{2,}\b|\b[B-HJ-Zb-hj-z]\b|\b(Mr|Mrs|Dr|St|etc|vs)\b")


def wordnet_sentences() -> list[str]:
    """Return the quoted example sentences of WordNet, 4-14 plain words each, sorted; [] if it is not installed."""
    found: set[str] = set()
    for path in sorted(WORDNET.glob("data.*")):
        for quoted in re.findall(r'"([^"]+)"', path.read_text(encoding="utf-8", errors="ignore")):
            sentence = _clean(quoted)
            if sentence:
                found.add(sentence)
    return sorted(found)


def bible_sentences() -> list[str]:
    """Return clauses of the King James Bible, 4-14 plain words each, sorted; [] if it is not installed."""
    program = shutil.which("bible")
    if program is None:
        return []
    text = subprocess.run([program, "-f", "Gen1:1-Rev22:21"], capture_output=True, text=True, check=False).stdout
    found: set[str] = set()
    for line in text.splitlines():
        verse = re.sub(r"^\S+\s*\d+:\d+\s*", "", line).strip()
        for clause in re.split(r"(?<=[.;:!?])\s+", verse):
            sentence = _clean(clause.rstrip(";:"))
            if sentence:
                found.add(sentence)
    return sorted(found)


def _clean(sentence: str) -> str | None:
    """Return the sentence with plain punctuation, or None if it is unfit to be spoken by every engine alike."""
    sentence = re.sub(r"\s+", " ", sentence.replace("--", ", ").replace("`", "'")).strip(" ,;:-")
    if not 4 <= len(sentence.split()) <= 14 or len(sentence) > 90:
        return None
    if not _PLAIN.match(sentence) or _ABBREVIATION.search(sentence) or "..." in sentence:
        return None
    sentence = sentence[0].upper() + sentence[1:]
    return sentence if sentence[-1] in ".!?" else sentence + "."


_SUBJECTS = "the teacher|my brother|a young doctor|the tall farmer|our neighbour|the old captain|her sister|the girl"
_VERBS = "watched|carried|painted|followed|remembered|opened|repaired|described|borrowed|counted|noticed|washed"
_OBJECTS = "a heavy box|the blue door|three silver coins|the broken clock|a long letter|the garden wall|her new boat"
_PLACES = "near the river|before breakfast|in the quiet kitchen|under the bridge|after the storm|with great care"


def grammar_sentences(count: int, seed: int) -> list[str]:
    """Make `count` plain sentences from a small grammar; the same seed gives the same sentences."""
    random_ = random.Random(seed)
    made: dict[str, None] = {}
    while len(made) < min(count, 4000):
        parts = [random_.choice(part.split("|")) for part in (_SUBJECTS, _VERBS, _OBJECTS, _PLACES)]
        sentence = " ".join(parts)
        made[sentence[0].upper() + sentence[1:] + "."] = None
    return list(made)


def all_sentences() -> list[str]:
    """Return every sentence at hand in a fixed order: WordNet twice as likely as the Bible, else the grammar's."""
    return list(_every_sentence())


@functools.cache
def _every_sentence() -> tuple[str, ...]:
    wordnet, bible = wordnet_sentences(), bible_sentences()
    if not wordnet and not bible:
        return tuple(grammar_sentences(4000, seed=0))
    random_ = random.Random(0)
    random_.shuffle(bible)
    return tuple(sorted(set(wordnet + bible[: len(wordnet) // 3])))


def split_of(text: str) -> str:
    """Return "train", "dev" or "test" (96, 2, 2 %) from the words alone, so that a sentence never changes sides."""
    words = re.sub(r"[^a-z ]", "", text.lower())
    bucket = int(hashlib.sha256(words.encode()).hexdigest(), 16) % 100
    return "test" if bucket < 2 else "dev" if bucket < 4 else "train"
