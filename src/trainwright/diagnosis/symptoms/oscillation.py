"""Oscillation: a loss oscillates with constant amplitude and quality does not improve."""

from typing import Literal

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Symptom,
    Unknown,
    evidence,
    observation,
    persistent,
    smooth,
    thin,
    warmed_up,
)
from trainwright.diagnosis.history import History, Series
from trainwright.diagnosis.kinds import kinds_of

BOUNDS = {
    "crossings": Bound(4, "number of crossings of the smoothed loss and its median within the window", "ours"),
    "swing": Bound(0.8, "10-90 % range of the smoothed loss over its median", "ours"),
    "window": Bound(40, "readings in the window", "ours"),
    "readings": Bound(4, "consecutive readings", "ours"),
    "warm_up": Bound(0.1, "share of the planned steps before the first judgement", "ours"),
    "gain": Bound(0.1, "gain of coverage over a fifth of the planned steps: above it quality improves", "ours"),
    "coverage": Bound(
        0.35, "coverage relative to real images: above it samples are good despite the oscillation", "ours"
    ),
}
LOSSES = ("critic/loss", "discriminator/term", "discriminator/loss", "generator/adversarial", "vae/loss", "loss")


def detect(h: History) -> Judgement:
    """Detect a loss with a wide oscillation while the quality of samples does not improve."""
    judged = False
    for name in LOSSES:
        series = h.get(name, least=int(BOUNDS["window"].value))
        if series is None:
            continue
        judged = True
        found = _swinging(h, name, thin(series))
        if found is not None:
            return found
    return None if judged else Unknown("a loss over at least 40 readings")


def _swinging(h: History, name: str, series: Series) -> Judgement:
    n = int(BOUNDS["window"].value)
    if len(series) <= n + 4:
        return None
    level = smooth(series.values, 3)
    newest = min(len(level) - n, 24)  # windows, enough to test persistence
    parts = np.lib.stride_tricks.sliding_window_view(level[-(n + newest) :], n + 1)
    low, middle, high = np.percentile(parts, [10, 50, 90], axis=1)
    above = parts > middle[:, None]
    swing = high - low
    far = np.abs(parts - middle[:, None]) > 0.2 * swing[:, None]
    crossings = np.array(
        [np.count_nonzero(np.diff(row[keep].astype(int))) for row, keep in zip(above, far, strict=True)]
    )
    wide = swing > BOUNDS["swing"].value * np.maximum(np.abs(middle), 1e-9)
    bad = np.zeros(len(series), dtype=bool)
    bad[-newest:] = (crossings >= BOUNDS["crossings"].value) & wide
    bad &= series.steps > warmed_up(h, BOUNDS["warm_up"].value)
    coverage = h.get("samples/coverage", least=3)
    if coverage is not None:
        ceiling = h.get("real/coverage")
        now = np.nan_to_num(coverage.at(series.steps))
        then = np.nan_to_num(coverage.at(series.steps - 0.2 * h.budget))
        bad &= (now - then < BOUNDS["gain"].value) & (
            now < BOUNDS["coverage"].value * (ceiling.last if ceiling else 0.95)
        )
    stretch = persistent(series.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = f"{name} oscillates around {{value}} with a range above {{against}} times its level, and quality does not improve"
    doubtful = coverage is None and bool(h.facts.get("networks")) and "adversarial" not in kinds_of(h)
    severity: Literal["note", "suspect", "sick"] = "suspect" if doubtful else "sick"
    if coverage is None and h.facts.get("log"):
        severity = "note"  # losses of healthy GANs and of single batches swing, and a log does not show samples
    return observation(stretch, severity, evidence(name, series, stretch, BOUNDS["swing"].value, said))


SYMPTOM = Symptom(
    name="oscillation",
    title="oscillation",
    what="Losses oscillate with constant amplitude, and quality does not improve. Losses of healthy GANs oscillate too, but less.",
    measured="Crossings of the median and 10-90 % range of the smoothed loss over its level, while coverage does not rise.",
    bounds=BOUNDS,
    detect=detect,
    advice="lower both learning rates, and use a larger batch",
)
