"""How good a run is, whatever its alarms say: the family's signals relative to what real data score, in one number between 0 and 1."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trainwright.diagnosis.history import History
from trainwright.engine.family import Family

READINGS = 3  # the median of so many is the level of a signal
LEAST = 1e-3  # a part that is not there at all; keeps the geometric mean from forgetting the others
BETTER = 0.02  # a difference that counts, beside a tenth of the larger of the two; ours


@dataclass(frozen=True)
class Quality:
    """One number and its parts, each between 0 and 1; NaN where nothing was measured."""

    score: float
    parts: Mapping[str, float]

    def clearly_above(self, other: "Quality") -> bool:
        """Whether it is better by more than chance makes it, in the parts that both have; better than what was never measured, if it
        was.
        """
        if math.isnan(other.score):
            return not math.isnan(self.score)
        shared = self.parts.keys() & other.parts.keys()
        mine, theirs = (_mean([q.parts[name] for name in sorted(shared)]) for q in (self, other))
        return mine > theirs + max(BETTER, 0.1 * max(mine, theirs))


def quality(family: Family, history: History, step: float | None = None) -> Quality:
    """The geometric mean of the family's parts, so that the one that nobody hears counts most.

    Args:
        family: says which signals, and what real data score.
        history: of the run.
        step: the level at that step; by default at the end.
    """
    parts = {}
    for part in family.quality:
        ceiling = _level(history, part.ceiling, step) if isinstance(part.ceiling, str) else part.ceiling
        level = _level(history, part.signal, step)
        if not math.isnan(level) and not math.isnan(ceiling):
            parts[part.signal] = float(np.clip(level / max(ceiling, 1e-9), LEAST, 1.0))
    return Quality(_mean(list(parts.values())), parts)


def _mean(values: list[float]) -> float:
    """Geometric; NaN of nothing."""
    return float(np.exp(np.mean(np.log(values)))) if values else float("nan")


def _level(history: History, signal: str, step: float | None) -> float:
    series = history.get(signal)
    if series is None:
        return float("nan")
    keep = np.isfinite(series.values) & (series.steps <= (np.inf if step is None else step))
    values = series.values[keep][-READINGS:]
    return float(np.median(values)) if len(values) else float("nan")
