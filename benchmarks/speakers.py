"""Do the made speakers sound like different people? Similarity of voices by resemblyzer, and word errors by voice.

python benchmarks/speakers.py --utterances 6 --wer 4

A speaker is distinct when its recordings are on average more like one another than like the mean of any other speaker.
The threshold between pairs of one speaker and pairs of two is where both errors are equal on training speakers.
"""

import argparse
import random
from collections import defaultdict

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.data.synthesize.sentences import all_sentences
from uniaudio.data.synthesize.speakers import Speaker, speakers
from uniaudio.data.synthesize.speech import SAMPLE_RATE, Utterance, speak
from uniaudio.data.synthesize.styles import PLAIN, RATES, draw_style
from uniaudio.evaluate.metrics.speaker_similarity import speaker_embedding
from uniaudio.evaluate.metrics.wer import recognise, word_error_rate

Voices = dict[str, np.ndarray]  # speaker -> unit vectors [U, 256] of its recordings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=6, help="recordings of each speaker")
    parser.add_argument("--wer", type=int, default=0, help="sentences of each speaker to recognise (slow)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    everyone = speakers()
    split = {speaker.name: speaker.split for speaker in everyone}
    for styled in (False, True):
        lines = [planned(s, options.utterances, options.seed, styled) for s in everyone]
        voices = {s.name: np.stack([heard(u) for u in said]) for s, said in zip(everyone, lines, strict=True)}
        threshold = equal_error({name: e for name, e in voices.items() if split[name] == "train"})
        print("as planned, half with a style" if styled else "without style", f"(threshold {threshold:.3f})")
        print(f"  distinct: {distinct(voices)} of {len(voices)}")
        for name, splits in (("all", ("train", "dev", "test")), ("held out", ("dev", "test"))):
            same, different = pairs({n: e for n, e in voices.items() if split[n] in splits})
            above, below = np.mean(same >= threshold), np.mean(different < threshold)
            means = f"means {same.mean():.3f} {different.mean():.3f}"
            print(f"  {name}: same above {above:.1%}, different below {below:.1%}; {means}")
    if options.wer:
        word_errors(everyone, options.wer, options.seed)


def planned(speaker: Speaker, count: int, seed: int, styled: bool) -> list[Utterance]:
    """Return utterances of different sentences by one speaker."""
    random_ = random.Random(f"{speaker.name} {seed}")
    found = []
    for text in random_.sample([s for s in all_sentences() if len(s) > 35], count):
        fixed = () if speaker.can_vary_range else ("range",)
        style = draw_style(random_, text, fixed) if styled else PLAIN
        tempo = RATES[style.rate]
        found.append(Utterance(id="x", text=text, split=speaker.split, speaker=speaker, tempo=tempo, style=style))
    return found


def heard(utterance: Utterance) -> np.ndarray:
    return speaker_embedding(Audio(speak(utterance)[0][None], SAMPLE_RATE))


def pairs(voices: Voices) -> tuple[np.ndarray, np.ndarray]:
    """Return the similarities of all pairs of recordings of one speaker, and of two."""
    every = np.concatenate(list(voices.values()))
    owner = np.repeat(np.arange(len(voices)), [len(e) for e in voices.values()])
    first, second = np.triu_indices(len(every), 1)
    similarity = (every @ every.T)[first, second]
    same = owner[first] == owner[second]
    return similarity[same], similarity[~same]


def equal_error(voices: Voices) -> float:
    """Return the threshold at which as many same pairs are below as different pairs are not."""
    same, different = pairs(voices)
    grid = np.linspace(0.4, 1.0, 601)
    gaps = [abs(np.mean(same < threshold) - np.mean(different >= threshold)) for threshold in grid]
    return float(grid[int(np.argmin(gaps))])


def distinct(voices: Voices) -> int:
    """Return how many speakers are more like themselves than like the mean of any other."""
    means = np.stack([e.mean(0) / np.linalg.norm(e.mean(0)) for e in voices.values()])
    count = 0
    for index, own in enumerate(voices.values()):
        same, _ = pairs({"own": own})
        others = np.delete(own.mean(0) @ means.T, index)
        count += bool(same.mean() > others.max())
    return count


def word_errors(everyone: list[Speaker], count: int, seed: int) -> None:
    """Print the word error rate by base voice and split, without style."""
    texts, words = defaultdict(list), defaultdict(list)
    for speaker in everyone:
        group = f"{speaker.base if speaker.engine == 'flite' else 'espeak-ng'} {speaker.split}"
        for utterance in planned(speaker, count, seed, styled=False):
            samples, _ = speak(utterance)
            texts[group].append(utterance.text)
            words[group].append(recognise(Audio(samples[None], SAMPLE_RATE)))
    for group in sorted(texts):
        print(f"  WER {group}: {word_error_rate(texts[group], words[group]):.2f} ({len(texts[group])} sentences)")


if __name__ == "__main__":
    main()
