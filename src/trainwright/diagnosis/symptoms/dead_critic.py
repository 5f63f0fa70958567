"""Dead critic: every image gets the same score."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Symptom,
    Unknown,
    evidence,
    observation,
    persistent,
    thin,
)
from trainwright.diagnosis.history import History

BOUNDS = {
    "gradient_norm": Bound(0.01, "norm of the critic's gradient at its input; the penalty pulls it to 1", "ours"),
    "spread": Bound(1e-4, "standard deviation of scores over images", "ours"),
    "readings": Bound(3, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect a critic whose input gradient, or spread of scores, is practically 0."""
    slope = h.get("critic/gradient_norm", "discriminator/gradient_norm", least=3)
    spread = h.get("critic/score_spread", "discriminator/score_spread", least=2)
    if slope is None and spread is None:
        return Unknown("the norm of the critic's gradient at its input, or the spread of its scores over images")
    for name, series, bound, said in (
        (
            "critic/gradient_norm",
            slope,
            BOUNDS["gradient_norm"].value,
            "the norm of the critic's gradient at its input is {value} (the penalty pulls it to 1)",
        ),
        (
            "critic/score_spread",
            spread,
            BOUNDS["spread"].value,
            "the standard deviation of the critic's scores over images is {value} (healthy: above {against})",
        ),
    ):
        if series is None:
            continue
        series = thin(series)
        bad = (np.abs(series.values) < bound) & (series.steps > h.first)
        stretch = persistent(series.steps, bad, int(BOUNDS["readings"].value) if name.endswith("norm") else 2)
        if stretch is not None:
            return observation(stretch, "sick", evidence(name, series, stretch, bound, said))
    return None


SYMPTOM = Symptom(
    name="dead_critic",
    title="a dead critic",
    what="The critic gives every image the same score, so neither it nor the generator can learn.",
    measured="Norm of its gradient at its input, which the penalty pulls to 1, and spread of its scores over images.",
    bounds=BOUNDS,
    kinds=("adversarial",),
    detect=detect,
    advice="start the discriminator anew, at a lower learning rate",
    speed="fast",
    explains=(
        "mode_collapse",
        "mode_dropping",
        "colour_cast",
        "checkerboard",
        "blur",
        "generator_dominance",
        "discriminator_guessing",
        "critic_dominance",
    ),
    certain=True,
)
