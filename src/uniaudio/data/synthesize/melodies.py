"""Public-domain melodies as note strings: folk songs, hymns and themes of composers who died before 1908.

The notation is numbered: 1-7 are the degrees of the scale, `#`/`b` before a degree alter it, `'` and `,` after it
move it up and down an octave, `0` is a rest. A note lasts one unit (a quarter; an eighth in 6/8); `/` halves it, `.`
makes it half as long again, each `-` adds a unit. Bars are separated by `|`; the first and last may be short.
"""

import re
from dataclasses import dataclass

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
}
_NOTE = re.compile(r"([#b]?)([0-7])([',]*)([/.]*)(-*)")


@dataclass(frozen=True, kw_only=True)
class Melody:
    """A tune: `notes` are (MIDI pitch with the tonic at 60, or None for a rest; length in quarter notes)."""

    title: str
    origin: str
    metre: str  # "4/4", "3/4" or "6/8"
    mode: str  # "major", "minor" or "dorian"
    bpm: float  # a usual tempo, quarter notes a minute
    pickup: float  # quarter notes before the first whole bar
    notes: tuple[tuple[int | None, float], ...]
    split: str = "train"


def bar_beats(metre: str) -> float:
    """Return the quarter notes of a bar: 4 for "4/4", 3 for "3/4" and "6/8"."""
    above, below = metre.split("/")
    return 4 * int(above) / int(below)


def parse_bars(text: str, metre: str, mode: str) -> list[list[tuple[int | None, float]]]:
    """Return the bars of a note string as lists of (MIDI pitch or None, quarter notes), the tonic at 60."""
    unit = 4 / int(metre.split("/")[1])
    bars: list[list[tuple[int | None, float]]] = []
    for bar in text.split("|"):
        notes: list[tuple[int | None, float]] = []
        for token in bar.split():
            found = _NOTE.fullmatch(token)
            assert found, f"{token!r} is no note"
            sign, degree, octave, shape, dashes = found.groups()
            units = 0.5 ** shape.count("/") * 1.5 ** shape.count(".") + len(dashes)
            pitch = None
            if degree != "0":
                alter = {"#": 1, "b": -1, "": 0}[sign] + 12 * (octave.count("'") - octave.count(","))
                pitch = 60 + SCALES[mode][int(degree) - 1] + alter
            notes.append((pitch, units * unit))
        bars.append(notes)
    return bars


def transposed(melody: Melody, tonic: int) -> list[tuple[int | None, float]]:
    """Return the notes with the tonic at MIDI pitch `tonic` instead of 60."""
    return [(None if pitch is None else pitch + tonic - 60, beats) for pitch, beats in melody.notes]


def span(melody: Melody) -> tuple[int, int]:
    """Return the lowest and the highest MIDI pitch, the tonic at 60."""
    pitches = [pitch for pitch, _ in melody.notes if pitch is not None]
    return min(pitches), max(pitches)


def melodies_of(split: str) -> list[str]:
    """Return the names of the melodies of a split, sorted; a melody is in one split only."""
    return sorted(name for name, melody in MELODIES.items() if melody.split == split)


# name | title | origin | metre | mode | quarter notes a minute, then the bars.
_TUNES = """
ode_to_joy | Ode to Joy | Ludwig van Beethoven, 1824 | 4/4 | major | 116
3 3 4 5 | 5 4 3 2 | 1 1 2 3 | 3. 2/ 2- | 3 3 4 5 | 5 4 3 2 | 1 1 2 3 | 2. 1/ 1- | 2 2 3 1 | 2 3/ 4/ 3 1 |
2 3/ 4/ 3 2 | 1 2 5,- | 3 3 4 5 | 5 4 3 2 | 1 1 2 3 | 2. 1/ 1-

twinkle | Ah! vous dirai-je, maman | French, 18th century | 4/4 | major | 104
1 1 5 5 | 6 6 5- | 4 4 3 3 | 2 2 1- | 5 5 4 4 | 3 3 2- | 5 5 4 4 | 3 3 2- | 1 1 5 5 | 6 6 5- | 4 4 3 3 | 2 2 1-

frere_jacques | Frère Jacques | French round | 4/4 | major | 120
1 2 3 1 | 1 2 3 1 | 3 4 5- | 3 4 5- | 5/ 6/ 5/ 4/ 3 1 | 5/ 6/ 5/ 4/ 3 1 | 1 5, 1- | 1 5, 1-

amazing_grace | Amazing Grace | New Britain, American hymn tune, 1829 | 3/4 | major | 84
5, | 1- 3/ 1/ | 3- 2 | 1- 6, | 5,- 5, | 1- 3/ 1/ | 3- 2 | 5-- | 5- 3 | 5- 3/ 1/ | 3- 2 | 1- 6, | 5,- 5, |
1- 3/ 1/ | 3- 2 | 1-- | 1-

greensleeves | Greensleeves | English, 16th century | 6/8 | minor | 92
1 | 3- 4 5. #6/ 5 | 4- 2 7,. 1/ 2 | 3- 1 1. #7,/ 1 | 2- #7, 5,- 1 | 3- 4 5. #6/ 5 | 4- 2 7,. 1/ 2 |
3. 2/ 1 #7,. #6,/ #7, | 1-- 1-- | 7-- 7. #6/ 5 | 4- 2 7,. 1/ 2 | 3- 1 1. #7,/ 1 | 2- #7, 5,-- | 7-- 7. #6/ 5 |
4- 2 7,. 1/ 2 | 3. 2/ 1 #7,. #6,/ #7, | 1-- 1--

scarborough_fair | Scarborough Fair | English ballad | 3/4 | dorian | 108
1- 1 | 5- 5 | 2. 3/ 2 | 1-- | 1 5 7 | 1'- 7 | 5 6 4 | 5-- | 0- 1' | 1'- 1' | 7- 5 | 5 4 3 | 2 7,- | 1- 5 | 4- 3 |
2 1 7, | 1--

silent_night | Silent Night | Franz Xaver Gruber, 1818 | 6/8 | major | 66
5. 6/ 5 3-- | 5. 6/ 5 3-- | 2'- 2' 7-- | 1'- 1' 5-- | 6- 6 1'. 7/ 6 | 5. 6/ 5 3-- | 6- 6 1'. 7/ 6 | 5. 6/ 5 3-- |
2'- 2' 4'. 2'/ 7 | 1'-- 3'-- | 1'. 5/ 3 5. 4/ 2 | 1-----

au_clair_de_la_lune | Au clair de la lune | French, 18th century | 4/4 | major | 112
1 1 1 2 | 3- 2- | 1 3 2 2 | 1--- | 1 1 1 2 | 3- 2- | 1 3 2 2 | 1--- | 2 2 2 2 | 6,- 6,- | 2 1 7, 6, | 5,--- |
1 1 1 2 | 3- 2- | 1 3 2 2 | 1---

london_bridge | London Bridge | English nursery rhyme | 4/4 | major | 126
5. 6/ 5 4 | 3 4 5- | 2 3 4- | 3 4 5- | 5. 6/ 5 4 | 3 4 5- | 2- 5- | 3 1--

mary_had_a_little_lamb | Mary Had a Little Lamb | American nursery rhyme, 1830 | 4/4 | major | 120
3 2 1 2 | 3 3 3- | 2 2 2- | 3 5 5- | 3 2 1 2 | 3 3 3 3 | 2 2 3 2 | 1---

auld_lang_syne | Auld Lang Syne | Scottish | 4/4 | major | 92
5, | 1. 1/ 1 3 | 2. 1/ 2 3 | 1. 1/ 3 5 | 6-- 6 | 5. 3/ 3 1 | 2. 1/ 2 3 | 1. 6,/ 6, 5, | 1-- 6 | 5. 3/ 3 1 |
2. 1/ 2 6 | 5. 3/ 3 5 | 6-- 1' | 5. 3/ 3 1 | 2. 1/ 2 3 | 1. 6,/ 6, 5, | 1--

oh_susanna | Oh! Susanna | Stephen Foster, 1848 | 4/4 | major | 138
1/ 2/ | 3 5 5. 6/ | 5 3 1. 2/ | 3 3 2 1 | 2-- 1/ 2/ | 3 5 5. 6/ | 5 3 1. 2/ | 3 3 2 2 | 1--- | 4- 4- | 6 6- 6 |
5 5 3 1 | 2-- 1/ 2/ | 3 5 5. 6/ | 5 3 1. 2/ | 3 3 2 2 | 1--

yankee_doodle | Yankee Doodle | American, 18th century | 4/4 | major | 144
1 1 2 3 | 1 3 2 5, | 1 1 2 3 | 1- 7,- | 1 1 2 3 | 4 3 2 1 | 7, 5, 6, 7, | 1- 1- | 6,. 7,/ 6, 5, | 6, 7, 1- |
5,. 6,/ 5, 4, | 3,- 5,- | 6,. 7,/ 6, 5, | 6, 7, 1 6, | 5, 1 7, 2 | 1- 1-

saints | When the Saints Go Marching In | American spiritual | 4/4 | major | 152
1 3 4 | 5--- | 0 1 3 4 | 5--- | 0 1 3 4 | 5- 3- | 1- 3- | 2--- | 0 3 3 2 | 1-- 1 | 3- 5 5 | 4- 3 4 | 5- 3- | 1- 2- |
1---

row_your_boat | Row, Row, Row Your Boat | American round, 1852 | 6/8 | major | 100
1-- 1-- | 1- 2 3-- | 3- 2 3- 4 | 5----- | 1' 1' 1' 5 5 5 | 3 3 3 1 1 1 | 5- 4 3- 2 | 1-----

londonderry_air | Londonderry Air | Irish, 1855 | 4/4 | major | 72
7,/ 1/ 2/ | 3. 2/ 3/ 6/ 5/ 3/ | 2/ 1/ 6,. 1/ 3/ 4/ | 5. 6/ 5/ 3/ 1/ 3/ | 2/-- 7,/ 1/ 2/ | 3. 2/ 3/ 6/ 5/ 3/ |
2/ 1/ 6,. 7,/ 1/ 2/ | 3. 4/ 3/ 2/ 1/ 2/ | 1/-- 5/ 6/ 7/ | 1'. 7/ 7/ 6/ 5/ 6/ | 5/ 3/ 1. 5/ 6/ 7/ |
1'. 7/ 7/ 6/ 5/ 3/ | 2/-- 5/ 5/ 5/ | 3'. 2'/ 2'/ 1'/ 6/ 1'/ | 5/ 3/ 1. 7,/ 1/ 2/ | 3/ 6/ 5/ 3/ 2/ 1/ 6,/ 7,/ | 1/--

brahms_lullaby | Cradle Song | Johannes Brahms, 1868 | 3/4 | major | 80
3/ 3/ | 5- 3/ 3/ | 5- 3/ 5/ | 1' 7. 6/ | 6 5 2/ 3/ | 4 2 2/ 3/ | 4- 2/ 4/ | 7/ 6/ 5 7 | 1'- 1/ 1/ | 1'- 6/ 4/ |
5- 3/ 1/ | 4 5 6 | 5- 1/ 1/ | 1'- 6/ 4/ | 5- 3/ 1/ | 4 3 2 | 1-

petzold_minuet | Minuet in G | Christian Petzold, about 1725 | 3/4 | major | 120
5 1/ 2/ 3/ 4/ | 5 1 1 | 6 4/ 5/ 6/ 7/ | 1' 1 1 | 4 5/ 4/ 3/ 2/ | 3 4/ 3/ 2/ 1/ | 7, 1/ 2/ 3/ 1/ | 2-- |
5 1/ 2/ 3/ 4/ | 5 1 1 | 6 4/ 5/ 6/ 7/ | 1' 1 1 | 4 5/ 4/ 3/ 2/ | 3 4/ 3/ 2/ 1/ | 2 3/ 2/ 1/ 7,/ | 1--

pachelbel_canon | Canon in D | Johann Pachelbel, about 1690 | 4/4 | major | 84
3'- 2'- | 1'- 7- | 6- 5- | 6- 7- | 1'- 7- | 6- 5- | 4- 3- | 4- 2- | 1/ 3/ 5/ 4/ 3/ 1/ 3/ 2/ |
1/ 6,/ 1/ 5/ 4/ 6/ 5/ 4/ | 3/ 1/ 2/ 7/ 1'/ 3'/ 5'/ 5/ | 6/ 4/ 5/ 3/ 1/ 1'/ 1'/ 7/ | 1'---

new_world_largo | Largo from the New World Symphony | Antonín Dvořák, 1893 | 4/4 | major | 60
3. 5/ 5- | 3. 2/ 1- | 2. 3/ 5. 3/ | 2--- | 3. 5/ 5- | 3. 2/ 1- | 2. 3/ 2. 1/ | 1--- | 6. 1'/ 1'- | 7 5 6- | 6 1' 7 5 |
6--- | 3. 5/ 5- | 3. 2/ 1- | 2. 3/ 2. 1/ | 1---

morning_mood | Morning Mood | Edvard Grieg, 1875 | 6/8 | major | 88
5 3 2 1 2 3 | 5 3 2 1 2/ 3/ 2/ 3/ | 5 3 5 6 3 6 | 5 3 2 1-- | 5' 3' 2' 1' 2' 3' | 5' 3' 2' 1' 2'/ 3'/ 2'/ 3'/ |
5' 3' 5' 6' 3' 6' | 5' 3' 2' 1'--

mountain_king | In the Hall of the Mountain King | Edvard Grieg, 1875 | 4/4 | minor | 132
1/ 2/ 3/ 4/ 5/ 3/ 5 | #4/ 2/ #4 4/ b2/ 4 | 1/ 2/ 3/ 4/ 5/ 3/ 5/ 1'/ | 7/ 5/ 3/ 5/ 7- | 1/ 2/ 3/ 4/ 5/ 3/ 5 |
#4/ 2/ #4 4/ b2/ 4 | 1/ 2/ 3/ 4/ 5/ 3/ 5/ 1'/ | 7/ 5/ 3/ 5/ 1'-

swan_lake | Theme from Swan Lake | Pyotr Tchaikovsky, 1876 | 4/4 | minor | 92
5- 1/ 2/ 3/ 4/ | 5. 3/ 5. 3/ | 5. 1/ 3/ 1/ 6,/ 3/ | 1/-- 4/ 3/ 2/ | 5- 1/ 2/ 3/ 4/ | 5. 3/ 5. 3/ |
5. 1/ 3/ 1/ 6,/ 3/ | 1---

mozart_40 | Theme of Symphony No. 40 | Wolfgang Amadeus Mozart, 1788 | 4/4 | minor | 152
6/ 5/ | 5 6/ 5/ 5 6/ 5/ | 5 3' 0 3'/ 2'/ | 1' 1'/ 7/ 6 6/ 5/ | 4 4 0 5/ 4/ | 4 5/ 4/ 4 5/ 4/ | 4 2' 0 2'/ 1'/ |
#7 #7/ 6/ 5 5/ 4/ | 3 3

blue_danube | The Blue Danube | Johann Strauss II, 1866 | 3/4 | major | 160
1 | 1 3 5 | 5- 5' | 5'- 3' | 3'- 1 | 1 3 5 | 5- 5' | 5'- 4' | 4'- 7, | 7, 2 6 | 6- 6' | 6'- 4' | 4'- 7, | 7, 2 6 |
6- 6' | 6'- 3' | 3'-

nachtmusik | Theme of Eine kleine Nachtmusik | Wolfgang Amadeus Mozart, 1787 | 4/4 | major | 132
1 0/ 5,/ 1 0/ 5,/ | 1/ 5,/ 1/ 3/ 5- | 4 0/ 2/ 4 0/ 2/ | 4/ 2/ 7,/ 2/ 5,- | 1 1. 3/ 2/ 1/ | 1/ 7,/ 7,. 2/ 4/ 7,/ |
1 1. 3/ 2/ 1/ | 1/ 7,/ 7,. 2/ 4/ 7,/ | 1---

can_can | Galop from Orpheus in the Underworld | Jacques Offenbach, 1858 | 4/4 | major | 160
1- 2/ 4/ 3/ 2/ | 5 5 5/ 6/ 3/ 4/ | 2 2 2/ 4/ 3/ 2/ | 1/ 1'/ 7/ 6/ 5/ 4/ 3/ 2/ | 1- 2/ 4/ 3/ 2/ | 5 5 5/ 6/ 3/ 4/ |
2 2 2/ 4/ 3/ 2/ | 1/ 5/ 2/ 3/ 1-

joy_to_the_world | Joy to the World | Lowell Mason, 1848 | 4/4 | major | 120
1'- 7. 6/ | 5-- 4 | 3- 2- | 1-- 5 | 6-- 6 | 7-- 7 | 1'-- 1' | 1' 7 6 5 | 5. 4/ 3 1' | 1' 7 6 5 | 5. 4/ 3 3 |
3 3 3 3/ 4/ | 5-- 4/ 3/ | 2 2 2 2/ 3/ | 4-- 3/ 2/ | 1 1'- 6 | 5. 4/ 3 4 | 3- 2- | 1---

god_rest_ye | God Rest Ye Merry, Gentlemen | English carol | 4/4 | minor | 132
1 | 1 5 5 4 | 3 2 1 7, | 1 2 3 4 | 5-- 1 | 1 5 5 4 | 3 2 1 7, | 1 2 3 4 | 5-- 5 | 6 4 5 6 | 7 1' 5 4 | 3 1 2 3 |
4- 3 4 | 5- 6 5 | 5 4 3 2 | 1- 3/ 2/ 1 | 4- 3 4 | 5 6 7 1' | 5 4 3 2 | 1--

good_king_wenceslas | Good King Wenceslas | Tempus adest floridum, 13th century | 4/4 | major | 126
1 1 1 2 | 1 1 5,- | 6, 5, 6, 7, | 1- 1- | 1 1 1 2 | 1 1 5,- | 6, 5, 6, 7, | 1- 1- | 5 4 3 2 | 3 2 1- | 6, 5, 6, 7, |
1- 1- | 5, 5, 6, 7, | 1 1 2- | 5 4 3 2 | 1- 4- | 1---

o_tannenbaum | O Tannenbaum | German, 16th century | 3/4 | major | 96
5, | 1/. 1// 1 2 | 3/. 3// 3. 3/ | 2/ 3/ 4 7, | 2 1 5, | 1/. 1// 1 2 | 3/. 3// 3. 3/ | 2/ 3/ 4 7, | 2 1 0/ 5/ |
5/ 3/ 6. 5/ | 5/ 4/ 4. 4/ | 4/ 2/ 5. 4/ | 4/ 3/ 3 5, | 1/. 1// 1 2 | 3/. 3// 3. 3/ | 2/ 3/ 4 7, | 2 1

deck_the_halls | Deck the Halls | Nos Galan, Welsh | 4/4 | major | 144
5. 4/ 3 2 | 1 2 3 1 | 2/ 3/ 4/ 2/ 3. 2/ | 1 7, 1- | 5. 4/ 3 2 | 1 2 3 1 | 2/ 3/ 4/ 2/ 3. 2/ | 1 7, 1- | 2. 3/ 4 2 |
3. 4/ 5 2 | 3/ #4/ 5 6/ 7/ 1' | 7 6 5- | 5. 4/ 3 2 | 1 2 3 1 | 6/ 6/ 6/ 6/ 5. 4/ | 3 2 1-

drunken_sailor | Drunken Sailor | Sea shanty | 4/4 | dorian | 150
5 5/ 5/ 5 5/ 5/ | 5 1 3 5 | 4 4/ 4/ 4 4/ 4/ | 4 7, 2 4 | 5 5/ 5/ 5 5/ 5/ | 5 6 7 1' | 7 5 4 2 | 1- 1- | 5- 5. 5/ |
5 1 3 5 | 4- 4. 4/ | 4 7, 2 4 | 5- 5. 5/ | 5 6 7 1' | 7 5 4 2 | 1- 1-

my_bonnie | My Bonnie Lies over the Ocean | Scottish | 3/4 | major | 132
5, | 3 2 1 | 2 1 6, | 5, 3,- | 3,- 5, | 3 2 1 | 1 7, 1 | 2-- | 2- 5, | 3 2 1 | 2 1 6, | 5, 3,- | 3,- 5, | 6, 2 1 |
7, 6, 7, | 1-- | 1-

clementine | Clementine | American ballad, 1884 | 3/4 | major | 120
1/. 1// | 1 5, 3/. 3// | 3 1 1/. 3// | 5 5 4/. 3// | 2- 2/. 3// | 4 4 3/. 2// | 3 1 1/. 3// | 2 5, 7,/. 2// | 1-

ash_grove | The Ash Grove | Llwyn Onn, Welsh | 3/4 | major | 112
5, | 1 3 5/ 4/ | 3 1 1 | 2 4/ 3/ 2/ 1/ | 7, 5, 5, | 1 3/ 2/ 1/ 7,/ | 6, 1 6, | 5, 1 7, | 1- 5, | 1 3 5/ 4/ | 3 1 1 |
2 4/ 3/ 2/ 1/ | 7, 5, 5, | 1 3/ 2/ 1/ 7,/ | 6, 1 6, | 5, 1 7, | 1-

korobeiniki | Korobeiniki | Russian, 1861 | 4/4 | minor | 144
5 2/ 3/ 4 3/ 2/ | 1 1/ 3/ 5 4/ 3/ | 2. 3/ 4 5 | 3 1 1- | 4. 6/ 1' 7/ 6/ | 5. 3/ 5 4/ 3/ | 2 2/ 3/ 4 5 | 3 1 1-

sakura | Sakura Sakura | Japanese | 4/4 | minor | 80
1 1 2- | 1 1 2- | 1 2 3 2 | 1 2/ 1/ 6,- | 5, 3, 5, 6, | 5, 5,/ 3,/ 2,- | 1 2 3 2 | 1 2/ 1/ 6,- | 5, 3, 5, 6, |
5, 5,/ 3,/ 2,- | 1 1 2- | 1 1 2- | 5, 6, 2/ 1/ 6, | 5,---

arirang | Arirang | Korean | 3/4 | major | 84
5,. 6,/ 5,/ 6,/ | 1. 2/ 1/ 2/ | 3 2/ 3/ 1/ 6,/ | 5,. 6,/ 5,/ 6,/ | 1. 2/ 1/ 2/ | 3/ 2/ 1/ 6,/ 5,/ 6,/ | 1. 2/ 1 |
1-- | 5- 5 | 5 3 2 | 3 2/ 3/ 1/ 6,/ | 5,. 6,/ 5,/ 6,/ | 1. 2/ 1/ 2/ | 3/ 2/ 1/ 6,/ 5,/ 6,/ | 1. 2/ 1 | 1--

jasmine_flower | Mo Li Hua | Chinese, 18th century | 4/4 | major | 88
3 3/ 5/ 6/ 1'/ 1'/ 6/ | 5 5/ 6/ 5- | 3 3/ 5/ 6/ 1'/ 1'/ 6/ | 5 5/ 6/ 5- | 5 5 5 3/ 5/ | 6 6 5- | 3 2/ 3/ 5 3/ 2/ |
1 1/ 2/ 1- | 3/ 2/ 1/ 3/ 2. 3/ | 5 6/ 1'/ 5- | 2 3/ 5/ 2/ 3/ 1/ 6,/ | 5,--- | 6, 1 2. 3/ | 1/ 2/ 1/ 6,/ 5,-

irish_washerwoman | The Irish Washerwoman | Irish jig | 6/8 | major | 168
5 4 | 3 1 1 5, 1 1 | 3 1 3 5 4 3 | 4 2 2 6, 2 2 | 4 2 4 6 5 4 | 3 1 1 5, 1 1 | 3 1 3 5 4 3 | 4 3 4 2 5 4 | 3 1 1 1-

pop_goes_the_weasel | Pop! Goes the Weasel | English, 1853 | 6/8 | major | 150
5, | 1- 1 2- 2 | 3 5 3 1- 5, | 1- 1 2- 2 | 3-- 1- 5, | 1- 1 2- 2 | 3 5 3 1-- | 6-- 2- 4 | 3-- 1--

jolly_good_fellow | For He's a Jolly Good Fellow | Malbrough, French, 18th century | 6/8 | major | 144
1 | 3- 3 3 2 3 | 4-- 3- 3 | 2- 2 2 1 2 | 3-- 1- 2 | 3- 3 3 2 3 | 4-- 6- 6 | 5- 5 4- 2 | 1-- 1-
"""

_HELD_OUT = {
    "dev": ("frere_jacques", "my_bonnie", "swan_lake", "jolly_good_fellow"),
    "test": ("auld_lang_syne", "korobeiniki", "amazing_grace", "row_your_boat", "nachtmusik"),
}


def _melodies(tunes: str) -> dict[str, Melody]:
    """Return the melodies written in `tunes`, by name."""
    splits = {name: split for split, names in _HELD_OUT.items() for name in names}
    found: dict[str, Melody] = {}
    for tune in tunes.strip().split("\n\n"):
        head, text = tune.split("\n", 1)
        name, title, origin, metre, mode, bpm = (part.strip() for part in head.split("|"))
        bars = parse_bars(text, metre, mode)
        first = sum(beats for _, beats in bars[0])
        found[name] = Melody(
            title=title,
            origin=origin,
            metre=metre,
            mode=mode,
            bpm=float(bpm),
            pickup=first if first < bar_beats(metre) else 0.0,
            notes=tuple(note for bar in bars for note in bar),
            split=splits.get(name, "train"),
        )
    return found


MELODIES: dict[str, Melody] = _melodies(_TUNES)
