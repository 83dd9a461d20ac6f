"""Make a corpus of sound scenes: one to three events with order, overlap, count, loudness, distance, and captions."""

import random
from dataclasses import asdict, dataclass, replace

from uniaudio.data.synthesize.captions import NUM_WORDINGS, captions
from uniaudio.data.synthesize.corpus import SHARES, Rendered
from uniaudio.data.synthesize.events import EVENTS
from uniaudio.data.synthesize.events.scene import (
    BACKGROUNDS,
    Background,
    Scene,
    SceneEvent,
    mix,
    pause_ratio,
    render_background,
    render_events,
    scene_from,
)
from uniaudio.errors import InputError

__all__ = ["SoundJob", "mix", "needs", "plan", "render", "render_background", "render_events", "scene_from"]

_MEAN_SECONDS = 7.0  # of one scene, to turn hours into a count
_SHORT = 0.12  # share of scenes of 3 s
_LAYOUTS = {"one": 0.3, "sequence": 0.32, "over": 0.32, "together": 0.06}
_PAUSE = 0.15  # least silence between two events in a row, s


@dataclass(frozen=True, kw_only=True)
class SoundJob:
    """One planned recording: its scene, and its captions in several wordings, all of its split."""

    id: str
    split: str
    scene: Scene
    captions: tuple[str, ...]


def plan(hours: float, seed: int) -> list[SoundJob]:
    """Return the scenes of a corpus of about `hours`, in a fixed order for a seed; each split has its own captions."""
    random_ = random.Random(seed)
    total = max(12, round(hours * 3600 / _MEAN_SECONDS))
    jobs: list[SoundJob] = []
    for split in SHARES:
        for index in range(max(4, round(total * SHARES[split]))):
            job_id = f"sound-{split}-{index:06d}"
            jobs.append(_job(job_id, split, random_))
    random_.shuffle(jobs)
    return jobs


def _job(job_id: str, split: str, random_: random.Random) -> SoundJob:
    """Draw scenes until one has enough captions in the split."""
    while True:
        scene = draw_scene(random_)
        words = captions(scene, split, random_)
        if len(words) == NUM_WORDINGS:
            return SoundJob(id=job_id, split=split, scene=scene, captions=tuple(words))


def draw_scene(random_: random.Random) -> Scene:
    """Draw a scene: its length, layout, events and background."""
    short = random_.random() < _SHORT
    seconds = 3.0 if short else round(random_.uniform(5.0, 10.0), 1)
    layout = random_.choice(("one", "over")) if short else random_.choices(list(_LAYOUTS), list(_LAYOUTS.values()))[0]
    events: list[SceneEvent] | None = None
    while not events:
        events = _layout(random_, layout, seconds)
    background = None
    if random_.random() < 0.5:
        name = random_.choice(list(BACKGROUNDS))
        background = Background(name=name, level_db=round(random_.uniform(-38, -26), 1), seed=random_.getrandbits(31))
    return Scene(seconds=seconds, events=tuple(events), background=background)


def _layout(random_: random.Random, layout: str, seconds: float) -> list[SceneEvent] | None:
    """Draw the events of a layout; None where they do not fit."""
    lasting = [name for name, event in EVENTS.items() if event.lasting and event.seconds[0] < seconds]
    if layout == "together":
        names = random_.sample(lasting, 2)
        return [replace(_event(random_, name), seconds=seconds) for name in names]
    if layout == "over":
        bed = replace(_event(random_, random_.choice(lasting)), seconds=seconds)
        bed = replace(bed, distance=random_.choice(("middle", "middle", "far")), gain_db=random_.randint(-9, -6))
        over = _row(random_, 1 if seconds < 5 else random_.choice((1, 1, 2)), 0.75 * seconds, seconds, {bed.name})
        return [bed, *over] if over else None
    if layout == "one":
        name = random_.choice(list(EVENTS))
        if name in lasting and random_.random() < 0.6:
            return [replace(_event(random_, name), seconds=seconds)]
        return _row(random_, 1, seconds - 0.1, seconds, set(EVENTS) - {name})
    return _row(random_, 2 if seconds < 7 else random_.choice((2, 2, 3)), seconds - 0.2, seconds, set())


def _row(random_: random.Random, count: int, room: float, seconds: float, without: set[str]) -> list[SceneEvent] | None:
    """Draw `count` different events one after the other, in `room` s altogether; None where they do not fit."""
    names = random_.sample([name for name in EVENTS if name not in without], count)
    events = [_fitted(random_, name, (room - _PAUSE * (count - 1)) / count) for name in names]
    if any(event is None for event in events):
        return None
    found = [event for event in events if event is not None]
    slack = seconds - sum(event.seconds for event in found) - _PAUSE * (count - 1)
    cuts = sorted(random_.uniform(0, slack) for _ in found)
    time, last = 0.0, 0.0
    for index, cut in enumerate(cuts):
        time += cut - last + (_PAUSE if index else 0.0)
        found[index] = replace(found[index], start=round(time, 3))
        time, last = time + found[index].seconds, cut
    return found


def _fitted(random_: random.Random, name: str, room: float) -> SceneEvent | None:
    """Draw how long and how often an event sounds in at most `room` s; None where once is too long."""
    words, (low, high) = EVENTS[name], EVENTS[name].seconds
    if low > room:
        return None
    event = _event(random_, name)
    if not words.countable:
        return replace(event, seconds=round(random_.uniform(max(low, min(0.6 * room, high)), min(high, room)), 3))
    each, ratio = random_.uniform(low, min(high, room)), pause_ratio(name)
    count = random_.randint(1, words.most)
    while count > 1 and each * (count + (count - 1) * ratio) > room:
        count -= 1
    return replace(event, seconds=round(each * (count + (count - 1) * ratio), 3), count=count)


def _event(random_: random.Random, name: str) -> SceneEvent:
    """Draw an event's loudness, distance and seed; its place is still to be found."""
    distance = random_.choices(("near", "middle", "far"), (0.25, 0.5, 0.25))[0]
    loudness = random_.choice(("loud", "plain", "plain", "soft")) if distance != "far" else "plain"
    low, high = {"loud": (-2.0, 0.0), "plain": (-7.0, -4.0), "soft": (-14.0, -11.0)}[loudness]
    gain = round(random_.uniform(low, high), 1)
    seed = random_.getrandbits(31)
    return SceneEvent(name=name, start=0.0, seconds=0.0, count=1, gain_db=gain, distance=distance, seed=seed)


def needs() -> None:
    """Raise InputError when scipy is missing."""
    try:
        import scipy.signal  # noqa: F401
    except ImportError as error:
        raise InputError("scipy is not installed; run: pip install scipy") from error


def render(job: SoundJob) -> Rendered:
    """Make the sound of one scene; it never clips, since no stem is louder than a third."""
    scene = job.scene
    samples = mix([*render_events(scene), render_background(scene)])
    return Rendered(samples=samples, custom=described(scene, job.captions))


def described(scene: Scene, texts: tuple[str, ...]) -> dict:
    """Return the custom fields of a scene: its captions, and its events as `scene_from` reads them."""
    events = [
        {
            "class": event.name,
            "start": event.start,
            "end": event.end,
            "count": event.count,
            "distance": event.distance,
            "gain_db": event.gain_db,
            "seed": event.seed,
        }
        for event in scene.events
    ]
    return {
        "caption": texts[0],
        "captions": list(texts),
        "classes": sorted({event.name for event in scene.events}),
        "events": events,
        "background": asdict(scene.background) if scene.background else None,
    }
