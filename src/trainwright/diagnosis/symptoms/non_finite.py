"""Non-finite number: NaN or infinity in a signal, certain from one reading."""

import re

import numpy as np

from trainwright.diagnosis.definitions import Bound, Evidence, Judgement, Observation, Symptom, Unknown
from trainwright.diagnosis.history import History, Series
from trainwright.diagnosis.symptoms.exploding import SYMPTOM as EXPLODING

MATTERS = re.compile(
    r"loss|grad|norm|weight|cost|err|elbo|nll|kl|(?:^|[/_ ])[dg](?:$|[/_ ])", re.IGNORECASE
)  # in the name of a column
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
    undefined: Observation | None = None
    losses = [s for n, s in h.signals.items() if n.endswith("loss")]
    sound = bool(losses) and all(np.isfinite(s.values).all() for s in losses)
    for name, series in sorted(h.signals.items()):
        bad = ~np.isfinite(series.values)
        if name.startswith("other/") and len(bad) > 1 and bad[0] and not bad[1:].any():
            continue  # a best value so far, which begins at infinity, or a difference that needs two readings
        if not bad.any():
            continue
        step = float(series.steps[int(bad.argmax())])
        said = _said(name.removeprefix("other/"), series, bad)
        lost = not bad[0] and bool(bad[int(bad.argmax()) :].all())  # finite at first, never again
        measure = sound and not lost and name.startswith("other/") and not MATTERS.search(name)
        if not measure:
            return Observation(step, step, "sick", (Evidence(name, 1.0, 0.0, said, step, h.now),))
        if undefined is None:
            said += (
                ", while losses and gradients are finite: a ratio without a denominator, or a class that does not occur"
            )
            undefined = Observation(step, step, "note", (Evidence(name, 1.0, 0.0, said, step, h.now),))
    return undefined


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
