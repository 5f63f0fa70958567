"""Spike: a loss jumps far out of its usual range. It is no alarm if the loss recovers."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Evidence,
    Judgement,
    Observation,
    Severity,
    Symptom,
    Unknown,
    begun,
    thin,
)
from trainwright.diagnosis.history import History, Series
from trainwright.diagnosis.signal_names import is_gain

BOUNDS = {
    "deviations": Bound(
        8.0,
        "distance from the median of the previous readings, in median absolute deviations",
        "ours; OLMo-core uses 6 standard deviations",
    ),
    "window": Bound(24, "number of previous readings", "ours"),
    "short": Bound(6, "readings of a short log before its newest", "ours"),
    "outlier": Bound(20.0, "the newest reading of a short log over the largest before it", "ours"),
    "heals": Bound(0.1, "share of the planned steps within which a spike recovers", "ours"),
}
LOSSES = ("critic/loss", "discriminator/loss", "vae/loss", "loss")


def detect(h: History) -> Judgement:
    """Detect the newest jump of a loss: a note if it recovered, suspect otherwise."""
    judged = False
    newest: Observation | None = None
    for name in LOSSES:
        series = h.get(name, least=int(BOUNDS["window"].value) + 4)
        if series is None:
            continue
        judged = True
        series = thin(begun(series), 400)
        n, values = int(BOUNDS["window"].value), series.values
        i = n
        while i < len(values):
            before = values[max(0, i - n) : i]
            middle = float(np.median(before))
            scale = max(1.4826 * float(np.median(np.abs(before - middle))), 0.05 * abs(middle), 1e-9)
            bound = BOUNDS["deviations"].value * scale
            if values[i] - middle > bound:
                back = np.flatnonzero(np.abs(values[i:] - middle) < bound / 2)
                end = i + int(back[0]) if len(back) else len(values) - 1
                recovered = bool(len(back))
                long = series.steps[end] - series.steps[i] > BOUNDS["heals"].value * h.budget
                if not (long and recovered):
                    word = "and recovered" if recovered else "and has not recovered"
                    reported = (
                        f"{name} jumped to {values[i]:.3g} from about {middle:.3g} at step {series.steps[i]:.0f} {word}"
                    )
                    seen = Evidence(
                        name,
                        float(values[i]),
                        middle + bound,
                        reported,
                        float(series.steps[i]),
                        float(series.steps[end]),
                    )
                    severity: Severity = "suspect" if not recovered and end - i >= 3 else "note"
                    newest = Observation(
                        float(series.steps[i]), float(series.steps[min(i + 3, end)]), severity, (seen,)
                    )
                i = max(end, i) + n // 2
            else:
                i += 1
    if judged or not h.facts.get("log"):
        return newest if judged else Unknown("a loss over at least 28 readings")
    found = [
        f
        for n, s in h.signals.items()
        if (n in LOSSES or n.startswith("grad_norm/")) and (f := _outlier(n, s)) is not None
    ]
    found = found or [
        f for n, s in h.match("other/") if _falls_too(n, s) and (f := _thrown(f"other/{n}", s)) is not None
    ]
    return found[0] if found else Unknown("a loss over at least 28 readings")


def _outlier(name: str, series: Series) -> Observation | None:
    """Return the newest reading of a short log if it is far above all before it."""
    before = np.abs(series.values[:-1])
    if len(before) < BOUNDS["short"].value or not before.max():
        return None
    thrown = _thrown(name, series)
    if thrown is not None:
        return thrown
    earlier, newest = np.abs(series.values[:-2]), np.abs(series.values[-2:])
    level, scatter = float(earlier.max()), float(np.median(np.abs(np.diff(earlier))))
    clear = (
        newest.min() > 1.5 * level and newest.min() - level > BOUNDS["outlier"].value * scatter
    )  # two readings far out
    if not clear and abs(series.last) < BOUNDS["outlier"].value * float(before.max()):
        return None
    step = float(series.steps[-1])
    said = f"{name} jumped to {series.last:.3g} at step {step:.0f}; it was at most {before.max():.3g} before"
    return Observation(step, step, "suspect", (Evidence(name, series.last, float(before.max()), said, step, step),))


def _falls_too(name: str, series: Series) -> bool:
    """True for a column of unknown meaning that may be a loss: neither a gain nor a counter."""
    return not is_gain(name) and len(series) > 1 and bool((np.diff(series.values) < 0).mean() > 0.2)


def _thrown(name: str, series: Series) -> Observation | None:
    """Return the largest reading of a short log, if it is far above all before it and none after it is as low as these."""
    values, place = series.values, int(np.argmax(series.values))
    before, after = values[:place], values[place + 1 :]
    if len(before) < BOUNDS["short"].value or len(after) < 2 or name.startswith("grad_norm/"):
        return None
    usual = max(float(np.ptp(before)), 1e-3 * float(np.abs(before).max()), 1e-12)
    if values[place] - before.max() < BOUNDS["outlier"].value * usual or after.min() <= before.max():
        return None
    step, end = float(series.steps[place]), float(series.steps[-1])
    what = f"{name.removeprefix('other/')} jumped to {values[place]:.3g} at step {step:.0f}"
    said = f"{what} and is {values[-1]:.3g} now; it was at most {before.max():.3g} before"
    return Observation(
        step, end, "suspect", (Evidence(name, float(values[place]), float(before.max()), said, step, end),)
    )


SYMPTOM = Symptom(
    name="spike",
    title="a loss spike",
    what="A loss jumps far out of its usual range. Most spikes recover within a hundred steps without a rollback.",
    measured="Distance of a reading from the median of the previous ones, in median absolute deviations, and the time to recover.",
    bounds=BOUNDS,
    detect=detect,
    advice="nothing, if it passes; else clip the norm of the gradient at its usual value",
)
