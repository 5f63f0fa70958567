"""Colour cast: samples have a different tint or brightness than real images."""

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Severity,
    Symptom,
    Unknown,
    earlier,
    evidence,
    observation,
    persistent,
    smooth,
    warmed_up,
)
from trainwright.diagnosis.history import History

BOUNDS = {
    "shift": Bound(
        0.8,
        "shift of the mean of a channel, in standard deviations of that mean over real images",
        "ours",
    ),
    "certain": Bound(1.2, "the same shift: below it images are tinted a little", "ours"),
    "fading": Bound(
        0.9, "ratio of the shift to its value two readings earlier: below it the shift is decreasing", "ours"
    ),
    "warm_up": Bound(0.2, "share of the planned steps before the first judgement", "ours"),
    "readings": Bound(3, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect a channel whose mean is far from that of real images."""
    shift = h.get("samples/channel_shift")
    if shift is None:
        return Unknown("samples and real images, to compare the mean of each channel")
    level = smooth(shift.values, 2)
    bad = (level > BOUNDS["shift"].value) & (level > BOUNDS["fading"].value * earlier(level, 2))
    bad &= shift.steps > warmed_up(h, BOUNDS["warm_up"].value)
    stretch = persistent(shift.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "the mean of a colour channel differs from real images by {value} standard deviations (healthy: below {against})"
    severity: Severity = "sick" if level[-1] > BOUNDS["certain"].value else "suspect"
    return observation(
        stretch, severity, evidence("samples/channel_shift", shift, stretch, BOUNDS["shift"].value, said)
    )


SYMPTOM = Symptom(
    name="colour_cast",
    title="a colour cast",
    what="Samples are tinted, too dark or too bright.",
    measured="Difference of the mean of each channel from real images, over the standard deviation of that mean over real images.",
    bounds=BOUNDS,
    detect=detect,
)
