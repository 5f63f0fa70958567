"""Exploding: a loss or gradient grows by orders of magnitude and does not recover."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Observation,
    Stretch,
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
from trainwright.diagnosis.signal_names import is_gain

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
    "jump": Bound(20.0, "newest reading of two columns of a log over their largest one before", "ours"),
    "absolute": Bound(1e6, "magnitude that counts as exploding at any early level", "ours"),
}

LOSSES = ("loss", "critic/wasserstein", "reconstruction/weighted", "validation/reconstruction", "generator/adversarial")
HUGE = 1e30  # stands for infinity, so that medians stay numbers


def detect(h: History) -> Judgement:
    """Detect a loss or gradient norm far above its early level, for several readings, and not falling."""
    names = [n for n, s in h.signals.items() if _is_loss(n, s)]
    if not names:
        return Unknown("a loss or a gradient norm")
    found = _steep(h) + [f for n in sorted(names) if (f := _grown(h, n, thin(begun(h.signals[n])))) is not None]
    return min(found, key=lambda f: f.alarm) if found else _jumped(h, names)


def _jumped(h: History, names: list[str]) -> Observation | None:
    """Detect that the newest readings of several columns of a log are far above all before them: the run broke there."""
    far = []
    for name in names if h.facts.get("log") else ():
        series = h.signals[name]
        before = np.abs(series.values[:-1])
        if len(before) >= 3 and abs(series.last) > BOUNDS["jump"].value * float(before.max()) > 0:
            far.append(name)
    steps = {float(h.signals[n].steps[-1]) for n in far}
    if len(far) < 2 or len(steps) > 1:
        return None
    step = steps.pop()
    stretch = Stretch(step, step, step, 0, 0)
    return observation(
        stretch,
        "suspect",
        *(
            evidence(n, h.signals[n], stretch, float(np.abs(h.signals[n].values[:-1]).max()),
                     f"{n.removeprefix('other/')} is {{value}} in the newest reading, and was at most {{against}} before")
            for n in far
        ),
    )  # fmt: skip


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


def _is_loss(name: str, series: Series) -> bool:
    if name.startswith("other/"):  # a column of unknown meaning that falls too, unlike a counter
        if is_gain(name):
            return False
        return bool((np.diff(series.values) < 0).mean() > 0.2) if len(series) > 1 else False
    return name.endswith("/loss") or name == "kl/raw" or name.startswith("grad_norm/") or name in LOSSES


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
    bad &= name != "kl/raw"  # which grows from 0 in a healthy run
    bad |= size > BOUNDS["absolute"].value
    stretch = persistent(series.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    inside = size[stretch.first : stretch.last + 1]
    if len(inside) > 6 and np.median(inside[-3:]) < 0.3 * np.max(inside[:-3]):
        return None  # it is falling again
    said = f"{name.removeprefix('other/')} has grown to {{value}}, more than {factor:.0f} times its early level of {level:.3g}"
    return observation(stretch, "sick", evidence(name, series, stretch, factor * level, said))


SYMPTOM = Symptom(
    name="exploding",
    title="exploding loss or gradient",
    what="A loss or gradient grows by orders of magnitude and does not recover. NaN or infinite values often follow.",
    measured="Magnitude over the early level of the run, for several readings. A spike that recovers does not count.",
    bounds=BOUNDS,
    detect=detect,
    advice="go back to a checkpoint before it, divide the learning rate by 3, and clip the norm of the gradient at its usual value",
    speed="fast",
    explains=(
        "diverging",
        "worse_than_baseline",
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
