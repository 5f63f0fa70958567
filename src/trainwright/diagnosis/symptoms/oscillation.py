"""Oscillation: the loss swings back and forth with an amplitude that does not shrink, and nothing gets better."""

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
)
from trainwright.diagnosis.history import History, Series

BOUNDS = {
    "crossings": Bound(4, "times that the smoothed loss crosses its own median within the window", "ours"),
    "swing": Bound(0.8, "10-90 % swing of the smoothed loss over its level", "ours"),
    "window": Bound(40, "readings", "ours"),
    "warm_up": Bound(0.1, "share of the budget before it is judged", "ours"),
    "gain": Bound(0.1, "coverage that was gained over the window: above it something gets better", "ours"),
    "coverage": Bound(0.35, "coverage over what real images reach: above it samples are good all the same", "ours"),
}
LOSSES = ("critic/loss", "discriminator/term", "discriminator/loss", "generator/adversarial", "vae/loss", "loss")


def detect(h: History) -> Judgement:
    """A loss that swings widely about a level while the quality of samples stays flat."""
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
    newest = min(len(level) - n, 24)  # windows: enough for persistence
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
    bad &= series.steps > BOUNDS["warm_up"].value * h.budget
    coverage = h.get("samples/coverage", least=3)
    if coverage is not None:
        ceiling = h.get("real/coverage")
        now = np.nan_to_num(coverage.at(series.steps))
        then = np.nan_to_num(coverage.at(series.steps - 0.2 * h.budget))
        bad &= (now - then < BOUNDS["gain"].value) & (
            now < BOUNDS["coverage"].value * (ceiling.last if ceiling else 0.95)
        )
    stretch = persistent(series.steps, bad, 4)
    if stretch is None:
        return None
    said = f"{name} swings about {{value}} by more than its own level, and samples do not get better"
    return observation(stretch, "sick", evidence(name, series, stretch, BOUNDS["swing"].value, said))


SYMPTOM = Symptom(
    name="oscillation",
    title="oscillation",
    what="Losses swing back and forth without shrinking, and quality stays flat. Losses of healthy GANs swing too, but by less.",
    measured="Share of turns and the 10-90 % swing of the smoothed loss over its level, with coverage not rising.",
    bounds=BOUNDS,
    detect=detect,
)
