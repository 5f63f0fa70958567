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
    warmed_up,
)
from trainwright.diagnosis.history import History, Series

BOUNDS = {
    "top_octave": Bound(
        0.3, "power above half the Nyquist frequency over that of real images, at equal contrast", "ours"
    ),
    "contrast": Bound(
        0.2, "contrast over that of real images: below it samples are pale, which is a different fault", "ours"
    ),
    "warm_up": Bound(0.25, "share of the planned steps before the first judgement: detail is learned last", "ours"),
    "readings": Bound(3, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect a top octave far weaker than in real images, at sufficient contrast."""
    top, contrast = h.get("samples/top_octave_ratio"), h.get("samples/contrast_ratio")
    if top is None or contrast is None:
        return Unknown("samples and real images, to compare the power in the top octave")
    sharp = Series(top.steps, top.values / np.maximum(contrast.at(top.steps), 1e-6) ** 2)
    bad = (smooth(sharp.values, 2) < BOUNDS["top_octave"].value) & (contrast.at(top.steps) > BOUNDS["contrast"].value)
    bad &= top.steps > warmed_up(h, BOUNDS["warm_up"].value)
    stretch = persistent(top.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "at equal contrast, fine detail has {value} times the power that it has in real images (healthy: above {against})"
    return observation(
        stretch,
        "note" if any(True for _ in h.match("kl/")) else "suspect",
        evidence("samples/top_octave_ratio", sharp, stretch, BOUNDS["top_octave"].value, said),
    )


SYMPTOM = Symptom(
    name="blur",
    title="blur",
    what="Samples have the right shapes but lack the fine detail of real images.",
    measured="Power in frequencies above half the Nyquist frequency, over that of real images of the same contrast. "
    "A VAE with squared errors always blurs, so there it is reported without an alarm.",
    bounds=BOUNDS,
    detect=detect,
)
