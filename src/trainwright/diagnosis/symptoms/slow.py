"""Too slow: it is learning all the time, but at this pace the run ends long before it is done."""

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
    "judged": Bound(0.3, "share of the budget from which on it is judged", "ours"),
    "even": Bound(
        0.6,
        "gain of the last third of the run so far over that of the first: 1 is a straight line",
        "Playbook: best in the last quarter means train longer",
    ),
    "kept": Bound(0.5, "share of the first loss that is still there", "ours"),
    "moved": Bound(
        1.5e-4,
        "relative movement of the weights a step; healthy runs move about 1e-3 early",
        "ours; about 1e-3 is the common rule of thumb",
    ),
}


def detect(h: History) -> Judgement:
    """A loss that falls in a nearly straight line at a third of the budget, or weights that hardly move."""
    loss = h.get("validation/reconstruction", "reconstruction/weighted", "validation/loss", "vae/loss", "loss", least=9)
    if loss is None:
        return Unknown("a loss that should fall, over a third of the budget")
    loss = thin(loss)
    values = smooth(loss.values, 3)
    even = np.zeros(len(loss))
    for i in range(8, len(loss)):
        a, b, c, d = values[0], values[i // 3], values[2 * i // 3], values[i]
        fallen = a - d
        noise = float(np.median(np.abs(np.diff(loss.values[: i + 1])))) / 2
        even[i] = (c - d) / max(a - b, 1e-12) if fallen > 3 * noise and a > b else 0.0
    bad = (even > BOUNDS["even"].value) & (loss.steps > BOUNDS["judged"].value * h.budget)
    crawls = _crawls(h, loss)
    if crawls is not None:
        return crawls
    stretch = persistent(loss.steps, bad, 3)
    if stretch is None:
        return None
    said = "the last third of the run gained {value} times as much as the first: it is far from done"
    return observation(
        stretch, "suspect", evidence("loss", Series(loss.steps, even), stretch, BOUNDS["even"].value, said)
    )


def _crawls(h: History, loss: Series) -> Observation | None:
    """Weights that hardly move while the loss has kept more than half of its first value."""
    ratios = [s for _, s in h.match("update_ratio/") if len(s) >= 2]
    if not ratios:
        return None
    steps = ratios[0].steps
    most = Series(steps, np.max([s.at(steps) for s in ratios], axis=0))
    kept = loss.at(steps) > BOUNDS["kept"].value * abs(float(loss.values[0]))
    bad = (most.values < BOUNDS["moved"].value) & (most.values > 0) & kept
    stretch = persistent(steps, bad, 2)
    said = "an update changes the weights by {value} of their size (healthy early on: about 1e-3)"
    return (
        observation(stretch, "suspect", evidence("update_ratio", most, stretch, BOUNDS["moved"].value, said))
        if stretch
        else None
    )


SYMPTOM = Symptom(
    name="slow",
    title="too slow",
    what="The loss falls in a nearly straight line: the run will end before it has learned what it could.",
    measured="Gain of the last third of the run so far over the gain of the first third.",
    bounds=BOUNDS,
    detect=detect,
    explains=("posterior_collapse", "variance_collapse", "plateau", "mode_collapse", "mode_dropping"),
)
