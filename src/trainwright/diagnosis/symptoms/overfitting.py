"""Overfitting: the held-out loss rises while the training loss falls."""

import numpy as np

from trainwright import plugins
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

BOUNDS = {
    "worse": Bound(
        0.1,
        "rise of the held-out loss above its best value, relative to the improvement up to then",
        "ours; SageMaker Debugger compares validation with training loss: (val - train)/train > 0.1",
    ),
    "scatter": Bound(2.0, "rise of the held-out loss over the scatter of its readings", "ours"),
    "readings": Bound(3, "consecutive readings", "ours"),
    "gap": Bound(
        1.5,
        "held-out over training loss of a log, above which a held-out loss that stands still is a suspicion",
        "ours",
    ),
    "fallen": Bound(0.2, "fall of the training loss meanwhile", "ours"),
    "still": Bound(0.05, "largest change of the held-out loss meanwhile", "ours"),
    "least": Bound(8, "readings of both before a gap is judged", "ours"),
    "warm_up": Bound(0.05, "share of the planned steps before the first judgement", "ours"),
}
PAIRS = (
    ("validation/reconstruction", "reconstruction/weighted"),
    ("validation/loss_at_full_beta", "vae/loss"),
    ("validation/loss", "loss"),
    ("validation/loss", "vae/loss"),
)  # pairs of held-out and training loss; families declare further ones, see Signal.held_out


def detect(h: History) -> Judgement:
    """Detect a held-out loss well above its best value while the training loss continued to fall."""
    if h.facts.get("few_on_purpose"):
        return None
    signals = {} if h.foreign else plugins.signals()
    declared = ((s.held_out, s.name) for s in signals.values() if s.held_out)
    for held, trained in (*PAIRS, *declared):
        v, t = h.get(held, least=5), h.get(trained, least=5)
        if v is None or t is None:
            continue
        v = thin(v)
        level = smooth(v.values, 2)
        best = np.minimum.accumulate(np.where(np.isfinite(level), level, np.inf))
        gained = np.maximum(level[0] - best, 1e-9)
        worse = (level - best) / np.maximum(gained, 0.2 * np.abs(best))
        training = smooth(t.at(v.steps), 2)
        where = np.array([int(np.argmin(level[: i + 1])) for i in range(len(level))])
        falling = training < training[where]
        scatter = float(np.median(np.abs(np.diff(v.values)))) / 1.35 if len(v) > 2 else 0.0
        clear = level - best > BOUNDS["scatter"].value * scatter
        bad = (worse > BOUNDS["worse"].value) & clear & falling & (v.steps > warmed_up(h, BOUNDS["warm_up"].value))
        stretch = persistent(v.steps, bad, int(BOUNDS["readings"].value))
        if stretch is None:
            return _gap(held, v, trained, t) if h.foreign else None
        said = f"{held} has risen to {{value}} (best: {{against}}), while {trained} continued to fall, to {training[-1]:.3g}"
        return observation(stretch, "sick", evidence(held, v, stretch, float(best[-1]), said))
    return Unknown("the same loss on held-out and on training data")


def _gap(held: str, v: Series, trained: str, t: Series) -> Judgement:
    """Detect a held-out loss that stands still, well above a training loss that falls."""
    training = smooth(t.at(v.steps), 2)
    ok = np.isfinite(training) & np.isfinite(v.values)
    if ok.sum() < BOUNDS["least"].value or training[ok].min() <= 0:
        return None
    steps, level, below = v.steps[ok], v.values[ok], training[ok]
    fallen = below < (1 - BOUNDS["fallen"].value) * below[0]
    still = np.abs(level / level[0] - 1) < BOUNDS["still"].value
    still = np.minimum.accumulate(still.astype(int)) > 0
    stretch = persistent(steps, fallen & still & (level > BOUNDS["gap"].value * below), int(BOUNDS["readings"].value))
    if stretch is None or stretch.last < len(level) - 1:
        return None
    said = f"{held} stands at {{value}} while {trained} has fallen from {below[0]:.3g} to {{against}}"
    series = Series(steps, level)
    return observation(stretch, "suspect", evidence(held, series, stretch, float(below[-1]), said))


SYMPTOM = Symptom(
    name="overfitting",
    title="overfitting",
    what="The model memorises the training data: the held-out loss rises while the training loss falls.",
    measured="Rise of the held-out loss above its best value, relative to the improvement up to then, while the training loss falls.",
    bounds=BOUNDS,
    detect=detect,
    advice="keep the checkpoint with the best held-out value; add data, augmentation, dropout or weight decay",
    explains=("worse_than_baseline", "plateau", "trivial_baseline"),
)
