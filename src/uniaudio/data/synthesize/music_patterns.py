"""The tables of made music: instruments, scales, chords, and patterns of accompaniment, bass, drums and melody."""

from uniaudio.data.synthesize.melodies import SCALES

DRUMS_FROM = 128  # a program of 128 + n is drum kit n, its pitches are the General MIDI drums

# name: (General MIDI program, lowest pitch, highest pitch of a good register)
INSTRUMENTS: dict[str, tuple[int, int, int]] = {
    "piano": (0, 36, 90),
    "electric piano": (4, 45, 84),
    "harpsichord": (6, 41, 84),
    "celesta": (8, 60, 96),
    "glockenspiel": (9, 72, 100),
    "music box": (10, 60, 90),
    "vibraphone": (11, 53, 84),
    "marimba": (12, 48, 84),
    "xylophone": (13, 65, 96),
    "dulcimer": (15, 50, 82),
    "organ": (16, 48, 84),
    "church organ": (19, 43, 84),
    "accordion": (21, 53, 86),
    "harmonica": (22, 60, 86),
    "classical guitar": (24, 43, 76),
    "acoustic guitar": (25, 43, 78),
    "jazz guitar": (26, 43, 76),
    "electric guitar": (27, 43, 78),
    "overdriven guitar": (29, 43, 80),
    "distorted guitar": (30, 43, 80),
    "double bass": (32, 29, 52),
    "electric bass": (33, 29, 52),
    "slap bass": (36, 29, 52),
    "synth bass": (38, 29, 52),
    "violin": (40, 57, 90),
    "viola": (41, 50, 79),
    "cello": (42, 38, 69),
    "pizzicato strings": (45, 48, 84),
    "harp": (46, 40, 88),
    "timpani": (47, 36, 57),
    "strings": (48, 43, 84),
    "choir": (52, 43, 77),
    "trumpet": (56, 56, 80),
    "trombone": (57, 43, 69),
    "tuba": (58, 30, 55),
    "muted trumpet": (59, 56, 80),
    "french horn": (60, 43, 72),
    "brass section": (61, 48, 77),
    "soprano saxophone": (64, 58, 84),
    "alto saxophone": (65, 51, 79),
    "tenor saxophone": (66, 46, 74),
    "oboe": (68, 60, 86),
    "english horn": (69, 53, 79),
    "bassoon": (70, 36, 66),
    "clarinet": (71, 52, 84),
    "piccolo": (72, 74, 98),
    "flute": (73, 60, 91),
    "recorder": (74, 65, 91),
    "pan flute": (75, 60, 86),
    "ocarina": (79, 60, 84),
    "square synth lead": (80, 55, 86),
    "saw synth lead": (81, 55, 86),
    "synth pad": (89, 48, 79),
    "sitar": (104, 48, 77),
    "banjo": (105, 50, 79),
    "shamisen": (106, 50, 79),
    "koto": (107, 50, 82),
    "kalimba": (108, 57, 84),
    "bagpipe": (109, 60, 79),
    "fiddle": (110, 57, 86),
    "steel drums": (114, 55, 84),
}
# Instruments that play a melody and its accompaniment at once.
POLYPHONIC = ("piano", "electric piano", "harpsichord", "organ", "church organ", "accordion", "classical guitar")
POLYPHONIC += ("acoustic guitar", "jazz guitar", "harp", "music box", "celesta", "vibraphone", "marimba", "koto")

MODES = {
    **SCALES,
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "major pentatonic": (0, 2, 4, 7, 9),
    "minor pentatonic": (0, 3, 5, 7, 10),
}
# The seven notes that the chords of a mode are built of.
PARENTS = {"major pentatonic": "major", "minor pentatonic": "minor"}
BRIGHT = ("major", "mixolydian", "major pentatonic")

# Degrees of the chords of four bars, by the seven-note mode.
PROGRESSIONS = {
    "major": ("1564", "1645", "1451", "1415", "1625", "6415", "1345", "4156", "1465", "1245", "1164", "1354"),
    "minor": ("1637", "1451", "1767", "1645", "1415", "1634", "1735", "1456", "6711", "1165"),
    "dorian": ("1414", "1741", "1147", "1471", "1744", "1241"),
    "mixolydian": ("1741", "1471", "1747", "1417", "1174", "4171"),
}

# Accompaniment in eighths, a bar a string, alternatives by turns after `;`: C chord, U its upper notes, B its low root,
# 0-4 the notes of its arpeggio, `-` goes on, `.` rests.
COMPS: dict[str, dict[str, str]] = {
    "pad": {"4/4": "C-------", "3/4": "C-----", "6/8": "C-----"},
    "block": {"4/4": "C---C---", "3/4": "C-----", "6/8": "C--C--"},
    "quarters": {"4/4": "C-C-C-C-", "3/4": "C-C-C-", "6/8": "C--C--"},
    "alberti": {"4/4": "02120212", "3/4": "021212", "6/8": "021021"},
    "arpeggio": {"4/4": "01234321", "3/4": "012321", "6/8": "012321"},
    "rolling": {"4/4": "0-2-3-2-", "3/4": "0-2-3-", "6/8": "0-23-2"},
    "waltz": {"3/4": "B-U-U-", "6/8": "B-UB-U"},
    "oompah": {"4/4": "B-U-B-U-", "3/4": "B-U-U-", "6/8": "B-UB-U"},
    "strum": {"4/4": "C-CU.UCU;C-C-CUCU", "3/4": "C-CUCU", "6/8": "C-UC-U"},
    "offbeat": {"4/4": ".U.U.U.U", "3/4": "..U-U-", "6/8": "..U..U"},
    "charleston": {"4/4": "U--U----;.U----U-"},
    "bossa": {"4/4": "U--U--U-;..U--U--"},
    "power": {"4/4": "CCCCCCCC;CC-CCCCC"},
    "pulse": {"4/4": "U.UU.UU.;U.UU.U.U"},
}
# Bass in eighths: R root, 3, 5, 8 octave, A a step before the next root.
BASSES: dict[str, dict[str, str]] = {
    "hold": {"4/4": "R-------", "3/4": "R-----", "6/8": "R-----"},
    "root_fifth": {"4/4": "R---5---", "3/4": "R---5-;R-----", "6/8": "R--5--"},
    "two": {"4/4": "R-.R5-..", "3/4": "R-....", "6/8": "R-.R-."},
    "walk": {"4/4": "R-3-5-A-;R-5-3-A-", "3/4": "R-3-A-", "6/8": "R-35-A"},
    "eighths": {"4/4": "RRRRRRRR;RRRRRR5A"},
    "bossa": {"4/4": "R--R5--5"},
    "octaves": {"4/4": "R.8.R.8.;R.8.R.88"},
    "syncopated": {"4/4": "R--R..5-;R--R-.8A"},
    "one_drop": {"4/4": "..R-R-5-;R-.R3-5-"},
}
# Drums in sixteenths: General MIDI drum -> its hits.
DRUMS: dict[str, dict[str, dict[int, str]]] = {
    "rock": {"4/4": {36: "x.......x.x.....", 38: "....x.......x...", 42: "x.x.x.x.x.x.x.x."}},
    "hard rock": {"4/4": {36: "x..x....x.xx....", 38: "....x.......x...", 46: "x...x...x...x..."}},
    "ballad": {"4/4": {36: "x.........x.....", 37: "....x.......x...", 42: "x.x.x.x.x.x.x.x."}},
    "swing": {"4/4": {51: "x...x.x.x...x.x.", 44: "....x.......x...", 36: "x.......x......."}},
    "shuffle": {"4/4": {42: "x.x.x.x.x.x.x.x.", 38: "....x.......x...", 36: "x.......x.x....."}},
    "bossa": {"4/4": {37: "x.....x.....x...", 42: "x.x.x.x.x.x.x.x.", 36: "x.....x.x.....x."}},
    "march": {
        "4/4": {38: "x..xx.x.x..xx.xx", 36: "x.......x.......", 49: "x..............."},
        "6/8": {38: "x..xxxx..x.x", 36: "x.....x....."},
    },
    "waltz": {"3/4": {36: "x...........", 42: "....x...x...", 37: "........x..."}},
    "jig": {"6/8": {54: "x.x.x.x.x.x.", 36: "x.....x....."}},
    "hip-hop": {"4/4": {36: "x..x......x..x..", 38: "....x.......x...", 42: "x.x.x.x.x.x.x.xx"}},
    "electronic": {
        "4/4": {36: "x...x...x...x...", 39: "....x.......x...", 46: "..x...x...x...x.", 42: "x.xxx.xxx.xxx.xx"}
    },
    "reggae": {"4/4": {36: "........x.......", 37: "........x.......", 42: "x.x.x.x.x.x.x.x."}},
    "funk": {"4/4": {36: "x.x....x..x.....", 38: "....x..x.x..x..x", 42: "xxxxxxxxxxxxxxxx"}},
    "latin": {"4/4": {63: "..xx..x...xx..x.", 75: "x..x..x...x.x...", 70: "xxxxxxxxxxxxxxxx", 36: "x.....x.x.....x."}},
}
# Melody in eighths: `x` a note begins; sparse, medium and busy bars, and syncopated ones.
RHYTHMS: dict[str, dict[str, tuple[str, ...]]] = {
    "4/4": {
        "sparse": ("x---x---", "x-----x-", "x---x-x-", "x-x-x---", "x--x----"),
        "medium": ("x-x-x-x-", "x--xx-x-", "x-xxx-x-", "x-x-xxx-", "x--xx---", "xxx-x-x-", "x-x-x-xx"),
        "busy": ("xxxxx-x-", "xxxxxxxx", "x-xxxxxx", "xxx-xxx-", "xxxxx-xx", "x-xxx-xx"),
        "syncopated": ("x--x--x-", ".xx-x-x-", "x-xx-xx-", "x--x-xx-", ".x-xx-x-", "xx-x-xx-", "x-.xx--x"),
    },
    "3/4": {
        "sparse": ("x-----", "x---x-", "x-x---"),
        "medium": ("x-x-x-", "x-xxx-", "x--xx-", "x---xx", "xxx-x-"),
        "busy": ("xxxxxx", "x-xxxx", "xxxxx-", "xxx-xx"),
    },
    "6/8": {
        "sparse": ("x-----", "x--x--"),
        "medium": ("x-xx-x", "x-xx--", "x--x-x", "xxxx--"),
        "busy": ("xxxxxx", "xxxx-x", "x-xxxx"),
    },
}
# Four-part ensembles: name -> melody, second, third and lowest part.
QUARTETS = {
    "string quartet": ("violin", "violin", "viola", "cello"),
    "woodwind quartet": ("flute", "oboe", "clarinet", "bassoon"),
    "brass quartet": ("trumpet", "trumpet", "french horn", "trombone"),
    "choir": ("choir", "choir", "choir", "choir"),
}
