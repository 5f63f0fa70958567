"""How much better one set of runs is than another, with an interval: what the spread over seeds allows to say."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Effect:
    """A mean difference over ``n`` pairs or seeds, its 95 % interval (NaN for a single one), and in standard deviations (Cohen's d)."""

    mean: float
    low: float
    high: float
    d: float
    n: int

    @property
    def clear(self) -> bool:
        """True if the interval excludes 0."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.mean:+.3g} (one seed: no interval)"
        return f"{self.mean:+.3g} [{self.low:+.3g}, {self.high:+.3g}]"


def effect(a: Mapping[int, float], b: Mapping[int, float]) -> Effect | None:
    """``a`` minus ``b``, each a value for every seed; paired over common seeds, else Welch's interval. None if either is empty."""
    common = sorted(set(a) & set(b))
    if common and len(common) == min(len(a), len(b)):
        return _paired(np.array([a[s] - b[s] for s in common]))
    x, y = np.array(list(a.values()), float), np.array(list(b.values()), float)
    if not len(x) or not len(y):
        return None
    mean = float(x.mean() - y.mean())
    if len(x) < 2 or len(y) < 2:
        return Effect(mean, math.nan, math.nan, math.nan, min(len(x), len(y)))
    vx, vy = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    error = math.sqrt(vx + vy)
    freedom = (vx + vy) ** 2 / max(vx**2 / (len(x) - 1) + vy**2 / (len(y) - 1), 1e-300)
    half = _t(freedom) * error
    pooled = math.sqrt((x.var(ddof=1) + y.var(ddof=1)) / 2)
    return Effect(mean, mean - half, mean + half, mean / pooled if pooled else math.nan, min(len(x), len(y)))


def _paired(differences: np.ndarray) -> Effect:
    n, mean = len(differences), float(differences.mean())
    if n < 2:
        return Effect(mean, math.nan, math.nan, math.nan, n)
    spread = float(differences.std(ddof=1))
    half = _t(n - 1) * spread / math.sqrt(n)
    return Effect(mean, mean - half, mean + half, mean / spread if spread else math.nan, n)


def _t(freedom: float) -> float:
    """Two-sided 95 % point of Student's t.

    From scipy.special, which scipy.stats calls: its import takes 0.3 s instead of 1.2 s, and equal differences give no warning.
    """
    from scipy.special import stdtrit

    return float(stdtrit(max(freedom, 1.0), 0.975))
