"""Variance collapse: outputs are near the mean for every group."""

import numpy as np

from trainwright.diagnosis.definitions import Bound, Judgement, Symptom, Unknown, evidence, observation, persistent
from trainwright.diagnosis.history import History

BOUNDS = {
    "ratio": Bound(
        0.3, "standard deviation of the output over that of the target", "the Gaussian VAE guide: 0.05 against 1.0"
    ),
    "warm_up": Bound(0.15, "share of the budget before it is judged", "ours"),
    "readings": Bound(2, "readings in a row", "ours"),
}


def detect(h: History) -> Judgement:
    """Every group's output varies far less than the data."""
    groups = {n: s for n, s in h.match("std_ratio/") if len(s) >= 2}
    if not groups:
        return Unknown("standard deviation of outputs beside that of targets, for each group")
    steps = next(iter(groups.values())).steps
    most = np.max([s.at(steps) for s in groups.values()], axis=0)
    bad = (most < BOUNDS["ratio"].value) & (steps > BOUNDS["warm_up"].value * h.budget)
    stretch = persistent(steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "outputs of {group} vary {{value}} times as much as the data (healthy: near 1)"
    return observation(
        stretch,
        "sick",
        *(
            evidence(f"std_ratio/{n}", s, stretch, BOUNDS["ratio"].value, said.format(group=n))
            for n, s in groups.items()
        ),
    )


SYMPTOM = Symptom(
    name="variance_collapse",
    title="outputs without variance",
    what="The model gives nearly the same output for every input: it predicts the mean.",
    measured="Standard deviation of the output over that of the target, about each place's own mean.",
    bounds=BOUNDS,
    detect=detect,
    explains=("mode_collapse", "mode_dropping", "blur", "plateau", "loss_imbalance"),
)
