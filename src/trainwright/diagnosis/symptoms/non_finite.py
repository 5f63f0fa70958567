"""Non-finite number: NaN or infinity in a signal, certain from one reading."""

import numpy as np

from trainwright.diagnosis.definitions import Bound, Evidence, Judgement, Observation, Symptom, Unknown
from trainwright.diagnosis.history import History
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
        if bad.any():
            step = float(series.steps[int(bad.argmax())])
            return Observation(
                step,
                step,
                "sick",
                (Evidence(name, 1.0, 0.0, f"{name} is NaN or infinite from step {step:.0f} on", step, h.now),),
            )
    return None


SYMPTOM = Symptom(
    name="non_finite",
    title="a NaN or infinite value",
    what="A loss, gradient or weight is NaN or infinite. The update was skipped, and the last checkpoint is from before it.",
    measured="Every loss and gradient norm is checked before the optimizer step.",
    bounds=BOUNDS,
    detect=detect,
    speed="fast",
    explains=("exploding", "frozen_network", "dead_critic", *EXPLODING.explains),
    raw=True,
    certain=True,
)
