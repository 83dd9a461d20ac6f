"""AudioCaps: train.csv, val.csv and test.csv beside ten-second clips of public videos, under any usual name."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniaudio.data.prepare.base import Source

if TYPE_CHECKING:
    from lhotse import MonoCut

_SPLITS = {"train": "train", "val": "dev", "test": "test"}


def cuts(source: Source) -> "Iterator[MonoCut]":
    """Yield every clip that is on disk with all its captions; the official tables are the splits."""
    sounds = source.sounds()
    for name, split in _SPLITS.items():
        table = next(source.folder.glob(f"**/{name}.csv"))
        clips: dict[tuple[str, str], list[dict[str, str]]] = {}
        for row in source.table(table, "audiocap_id", "youtube_id", "start_time", "caption"):
            clips.setdefault((row["youtube_id"], row["start_time"]), []).append(row)
        for (video, start), rows in clips.items():
            from_ms = 1000 * int(float(start))
            names = [
                f"{video}_{start}",
                f"{video}_{from_ms}_{from_ms + 10000}",
                f"Y{video}_{start}",
                video,
                f"Y{video}",
            ]
            names += [row["audiocap_id"] for row in rows]
            path = next((sounds[name] for name in names if name in sounds), source.folder / f"{names[0]}.wav")
            recording = source.recording(path)
            if recording is not None:
                captions = [row["caption"] for row in rows]
                yield source.clip(f"{video}-{start}", recording, split, captions=captions, start_seconds=float(start))
