"""Variance collapse: outputs of every group are close to the mean."""

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

BOUNDS = {
    "ratio": Bound(
        0.3,
        "standard deviation of the output over that of the target",
        "ours; the Gaussian VAE guide: 0.05 instead of 1.0",
    ),
    "warm_up": Bound(0.15, "share of the planned steps before the first judgement", "ours"),
    "readings": Bound(2, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect outputs that vary far less than the data in every group."""
    groups = {n: s for n, s in h.match("std_ratio/") if len(s) >= 2}
    if not groups:
        return Unknown("standard deviations of outputs and targets, for each group")
    steps = next(iter(groups.values())).steps
    most = np.max([s.at(steps) for s in groups.values()], axis=0)
    bad = (most < BOUNDS["ratio"].value) & (steps > warmed_up(h, BOUNDS["warm_up"].value))
    stretch = persistent(steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "the standard deviation of {group} in the outputs is {{value}} times that in the data (healthy: near 1)"
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
    title="variance collapse of the outputs",
    what="The model predicts nearly the same output, the mean, for every input.",
    measured="Standard deviation of the output over that of the target, around the mean of each position.",
    bounds=BOUNDS,
    detect=detect,
    explains=("mode_collapse", "mode_dropping", "blur", "plateau", "loss_imbalance"),
)
