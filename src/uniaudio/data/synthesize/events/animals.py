"""Animals: calls as a source with gliding pitch through moving formants, chirps, croaks, wings and hooves."""

import numpy as np
from numpy.random import Generator

from uniaudio.data.synthesize.events.blocks import (
    RATE,
    band,
    beats,
    body,
    curve,
    gate,
    hits,
    hump,
    narrowband,
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


def dog(rng: Generator, n: int) -> np.ndarray:
    low, size = rng.uniform(190, 420), rng.uniform(0.85, 1.2)
    hz = low * curve(n, (0, 1.0), (0.25, rng.uniform(1.5, 1.9)), (1, 0.7)) * wander(rng, n, 60, 0.96, 1.04)
    opening = size * curve(n, (0, 450), (0.3, 1000), (1, 500))
    call = voice(hz, [(opening, 250, 1.0), (size * 1500, 350, 0.7), (size * 2700, 500, 0.4)], 0.7)
    breath = band(white(rng, n), 500, 4500)
    return (call / call.std() + 0.3 * breath) * curve(n, (0, 0), (0.08, 1), (0.5, 0.7), (1, 0))


def cat(rng: Generator, n: int) -> np.ndarray:
    hz = (
        rng.uniform(480, 720)
        * curve(n, (0, 0.85), (0.3, 1.15), (0.6, 1.1), (1, 0.75))
        * wander(rng, n, 9, 0.985, 1.015)
    )
    mouth = [
        (curve(n, (0, 400), (0.4, 1050), (1, 450)), 250, 1.0),
        (curve(n, (0, 2400), (0.45, 1700), (1, 900)), 350, 0.9),
    ]
    return voice(hz, [*mouth, (3600.0, 500, 0.35)], 0.6) * curve(n, (0, 0), (0.2, 0.8), (0.6, 1), (1, 0))


def bird(rng: Generator, n: int) -> np.ndarray:
    motifs = []
    for _ in range(int(rng.integers(2, 4))):
        length = samples(rng.uniform(0.06, 0.16))
        base = rng.uniform(2600, 4600)
        hz = base * curve(length, (0, rng.uniform(0.8, 1.3)), (0.5, rng.uniform(0.9, 1.4)), (1, rng.uniform(0.8, 1.2)))
        trill = 1 + rng.choice([0.0, 0.06]) * np.sin(2 * np.pi * rng.uniform(25, 45) * np.arange(length) / RATE)
        motifs.append(tone(hz * trill, (1.0, 0.06)) * hump(length, 0.7))
    total, moment = np.zeros(n + RATE), samples(rng.uniform(0.02, 0.3))
    while moment < n:
        motif = motifs[int(rng.integers(len(motifs)))]
        for _ in range(int(rng.integers(1, 5))):
            moment = min(moment, n)
            total[moment : moment + len(motif)] += motif * rng.uniform(0.6, 1.0)
            moment += len(motif) + samples(rng.uniform(0.02, 0.07))
        moment += samples(rng.uniform(0.12, 0.6))
    return total[:n]


def crow(rng: Generator, n: int) -> np.ndarray:
    hz = rng.uniform(420, 560) * curve(n, (0, 0.9), (0.3, 1.1), (1, 0.85)) * wander(rng, n, 120, 0.9, 1.1)
    call = voice(hz, [(1150.0, 400, 0.8), (1750.0, 400, 1.0), (3000.0, 800, 0.4)], 0.2)
    harsh = rough(rng, n, 70, 0.8) * (1 + 0.6 * np.sign(np.sin(2 * np.pi * np.cumsum(hz / 4) / RATE)))
    return (call * harsh / call.std() + 0.4 * band(white(rng, n), 900, 3500)) * curve(
        n, (0, 0), (0.12, 1), (0.7, 0.8), (1, 0)
    )


def cow(rng: Generator, n: int) -> np.ndarray:
    hz = rng.uniform(95, 150) * curve(n, (0, 0.9), (0.35, 1.15), (0.8, 1.1), (1, 0.8)) * wander(rng, n, 25, 0.98, 1.02)
    mouth = [
        (curve(n, (0, 260), (0.3, 300), (0.6, 620), (1, 480)), 120, 1.0),
        (curve(n, (0, 800), (0.6, 1050), (1, 900)), 200, 0.6),
    ]
    return voice(hz, [*mouth, (2300.0, 400, 0.2)], 0.6) * curve(n, (0, 0), (0.15, 0.7), (0.6, 1), (1, 0))


def sheep(rng: Generator, n: int) -> np.ndarray:
    shake = np.sin(2 * np.pi * rng.uniform(8, 12) * np.arange(n) / RATE)
    hz = rng.uniform(230, 360) * curve(n, (0, 1.0), (0.2, 1.1), (1, 0.9)) * (1 + 0.04 * shake)
    call = voice(hz, [(750.0, 250, 1.0), (1750.0, 350, 0.9), (2900.0, 500, 0.6)], 0.4)
    return call * (0.55 + 0.45 * shake) * rough(rng, n, 60, 0.4) * curve(n, (0, 0), (0.1, 1), (0.7, 0.8), (1, 0))


def frog(rng: Generator, n: int) -> np.ndarray:
    hz = rng.uniform(35, 70) * curve(n, (0, 0.8), (0.6, 1.1), (1, 1.3))
    throat = rng.uniform(500, 900)
    croak = resonate(pulses(rng, hz, 0.1), (throat, 110, 1.0), (throat * 2.3, 250, 0.7), (throat * 4, 500, 0.25))
    return croak * curve(n, (0, 0.1), (0.5, 1), (0.9, 1), (1, 0))


def cricket(rng: Generator, n: int) -> np.ndarray:
    time = np.arange(n) / RATE
    carrier = tone(rng.uniform(4200, 5200) * wander(rng, n, 3, 0.995, 1.005), (1.0,))
    chirp, pulse = rng.uniform(1.8, 3.2), rng.uniform(26, 36)
    open_ = (time * chirp) % 1.0 < rng.uniform(0.3, 0.5)
    return carrier * open_ * np.maximum(0.0, np.sin(2 * np.pi * pulse * time)) ** 1.5


def bee(rng: Generator, n: int) -> np.ndarray:
    hz = rng.uniform(180, 250) * wander(rng, n, 4.0, 0.93, 1.09) * wander(rng, n, 40, 0.99, 1.01)
    peaks = [(rng.uniform(200, 260), 120, 0.6), (rng.uniform(380, 650), 350, 0.8), (rng.uniform(1300, 2200), 900, 0.6)]
    wings = resonate(pulses(rng, hz, 0.15), *peaks)
    return wings * wander(rng, n, 1.5, 0.25, 1.0)


def owl(rng: Generator, n: int) -> np.ndarray:
    hz = (
        rng.uniform(330, 480)
        * curve(n, (0, 0.94), (0.3, 1.03), (1, 0.95))
        * (1 + 0.008 * np.sin(40 * np.arange(n) / RATE))
    )
    return (tone(hz, (1.0, 0.08, 0.05)) + 0.05 * narrowband(rng, hz, 80)) * hump(n, 0.8)


def rooster(rng: Generator, n: int) -> np.ndarray:
    low = rng.uniform(430, 560)
    hz = low * curve(n, (0, 1), (0.1, 1.3), (0.14, 1.2), (0.26, 1.6), (0.34, 1.5), (0.5, 2.1), (0.8, 1.9), (1, 1.1))
    loud = curve(n, (0, 0), (0.04, 0.8), (0.11, 0), (0.16, 0.8), (0.27, 0), (0.32, 0.9), (0.42, 0.1), (0.5, 1), (1, 0))
    call = voice(
        hz * wander(rng, n, 50, 0.985, 1.015), [(1100.0, 400, 0.8), (2100.0, 500, 1.0), (3400.0, 700, 0.5)], 0.3
    )
    return call * loud * rough(rng, n, 60, 0.35)


def duck(rng: Generator, n: int) -> np.ndarray:
    hz = rng.uniform(170, 240) * curve(n, (0, 1.1), (0.3, 1.15), (1, 0.85)) * wander(rng, n, 90, 0.94, 1.06)
    call = voice(hz, [(1250.0, 180, 1.0), (2450.0, 250, 0.9), (3700.0, 500, 0.4)], 0.0)
    return call * rough(rng, n, 80, 0.5) * curve(n, (0, 0), (0.15, 1), (0.6, 0.9), (1, 0))


def wolf(rng: Generator, n: int) -> np.ndarray:
    hz = rng.uniform(300, 400) * curve(n, (0, 0.8), (0.2, 1.5), (0.35, 1.75), (0.75, 1.6), (1, 0.9))
    call = voice(hz * (1 + 0.01 * np.sin(30 * np.arange(n) / RATE)), [(650.0, 250, 1.0), (1200.0, 350, 0.25)], 1.2)
    return call * curve(n, (0, 0), (0.2, 0.8), (0.7, 1), (1, 0))


def hooves(rng: Generator, n: int) -> np.ndarray:
    period = rng.uniform(0.42, 0.62)
    moments = beats(rng, n, period, 0.03)
    total = np.zeros(n)
    for lag, gain in ((0.0, 1.0), (0.26, 0.7), (0.5, 0.9), (0.76, 0.6)):  # the four beats of a walk
        length = samples(0.09)
        clop = body(rng, length, rng.uniform(600, 900), 4, 0.014, 1.7)
        clop += 0.15 * band(white(rng, length), 1500, 5000) * strike(length, 0.004)
        total += gain * hits(rng, n, np.minimum(moments + samples(lag * period), n - 1), clop, 0.3)
    return total * gate(n, 0.0, n / RATE, 0.01)


ANIMALS = table(
    "animals",
    (
        "dog",
        event(
            dog,
            "a dog bark|a bark of a dog|a bark|the bark of a dog",
            "a dog/barks/barking|a hound/barks/barking|a dog/woofs/woofing",
            "dog barks|barks of a dog|barks|woofs of a dog",
            seconds=(0.16, 0.34),
            gap=(0.2, 0.6),
            most=5,
        ),
    ),
    (
        "cat",
        event(
            cat,
            "a meow|a meow of a cat|a cat's meow|the meow of a cat",
            "a cat/meows/meowing|a cat/mews/mewing|a kitten/meows/meowing",
            "meows|meows of a cat|cat meows|mews of a cat",
            seconds=(0.6, 1.1),
            gap=(0.3, 0.9),
            most=3,
        ),
    ),
    (
        "bird",
        event(
            bird,
            "birdsong|a singing bird|a chirping bird|bird chirps|a twittering bird",
            "a bird/sings/singing|a bird/chirps/chirping|a bird/twitters/twittering",
            seconds=(1.5, 10.0),
        ),
    ),
    (
        "crow",
        event(
            crow,
            "a caw|a caw of a crow|a crow's caw|a croaking crow",
            "a crow/caws/cawing|a raven/caws/cawing|a crow/calls/calling",
            "caws|caws of a crow|crow calls|harsh caws",
            seconds=(0.3, 0.55),
            gap=(0.15, 0.5),
            most=4,
        ),
    ),
    (
        "cow",
        event(
            cow,
            "a moo|a moo of a cow|a cow's moo|the lowing of a cow",
            "a cow/moos/mooing|a cow/lows/lowing|a calf/moos/mooing",
            "moos|moos of a cow|cow moos|long moos",
            seconds=(1.0, 1.9),
            gap=(0.4, 0.9),
            most=2,
        ),
    ),
    (
        "sheep",
        event(
            sheep,
            "a bleat|a bleat of a sheep|a sheep's bleat|a baa",
            "a sheep/bleats/bleating|a sheep/baas/baaing|a lamb/bleats/bleating",
            "bleats|bleats of a sheep|sheep bleats|baas",
            seconds=(0.6, 1.2),
            gap=(0.3, 0.8),
            most=3,
        ),
    ),
    (
        "frog",
        event(
            frog,
            "a croak|a croak of a frog|a frog's croak|a ribbit",
            "a frog/croaks/croaking|a toad/croaks/croaking|a frog/calls/calling",
            "croaks|croaks of a frog|frog croaks|ribbits",
            seconds=(0.25, 0.5),
            gap=(0.25, 0.6),
            most=5,
        ),
    ),
    (
        "cricket",
        event(
            cricket,
            "a cricket|a chirping cricket|cricket chirps|the chirping of a cricket",
            "a cricket/chirps/chirping|a cricket/stridulates/stridulating|crickets/chirp/chirping",
        ),
    ),
    (
        "bee",
        event(
            bee,
            "a buzzing bee|a bee|the buzz of a bee|a humming bee",
            "a bee/buzzes/buzzing|a bee/hums/humming/around|an insect/buzzes/buzzing",
            seconds=(1.5, 10.0),
        ),
    ),
    (
        "owl",
        event(
            owl,
            "an owl hoot|a hoot of an owl|a hoot|the call of an owl",
            "an owl/hoots/hooting|an owl/calls/calling|a night owl/hoots/hooting",
            "owl hoots|hoots of an owl|hoots|calls of an owl",
            seconds=(0.4, 0.8),
            gap=(0.3, 0.8),
            most=4,
        ),
    ),
    (
        "rooster",
        event(
            rooster,
            "a rooster crow|a crowing rooster|a cock-a-doodle-doo|the crow of a rooster",
            "a rooster/crows/crowing|a cockerel/crows/crowing|a cock/crows/crowing",
            "rooster crows|cock-a-doodle-doos|crows of a rooster",
            seconds=(1.5, 2.3),
            gap=(0.5, 1.2),
            most=2,
        ),
    ),
    (
        "duck",
        event(
            duck,
            "a quack|a quack of a duck|a duck's quack|a quacking duck",
            "a duck/quacks/quacking|a mallard/quacks/quacking|a duck/calls/calling",
            "quacks|quacks of a duck|duck quacks|duck calls",
            seconds=(0.16, 0.3),
            gap=(0.12, 0.35),
            most=5,
        ),
    ),
    (
        "wolf",
        event(
            wolf,
            "a howl|a howl of a wolf|a wolf howl|the howling of a wolf",
            "a wolf/howls/howling|a lone wolf/howls/howling|a coyote/howls/howling",
            "howls|howls of a wolf|wolf howls|long howls",
            seconds=(1.8, 3.2),
            gap=(0.3, 0.8),
            most=2,
        ),
    ),
    (
        "hooves",
        event(
            hooves,
            "horse hooves|the clip-clop of hooves|a walking horse|clopping hooves",
            "a horse/walks/walking/past|a horse/clops/clopping/along|hooves/clop/clopping/on the road",
        ),
    ),
)
