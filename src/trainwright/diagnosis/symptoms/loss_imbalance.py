"""Loss imbalance: one group of the reconstruction is not learned."""

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
from trainwright.diagnosis.history import History, Series

NOT_LEARNED = "is not learned"  # a cause recognises the groups by this phrase of the evidence
BOUNDS = {
    "unlearned": Bound(
        0.1,
        "explained share of the variance of the group, beyond a constant output: below it the group is not learned",
        "the Gaussian VAE guide; ours: an error of 0.9 of the variance is like predicting the mean",
    ),
    "learned": Bound(0.35, "explained share of the best group", "ours"),
    "ratio": Bound(0.25, "explained share over that of the best group", "ours, after the relative rates of GradNorm"),
    "gradient": Bound(
        0.05,
        "share of the gradient at the last layer that comes from the group: below it the group hardly affects the update",
        "ours, after GradNorm",
    ),
    "warm_up": Bound(0.15, "share of the planned steps before the first judgement", "ours"),
    "readings": Bound(2, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect a group that stays at predicting its mean while another is learned."""
    groups = {n: s for n, s in h.match("r2_beyond_mean/") if len(s) >= 2}
    if len(groups) < 2:
        return Unknown("the explained variance of each loss term on held-out data")
    steps = next(iter(groups.values())).steps
    table = np.stack([s.at(steps) for s in groups.values()])
    best, worst = table.max(0), table.min(0)
    bad = (best > BOUNDS["learned"].value) & (
        (worst < BOUNDS["unlearned"].value) | (worst < BOUNDS["ratio"].value * best)
    )
    bad &= steps > warmed_up(h, BOUNDS["warm_up"].value)
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
            f"a share of {{value}} of the variance of {n} is explained, so it {NOT_LEARNED} (healthy: above {{against}})",
        )
        for n in low
    ]
    reported.append(
        evidence(
            f"r2_beyond_mean/{high}",
            groups[high],
            stretch,
            BOUNDS["learned"].value,
            f"for {high} the share is {{value}}",
        )
    )
    return observation(stretch, "sick", *reported)


def _quiet(h: History, groups: dict[str, Series]) -> list[str] | None:
    """Return groups with a small share of the total gradient; None if gradients were not measured."""
    shares = {n.rpartition("/")[2]: float(np.median(s.values)) for n, s in h.match("gradient_share/")}
    known = {n: shares[n] for n in groups if n in shares}
    if len(known) < 2:
        return None
    whole = sum(known.values()) or 1.0
    return [n for n, share in known.items() if share / whole < BOUNDS["gradient"].value]


SYMPTOM = Symptom(
    name="loss_imbalance",
    title="a loss term that is not learned",
    what="Terms with a large weight dominate the update. A light term stays at predicting its mean although the total loss falls.",
    measured="Explained share of the variance of each group on held-out data, beyond a constant output, "
    "and its share of the gradient.",
    bounds=BOUNDS,
    detect=detect,
)
