"""Exploding: a loss or gradient grows by orders of magnitude and does not recover."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Observation,
    Symptom,
    Unknown,
    begun,
    evidence,
    observation,
    persistent,
    smooth,
    thin,
)
from trainwright.diagnosis.history import History, Series

BOUNDS = {
    "factor": Bound(30.0, "magnitude over the early level of the run", "ours"),
    "gradient": Bound(100.0, "the same ratio for a gradient norm", "ours"),
    "level": Bound(8, "first readings that define the early level", "ours"),
    "slope": Bound(
        5.0,
        "norm of a Wasserstein critic's gradient between real and generated images; the penalty pulls it to 1",
        "Gulrajani et al. 2017",
    ),
    "readings": Bound(3, "consecutive readings", "ours"),
    "warm_up": Bound(
        0.12, "share of the planned steps in which growth is not judged, since the early level is still forming", "ours"
    ),
    "beyond": Bound(30.0, "times the factor above which growth is judged during the warm-up too", "ours"),
    "term": Bound(0.1, "share of the whole loss that a term's early level is counted as, at least", "ours"),
    "absolute": Bound(1e6, "magnitude that counts as exploding at any early level", "ours"),
}

HUGE = 1e30  # stands for infinity, so that medians stay numbers


def detect(h: History) -> Judgement:
    """Detect a loss or gradient norm far above its early level, for several readings, and not falling."""
    names = [n for n in h.signals if _is_loss(n)]
    if not names:
        return Unknown("a loss or a gradient norm")
    found = _steep(h) + [f for n in sorted(names) if (f := _grown(h, n, thin(begun(h.signals[n])))) is not None]
    return min(found, key=lambda f: f.alarm) if found else None


def _steep(h: History) -> list[Observation]:
    """Detect a Wasserstein critic that is far from 1-Lipschitz."""
    slope = h.get("critic/gradient_norm", least=6)
    if slope is None or h.facts.get("adversarial") != "wasserstein":
        return []
    slope = thin(slope)
    bad = (slope.values > BOUNDS["slope"].value) & (slope.steps > h.first + 0.05 * h.budget)
    stretch = persistent(slope.steps, bad, int(BOUNDS["readings"].value))
    said = "the norm of the critic's gradient is {value} (the penalty pulls it to 1), so its loss is not bounded"
    return (
        [observation(stretch, "sick", evidence("critic/gradient_norm", slope, stretch, BOUNDS["slope"].value, said))]
        if stretch
        else []
    )


def _is_loss(name: str) -> bool:
    return name.endswith("/loss") or name == "loss" or name.startswith("grad_norm/") or name == "critic/wasserstein"


def _grown(h: History, name: str, series: Series) -> Observation | None:
    size = np.abs(series.values)
    size = np.where(np.isfinite(size), size, HUGE)
    n = int(BOUNDS["level"].value)
    if len(size) < 6:
        return None
    factor = BOUNDS["gradient" if name.startswith("grad_norm/") else "factor"].value
    head = size[: min(n, max(2, len(size) // 4))]
    level = max(float(np.quantile(head, 0.75)), float(np.median(np.minimum(size, 1.0))) * 0.1, 1e-3)
    whole = h.get("loss", least=6)
    if whole is not None and name == "codebook/loss":
        level = max(level, BOUNDS["term"].value * float(np.quantile(np.abs(whole.values[: len(head)]), 0.75)))
    critic = h.get("discriminator/loss")
    if name == "generator/loss" and critic is not None and bool((series.values < 0).any()):
        level = max(
            level, float(np.quantile(np.abs(critic.values), 0.75))
        )  # scores of a critic, whose offset means nothing
    running = np.full(len(size), level)
    running[5:] = smooth(size, 58)[2:-3]
    floor = np.minimum(np.maximum(level, running), level * 5)
    late = series.steps > h.first + BOUNDS["warm_up"].value * h.budget
    bad = ((size > factor * floor) & late) | (size > BOUNDS["beyond"].value * factor * floor)
    bad |= size > BOUNDS["absolute"].value
    stretch = persistent(series.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    inside = size[stretch.first : stretch.last + 1]
    if len(inside) > 6 and np.median(inside[-3:]) < 0.3 * np.max(inside[:-3]):
        return None  # it is falling again
    said = f"{name} has grown to {{value}}, more than {factor:.0f} times its early level of {level:.3g}"
    return observation(stretch, "sick", evidence(name, series, stretch, factor * level, said))


SYMPTOM = Symptom(
    name="exploding",
    title="exploding loss or gradient",
    what="A loss or gradient grows by orders of magnitude and does not recover. NaN or infinite values often follow.",
    measured="Magnitude over the early level of the run, for several readings. A spike that recovers does not count.",
    bounds=BOUNDS,
    detect=detect,
    speed="fast",
    explains=(
        "oscillation",
        "spike",
        "critic_dominance",
        "generator_dominance",
        "mode_collapse",
        "mode_dropping",
        "colour_cast",
        "checkerboard",
        "blur",
        "plateau",
        "overfitting",
        "variance_collapse",
        "posterior_collapse",
        "loss_imbalance",
        "slow",
        "prior_hole",
    ),
    raw=True,
)
