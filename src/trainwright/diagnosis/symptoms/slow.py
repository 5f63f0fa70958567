"""Slow training: the run improves steadily, but will end long before convergence."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Observation,
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
    "judged": Bound(0.3, "share of the planned steps before the first judgement", "ours"),
    "young": Bound(100, "steps before a loss is judged", "ours"),
    "even": Bound(
        0.6,
        "improvement in the last third of the run so far, over that in the first third: 1 is a straight line",
        "ours; Deep Learning Tuning Playbook: train longer if the best step is in the last quarter",
    ),
    "kept": Bound(0.5, "loss over its first value: above it little has been learned", "ours"),
    "moved": Bound(
        1.5e-4,
        "relative size of an update per step; in healthy runs about 1e-3 early",
        "ours; 1e-3 is a common rule of thumb",
    ),
}


def detect(h: History) -> Judgement:
    """Detect a loss that still falls in a nearly straight line, or weights that hardly change."""
    loss = h.get("validation/reconstruction", "reconstruction/weighted", "validation/loss", "vae/loss", "loss", least=9)
    if loss is None:
        return Unknown("a loss over at least a third of the planned steps")
    loss = thin(loss)
    values = smooth(loss.values, 3)
    even = np.zeros(len(loss))
    for i in range(8, len(loss)):
        a, b, c, d = values[0], values[i // 3], values[2 * i // 3], values[i]
        fallen = a - d
        noise = float(np.median(np.abs(np.diff(loss.values[: i + 1])))) / 2
        even[i] = (c - d) / max(a - b, 1e-12) if fallen > 3 * noise and a > b else 0.0
    bad = (even > BOUNDS["even"].value) & (loss.steps > BOUNDS["judged"].value * h.budget)
    bad &= loss.steps - h.first >= BOUNDS["young"].value
    crawls = _crawls(h, loss)
    if crawls is not None:
        return crawls
    stretch = persistent(loss.steps, bad, 3)
    if stretch is None:
        return None
    said = (
        "the last third of the run improved the loss by {value} times as much as the first third, "
        "so it is far from convergence (healthy: below {against})"
    )
    return observation(
        stretch, "suspect", evidence("loss", Series(loss.steps, even), stretch, BOUNDS["even"].value, said)
    )


def _crawls(h: History, loss: Series) -> Observation | None:
    """Detect weights that hardly change while the loss is above half of its first value."""
    ratios = [s for _, s in h.match("update_ratio/") if len(s) >= 2]
    if not ratios:
        return None
    steps = ratios[0].steps
    most = Series(steps, np.max([s.at(steps) for s in ratios], axis=0))
    kept = loss.at(steps) > BOUNDS["kept"].value * abs(float(loss.values[0]))
    bad = (most.values < BOUNDS["moved"].value) & (most.values > 0) & kept
    stretch = persistent(steps, bad, 2)
    said = "an update changes the weights by only {value} of their norm (healthy early in training: about 1e-3)"
    return (
        observation(stretch, "suspect", evidence("update_ratio", most, stretch, BOUNDS["moved"].value, said))
        if stretch
        else None
    )


SYMPTOM = Symptom(
    name="slow",
    title="training is too slow",
    what="The loss falls in a nearly straight line, so the run will end before it has converged.",
    measured="Improvement in the last third of the run so far, over that in the first third; relative size of the updates.",
    bounds=BOUNDS,
    detect=detect,
    advice="raise the learning rate by a factor of 3, or train for longer",
    explains=("posterior_collapse", "variance_collapse", "plateau", "mode_collapse", "mode_dropping"),
)
