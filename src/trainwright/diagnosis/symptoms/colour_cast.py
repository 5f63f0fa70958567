"""Colour cast: samples have another tint than real images."""

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Symptom,
    Unknown,
    earlier,
    evidence,
    observation,
    persistent,
    smooth,
)
from trainwright.diagnosis.history import History

BOUNDS = {
    "shift": Bound(
        0.8,
        "shift of a channel's mean, in standard deviations of that mean over real images",
        "ours",
    ),
    "fading": Bound(
        0.9, "the shift over what it was two readings ago: below it samples are taking on the right tint", "ours"
    ),
    "warm_up": Bound(0.2, "share of the budget before it is judged", "ours"),
    "readings": Bound(3, "readings in a row", "ours"),
}


def detect(h: History) -> Judgement:
    """The mean of a channel lies far from the real images'."""
    shift = h.get("samples/channel_shift")
    if shift is None:
        return Unknown("samples beside real images: the mean of each channel")
    level = smooth(shift.values, 2)
    bad = (level > BOUNDS["shift"].value) & (level > BOUNDS["fading"].value * earlier(level, 2))
    bad &= shift.steps > BOUNDS["warm_up"].value * h.budget
    stretch = persistent(shift.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "a channel's mean is off by {value} standard deviations of the real images' (healthy: below {against})"
    return observation(stretch, "sick", evidence("samples/channel_shift", shift, stretch, BOUNDS["shift"].value, said))


SYMPTOM = Symptom(
    name="colour_cast",
    title="a colour cast",
    what="Samples are tinted, too dark or too light.",
    measured="Distance of each channel's mean from the real images', over its spread from image to image.",
    bounds=BOUNDS,
    detect=detect,
)
