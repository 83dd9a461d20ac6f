"""Machines and vehicles: pulse trains through resonances along a speed curve, motors, rotors, wheels on rails."""

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
    narrowband,
    pass_by,
    place,
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


def _combustion(rng: Generator, hz: np.ndarray, bright: float) -> np.ndarray:
    """Return the firing of cylinders `hz` [N] times a second through the resonances of a pipe and a body."""
    firing = pulses(rng, hz, 0.35)
    peaks = [(rng.uniform(60, 110), 40.0, 1.0), (rng.uniform(150, 260), 80.0, 0.8)]
    peaks += [(rng.uniform(380, 650), 180.0, 0.6 * bright), (rng.uniform(900, 1600), 500.0, 0.5 * bright)]
    puff = np.convolve(firing, np.exp(-np.arange(160) / 40.0))[: len(hz)]
    return resonate(firing, *peaks) + 0.02 * bright * band(white(rng, len(hz)), 300, 4000) * puff


def engine(rng: Generator, n: int) -> np.ndarray:
    hz = rng.uniform(20, 34) * wander(rng, n, 3.0, 0.97, 1.03)
    ticking = (
        rng.uniform(0.002, 0.006)
        * band(white(rng, n), 2500, 6000)
        * (np.sin(2 * np.pi * np.cumsum(hz / 2) / RATE) > 0.8)
    )
    return _combustion(rng, hz, rng.uniform(0.3, 0.7)) + ticking


def motorcycle(rng: Generator, n: int) -> np.ndarray:
    idle, count = rng.uniform(32, 45), max(1, round(n / RATE / rng.uniform(1.0, 1.7)))
    points = [(0.0, idle)]
    for index in range(count):
        points += [((index + 0.45) / count, idle * rng.uniform(2.6, 4.5)), ((index + 0.98) / count, idle * 1.15)]
    hz = curve(n, *points)
    made = _combustion(rng, hz, 2.0) * (0.4 + hz / hz.max())
    return np.tanh(made / made.std() * 1.2)


def car_passing(rng: Generator, n: int) -> np.ndarray:
    tyres = band(coloured(rng, n, -3.0), 250, rng.uniform(2000, 3500))
    hum = resonate(pulses(rng, np.full(n, rng.uniform(70, 110)), 0.1), (150.0, 60.0, 1.0), (420.0, 150.0, 0.6))
    made = tyres + 0.5 * hum / hum.std()
    return pass_by(made, rng.uniform(13, 26), rng.uniform(4, 8), rng.uniform(0.4, 0.6))


def train(rng: Generator, n: int) -> np.ndarray:
    period = rng.uniform(0.55, 0.95)
    joint = body(rng, samples(0.15), rng.uniform(130, 240), 7, 0.035, 1.5)
    first = beats(rng, n, period, 0.01)
    second = np.minimum(first + samples(rng.uniform(0.13, 0.19)), n - 1)
    clack = hits(rng, n, first, joint, 0.2) + 0.8 * hits(rng, n, second, joint, 0.2)
    rumble = band(coloured(rng, n, -6.0), 35, 350) * wander(rng, n, 3.0, 0.7, 1.0)
    squeal = narrowband(rng, wander(rng, n, 1.0, 2300, 2700), 60) * wander(rng, n, 1.0, 0.0, 1.0) ** 4
    return clack / np.abs(clack).max() + rng.uniform(0.12, 0.2) * rumble + 0.015 * squeal


def helicopter(rng: Generator, n: int) -> np.ndarray:
    hz = rng.uniform(10.5, 16.0) * wander(rng, n, 0.5, 0.99, 1.01)
    blade = pulses(rng, hz, 0.1)
    slap = samples(0.06)
    kernel = band(white(rng, slap), 60, 900) * strike(slap, 0.012, 0.006)
    thump = np.sin(2 * np.pi * rng.uniform(55, 85) * np.arange(slap) / RATE) * strike(slap, 0.02, 0.008)
    chop = place(n, np.flatnonzero(blade), blade[blade > 0][:, None] * (kernel / kernel.std() * 0.3 + thump))
    whine = tone(rng.uniform(900, 1500) * wander(rng, n, 1.0, 0.995, 1.005), (1.0, 0.4, 0.2))
    wash = band(coloured(rng, n, -4.0), 100, 2500)
    return chop + 0.02 * whine + 0.06 * wash


def vacuum_cleaner(rng: Generator, n: int) -> np.ndarray:
    start = rng.choice([0.5, 1.0])
    hz = rng.uniform(190, 290) * curve(n, (0, start), (0.08, 1.0), (1, 1.0)) * wander(rng, n, 3.0, 0.985, 1.015)
    motor = tone(hz, rng.uniform(0.2, 1.0, 14) / np.arange(1, 15) ** 0.4)
    suction = band(coloured(rng, n, -1.0), 500, 7000)
    return (
        0.35 * motor + rng.uniform(0.7, 1.1) * resonate(suction, (rng.uniform(900, 1800), 900.0, 1.2)) + 0.5 * suction
    )


def aeroplane(rng: Generator, n: int) -> np.ndarray:
    hz = rng.uniform(75, 115) * wander(rng, n, 0.4, 0.985, 1.015)
    gains = 1.0 / np.arange(1, 16) ** rng.uniform(0.7, 1.1)
    drone = tone(hz, gains) + tone(hz * rng.uniform(1.008, 1.02), gains)
    made = drone + 0.4 * band(coloured(rng, n, -4.0), 80, 2500)
    return pass_by(made, rng.uniform(50, 80), rng.uniform(150, 300), rng.uniform(0.3, 0.7))


def sewing_machine(rng: Generator, n: int) -> np.ndarray:
    bursts = (wander(rng, n, 1.2, 0.0, 1.0) > 0.3).astype(float)
    speed = np.convolve(bursts, np.ones(1600) / 1600, "same")
    needle = pulses(rng, rng.uniform(12, 18) * (0.25 + 0.75 * speed), 0.2) * (speed > 0.2)
    kernel = body(rng, samples(0.04), rng.uniform(500, 800), 7, 0.008, 1.5)
    motor = tone(rng.uniform(110, 150) * (0.4 + 0.6 * speed), (1.0, 0.5, 0.6, 0.3)) * speed
    clatter = place(n, np.flatnonzero(needle), needle[needle > 0][:, None] * kernel)
    return clatter + 0.05 * motor * rough(rng, n, 20, 0.3)


MACHINES = table(
    "machines and vehicles",
    (
        "engine",
        event(
            engine,
            "an idling engine|a car engine|an engine running idle|a motor ticking over",
            "an engine/idles/idling|a car engine/runs/running|a motor/ticks/ticking/over",
        ),
    ),
    (
        "motorcycle",
        event(
            motorcycle,
            "a revving motorcycle|a motorbike revving up|a motorcycle engine|a revving motorbike",
            "a motorcycle/revs/revving|a motorbike/revs/revving/up|a biker/revs/revving/the engine",
        ),
    ),
    (
        "car_passing",
        event(
            car_passing,
            "a passing car|a car driving past|a vehicle going by|a car going past",
            "a car/drives/driving/past|a car/passes/passing/by|a vehicle/goes/going/by",
            seconds=(2.5, 5.0),
        ),
    ),
    (
        "train",
        event(
            train,
            "a train|a train on the tracks|a rattling train|a train rolling along",
            "a train/rattles/rattling/along|a train/clatters/clattering/over the rails|a train/rolls/rolling/along",
            seconds=(3.0, 10.0),
        ),
    ),
    (
        "helicopter",
        event(
            helicopter,
            "a helicopter|a hovering helicopter|the chop of a helicopter|helicopter rotors",
            "a helicopter/hovers/hovering|a helicopter/flies/flying/around|a helicopter's blades/beat/beating/the air",
        ),
    ),
    (
        "vacuum_cleaner",
        event(
            vacuum_cleaner,
            "a vacuum cleaner|a running vacuum cleaner|the roar of a vacuum cleaner|a hoover",
            "a vacuum cleaner/runs/running|someone/vacuums/vacuuming/the floor|a vacuum cleaner/roars/roaring",
        ),
    ),
    (
        "aeroplane",
        event(
            aeroplane,
            "a propeller plane|a droning aeroplane|an airplane flying over|the drone of an airplane",
            "an airplane/flies/flying/over|a propeller plane/drones/droning|a plane/passes/passing/overhead",
            seconds=(4.0, 10.0),
        ),
    ),
    (
        "sewing_machine",
        event(
            sewing_machine,
            "a sewing machine|a clattering sewing machine|a sewing machine at work|the rattle of a sewing machine",
            "a sewing machine/rattles/rattling|someone/sews/sewing/with a machine|a sewing machine/stitches/stitching",
        ),
    ),
)
