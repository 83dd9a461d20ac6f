"""Alarms, horns and bells: electronic tones with patterns, and struck bells with their inharmonic partials."""

import numpy as np
from numpy.random import Generator

from uniaudio.data.synthesize.events.blocks import (
    RATE,
    beats,
    body,
    coloured,
    curve,
    gate,
    hits,
    modal,
    samples,
    tone,
    wander,
)
from uniaudio.data.synthesize.events.event import event, table

_BELL = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.67, 3.0, 4.0, 5.2])  # hum, prime, tierce, quint, nominal, ...


def _pattern(n: int, on: float, off: float, group: int = 1, rest: float = 0.0) -> np.ndarray:
    """Return a gate [N] of `group` beeps of `on` s, `off` s apart, with `rest` s after each group."""
    total, moment = np.zeros(n), 0.0
    while moment < n / RATE:
        for _ in range(group):
            total += gate(n, moment, on, 0.004)
            moment += on + off
        moment += rest
    return total


def siren(rng: Generator, n: int) -> np.ndarray:
    low = rng.uniform(480, 700)
    high = low * rng.uniform(1.8, 2.4)
    time = np.arange(n) / RATE + rng.uniform(0.0, 1.0)
    kind = rng.choice(["wail", "yelp", "two-tone"])
    if kind == "two-tone":
        hz = np.where((time / rng.uniform(0.45, 0.7)) % 2 < 1, low, low * 1.335)
    else:
        period = rng.uniform(2.5, 4.5) if kind == "wail" else rng.uniform(0.28, 0.4)
        hz = low + (high - low) * (0.5 - 0.5 * np.cos(2 * np.pi * time / period))
    return tone(hz, 1.0 / np.arange(1, 8) ** rng.uniform(1.0, 1.6))


def alarm_clock(rng: Generator, n: int) -> np.ndarray:
    hz = np.full(n, rng.uniform(1900, 2300))
    return tone(hz, (1.0, 0.0, 0.33)) * _pattern(n, rng.uniform(0.06, 0.08), 0.06, 4, rng.uniform(0.35, 0.5))


def smoke_alarm(rng: Generator, n: int) -> np.ndarray:
    hz = np.full(n, rng.uniform(3000, 3300))
    return tone(hz, (1.0, 0.25)) * _pattern(n, rng.uniform(0.4, 0.5), rng.uniform(0.25, 0.4), 3, rng.uniform(0.5, 0.9))


def reversing_beeper(rng: Generator, n: int) -> np.ndarray:
    hz, on = np.full(n, rng.uniform(950, 1350)), rng.uniform(0.35, 0.55)
    return tone(hz, (1.0, 0.1, 0.3, 0.05, 0.15)) * _pattern(n, on, on * rng.uniform(0.9, 1.1))


def telephone(rng: Generator, n: int) -> np.ndarray:
    low, hz = rng.uniform(950, 1300), rng.uniform(20, 26)
    length = samples(0.35)
    bells = [
        modal(length, hz * np.array([1, 2.4, 3.9, 5.2]), [0.12, 0.07, 0.04, 0.03], [1, 0.7, 0.4, 0.3])
        for hz in (low, low * 1.26)
    ]
    struck = sum(hits(rng, n, beats(rng, n, 2 / hz, 0.02), bell, 0.15) for bell in bells)
    return struck * curve(n, (0, 1), (0.85, 1), (1, 0.0))


def car_horn(rng: Generator, n: int) -> np.ndarray:
    low = rng.uniform(330, 440)
    gains = 1.0 / np.arange(1, 18) ** 0.6
    steady = wander(rng, n, 8.0, 0.998, 1.002)
    made = tone(low * steady, gains) + tone(low * rng.choice([1.19, 1.26]) * steady, gains)
    return made * gate(n, 0.0, n / RATE, 0.02)


def ship_horn(rng: Generator, n: int) -> np.ndarray:
    hz = rng.uniform(80, 150) * curve(n, (0, 0.96), (0.06, 1), (0.95, 1), (1, 0.95))
    made = tone(hz, np.concatenate(([1.0, 0.9, 0.8, 0.6], 0.5 / np.arange(1, 12))))
    return (made + 0.05 * coloured(rng, n, -4.0)) * gate(n, 0.0, n / RATE, 0.12)


def church_bell(rng: Generator, n: int) -> np.ndarray:
    prime = rng.uniform(220, 480)
    ring = rng.uniform(1.2, 2.0)
    partials = np.concatenate((_BELL, _BELL * rng.uniform(1.001, 1.004)))  # doublets beat
    gains = np.tile([0.5, 0.8, 0.9, 0.4, 1.0, 0.3, 0.3, 0.5, 0.4, 0.2], 2) * rng.uniform(0.6, 1.0, 20)
    struck = modal(n, prime * partials, ring / partials**0.8, gains)
    return struck + 0.5 * body(rng, n, prime * 3, 6, 0.03)


def doorbell(rng: Generator, n: int) -> np.ndarray:
    high = rng.uniform(560, 760)
    second = round(n * rng.uniform(0.32, 0.42))
    ding = modal(n, high * np.array([1, 3.0, 5.4]), [0.5, 0.15, 0.08], [1, 0.3, 0.15])
    dong = modal(n - second, high * 0.794 * np.array([1, 3.0, 5.4]), [0.6, 0.2, 0.1], [1, 0.3, 0.15])
    return ding + np.concatenate((np.zeros(second), dong))


def bicycle_bell(rng: Generator, n: int) -> np.ndarray:
    bell = modal(
        samples(0.5),
        rng.uniform(2100, 2900) * np.array([1, 1.01, 1.52, 2.3, 2.75]),
        [0.2, 0.2, 0.12, 0.07, 0.05],
        [1, 0.8, 0.7, 0.5, 0.4],
    )
    moments = beats(rng, round(n * 0.6), 1 / rng.uniform(13, 19), 0.08)
    return hits(rng, n, moments, bell, 0.4)


ALARMS = table(
    "alarms, horns and bells",
    (
        "siren",
        event(
            siren,
            "a siren|an emergency siren|a police siren|a wailing siren",
            "a siren/wails/wailing|a siren/sounds/sounding|an emergency vehicle/sounds/sounding/its siren",
        ),
    ),
    (
        "alarm_clock",
        event(
            alarm_clock,
            "an alarm clock|a beeping alarm clock|the beeping of an alarm clock|a digital alarm clock",
            "an alarm clock/beeps/beeping|an alarm clock/goes/going/off|a digital alarm/beeps/beeping",
        ),
    ),
    (
        "smoke_alarm",
        event(
            smoke_alarm,
            "a smoke alarm|a smoke detector|a shrill smoke alarm|a fire alarm",
            "a smoke alarm/goes/going/off|a smoke detector/shrills/shrilling|a fire alarm/sounds/sounding",
        ),
    ),
    (
        "reversing_beeper",
        event(
            reversing_beeper,
            "a reversing truck|a truck's reversing beeper|the beeps of a reversing truck|a lorry backing up",
            "a truck/beeps/beeping/while backing up|a reversing truck/beeps/beeping|a lorry/backs/backing/up",
        ),
    ),
    (
        "telephone",
        event(
            telephone,
            "a telephone ring|the ring of a telephone|a ring of an old telephone|a phone ring",
            "a telephone/rings/ringing|a phone/rings/ringing|an old telephone/rings/ringing",
            "telephone rings|rings of a telephone|rings of an old telephone|phone rings",
            seconds=(0.9, 1.7),
            gap=(0.4, 1.0),
            most=3,
        ),
    ),
    (
        "car_horn",
        event(
            car_horn,
            "a car horn|a honk|the honk of a car|a car honk",
            "a car/honks/honking|a driver/honks/honking/the horn|a car horn/blares/blaring",
            "honks|honks of a car|car honks|blasts of a car horn",
            seconds=(0.25, 0.9),
            gap=(0.15, 0.4),
            most=4,
        ),
    ),
    (
        "ship_horn",
        event(
            ship_horn,
            "a ship's horn|a foghorn|a blast of a ship's horn|a deep ship horn",
            "a ship/sounds/sounding/its horn|a foghorn/blows/blowing|a ship's horn/bellows/bellowing",
            "blasts of a ship's horn|foghorn blasts|ship horn blasts|deep blasts of a ship's horn",
            seconds=(1.4, 2.8),
            gap=(0.4, 0.9),
            most=2,
        ),
    ),
    (
        "church_bell",
        event(
            church_bell,
            "a church bell|a toll of a church bell|a bell stroke|a stroke of a church bell",
            "a church bell/tolls/tolling|a bell/tolls/tolling|a church bell/rings/ringing",
            "tolls of a church bell|bell strokes|strokes of a church bell|church bell tolls",
            seconds=(1.6, 3.0),
            gap=(0.0, 0.2),
            most=4,
        ),
    ),
    (
        "doorbell",
        event(
            doorbell,
            "a doorbell|a doorbell chime|a ring of a doorbell|a ding-dong of a doorbell",
            "a doorbell/rings/ringing|someone/rings/ringing/a doorbell|a doorbell/chimes/chiming",
            "doorbell chimes|rings of a doorbell|doorbell rings|ding-dongs of a doorbell",
            seconds=(1.2, 2.0),
            gap=(0.2, 0.8),
            most=2,
        ),
    ),
    (
        "bicycle_bell",
        event(
            bicycle_bell,
            "a bicycle bell|a ring of a bicycle bell|a bike bell|a bicycle bell ring",
            "a bicycle bell/rings/ringing|a cyclist/rings/ringing/a bell|a bike bell/jingles/jingling",
            "rings of a bicycle bell|bicycle bell rings|bike bell rings|jingles of a bicycle bell",
            seconds=(0.6, 1.0),
            gap=(0.1, 0.4),
            most=3,
        ),
    ),
)
