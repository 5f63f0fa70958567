"""The step whose checkpoint is worth keeping, by what was measured on held-out data or on samples."""

from dataclasses import dataclass

import numpy as np

from trainwright.diagnosis.definitions import smooth
from trainwright.diagnosis.history import History

LOWER = (
    "samples/kid",
    "samples/fid",
    "validation/loss",
    "validation/reconstruction",
    "validation/error",
)  # the lower the better, the most telling first
HIGHER = ("validation/accuracy",)  # the higher the better, where none of the others is logged
LEAST = 2  # readings
WORSE = 0.02  # share of the best value by which the end has to be worse before stopping there is advised


@dataclass(frozen=True)
class Best:
    """Best reading of a measure of quality.

    Attributes:
        step: where it was.
        signal: what was measured.
        value: the best reading.
        last: the newest reading.
        scatter: usual difference of one reading from the next.
    """

    step: float
    signal: str
    value: float
    last: float
    scatter: float

    @property
    def passed(self) -> bool:
        """True if the end is worse than the best reading by more than a little, and by more than readings scatter."""
        worse = self.value - self.last if self.signal in HIGHER else self.last - self.value
        return worse > max(WORSE * abs(self.value), 3 * self.scatter)

    def sentence(self) -> str:
        """Return what to keep, in one line."""
        what = f"{self.signal} is {'highest' if self.signal in HIGHER else 'lowest'} there, at {self.value:.4g}"
        return f"best step: {self.step:.0f} ({what}{f', and {self.last:.4g} now' if self.passed else ''})"


def best(history: History) -> Best | None:
    """Return the best step; None without at least two readings on held-out data or of samples."""
    for name in (*LOWER, *HIGHER):
        series = history.signals.get(name)
        if series is None:
            continue
        fine = np.isfinite(series.values)
        steps, values = series.steps[fine], series.values[fine]
        if len(values) < LEAST:
            continue
        wide = 5 if len(values) >= 200 else 1  # of many readings, one that is low by chance is no minimum
        cost = -values if name in HIGHER else values
        at = int(np.argmin(smooth(cost, wide)))
        low = max(0, at - wide + 1)
        at = low + int(np.argmin(cost[low : at + 1]))
        return Best(
            float(steps[at]), name, float(values[at]), float(values[-1]), float(np.median(np.abs(np.diff(values))))
        )
    return None
