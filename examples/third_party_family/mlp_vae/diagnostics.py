"""Diagnostics of the MLP VAE: a signal, the symptom that reads it, its cause, and a chart. Free of PyTorch."""

from trainwright.diagnosis.definitions import (
    Assessment,
    Bound,
    Cause,
    Judgement,
    Observation,
    Symptom,
    Unknown,
    evidence,
    observation,
    persistent,
)
from trainwright.diagnosis.history import History
from trainwright.engine.charts import Chart
from trainwright.runs.signals import Signal

SIGNALS = (
    Signal(
        name="pixels/saturated_excess",
        better="lower",
        meaning="Share of pixels at the ends of the range in reconstructions, minus the same share in real images.",
        quality=True,
    ),
)

BOUNDS = {
    "excess": Bound(0.3, "share of saturated pixels beyond that of real images", "this example"),
    "readings": Bound(2, "consecutive readings", "this example"),
}


def detect(h: History) -> Judgement:
    """Detect far more black and white pixels than in real images."""
    excess = h.get("pixels/saturated_excess")
    if excess is None:
        return Unknown("the share of pixels at the ends of the range, in reconstructions and in real images")
    bound = BOUNDS["excess"].value
    stretch = persistent(excess.steps, excess.values > bound, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "the share of black or white pixels is {value} higher than in real images (healthy: below {against})"
    return observation(stretch, "suspect", evidence("pixels/saturated_excess", excess, stretch, bound, said))


SATURATED_OUTPUTS = Symptom(
    name="saturated_outputs",
    title="saturated outputs",
    what="The decoder outputs black and white where real images have tones, and its tanh has no gradient there.",
    measured="Share of pixels within 0.01 of the ends of the range, minus the same share in real images.",
    bounds=BOUNDS,
    detect=detect,
)


def assess(h: History, observation: Observation) -> Assessment | None:
    """Return evidence for a too large factor before the tanh."""
    gain = h.number("output_gain")
    if gain is None or gain <= 1:
        return None
    return Assessment(0.9, f"output_gain = {gain:g} pushes outputs to the ends of the tanh")


OUTPUT_GAIN = Cause(
    name="output_gain", title="the gain before the tanh is too large", of=("saturated_outputs",), assess=assess
)

CHARTS = (
    Chart(
        "Saturated pixels",
        "Share of black and white pixels beyond that of real images: near 0 is ideal.",
        (("excess", "pixels/saturated_excess"),),
    ),
)
