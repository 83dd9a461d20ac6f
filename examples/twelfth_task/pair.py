"""Make the examples of a task of one's own, bandwidth extension, from a corpus of speech.

UNIAUDIO_TASKS=examples/twelfth_task/tasks.json python examples/twelfth_task/pair.py corpora/made/speech OUT
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from uniaudio.data.examples import EXAMPLES, Example, to_cut, write_examples
from uniaudio.data.pairs.corpora import read_recordings

NARROW_RATE = 4000  # samples per second: nothing above 2 kHz is left, half of a telephone's band
MAX_SECONDS = 10.0


def examples(corpus: Path) -> Iterator[Example]:
    """Yield every recording as the target, and itself at a low sample rate as what is given."""
    for one in read_recordings(corpus):
        if one.row.seconds <= MAX_SECONDS:
            wide = to_cut(one.cut)
            narrow = wide.resample(NARROW_RATE).resample(wide.sampling_rate)
            yield one.example("bandwidth_extension", {"narrow": narrow.to_dict()}, {"bandwidth_hz": NARROW_RATE / 2})


if __name__ == "__main__":
    corpus, out = map(Path, sys.argv[1:])
    print(write_examples(out / EXAMPLES, examples(corpus)), "examples")
