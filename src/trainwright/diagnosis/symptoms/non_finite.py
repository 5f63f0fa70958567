"""Non-finite number: NaN or infinity in a signal, certain from one reading."""

import numpy as np

from trainwright.diagnosis.definitions import Bound, Evidence, Judgement, Observation, Symptom, Unknown
from trainwright.diagnosis.history import History, Series
from trainwright.diagnosis.symptoms.exploding import SYMPTOM as EXPLODING

BOUNDS = {"count": Bound(1, "non-finite readings", "definition")}


def detect(h: History) -> Judgement:
    """Detect a recorded non-finite event, or a NaN or infinity in a signal."""
    event = h.facts.get("non_finite")
    if event:
        step = float(event.get("step", h.now))
        return Observation(
            step,
            step,
            "sick",
            (
                Evidence(
                    "non_finite",
                    1.0,
                    0.0,
                    str(event.get("message", "a loss, gradient or weight is NaN or infinite")),
                    step,
                    step,
                ),
            ),
        )
    if not h.signals:
        return Unknown("any signal")
    for name, series in sorted(h.signals.items()):
        bad = ~np.isfinite(series.values)
        if name.startswith("other/") and np.isinf(series.values[0]) and not bad[1:].any():
            continue  # a best value so far, which begins at infinity
        if bad.any():
            step = float(series.steps[int(bad.argmax())])
            return Observation(
                step,
                step,
                "sick",
                (Evidence(name, 1.0, 0.0, _said(name.removeprefix("other/"), series, bad), step, h.now),),
            )
    return None


def _said(name: str, series: Series, bad: np.ndarray) -> str:
    """Return what was seen, with the last finite value before it."""
    first = int(bad.argmax())
    before = f" (it was {series.values[first - 1]:.4g} at step {series.steps[first - 1]:.0f})" if first else ""
    again = "" if bad[first:].all() else f", in {int(bad.sum())} of {len(bad)} readings"
    return f"{name} is NaN or infinite from step {series.steps[first]:.0f} on{again}{before}"


SYMPTOM = Symptom(
    name="non_finite",
    title="a NaN or infinite value",
    what="A loss, gradient or weight is NaN or infinite. The update was skipped, and the last checkpoint is from before it.",
    measured="Every loss and gradient norm is checked before the optimizer step.",
    bounds=BOUNDS,
    detect=detect,
    advice="go back to the last checkpoint before it; look at the step before: a logarithm or root of 0, or a float16 overflow",
    speed="fast",
    explains=("exploding", "worse_than_baseline", "diverging", "frozen_network", "dead_critic", *EXPLODING.explains),
    raw=True,
    certain=True,
)
