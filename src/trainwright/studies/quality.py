"""Quality of a run regardless of alarms: its signals relative to the scores of real data, from 0 to 1."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trainwright.diagnosis.history import History
from trainwright.engine.family import Family

READINGS = 3  # the level of a signal is the median of its last three readings
LEAST = 1e-3  # least value of a part, so that the other parts still change the geometric mean
BETTER = 0.02  # a smaller difference does not count, nor one below a tenth of the larger value; our choice


@dataclass(frozen=True)
class Quality:
    """One number and its parts, each between 0 and 1; NaN where nothing was measured."""

    score: float
    parts: Mapping[str, float]

    def clearly_above(self, other: "Quality") -> bool:
        """Return whether it is better by more than chance, in the parts that both have.

        A measured quality is above one that was never measured.
        """
        if math.isnan(other.score):
            return not math.isnan(self.score)
        shared = self.parts.keys() & other.parts.keys()
        mine, theirs = (_mean([q.parts[name] for name in sorted(shared)]) for q in (self, other))
        return mine > theirs + max(BETTER, 0.1 * max(mine, theirs))


def quality(family: Family, history: History, step: float | None = None) -> Quality:
    """Return the geometric mean of the family's parts, in which the weakest part has the largest effect.

    Args:
        family: names the signals and the scores of real data.
        history: signals of the run.
        step: step at which levels are taken; by default the end.
    """
    parts = {}
    for part in family.quality:
        ceiling = _level(history, part.ceiling, step) if isinstance(part.ceiling, str) else part.ceiling
        level = _level(history, part.signal, step)
        if not math.isnan(level) and not math.isnan(ceiling):
            parts[part.signal] = float(np.clip(level / max(ceiling, 1e-9), LEAST, 1.0))
    return Quality(_mean(list(parts.values())), parts)


def _mean(values: list[float]) -> float:
    """Return the geometric mean; NaN of an empty list."""
    return float(np.exp(np.mean(np.log(values)))) if values else float("nan")


def _level(history: History, signal: str, step: float | None) -> float:
    series = history.get(signal)
    if series is None:
        return float("nan")
    keep = np.isfinite(series.values) & (series.steps <= (np.inf if step is None else step))
    values = series.values[keep][-READINGS:]
    return float(np.median(values)) if len(values) else float("nan")
