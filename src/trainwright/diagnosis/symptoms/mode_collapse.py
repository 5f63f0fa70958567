"""Total mode collapse: every sample is the same image."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Symptom,
    Unknown,
    evidence,
    observation,
    persistent,
    warmed_up,
)
from trainwright.diagnosis.history import History
from trainwright.diagnosis.kinds import kinds_of

BOUNDS = {
    "diversity_ratio": Bound(
        0.1,
        "mean squared distance of two samples over that of two real images",
        "ours; the latent diffusion guide uses the distance without a threshold",
    ),
    "recovered": Bound(0.3, "a ratio above which samples count as having been diverse", "ours"),
    "warm_up": Bound(
        0.12,
        "share of the planned steps before the first judgement: an untrained generator gives similar images",
        "ours",
    ),
    "slow": Bound(
        0.65,
        "the same for a VAE, whose draws from the prior are alike until its codes say something",
        "ours: a VAE of a public report, repaired, has draws alike until 60 % of its run",
    ),
    "least": Bound(
        100, "steps before which an untrained generator in a loop of one's own is not called collapsed", "ours"
    ),
    "rising": Bound(1.3, "growth over two readings: above it samples are becoming diverse", "ours"),
    "begun": Bound(0.02, "a ratio below which growth is ignored", "ours"),
    "readings": Bound(2, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect diversity below its bound, after it was higher or after the warm-up."""
    ratio = h.get("samples/diversity_ratio")
    if ratio is None:
        return Unknown("samples and real images, to compare their pairwise distances")
    been = np.maximum.accumulate(ratio.values) > BOUNDS["recovered"].value
    share = BOUNDS["slow" if kinds_of(h) == {"variational"} else "warm_up"].value
    least = BOUNDS["least"].value if h.facts.get("networks") else 0.0
    late = ratio.steps > max(warmed_up(h, share), least)
    bad = (ratio.values < BOUNDS["diversity_ratio"].value) & (been | late)
    before = ratio.values[np.maximum(np.arange(len(ratio)) - 2, 0)]  # two readings earlier, or the first
    bad &= been | ~((ratio.values > BOUNDS["rising"].value * before) & (ratio.values > BOUNDS["begun"].value))
    stretch = persistent(ratio.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = (
        "samples are nearly identical: their mean squared difference is {percent} % of that between real images "
        "(healthy: above {percent_against} %)"
    )
    return observation(
        stretch, "sick", evidence("samples/diversity_ratio", ratio, stretch, BOUNDS["diversity_ratio"].value, said)
    )


SYMPTOM = Symptom(
    name="mode_collapse",
    title="total mode collapse",
    what="The generator returns almost the same image for every noise vector.",
    measured="Mean squared distance of two samples over that of two real images. An absolute distance is no measure, "
    "because pure noise has a large one.",
    bounds=BOUNDS,
    detect=detect,
    advice="go back to an earlier checkpoint, and lower the generator's learning rate",
    explains=(
        "mode_dropping",
        "colour_cast",
        "blur",
        "checkerboard",
        "generator_dominance",
        "critic_dominance",
        "oscillation",
        "ema_lag",
    ),
)
