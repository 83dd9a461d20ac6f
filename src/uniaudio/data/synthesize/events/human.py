"""People without words: laughter, coughs, breath, snores, claps, whistles, hearts and babies."""

import numpy as np
from numpy.random import Generator

from uniaudio.data.synthesize.events.blocks import (
    RATE,
    band,
    beats,
    convolve,
    curve,
    hits,
    hump,
    modal,
    narrowband,
    onsets,
    pulses,
    resonate,
    rough,
    samples,
    strike,
    tone,
    voice,
    wander,
    white,
)
from uniaudio.data.synthesize.events.event import event, table


def _tract(size: float) -> list[tuple[float, float, float]]:
    """Return the formants of an open vowel for a vocal tract; a smaller one has them higher."""
    return [(730 * size, 130, 1.0), (1250 * size, 170, 0.6), (2600 * size, 260, 0.35)]


def laughter(rng: Generator, n: int) -> np.ndarray:
    size, low = rng.uniform(0.95, 1.25), rng.uniform(130, 290)
    period = rng.uniform(0.17, 0.24)
    hz = low * curve(n, (0, 1.3), (0.2, 1.5), (1, 0.9)) * wander(rng, n, 30, 0.96, 1.04)
    syllable = hits(rng, n, beats(rng, n, period, 0.06), hump(samples(period * 0.55), 1.2), 0.3)
    breath = hits(rng, n, beats(rng, n, period, 0.06), hump(samples(period * 0.8), 1.0), 0.3)
    vowel = voice(hz, [*_tract(size)], 0.7)
    aspiration = resonate(white(rng, n), *((hz_, 3 * width, gain) for hz_, width, gain in _tract(size)))
    return (vowel / vowel.std() * syllable + 0.35 * aspiration / aspiration.std() * breath) * curve(
        n, (0, 0.8), (0.2, 1), (1, 0.4)
    )


def cough(rng: Generator, n: int) -> np.ndarray:
    size = rng.uniform(0.9, 1.3)
    peaks = [(550 * size, 250, 1.0), (1300 * size, 400, 0.9), (2700 * size, 800, 0.5)]
    burst = resonate(white(rng, n), *peaks) * strike(n, rng.uniform(0.05, 0.09), 0.006)
    hz = rng.uniform(120, 240) * curve(n, (0, 1.3), (1, 0.8))
    tail = voice(hz, [(500 * size, 200, 1.0), (1200 * size, 250, 0.5)], 0.8) * curve(
        n, (0, 0), (0.3, 0.3), (0.5, 1), (0.8, 0.3), (1, 0)
    )
    return burst / burst.std() + rng.uniform(0.0, 0.5) * tail / tail.std()


def sneeze(rng: Generator, n: int) -> np.ndarray:
    size, split = rng.uniform(0.95, 1.25), round(n * rng.uniform(0.4, 0.55))
    gasp = resonate(white(rng, split), (900 * size, 400, 1.0), (2000 * size, 700, 0.8)) * curve(
        split, (0, 0), (0.85, 1), (1, 0)
    )
    rest = n - split
    blast = band(white(rng, rest), 1500, 7500) * strike(rest, rng.uniform(0.08, 0.14), 0.01)
    vowel = voice(
        rng.uniform(180, 340) * curve(rest, (0, 1.4), (1, 0.7)), [(380 * size, 150, 1.0), (1100 * size, 250, 0.4)], 0.7
    )
    vowel *= strike(rest, 0.1, 0.02) * 0.5 / vowel.std()
    return np.concatenate((0.25 * gasp / gasp.std(), 1.2 * blast / blast.std() + vowel))


def snoring(rng: Generator, n: int) -> np.ndarray:
    period, total = rng.uniform(2.2, 3.2), np.zeros(n)
    inward = hump(samples(period * 0.42), 0.7)
    outward = hump(samples(period * 0.3), 1.0)
    first = (np.arange(0, n / RATE, period) * RATE).astype(int)
    flutter = pulses(rng, rng.uniform(28, 48) * wander(rng, n, 6, 0.8, 1.2), 0.5)
    throat = resonate(
        flutter + 0.03 * white(rng, n),
        (rng.uniform(180, 300), 120, 1.0),
        (rng.uniform(550, 900), 250, 0.7),
        (2000.0, 700, 0.3),
    )
    total += throat / throat.std() * hits(rng, n, first, inward, 0.2)
    second = np.minimum(first + samples(period * 0.55), n - 1)
    return total + 0.12 * band(white(rng, n), 400, 2500) * hits(rng, n, second, outward, 0.3)


def breathing(rng: Generator, n: int) -> np.ndarray:
    period, size = rng.uniform(1.5, 2.6), rng.uniform(0.9, 1.2)
    first = (np.arange(0, n / RATE, period) * RATE).astype(int)
    noise = white(rng, n)
    inward = resonate(noise, (1500 * size, 700, 1.0), (3200 * size, 1200, 0.8)) * hits(
        rng, n, first, hump(samples(period * 0.4), 1.0), 0.2
    )
    second = np.minimum(first + samples(period * 0.5), n - 1)
    outward = resonate(noise, (600 * size, 400, 1.2), (1400 * size, 700, 0.6)) * hits(
        rng, n, second, hump(samples(period * 0.45), 1.3), 0.2
    )
    return inward + outward


def _clap(rng: Generator) -> np.ndarray:
    """Return one hand clap, [L]: a burst of noise with the resonance of the cupped hands."""
    length = samples(0.06)
    burst = white(rng, length) * strike(length, rng.uniform(0.006, 0.012), 0.0005)
    return resonate(burst, (rng.uniform(800, 1500), 500, 1.0), (rng.uniform(2200, 3200), 1200, 0.6)) + 0.1 * burst


def clap(rng: Generator, n: int) -> np.ndarray:
    return hits(rng, n, np.array([0]), _clap(rng), 0.0)


def applause(rng: Generator, n: int) -> np.ndarray:
    total, rate = np.zeros(n), rng.uniform(60, 160)
    for _ in range(8):
        train, moments = np.zeros(n), onsets(rng, n, rate / 8)
        np.add.at(train, moments, rng.uniform(0.3, 1.0, len(moments)))
        total += convolve(train, _clap(rng))
    return total * curve(n, (0, 0.5), (0.15, 1), (0.8, 1), (1, 0.5))


def whistling(rng: Generator, n: int) -> np.ndarray:
    count = max(2, round(n / RATE / rng.uniform(0.3, 0.5)))
    steps = np.cumsum(rng.choice([-4, -2, 0, 2, 3, 5], count)) % 12
    edges = np.sort(np.concatenate((np.arange(count) / count, (np.arange(count) + 0.85) / count)))
    hz = rng.uniform(950, 1250) * 2 ** (np.interp(np.linspace(0, 1, n), edges, np.repeat(steps, 2)) / 12)
    hz *= 1 + 0.008 * np.sin(2 * np.pi * rng.uniform(5, 6.5) * np.arange(n) / RATE)
    notes = 0.25 + 0.75 * np.abs(np.sin(np.pi * count * np.arange(n) / n)) ** 0.5
    return (tone(hz, (1.0, 0.04)) + 0.08 * narrowband(rng, hz, 400)) * notes


def heartbeat(rng: Generator, n: int) -> np.ndarray:
    moments, length = beats(rng, n, 60 / rng.uniform(58, 105), 0.02), samples(0.2)
    lub = modal(length, [rng.uniform(42, 58), rng.uniform(80, 110)], [0.045, 0.03], [1.0, 0.5]) * strike(
        length, 1.0, 0.012
    )
    dub = modal(length, [rng.uniform(58, 75), rng.uniform(110, 140)], [0.03, 0.02], [1.0, 0.5]) * strike(
        length, 1.0, 0.01
    )
    second = np.minimum(moments + samples(rng.uniform(0.26, 0.32)), n - 1)
    return hits(rng, n, moments, lub, 0.1) + 0.7 * hits(rng, n, second, dub, 0.1)


def baby(rng: Generator, n: int) -> np.ndarray:
    count = max(1, round(n / RATE / rng.uniform(0.9, 1.3)))
    position = (np.arange(n) * count / n) % 1.0
    arc = np.interp(position, (0, 0.2, 0.55, 0.75, 1), (0.8, 1.1, 1.05, 0.75, 0.8))
    loud = np.interp(position, (0, 0.08, 0.6, 0.76, 0.82, 0.9, 1), (0, 1, 0.9, 0, 0, 0, 0))
    hz = rng.uniform(400, 520) * arc * wander(rng, n, 40, 0.985, 1.015)
    cry = voice(hz, [(1050.0, 350, 1.0), (1900.0, 400, 0.7), (3700.0, 700, 0.5)], 0.4) * rough(rng, n, 50, 0.4)
    gasp = narrowband(rng, np.full(n, 1800.0), 900) * np.interp(position, (0, 0.8, 0.9, 0.98, 1), (0, 0, 1, 0, 0))
    return cry / cry.std() * loud + 0.12 * gasp


HUMAN = table(
    "people",
    (
        "laughter",
        event(
            laughter,
            "laughter|a laughing person|someone's laugh|a burst of laughter",
            "someone/laughs/laughing|a person/laughs/laughing/out loud|somebody/chuckles/chuckling",
            seconds=(1.2, 3.0),
        ),
    ),
    (
        "cough",
        event(
            cough,
            "a cough|someone's cough|a person's cough|a dry cough",
            "someone/coughs/coughing|a person/coughs/coughing|somebody/coughs/coughing",
            "coughs|dry coughs|coughs of a person",
            seconds=(0.25, 0.45),
            gap=(0.15, 0.4),
            most=4,
        ),
    ),
    (
        "sneeze",
        event(
            sneeze,
            "a sneeze|someone's sneeze|a person's sneeze|a hearty sneeze",
            "someone/sneezes/sneezing|a person/sneezes/sneezing|somebody/sneezes/sneezing",
            "sneezes|hearty sneezes|sneezes of a person",
            seconds=(0.8, 1.2),
            gap=(0.3, 0.8),
            most=3,
        ),
    ),
    (
        "snoring",
        event(
            snoring,
            "snoring|a snoring person|someone's snores|the snores of a sleeper",
            "someone/snores/snoring|a sleeper/snores/snoring|a person/snores/snoring",
            seconds=(2.2, 10.0),
        ),
    ),
    (
        "breathing",
        event(
            breathing,
            "heavy breathing|someone's breathing|a person breathing|panting breath",
            "someone/breathes/breathing/heavily|a person/breathes/breathing|someone/pants/panting",
        ),
    ),
    (
        "clap",
        event(
            clap,
            "a clap|a hand clap|a clap of the hands|a handclap",
            "someone/claps/clapping|a person/claps/clapping/their hands|somebody/claps/clapping",
            "claps|hand claps|claps of the hands|handclaps",
            seconds=(0.08, 0.14),
            gap=(0.2, 0.4),
            most=6,
        ),
    ),
    (
        "applause",
        event(
            applause,
            "applause|a clapping audience|a round of applause|the applause of a crowd",
            "an audience/applauds/applauding|a crowd/claps/clapping|people/applaud/applauding",
        ),
    ),
    (
        "whistling",
        event(
            whistling,
            "whistling|a whistled tune|someone's whistling|a whistling person",
            "someone/whistles/whistling/a tune|a person/whistles/whistling|somebody/whistles/whistling",
            seconds=(1.5, 6.0),
        ),
    ),
    (
        "heartbeat",
        event(
            heartbeat,
            "a heartbeat|a beating heart|the beat of a heart|a pounding heart",
            "a heart/beats/beating|a heart/pounds/pounding|a heart/thumps/thumping",
        ),
    ),
    (
        "baby",
        event(
            baby,
            "a crying baby|a baby's cry|an infant's cries|a wailing infant",
            "a baby/cries/crying|an infant/wails/wailing|a newborn/cries/crying",
            seconds=(1.2, 8.0),
        ),
    ),
)
