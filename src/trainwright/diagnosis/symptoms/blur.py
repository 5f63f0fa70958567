"""Blur: samples lack the fine detail of real images."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Symptom,
    Unknown,
    evidence,
    observation,
    persistent,
    smooth,
)
from trainwright.diagnosis.history import History, Series

BOUNDS = {
    "top_octave": Bound(0.3, "power above half the Nyquist frequency over the real images', at equal contrast", "ours"),
    "contrast": Bound(0.2, "contrast over the real images': below it they are pale, which is another thing", "ours"),
    "warm_up": Bound(0.25, "share of the budget: detail comes last", "ours"),
    "readings": Bound(3, "readings in a row", "ours"),
}


def detect(h: History) -> Judgement:
    """The top octave of samples is far weaker than that of real images, at a fair contrast."""
    top, contrast = h.get("samples/top_octave_ratio"), h.get("samples/contrast_ratio")
    if top is None or contrast is None:
        return Unknown("samples beside real images: power in the top octave")
    sharp = Series(top.steps, top.values / np.maximum(contrast.at(top.steps), 1e-6) ** 2)
    bad = (smooth(sharp.values, 2) < BOUNDS["top_octave"].value) & (contrast.at(top.steps) > BOUNDS["contrast"].value)
    bad &= top.steps > BOUNDS["warm_up"].value * h.budget
    stretch = persistent(top.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = (
        "at equal contrast fine detail has {value} of the power that it has in real images (healthy: above {against})"
    )
    return observation(
        stretch,
        "note" if any(True for _ in h.match("kl/")) else "suspect",
        evidence("samples/top_octave_ratio", sharp, stretch, BOUNDS["top_octave"].value, said),
    )


SYMPTOM = Symptom(
    name="blur",
    title="blur",
    what="Samples have the right shapes without the fine detail of real images.",
    measured="Power in frequencies above half the Nyquist frequency, over that of real images of the same contrast. "
    "A VAE with squared errors always blurs: for it this is a note and not an alarm.",
    bounds=BOUNDS,
    detect=detect,
)
