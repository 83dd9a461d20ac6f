"""Weather, water and fire: noise with gusts, clouds of drops, bubbles."""

import numpy as np
from numpy.random import Generator

from uniaudio.data.synthesize.events.blocks import (
    RATE,
    band,
    cloud,
    coloured,
    curve,
    drops,
    modal,
    narrowband,
    onsets,
    place,
    samples,
    strike,
    wander,
    white,
)
from uniaudio.data.synthesize.events.event import event, table


def rain(rng: Generator, n: int) -> np.ndarray:
    heavy = rng.uniform(0.3, 1.0)
    wash = band(coloured(rng, n, -rng.uniform(0.0, 2.5)), rng.uniform(500, 1000), 7800)
    patter = cloud(rng, n, 250 + 900 * heavy, (1800.0, 6500.0), (0.0006, 0.002))
    return 0.8 * heavy * wash * wander(rng, n, 0.7, 0.8, 1.0) + rng.uniform(0.5, 0.9) * patter


def thunder(rng: Generator, n: int) -> np.ndarray:
    length = n / RATE
    rolls = np.zeros(n)
    for _ in range(int(rng.integers(4, 9))):
        start = samples(rng.beta(1.0, 2.2) * 0.8 * length) - 1
        rolls[start:] += rng.uniform(0.3, 1.0) * strike(n - start, rng.uniform(0.12, 0.35) * length, 0.03)
    rumble = band(coloured(rng, n, -6.0), 25, rng.uniform(150, 350)) * rolls * np.exp(-2.0 * np.arange(n) / n)
    crack = band(white(rng, n), 300, 3000) * strike(n, rng.uniform(0.05, 0.2), 0.004) * rng.choice([0.0, 0.25, 0.5])
    return rumble + crack * rumble.std()


def wind(rng: Generator, n: int) -> np.ndarray:
    gust = wander(rng, n, rng.uniform(0.4, 1.2), 0.15, 1.0) ** 1.5
    centre = rng.uniform(250, 500) * (1 + 0.9 * gust)
    howl = narrowband(rng, centre, rng.uniform(60, 160)) * gust**1.5
    roar = band(coloured(rng, n, -5.0), 60, 900) * gust
    return roar + rng.uniform(0.5, 1.1) * howl + 0.08 * band(white(rng, n), 1500, 5000) * gust**2


def waves(rng: Generator, n: int) -> np.ndarray:
    swell = np.zeros(n)
    moment = -rng.uniform(0.0, 2.0)
    while moment < n / RATE:
        rise, fall = rng.uniform(0.7, 1.6), rng.uniform(0.8, 1.8)
        time = np.arange(n) / RATE - moment
        shape = np.where(time < rise, np.clip(time / rise, 0, 1) ** 2.5, np.exp(-np.maximum(0.0, time - rise) / fall))
        swell = np.maximum(swell, rng.uniform(0.6, 1.0) * shape)
        moment += rng.uniform(3.0, 5.5)
    low = band(coloured(rng, n, -5.0), 50, 600) * (0.25 + swell)
    return low + band(coloured(rng, n, -2.0), 700, 7000) * (0.05 + swell**1.7)


def stream(rng: Generator, n: int) -> np.ndarray:
    bubbles = drops(rng, n, rng.uniform(90, 160), (450.0, 2600.0))
    wash = band(coloured(rng, n, -3.0), 400, 3500)
    return bubbles + rng.uniform(0.05, 0.15) * wash * wander(rng, n, 2.0, 0.7, 1.0)


def drip(rng: Generator, n: int) -> np.ndarray:
    hz = rng.uniform(700, 1700)
    time = np.arange(n) / RATE
    plop = np.sin(2 * np.pi * hz * (time + rng.uniform(1.5, 4.0) * time**2)) * strike(n, rng.uniform(0.025, 0.05))
    start = samples(rng.uniform(0.02, 0.05))
    splash = band(white(rng, n), 2000, 7000) * strike(n, 0.004)
    return 0.3 * splash + np.concatenate((np.zeros(start), plop))[:n]


def pouring(rng: Generator, n: int) -> np.ndarray:
    low = rng.uniform(350, 600)
    centre = curve(n, (0, low), (0.8, low * rng.uniform(2.2, 3.2)), (1, low * 3.4)) * wander(rng, n, 12, 0.95, 1.05)
    column = narrowband(rng, centre, 160) * wander(rng, n, 14, 0.6, 1.0)
    splash = band(white(rng, n), 1800, 6500) * wander(rng, n, 20, 0.5, 1.0)
    bubbles = drops(rng, n, 40, (600.0, 2000.0))
    return column + 0.3 * splash + 0.6 * bubbles


def boiling(rng: Generator, n: int) -> np.ndarray:
    return drops(rng, n, rng.uniform(14, 30), (130.0, 550.0), rise=0.6) + 0.01 * band(coloured(rng, n, -6.0), 60, 500)


def splash(rng: Generator, n: int) -> np.ndarray:
    thud = modal(n, [rng.uniform(90, 180)], [0.05], [1.5])
    spray = band(white(rng, n), 600, 6500) * strike(n, rng.uniform(0.12, 0.25), rng.uniform(0.02, 0.06))
    late = drops(rng, n, 60, (500.0, 1800.0)) * curve(n, (0, 0), (0.15, 1), (1, 0))
    return thud + 0.7 * spray + 0.5 * late


def fire(rng: Generator, n: int) -> np.ndarray:
    moments = onsets(rng, n, rng.uniform(10, 28))
    length = samples(0.02)
    time = np.arange(length) / RATE
    fall = rng.uniform(0.0008, 0.004, (len(moments), 1))
    crackles = rng.standard_normal((len(moments), length)) * np.exp(-time / fall)
    crackles *= np.minimum(rng.pareto(1.6, (len(moments), 1)) + 0.3, 6.0)
    roar = coloured(rng, n, -5.0) * wander(rng, n, 6.0, 0.5, 1.0)
    return band(place(n, moments, crackles), 700, 7500) + rng.uniform(0.08, 0.2) * band(roar, 40, 700)


WATER = table(
    "weather and water",
    (
        "rain",
        event(
            rain,
            "rain|falling rain|rainfall|the patter of rain|a rain shower",
            "rain/falls/falling|rain/patters/pattering/down|rain/comes/coming/down",
        ),
    ),
    (
        "thunder",
        event(
            thunder,
            "a clap of thunder|a roll of thunder|a peal of thunder|a rumble of thunder",
            "thunder/rumbles/rumbling|thunder/rolls/rolling|a storm/thunders/thundering",
            "claps of thunder|rolls of thunder|peals of thunder|rumbles of thunder",
            seconds=(2.2, 3.5),
            gap=(0.2, 0.6),
            most=2,
        ),
    ),
    (
        "wind",
        event(
            wind,
            "wind|howling wind|gusts of wind|a gusty wind|blowing wind",
            "the wind/howls/howling|wind/blows/blowing|the wind/gusts/gusting",
        ),
    ),
    (
        "waves",
        event(
            waves,
            "waves|ocean waves|the surf|waves on a beach|sea waves",
            "waves/wash/washing/ashore|waves/break/breaking/on the shore|the sea/surges/surging",
            seconds=(4.0, 10.0),
        ),
    ),
    (
        "stream",
        event(
            stream,
            "a stream|a babbling brook|running water|a small creek|a flowing stream",
            "a stream/burbles/burbling|water/runs/running/over stones|a brook/babbles/babbling",
        ),
    ),
    (
        "drip",
        event(
            drip,
            "a drop of water|a water drop|a drip|a falling water drop",
            "water/drips/dripping|a tap/drips/dripping|a faucet/drips/dripping",
            "drops of water|water drops|drips|falling water drops",
            seconds=(0.2, 0.35),
            gap=(0.3, 0.7),
            most=5,
        ),
    ),
    (
        "pouring",
        event(
            pouring,
            "water being poured|pouring water|a glass being filled|a drink being poured",
            "someone/pours/pouring/water|a glass/fills/filling/up|someone/fills/filling/a glass",
            seconds=(1.8, 4.5),
        ),
    ),
    (
        "boiling",
        event(
            boiling,
            "bubbling|bubbling liquid|boiling water|a bubbling pot|bubbles",
            "a pot/bubbles/bubbling|a liquid/bubbles/bubbling|water/boils/boiling",
        ),
    ),
    (
        "splash",
        event(
            splash,
            "a splash|a splash of water|a water splash|a splash into water",
            "something/splashes/splashing/into water|water/splashes/splashing|someone/splashes/splashing",
            "splashes|splashes of water|water splashes|splashes into water",
            seconds=(0.5, 0.9),
            gap=(0.2, 0.8),
            most=3,
        ),
    ),
    (
        "fire",
        event(
            fire,
            "a crackling fire|a campfire|a burning fire|crackling flames|a wood fire",
            "a fire/crackles/crackling|wood/burns/burning|flames/crackle/crackling",
        ),
    ),
)
