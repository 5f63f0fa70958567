"""The critic or discriminator wins: it tells real from fake without effort, and the generator learns nothing from it."""

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
from trainwright.diagnosis.history import History, Series

BOUNDS = {
    "d_term": Bound(
        0.1,
        "cross-entropy of the discriminator a term, ln 2 = 0.693 being a guess",
        "the video VAE-GAN guide: goes to zero",
    ),
    "g_term": Bound(3.0, "cross-entropy of the generator's samples taken for real", "ours"),
    "growth": Bound(
        1.5,
        "Wasserstein estimate on held-out data over its own level after the warm-up",
        "authors of WGAN-GP: it should climb down",
    ),
    "warm_up": Bound(0.15, "share of the budget in which a large early estimate is healthy", "authors of WGAN-GP"),
    "steps": Bound(
        1000, "steps before which the estimate grows in healthy runs too", "improved_wgan_training issues 17 and 44"
    ),
    "memory": Bound(
        0.5,
        "share of the estimate on training data that is not there on held-out data",
        "ours; improved_wgan_training issue 44",
    ),
    "readings": Bound(4, "readings in a row", "ours"),
}


def detect(h: History) -> Judgement:
    """BCE: the discriminator's loss near 0 and the generator's high. Wasserstein: an estimate that grows, or does not generalise."""
    bce = _bce(h)
    wasserstein = _wasserstein(h)
    if isinstance(bce, Unknown) and isinstance(wasserstein, Unknown):
        return wasserstein
    return next((j for j in (bce, wasserstein) if j is not None and not isinstance(j, Unknown)), None)


def _bce(h: History) -> Judgement:
    d, g = h.get("discriminator/term", least=8), h.get("generator/adversarial", least=8)
    if d is None or g is None or h.facts.get("adversarial", "bce") != "bce":
        return Unknown("the discriminator's and the generator's cross-entropies")
    d = thin(d)
    bad = (smooth(d.values, 3) < BOUNDS["d_term"].value) & (smooth(g.at(d.steps), 3) > BOUNDS["g_term"].value)
    late = d.steps > 0.05 * h.budget
    stretch = persistent(d.steps, bad & late, max(int(BOUNDS["readings"].value), math.ceil(0.05 * len(d))))
    if stretch is None:
        return None
    return observation(
        stretch,
        "sick",
        evidence(
            "discriminator/term",
            d,
            stretch,
            BOUNDS["d_term"].value,
            "the discriminator's cross-entropy is {value} a term (a guess: 0.69)",
        ),
        evidence(
            "generator/adversarial",
            g,
            stretch,
            BOUNDS["g_term"].value,
            "the generator's is {value} and it cannot fool it",
        ),
    )


def _wasserstein(h: History) -> Judgement:
    estimate = h.get("critic/wasserstein_heldout", least=4)
    trained = h.get("critic/wasserstein_train", least=4)
    if estimate is None:
        return Unknown("the critic's estimate on held-out data, and its trend")
    begin = max(BOUNDS["warm_up"].value * h.budget, BOUNDS["steps"].value)
    if h.now <= begin:
        return Unknown(f"a run of more than {begin:.0f} steps: until then a growing estimate is healthy")
    after = estimate.steps > begin
    smoothed = smooth(estimate.values, 3)
    level = np.minimum.accumulate(np.where(after, smoothed, np.inf))  # the lowest since the warm-up
    early = float(np.max(smoothed[~after])) if (~after).any() else 0.0
    grown = after & (smoothed > BOUNDS["growth"].value * np.maximum(level, 0)) & (smoothed > max(early, 0.0))
    grown &= np.arange(len(after)) > 4
    stretch = persistent(estimate.steps, grown, int(BOUNDS["readings"].value))
    if stretch is not None:
        lowest = float(level[-1])
        said = f"the critic's estimate on held-out data has grown to {{value}} instead of falling (after the warm-up: {lowest:.3g})"
        return observation(stretch, "sick", evidence("critic/wasserstein_heldout", estimate, stretch, lowest, said))
    if trained is None:
        return None
    memory = 1 - smooth(estimate.at(trained.steps), 3) / np.maximum(smooth(trained.values, 3), 1e-9)
    bad = (memory > BOUNDS["memory"].value) & (trained.steps > begin) & (trained.values > 0)
    stretch = persistent(trained.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "{value} of the critic's estimate on training images is not there on held-out ones: it has memorised them"
    series = Series(trained.steps, memory)
    return observation(stretch, "sick", evidence("critic/heldout_gap", series, stretch, BOUNDS["memory"].value, said))


SYMPTOM = Symptom(
    name="critic_dominance",
    title="the critic wins",
    what="The critic tells samples from real images so well that the generator gets no useful direction.",
    measured="Cross-entropy: its loss near 0 for long, with a high one of the generator. Wasserstein: the trend of the estimate on "
    "held-out data after its warm-up, and how much of it is there on training data only. A large early estimate is healthy.",
    bounds=BOUNDS,
    detect=detect,
    explains=("mode_dropping", "colour_cast", "blur", "checkerboard"),
)
