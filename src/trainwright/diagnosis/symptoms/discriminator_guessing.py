"""Discriminator at chance level: its cross-entropy stays at ln 2."""

import math

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
    thin,
)
from trainwright.diagnosis.history import History

LN2 = math.log(2)
BOUNDS = {
    "within": Bound(
        0.04, "relative distance from ln 2 per term", "the video VAE-GAN guide: the loss stays at about 0.69"
    ),
    "coverage": Bound(
        0.35,
        "coverage relative to real images: above it chance level is the expected equilibrium",
        "Goodfellow et al. 2014",
    ),
    "readings": Bound(5, "consecutive readings", "ours"),
    "long": Bound(
        0.3, "the same for certainty: in sound GANs of public reports it lasts for a fifth of the run", "ours"
    ),
    "held": Bound(0.08, "share of the planned steps over which the loss must stay at chance level", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect a loss within 4 % of ln 2 for long, while samples are bad or not measured."""
    d = h.get("discriminator/term", least=10)
    if d is None or h.facts.get("adversarial", "bce") != "bce":
        return Unknown("the discriminator's cross-entropy per term")
    d = thin(d)
    bad = np.abs(smooth(d.values, 8) - LN2) < BOUNDS["within"].value * LN2
    coverage, ceiling = h.get("samples/coverage"), h.get("real/coverage")
    if coverage is not None:
        bad &= ~(np.nan_to_num(coverage.at(d.steps)) > BOUNDS["coverage"].value * (ceiling.last if ceiling else 0.95))
    stretch = persistent(d.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None or stretch.end - stretch.onset < BOUNDS["held"].value * h.budget:
        return None
    said = "the discriminator's cross-entropy stays at {value} per term, the level of guessing (ln 2 = {against})"
    known = coverage is not None
    held = stretch.end - stretch.onset >= BOUNDS["long"].value * h.budget
    return observation(
        stretch, "sick" if known and held else "suspect", evidence("discriminator/term", d, stretch, LN2, said)
    )


SYMPTOM = Symptom(
    name="discriminator_guessing",
    title="the discriminator is at chance level",
    what="The discriminator cannot separate real from generated images, so the generator gets no useful gradient. "
    "With good samples the same value would be the desired equilibrium.",
    measured="Cross-entropy per term within 4 % of ln 2 for long, together with low coverage.",
    bounds=BOUNDS,
    kinds=("adversarial",),
    detect=detect,
    advice="raise the discriminator's learning rate or its size, and check that real images and samples get different labels",
    explains=("mode_collapse", "mode_dropping", "colour_cast", "blur", "checkerboard"),
)
