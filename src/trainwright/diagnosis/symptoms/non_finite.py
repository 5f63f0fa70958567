"""A number that is not finite: certain, at once."""

import numpy as np

from trainwright.diagnosis.definitions import Bound, Evidence, Judgement, Observation, Symptom, Unknown
from trainwright.diagnosis.history import History
from trainwright.diagnosis.symptoms.exploding import SYMPTOM as EXPLODING

BOUNDS = {"count": Bound(1, "one is enough", "definition")}


def detect(h: History) -> Judgement:
    """An event of the run says so, or a signal holds a NaN or an infinity."""
    event = h.facts.get("non_finite")
    if event:
        step = float(event.get("step", h.now))
        return Observation(
            step,
            step,
            "sick",
            (Evidence("non_finite", 1.0, 0.0, str(event.get("message", "a number is not finite")), step, step),),
        )
    if not h.signals:
        return Unknown("any signal")
    for name, series in sorted(h.signals.items()):
        bad = ~np.isfinite(series.values)
        if bad.any():
            step = float(series.steps[int(bad.argmax())])
            return Observation(
                step,
                step,
                "sick",
                (Evidence(name, 1.0, 0.0, f"{name} is not finite from step {step:.0f} on", step, h.now),),
            )
    return None


SYMPTOM = Symptom(
    name="non_finite",
    title="a number that is not finite",
    what="A loss, gradient or weight is NaN or infinite. The update was not made, and the checkpoint before it is kept.",
    measured="Every loss and gradient norm is looked at before the optimizer steps.",
    bounds=BOUNDS,
    detect=detect,
    speed="fast",
    explains=("exploding", "frozen_network", "dead_critic", *EXPLODING.explains),
    raw=True,
    certain=True,
)
