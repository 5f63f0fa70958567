"""Loss-term imbalance: some group of the reconstruction is not learned."""

import numpy as np

from trainwright.diagnosis.definitions import Bound, Judgement, Symptom, Unknown, evidence, observation, persistent
from trainwright.diagnosis.history import History, Series

BOUNDS = {
    "unlearned": Bound(
        0.1,
        "explained share of the group's variance beyond a constant output",
        "the Gaussian VAE guide; ours: an error of 0.9 of the variance is as good as the mean",
    ),
    "learned": Bound(0.35, "explained share of the group that is learned best", "ours"),
    "ratio": Bound(
        0.25, "explained share over that of the group that is learned best", "GradNorm's idea of relative rates"
    ),
    "gradient": Bound(
        0.05,
        "share of the group's gradient at the last layer: below it the optimizer neglects the group",
        "GradNorm's idea; ours",
    ),
    "warm_up": Bound(0.15, "share of the budget before it is judged", "ours"),
    "readings": Bound(2, "readings in a row", "ours"),
}


def detect(h: History) -> Judgement:
    """One group is learned and another stays at the level of its mean."""
    groups = {n: s for n, s in h.match("r2_beyond_mean/") if len(s) >= 2}
    if len(groups) < 2:
        return Unknown("what each term's group explains of its variance on held-out data")
    steps = next(iter(groups.values())).steps
    table = np.stack([s.at(steps) for s in groups.values()])
    best, worst = table.max(0), table.min(0)
    bad = (best > BOUNDS["learned"].value) & (
        (worst < BOUNDS["unlearned"].value) | (worst < BOUNDS["ratio"].value * best)
    )
    bad &= steps > BOUNDS["warm_up"].value * h.budget
    quiet = _quiet(h, groups)
    if quiet is not None:
        low_and_quiet = [(groups[n].at(steps) < BOUNDS["ratio"].value * best) for n in quiet]
        bad &= np.any(low_and_quiet, axis=0) if low_and_quiet else np.zeros(len(steps), dtype=bool)
    stretch = persistent(steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    low = [n for n, s in groups.items() if s.last < max(BOUNDS["unlearned"].value, BOUNDS["ratio"].value * best[-1])]
    high = max(groups, key=lambda n: groups[n].last)
    reported = [
        evidence(
            f"r2_beyond_mean/{n}",
            groups[n],
            stretch,
            BOUNDS["unlearned"].value,
            f"{{value}} of {n} is explained: it is not learned",
        )
        for n in low
    ]
    reported.append(
        evidence(f"r2_beyond_mean/{high}", groups[high], stretch, BOUNDS["learned"].value, f"{{value}} of {high} is")
    )
    return observation(stretch, "sick", *reported)


def _quiet(h: History, groups: dict[str, Series]) -> list[str] | None:
    """Groups whose gradient is a small share of all groups' together; None if gradients were not measured."""
    shares = {n.rpartition("/")[2]: float(np.median(s.values)) for n, s in h.match("gradient_share/")}
    known = {n: shares[n] for n in groups if n in shares}
    if len(known) < 2:
        return None
    whole = sum(known.values()) or 1.0
    return [n for n, share in known.items() if share / whole < BOUNDS["gradient"].value]


SYMPTOM = Symptom(
    name="loss_imbalance",
    title="a loss term that the optimizer neglects",
    what="The optimizer follows the heavy terms, and a light one stays at the level of predicting its mean although the total falls.",
    measured="Explained share of each group's variance beyond what a constant output explains, on held-out data, "
    "and its share of the gradient.",
    bounds=BOUNDS,
    detect=detect,
)
