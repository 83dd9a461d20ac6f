"""A guard against steps that would undo training: it compares a step with the median of those before it."""

from statistics import median


class SpikeGuard:
    """Tells which steps to skip: loss or gradient norm above `factor` times its median over the last `window` steps.

    Skipped steps are remembered as well, so that a rise that stays is accepted after half a window. Nothing is skipped
    before the window is full, and never with `factor` 0. `seen` (pairs of loss and norm) is all its state.
    """

    def __init__(self, factor: float, window: int) -> None:
        self.factor, self.window = factor, window
        self.seen: list[list[float]] = []

    def skips(self, loss: float, norm: float) -> bool:
        """Return whether to skip a step with this finite loss and gradient norm, and remember both."""
        if not self.factor:
            return False
        usual = [median(column) for column in zip(*self.seen, strict=True)] if len(self.seen) == self.window else []
        self.seen = [*self.seen, [loss, norm]][-self.window :]
        return any(value > one + (self.factor - 1) * abs(one) for value, one in zip((loss, norm), usual, strict=False))
