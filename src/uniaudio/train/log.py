"""Where training figures go: a progress line, `log.jsonl`, and TensorBoard when it is installed."""

import json
from pathlib import Path
from typing import Any

SUMMED = ("frames", "flops", "skipped")  # figures that add up; the others are averaged


class TrainLog:
    """Writes figures every `every` steps, each averaged over the steps that had it.

    `peak_flops` is what all devices together can do in a second (0: unknown). Steps logged again after a resume are cut
    from the file first.
    """

    def __init__(self, folder: Path, first_step: int, steps: int, every: int, peak_flops: float = 0.0) -> None:
        from tqdm import tqdm

        self.every, self.peak_flops, self.sums, self.counts = every, peak_flops, {}, {}
        self.path = folder / "log.jsonl"
        kept: list[str] = []
        if self.path.exists():
            lines = [line for line in self.path.read_text().splitlines() if line.endswith("}")]
            kept = [line for line in lines if json.loads(line)["step"] <= first_step]
        self.path.write_text("".join(line + "\n" for line in kept))
        self.bar = tqdm(total=steps, initial=first_step, unit="step", dynamic_ncols=True, mininterval=2.0)
        self.board = _summary_writer(folder / "tensorboard", first_step)

    def add(self, step: int, figures: dict[str, float], seconds: float) -> None:
        """Take the figures of one step: `frames` become frames per second, `flops` a share of the peak."""
        for key, value in {**figures, "seconds": seconds}.items():
            self.sums[key] = self.sums.get(key, 0.0) + value
            self.counts[key] = self.counts.get(key, 0) + 1
        self.bar.update(1)
        if step % self.every == 0:
            self._write(step)

    def _write(self, step: int) -> None:
        frames, flops, skipped = (self.sums.pop(name, 0.0) for name in SUMMED)
        seconds = max(self.sums.pop("seconds"), 1e-9)
        row: dict[str, Any] = {key: round(value / self.counts[key], 5) for key, value in self.sums.items()}
        row = {"step": step, **row, "skipped": round(skipped), "frames_per_second": round(frames / seconds, 1)}
        if self.peak_flops and flops:
            row["mfu"] = round(flops / seconds / self.peak_flops, 4)
        row["seconds_per_step"] = round(seconds / self.counts["seconds"], 4)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.bar.set_postfix({key: value for key, value in row.items() if key in ("loss", "frames_per_second")})
        if self.board is not None:
            for key, value in row.items():
                self.board.add_scalar(key, value, step)
        self.sums, self.counts = {}, {}

    def close(self) -> None:
        """Finish the progress line and the files."""
        self.bar.close()
        if self.board is not None:
            self.board.close()


def _summary_writer(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first_step + 1)
