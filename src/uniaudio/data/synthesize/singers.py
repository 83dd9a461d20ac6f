"""The made singers: flite voices with other formants, breath and manners, and fixed train, dev and test sets."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Singer:
    """One singer: `base` is a flite voice, `formant_ratio` moves its formants, `low` to `high` is the register (MIDI).

    `tilt_db` per octave brightens the timbre, `ring_db` is the singer's formant near 3 kHz, `breathiness` (0-1) the
    noise in the voice; `vibrato_cents` is the largest deviation, `glide_seconds` the length of a step between notes.
    """

    name: str
    split: str
    base: str
    formant_ratio: float
    low: int
    high: int
    tilt_db: float
    ring_db: float
    breathiness: float
    vibrato_hz: float
    vibrato_cents: float
    glide_seconds: float


_TABLE = """
soprano_clear    train slt   1.14 60 79  0.5 2 0.10 5.8 30 0.035
soprano_light    train slt   1.22 62 81 -0.5 0 0.25 6.3 24 0.033
soprano_full     train awb   1.37 60 79  1.0 3 0.05 5.5 36 0.045
soprano_soft     train kal16 1.34 60 78 -1.0 0 0.30 5.2 20 0.035
mezzo_warm       train slt   1.00 57 76 -0.5 2 0.10 5.4 34 0.043
mezzo_bright     train slt   1.07 57 76  1.5 3 0.00 6.0 28 0.040
mezzo_dark       train rms   1.26 56 74 -1.0 1 0.15 5.1 38 0.045
alto_plain       train slt   0.90 53 72  0.0 1 0.05 5.7 20 0.040
alto_breathy     train awb   1.20 53 72 -1.0 0 0.35 5.3 26 0.045
tenor_clear      train awb   1.06 48 67  1.0 4 0.05 5.9 32 0.035
tenor_folk       train kal16 1.10 48 66  0.0 1 0.15 5.6 22 0.033
tenor_dark       train rms   1.08 47 66 -0.5 3 0.00 5.2 36 0.043
baritone_full    train awb   0.96 45 64  0.5 5 0.05 5.4 34 0.045
baritone_plain   train kal16 0.94 44 63  0.5 2 0.10 6.1 20 0.040
bass_warm        train rms   0.92 41 60 -0.5 3 0.10 5.0 30 0.045
bass_rough       train kal16 0.86 40 58  0.0 4 0.25 5.3 26 0.043
soprano_dev      dev   slt   1.18 60 79  0.0 3 0.15 5.5 32 0.040
tenor_dev        dev   kal16 1.02 48 67  0.5 2 0.10 6.0 26 0.035
soprano_test     test  awb   1.25 60 79  0.0 1 0.20 6.1 28 0.040
mezzo_test       test  slt   1.035 57 76 0.5 1 0.15 5.3 24 0.035
baritone_test    test  rms   1.00 44 63  0.0 3 0.05 5.6 34 0.045
"""


def singers(split: str) -> list[Singer]:
    """Return the singers of "train" (16), "dev" (2) or "test" (3)."""
    return [singer for singer in _singers() if singer.split == split]


def _singers() -> list[Singer]:
    found: list[Singer] = []
    for line in _TABLE.strip().splitlines():
        name, split, base, ratio, low, high, *style = line.split()
        tilt, ring, breathiness, rate, extent, glide = map(float, style)
        singer = Singer(
            name=name,
            split=split,
            base=base,
            formant_ratio=float(ratio),
            low=int(low),
            high=int(high),
            tilt_db=tilt,
            ring_db=ring,
            breathiness=breathiness,
            vibrato_hz=rate,
            vibrato_cents=extent,
            glide_seconds=glide,
        )
        found.append(singer)
    return found
