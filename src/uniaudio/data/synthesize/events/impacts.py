"""Impacts: struck wood, metal, glass, rubber and doors, as modes with the decay of their material."""

import numpy as np
from numpy.random import Generator

from uniaudio.data.synthesize.events.blocks import (
    RATE,
    band,
    body,
    coloured,
    hits,
    modal,
    onsets,
    place,
    samples,
    strike,
    white,
)
from uniaudio.data.synthesize.events.event import event, table


def _bounces(rng: Generator, n: int, first: float, keep: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the moments (sample numbers) and speeds of a falling thing that keeps a share of its speed, [G] each."""
    share, time, height = rng.uniform(*keep), 0.01, first
    moments, speeds = [], []
    while time < n / RATE and height > 0.02:
        moments.append(samples(time))
        speeds.append(height / first)
        time, height = time + height, height * share
    return np.array(moments), np.array(speeds)


def knock(rng: Generator, n: int) -> np.ndarray:
    panel = body(rng, n, rng.uniform(150, 300), 6, rng.uniform(0.02, 0.04), 1.5)
    return panel + 0.2 * band(white(rng, n), 600, 2500) * strike(n, 0.004)


def hammer(rng: Generator, n: int) -> np.ndarray:
    nail = body(rng, n, rng.uniform(1500, 2400), 6, rng.uniform(0.05, 0.1), 1.35)
    thud = modal(n, [rng.uniform(110, 200)], [0.03], [0.8])
    return nail + thud + 0.8 * band(white(rng, n), 2000, 7500) * strike(n, 0.003)


def axe(rng: Generator, n: int) -> np.ndarray:
    log = body(rng, n, rng.uniform(90, 150), 4, rng.uniform(0.06, 0.1), 1.9)
    crack = band(white(rng, n), 500, 5000) * strike(n, rng.uniform(0.012, 0.025))
    late = band(white(rng, n), 900, 5000) * strike(n, 0.01)
    lag = samples(rng.uniform(0.06, 0.12))
    return log + 0.7 * crack + 0.3 * np.concatenate((np.zeros(lag), late))[:n]


def glass_breaking(rng: Generator, n: int) -> np.ndarray:
    crash = band(white(rng, n), 1500, 7800) * strike(n, rng.uniform(0.05, 0.1))
    count = int(rng.integers(35, 80))
    moments = (rng.beta(1.0, 3.0, count) * 0.85 * n).astype(int)
    length = samples(0.25)
    shards = np.stack(
        [body(rng, length, rng.uniform(2000, 5500), 3, rng.uniform(0.02, 0.07), 1.3) for _ in range(count)]
    )
    fall = (1 - moments / n)[:, None] ** 1.5 * rng.uniform(0.1, 0.6, (count, 1))
    return crash + place(n, moments, shards * fall)


def coin(rng: Generator, n: int) -> np.ndarray:
    moments, speeds = _bounces(rng, n, rng.uniform(0.22, 0.32), (0.7, 0.82))
    hz = rng.uniform(3300, 4600) * np.array([1.0, 1.31, 1.62, 1.9])
    ring = modal(samples(0.5), hz, [0.12, 0.09, 0.07, 0.05], [1.0, 0.8, 0.6, 0.4])
    return place(n, moments, ring * speeds[:, None])


def ball(rng: Generator, n: int) -> np.ndarray:
    moments, speeds = _bounces(rng, n, rng.uniform(0.45, 0.65), (0.76, 0.86))
    thump = modal(
        samples(0.15),
        [rng.uniform(90, 150), rng.uniform(260, 420), rng.uniform(700, 1000)],
        [0.04, 0.02, 0.012],
        [1, 0.6, 0.3],
    )
    slap = 0.15 * band(white(rng, len(thump)), 500, 3000) * strike(len(thump), 0.004)
    return place(n, moments, (thump + slap) * speeds[:, None])


def dishes(rng: Generator, n: int) -> np.ndarray:
    total = np.zeros(n)
    for _ in range(4):
        plate = body(rng, samples(0.35), rng.uniform(900, 2600), 6, rng.uniform(0.03, 0.09), 1.4)
        plate[:80] += 0.5 * white(rng, 80) * strike(80, 0.001)
        total += hits(rng, n, onsets(rng, n, rng.uniform(0.8, 2.0)), plate, 0.8)
    return total + hits(rng, n, np.array([samples(0.02)]), plate, 0.3)


def door_slam(rng: Generator, n: int) -> np.ndarray:
    boom = body(rng, n, rng.uniform(55, 95), 6, rng.uniform(0.07, 0.13), 1.55)
    bang = band(coloured(rng, n, -3.0), 100, 2500) * strike(n, rng.uniform(0.03, 0.06))
    latch = np.concatenate((np.zeros(samples(0.05)), body(rng, n, rng.uniform(1300, 2200), 4, 0.012)))[:n]
    return boom + 0.6 * bang + 0.2 * latch


def pan(rng: Generator, n: int) -> np.ndarray:
    hz = rng.uniform(210, 330)
    ring = modal(
        n,
        hz * np.array([1, 1.5, 2.6, 3.4, 4.7, 6.1, 8.3]),
        [0.45, 0.4, 0.3, 0.24, 0.2, 0.15, 0.1],
        [0.5, 0.6, 1, 0.9, 0.8, 0.6, 0.4],
    )
    return ring + 0.4 * band(white(rng, n), 800, 6000) * strike(n, 0.01)


IMPACTS = table(
    "impacts",
    (
        "knock",
        event(
            knock,
            "a knock|a knock on a door|a rap on wood|a knock on wood",
            "someone/knocks/knocking|someone/knocks/knocking/on a door|a visitor/raps/rapping/on the door",
            "knocks|knocks on a door|raps on wood|knocks on wood",
            seconds=(0.12, 0.2),
            gap=(0.1, 0.3),
            most=5,
        ),
    ),
    (
        "hammer",
        event(
            hammer,
            "a hammer blow|a blow of a hammer|a hammer strike|a stroke of a hammer",
            "someone/hammers/hammering/a nail|a hammer/strikes/striking/a nail|a carpenter/hammers/hammering",
            "hammer blows|blows of a hammer|hammer strikes|strokes of a hammer",
            seconds=(0.2, 0.35),
            gap=(0.2, 0.5),
            most=5,
        ),
    ),
    (
        "axe",
        event(
            axe,
            "a chop of an axe|an axe stroke|an axe blow|a chop into wood",
            "someone/chops/chopping/wood|an axe/splits/splitting/wood|a lumberjack/chops/chopping/a log",
            "chops of an axe|axe strokes|axe blows|chops into wood",
            seconds=(0.3, 0.5),
            gap=(0.5, 1.0),
            most=3,
        ),
    ),
    (
        "glass_breaking",
        event(
            glass_breaking,
            "breaking glass|a shattering window|a glass shattering|a smashing glass",
            "glass/shatters/shattering|a window/breaks/breaking|a glass/smashes/smashing",
            seconds=(0.9, 1.8),
        ),
    ),
    (
        "coin",
        event(
            coin,
            "a dropped coin|a coin falling on the floor|a coin drop|a bouncing coin",
            "a coin/drops/dropping/on the floor|someone/drops/dropping/a coin|a coin/clinks/clinking/on a table",
            "dropped coins|coin drops|coins falling on the floor",
            seconds=(1.0, 1.7),
            gap=(0.1, 0.5),
            most=3,
        ),
    ),
    (
        "ball",
        event(
            ball,
            "a bouncing ball|a dropped ball|a ball bouncing on the floor|the bounces of a ball",
            "a ball/bounces/bouncing|a ball/bounces/bouncing/on the floor|someone/drops/dropping/a ball",
            seconds=(1.8, 3.5),
        ),
    ),
    (
        "dishes",
        event(
            dishes,
            "clattering dishes|clinking plates|the clatter of dishes|rattling crockery",
            "dishes/clatter/clattering|plates/clink/clinking|someone/stacks/stacking/plates",
            seconds=(1.5, 8.0),
        ),
    ),
    (
        "door_slam",
        event(
            door_slam,
            "a door slam|a slam of a door|a slamming door|a bang of a door",
            "a door/slams/slamming|a door/bangs/banging/shut|someone/slams/slamming/a door",
            "door slams|slams of a door|bangs of a door",
            seconds=(0.4, 0.8),
            gap=(0.5, 1.0),
            most=2,
        ),
    ),
    (
        "pan",
        event(
            pan,
            "a bang on a pan|a clang of a pan|a metal clang|a clang",
            "someone/bangs/banging/a pan|a metal pan/clangs/clanging|a pot/clangs/clanging",
            "bangs on a pan|clangs of a pan|metal clangs|clangs",
            seconds=(0.5, 1.0),
            gap=(0.1, 0.4),
            most=4,
        ),
    ),
)
