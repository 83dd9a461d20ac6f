"""Tools and household: strokes of a saw or broom, motors, keys, clocks, steps, hinges and zips."""

import numpy as np
from numpy.random import Generator

from uniaudio.data.synthesize.events.blocks import (
    RATE,
    band,
    beats,
    body,
    coloured,
    curve,
    hits,
    hump,
    onsets,
    pulses,
    resonate,
    rough,
    samples,
    strike,
    tone,
    wander,
    white,
)
from uniaudio.data.synthesize.events.event import event, table


def saw(rng: Generator, n: int) -> np.ndarray:
    stroke = np.cumsum(wander(rng, n, 1.0, 0.9, 1.1) * rng.uniform(1.3, 2.0)) / RATE  # turns: forth and back
    speed = np.abs(np.sin(2 * np.pi * stroke))
    forth = np.where(stroke % 1 < 0.5, 1.0, 0.55)
    teeth = pulses(rng, 30 + rng.uniform(170, 260) * speed, 0.4)
    rasp = resonate(teeth, (rng.uniform(500, 800), 250, 0.8), (rng.uniform(1700, 2600), 800, 1.5))
    hiss = band(white(rng, n), 1200, 6500)
    return (rasp / rasp.std() + 0.8 * hiss) * speed**1.5 * forth


def drill(rng: Generator, n: int) -> np.ndarray:
    load = wander(rng, n, 2.0, 0.8, 1.0)
    hz = rng.uniform(420, 620) * curve(n, (0, 0.3), (0.12, 1), (0.92, 1), (1, 0.4)) * load
    whine = tone(hz, rng.uniform(0.3, 1.0, 9) / np.arange(1, 10) ** 0.5)
    gears = tone(hz * 0.23, rng.uniform(0.3, 1.0, 10))
    return whine + 0.4 * gears * rough(rng, n, 50, 0.5) + 0.5 * (1.2 - load) * band(white(rng, n), 1500, 7000)


def sweeping(rng: Generator, n: int) -> np.ndarray:
    period = rng.uniform(0.6, 0.95)
    length = samples(period * 0.7)
    swish = hits(rng, n, beats(rng, n, period, 0.08), hump(length, 1.5), 0.4)
    bristles = band(coloured(rng, n, 2.0), 2000, 7500) * rough(rng, n, 90, 0.7)
    return bristles * swish


def footsteps(rng: Generator, n: int) -> np.ndarray:
    moments = beats(rng, n, rng.uniform(0.45, 0.65), 0.03)
    length = samples(0.2)
    heel = body(rng, length, rng.uniform(80, 140), 4, 0.025, 1.9) + 0.3 * body(
        rng, length, rng.uniform(700, 1100), 3, 0.006
    )
    scuff = band(white(rng, length), 600, 3500) * hump(length, 2.0)
    sole = heel + rng.uniform(0.05, 0.12) * scuff
    toe = np.minimum(moments + samples(rng.uniform(0.08, 0.12)), n - 1)
    return hits(rng, n, moments, sole, 0.3) + 0.35 * hits(rng, n, toe, sole, 0.4)


def gravel(rng: Generator, n: int) -> np.ndarray:
    moments = beats(rng, n, rng.uniform(0.5, 0.7), 0.04)
    tread = hits(rng, n, moments, curve(samples(0.28), (0, 0), (0.15, 1), (0.4, 0.4), (0.6, 0.7), (1, 0)), 0.3)
    grains = np.zeros(n)
    found = onsets(rng, n, 900)
    np.add.at(grains, found, rng.exponential(1.0, len(found)) * rng.choice([-1, 1], len(found)))
    return resonate(grains, (1700.0, 900, 1.0), (3300.0, 1500, 1.2), (5500.0, 2500, 1.0)) * tread


def door_creak(rng: Generator, n: int) -> np.ndarray:
    low = rng.uniform(45, 90)
    slip = low * curve(n, (0, 1), (0.3, rng.uniform(1.5, 3.0)), (0.7, rng.uniform(1.2, 3.5)), (1, 0.9))
    slip = slip * wander(rng, n, 15, 0.85, 1.15)
    wood = [
        (rng.uniform(low_, high), width, 1.0)
        for low_, high, width in ((500, 800, 60), (1100, 1600, 90), (2100, 2900, 150))
    ]
    return resonate(pulses(rng, slip, 0.3), *wood) * wander(rng, n, 5, 0.3, 1.0) * hump(n, 0.4)


def typing(rng: Generator, n: int) -> np.ndarray:
    length, total = samples(0.05), np.zeros(n)
    moments = np.unique(np.concatenate((beats(rng, n, 1 / rng.uniform(5.5, 8.5), 0.4), [samples(0.02)])))
    moments = moments[rng.uniform(size=len(moments)) > 0.12]
    for key in range(4):
        click = body(rng, length, rng.uniform(1300, 2300), 5, 0.004, 1.4) + 0.4 * band(
            white(rng, length), 1500, 7000
        ) * strike(length, 0.002)
        total += hits(rng, n, moments[key::4], click, 0.4)
        total += 0.35 * hits(rng, n, np.minimum(moments[key::4] + samples(0.07), n - 1), click, 0.4)
    return total


def clock(rng: Generator, n: int) -> np.ndarray:
    moments = beats(rng, n, rng.choice([0.5, 0.5, 1.0, 0.4]), 0.004)
    length, hz = samples(0.08), rng.uniform(1900, 2700)
    tick, tock = (body(rng, length, pitch, 5, 0.009, 1.35) for pitch in (hz, hz * rng.uniform(0.72, 0.85)))
    return hits(rng, n, moments[::2], tick, 0.1) + hits(rng, n, moments[1::2], tock, 0.1)


def zipper(rng: Generator, n: int) -> np.ndarray:
    teeth = pulses(rng, curve(n, (0, 70), (0.3, 180), (1, rng.uniform(220, 320))), 0.3)
    pitch = rng.uniform(2500, 3300)
    made = resonate(teeth, (pitch, 900, 1.0), (pitch * 1.8, 1400, 1.0))
    return (made / made.std() + 0.3 * band(white(rng, n), 2500, 7500)) * curve(n, (0, 0.3), (0.4, 1), (0.97, 1), (1, 0))


def paper(rng: Generator, n: int) -> np.ndarray:
    rustle = wander(rng, n, 9, -0.6, 1.0).clip(0) ** 1.5
    found = onsets(rng, n, 260)
    crackle = np.zeros(n)
    crackle[found] = rng.pareto(2.0, len(found)).clip(0, 8) * rng.choice([-1, 1], len(found))
    return band(6 * crackle + 0.4 * white(rng, n), 1800, 7800) * rustle


HOUSEHOLD = table(
    "tools and household",
    (
        "saw",
        event(
            saw,
            "a handsaw|sawing|a saw cutting wood|the strokes of a saw",
            "someone/saws/sawing/wood|a saw/cuts/cutting/through wood|a carpenter/saws/sawing",
            seconds=(1.5, 8.0),
        ),
    ),
    (
        "drill",
        event(
            drill,
            "an electric drill|a power drill|a whining drill|drilling",
            "someone/drills/drilling/a hole|a drill/whines/whining|a power drill/runs/running",
            seconds=(1.2, 5.0),
        ),
    ),
    (
        "sweeping",
        event(
            sweeping,
            "sweeping|a broom on the floor|the swish of a broom|a sweeping broom",
            "someone/sweeps/sweeping/the floor|a broom/swishes/swishing|a broom/sweeps/sweeping/over the floor",
        ),
    ),
    (
        "footsteps",
        event(
            footsteps,
            "footsteps|footsteps on a hard floor|someone's steps|the steps of a walker",
            "someone/walks/walking/by|someone/walks/walking/across the floor|a person/paces/pacing",
        ),
    ),
    (
        "gravel",
        event(
            gravel,
            "footsteps on gravel|crunching gravel|steps on gravel|the crunch of gravel underfoot",
            "someone/walks/walking/on gravel|gravel/crunches/crunching/underfoot|a person/treads/treading/on gravel",
        ),
    ),
    (
        "door_creak",
        event(
            door_creak,
            "a creaking door|a creak of a hinge|a squeaky door|the creak of a door",
            "a door/creaks/creaking/open|a hinge/creaks/creaking|a rusty door/creaks/creaking",
            "creaks of a door|creaks of a hinge|door creaks",
            seconds=(0.8, 2.0),
            gap=(0.3, 0.8),
            most=2,
        ),
    ),
    (
        "typing",
        event(
            typing,
            "typing|typing on a keyboard|a clicking keyboard|keystrokes",
            "someone/types/typing|someone/types/typing/on a keyboard|a keyboard/clatters/clattering",
        ),
    ),
    (
        "clock",
        event(
            clock,
            "a ticking clock|the ticking of a clock|a clock|the tick-tock of a clock",
            "a clock/ticks/ticking|a clock/ticks/ticking/away|an old clock/ticks/ticking",
        ),
    ),
    (
        "zipper",
        event(
            zipper,
            "a zip|a pull of a zipper|a zipper being closed|a zip being pulled",
            "someone/zips/zipping/up a jacket|a zipper/closes/closing|someone/pulls/pulling/a zipper",
            "pulls of a zipper|zips|zipper pulls",
            seconds=(0.4, 0.8),
            gap=(0.3, 0.7),
            most=3,
        ),
    ),
    (
        "paper",
        event(
            paper,
            "rustling paper|crumpling paper|the rustle of paper|a crumpled sheet of paper",
            "paper/rustles/rustling|someone/crumples/crumpling/paper|someone/rustles/rustling/papers",
            seconds=(1.0, 6.0),
        ),
    ),
)
