"""Generator dominance: the critic scores bad samples like real images."""

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
    warmed_up,
)
from trainwright.diagnosis.history import History

BOUNDS = {
    "g_term": Bound(0.05, "the generator's cross-entropy", "the video VAE-GAN guide: the loss goes to zero"),
    "g_ahead": Bound(0.45, "the same, if the discriminator is worse than chance level", "ours; chance level is 0.69"),
    "d_behind": Bound(0.75, "cross-entropy of the discriminator per term", "ours; chance level is 0.69"),
    "estimate": Bound(0.0, "Wasserstein estimate below which samples score higher than real images", "definition"),
    "share": Bound(0.7, "share of the recent readings with an estimate below that", "ours"),
    "coverage": Bound(0.5, "coverage: above it the samples may really be good", "ours"),
    "warm_up": Bound(0.1, "share of the planned steps before the first judgement", "ours"),
    "window": Bound(10, "number of recent readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect a generator loss near 0 (BCE), or samples that score above real images without being good."""
    g = h.get("generator/adversarial", least=8)
    if g is not None and h.facts.get("adversarial", "bce") == "bce" and h.get("discriminator/term") is not None:
        g = thin(g)
        level, d = smooth(g.values, 3), h.get("discriminator/term")
        behind = smooth(d.at(g.steps), 3) > BOUNDS["d_behind"].value if d is not None else False
        won = (level < BOUNDS["g_term"].value) | ((level < BOUNDS["g_ahead"].value) & behind)
        bad = won & (g.steps > warmed_up(h, BOUNDS["warm_up"].value))
        stretch = persistent(g.steps, bad, 4)
        said = "the generator's cross-entropy is {value}: the discriminator classifies its samples as real (healthy: above {against})"
        return (
            observation(stretch, "sick", evidence("generator/adversarial", g, stretch, BOUNDS["g_term"].value, said))
            if stretch
            else None
        )
    estimate = h.get("critic/wasserstein", least=10)
    if estimate is None:
        return Unknown("the generator's cross-entropy, or the Wasserstein estimate")
    estimate = thin(estimate)
    window = int(BOUNDS["window"].value)
    below = (estimate.values < BOUNDS["estimate"].value).astype(float)
    recent = np.array([below[max(0, i - window + 1) : i + 1].mean() for i in range(len(below))])
    bad = (recent >= BOUNDS["share"].value) & (estimate.steps > warmed_up(h, BOUNDS["warm_up"].value))
    coverage = h.get("samples/coverage")
    if coverage is not None:
        bad &= ~(np.nan_to_num(coverage.at(estimate.steps)) > BOUNDS["coverage"].value)
    stretch = persistent(estimate.steps, bad, 3)
    if stretch is None:
        return None
    said = "the critic scores samples above real images: its Wasserstein estimate is {value} (healthy: above {against})"
    return observation(stretch, "sick", evidence("critic/wasserstein", estimate, stretch, 0.0, said))


SYMPTOM = Symptom(
    name="generator_dominance",
    title="the generator dominates the critic",
    what="The critic scores bad samples like real images, so the generator gets no useful gradient.",
    measured="Cross-entropy: a generator loss near 0. Wasserstein: an estimate below 0 for most of the recent readings, "
    "and low coverage.",
    bounds=BOUNDS,
    kinds=("adversarial",),
    detect=detect,
    advice="give the discriminator more: raise its learning rate or its steps for each step of the generator",
    explains=("mode_dropping", "colour_cast", "checkerboard", "blur"),
)
