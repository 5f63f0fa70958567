"""Worse than baseline: a loss that stays above that of a healthy run of the same program, by more than noise."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Evidence,
    Judgement,
    Observation,
    Symptom,
    Unknown,
    observation,
    persistent,
    smooth,
    thin,
)
from trainwright.diagnosis.history import History, Series

BOUNDS = {
    "noise": Bound(
        4.0, "difference from the baseline over the scatter of both", "ours; 3 seeds of six fine-tunes differ by 1"
    ),
    "rise": Bound(0.1, "the same difference over the baseline's value, or over what the baseline has gained", "ours"),
    "sick": Bound(0.5, "the same, from which on the run is sick and not suspect", "ours"),
    "lasting": Bound(0.25, "share of the readings for which the difference has lasted", "ours"),
    "least": Bound(8, "readings of both", "ours"),
}
LOSSES = (
    "validation/loss",
    "validation/reconstruction",
    "loss",
    "vae/loss",
    "reconstruction/weighted",
    "validation/kl",
)


def detect(h: History) -> Judgement:
    """Detect a loss above the baseline's that lasts to the end; held-out losses first."""
    if h.baseline is None:
        return Unknown("a healthy run of the same program (--baseline)")
    least = int(BOUNDS["least"].value)
    shared = [n for n in LOSSES if len(h.signals.get(n, ())) >= least and len(h.baseline.signals.get(n, ())) >= least]
    if not shared:
        return Unknown("a loss that both runs have")
    return next((f for n in shared if (f := _above(n, thin(h.signals[n]), h.baseline.signals[n])) is not None), None)


def difference(here: Series, there: Series) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Return both levels at the steps of the first series, and their scatter; None where they hardly overlap."""
    there = thin(there)
    inside = (here.steps >= there.steps[0]) & (here.steps <= there.steps[-1])
    if inside.sum() < BOUNDS["least"].value:
        return None
    wide = 2 * (len(here) // 40) + 3
    levels = (
        smooth(here.values, wide)[inside],
        smooth(there.values, wide)[np.searchsorted(there.steps, here.steps[inside])],
    )
    scatter = sum(float(np.median(np.abs(np.diff(s.values)))) for s in (here, there)) / 0.95
    return *levels, scatter


def _above(name: str, here: Series, there: Series) -> Observation | None:
    found = difference(here, there)
    if found is None:
        return None
    level, usual, scatter = found
    steps = here.steps[(here.steps >= there.steps[0]) & (here.steps <= there.steps[-1])]
    scale = np.maximum(np.abs(usual), usual[0] - usual)
    rise = level - usual
    bad = (rise > BOUNDS["noise"].value * scatter) & (rise > BOUNDS["rise"].value * scale)
    stretch = persistent(steps, bad, max(3, int(BOUNDS["lasting"].value * len(steps))))
    if stretch is None:
        return None
    part = slice(stretch.first, stretch.last + 1)
    now, other = float(np.median(level[part])), float(np.median(usual[part]))
    far = now - other > BOUNDS["sick"].value * max(abs(other), 1e-12)
    said = f"{name} is {now:.4g} since step {stretch.onset:.0f}, and {other:.4g} in the baseline at the same steps"
    return observation(
        stretch, "sick" if far else "suspect", Evidence(name, now, other, said, stretch.onset, stretch.end)
    )


SYMPTOM = Symptom(
    name="worse_than_baseline",
    title="worse than the baseline",
    what="A loss stays above that of a healthy run of the same program, by more than both scatter.",
    measured="Difference of the smoothed losses at the same steps, over their scatter and over the baseline's value.",
    bounds=BOUNDS,
    detect=detect,
    speed="fast",
    advice="compare settings and data of both runs; what differs first is the likeliest reason",
)
