"""Loss imbalance: a term of the loss is not learned, or is drowned by another from the step at which that one enters."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Observation,
    Symptom,
    Unknown,
    begun,
    evidence,
    observation,
    persistent,
    smooth,
    warmed_up,
)
from trainwright.diagnosis.history import History, Series

NOT_LEARNED = "is not learned"  # a cause recognises the groups by this phrase of the evidence
DROWNED = "drowned"  # and this kind of imbalance by this one
LEARNED = ("reconstruction/weighted", "validation/reconstruction")  # errors that fall while a model learns
ENTERING = (
    "generator/adversarial",
    "codebook/loss",
    "critic/penalty",
    "kl/raw",
)  # terms that may be added to them later
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
    "risen": Bound(
        1.6, "error after another term has entered, over its level just before: from here on it is drowned", "ours"
    ),
    "risen_kl": Bound(3.0, "the same for a KL term, beside which some error is intended", "ours"),
    "lasting": Bound(0.1, "share of the planned steps for which the error has to stay there", "ours"),
    "before": Bound(6, "readings before a term enters, which give the level", "ours"),
    "warm_up": Bound(0.15, "share of the planned steps before the first judgement", "ours"),
    "readings": Bound(2, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect a group that stays at predicting its mean while another is learned, or an error that another term drowns."""
    found = _unlearned(h)
    drowned = _drowned(h)
    return drowned if drowned is not None and not isinstance(found, Observation) else found


def _drowned(h: History) -> Observation | None:
    """Return an error that has risen for good since the step at which another term entered the loss."""
    for name in LEARNED:
        error = h.get(name, least=2 * int(BOUNDS["before"].value))
        if error is None:
            continue
        for other in ENTERING:
            term = h.signals.get(other)
            if term is None or not len(begun(term)):
                continue
            entry = float(begun(term).steps[0])
            before = error.values[error.steps < entry]
            after = error.after(entry - 1e-9)
            least = int(BOUNDS["before"].value)
            lasting = h.now - entry >= BOUNDS["lasting"].value * h.budget
            if len(before) < least or len(after) < least or not lasting or entry <= 0.02 * h.budget:
                continue
            recent = before[-max(least, len(before) // 4) :]
            level = float(np.median(recent))
            noise = float(np.median(np.abs(recent - level)))
            limit = level * BOUNDS["risen_kl" if other == "kl/raw" else "risen"].value + 4 * noise
            values = smooth(after.values, min(5, len(after) // 2))
            stretch = persistent(after.steps, values > limit, least)
            if level <= 0 or stretch is None or stretch.end - stretch.onset < BOUNDS["lasting"].value * h.budget / 2:
                continue
            if stretch.onset > entry + 2 * BOUNDS["lasting"].value * h.budget:
                continue  # something else happened later
            return observation(
                stretch,
                "sick",
                evidence(name, after, stretch, level, f"{name} has risen from {{against}} to {{value}} since {other} entered at "
                         f"step {entry:.0f}: it is {DROWNED}"),
                evidence(other, term, stretch, 0.0, f"{other} is {{value}} there"),
            )  # fmt: skip
    return None


def _unlearned(h: History) -> Judgement:
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
    what="Terms with a large weight dominate the update. A light term stays at predicting its mean although the total loss falls, "
    "or an error that had fallen rises for good as soon as another term enters.",
    measured="Explained share of the variance of each group on held-out data, beyond a constant output, "
    "and its share of the gradient; or the reconstruction error before and after another term entered.",
    bounds=BOUNDS,
    detect=detect,
    explains=("diverging",),
)
