"""Partial mode collapse: samples look real but come from a part of the data only."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Symptom,
    Unknown,
    earlier,
    evidence,
    observation,
    persistent,
    smooth,
)
from trainwright.diagnosis.history import History

BOUNDS = {
    "coverage": Bound(
        0.35,
        "share of real images with a sample in their neighbourhood, over what real images reach",
        "ours; Naeem et al. 2020 reach 0.97 with equal distributions",
    ),
    "spread": Bound(0.6, "diversity ratio: what is missing makes samples less diverse than real images", "ours"),
    "precision": Bound(
        0.5, "samples that lie among real ones, over what real images reach: below it they are merely bad", "ours"
    ),
    "duplicates": Bound(
        0.5,
        "share of samples with a near copy among 128: above it only few distinct images are generated",
        "birthday test, Arora & Zhang 2018",
    ),
    "falling": Bound(
        0.75, "that share over what it was two readings ago: below it samples are becoming diverse", "ours"
    ),
    "rising": Bound(1.25, "coverage over what it was two readings ago: above it samples are reaching out", "ours"),
    "fallen": Bound(0.5, "coverage over the run's own best", "ours"),
    "warm_up": Bound(0.15, "share of the budget before it is judged", "ours"),
    "readings": Bound(3, "readings in a row", "ours"),
}


def detect(h: History) -> Judgement:
    """Few real images are covered although samples are good, or coverage has fallen far below the run's own best."""
    coverage, precision = h.get("samples/coverage"), h.get("samples/precision")
    diversity = h.get("samples/diversity_ratio")
    if coverage is None or precision is None or diversity is None:
        return Unknown("samples beside real images: coverage and precision in a feature space")
    best_possible, real_precision = h.get("real/coverage"), h.get("real/precision")
    ceiling = best_possible.last if best_possible else 0.95
    top = real_precision.last if real_precision else 0.9
    share = smooth(coverage.values, 2) / ceiling
    good = precision.at(coverage.steps) / top >= BOUNDS["precision"].value
    narrow = diversity.at(coverage.steps) < BOUNDS["spread"].value
    late = coverage.steps > BOUNDS["warm_up"].value * h.budget
    best = np.maximum.accumulate(np.nan_to_num(share))
    copies = h.get("samples/duplicate_share")
    few = np.zeros(len(coverage), dtype=bool)
    if copies is not None:
        now = copies.at(coverage.steps)
        few = (now > BOUNDS["duplicates"].value) & (now > BOUNDS["falling"].value * earlier(now, 2))
    low = (share < BOUNDS["coverage"].value) & (share < BOUNDS["rising"].value * earlier(share, 2))
    fallen = (share < BOUNDS["fallen"].value * best) & (best > 0.2)
    stretch = persistent(
        coverage.steps, late & ((low & ((good & narrow) | fallen)) | few), int(BOUNDS["readings"].value)
    )
    if stretch is None:
        return None
    said = "samples reach {value} of the real images' neighbourhoods (real images themselves: " + f"{ceiling:.2f})"
    extra = []
    if copies is not None and copies.last > BOUNDS["duplicates"].value:
        reported = "{value} of the samples have a near copy among 128"
        extra = [evidence("samples/duplicate_share", copies, stretch, BOUNDS["duplicates"].value, reported)]
    return observation(
        stretch,
        "sick",
        *extra,
        evidence("samples/coverage", coverage, stretch, BOUNDS["coverage"].value * ceiling, said),
        evidence(
            "samples/precision",
            precision,
            stretch,
            BOUNDS["precision"].value * top,
            "{value} of them lie among real ones",
        ),
    )


SYMPTOM = Symptom(
    name="mode_dropping",
    title="partial mode collapse",
    what="Samples look real, but whole kinds of images are never generated.",
    measured="Coverage (Naeem et al. 2020) far below that of real images together with high precision, or far below the run's own "
    "best. Pairwise distances alone are blind to it.",
    bounds=BOUNDS,
    detect=detect,
)
