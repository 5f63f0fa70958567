"""Partial mode collapse: samples look real but cover only a part of the data."""

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
    warmed_up,
)
from trainwright.diagnosis.history import History

BOUNDS = {
    "coverage": Bound(
        0.35,
        "share of real images with a sample in their neighbourhood, relative to real images",
        "ours; Naeem et al. 2020 reach 0.97 with equal distributions",
    ),
    "spread": Bound(0.6, "diversity ratio: missing modes make samples less diverse than real images", "ours"),
    "precision": Bound(
        0.5,
        "share of samples that lie among real images, relative to real images: below it samples are only of low quality",
        "ours",
    ),
    "duplicates": Bound(
        0.5,
        "share of samples with a near copy among 128: above it the generator has only few distinct images",
        "birthday test, Arora & Zhang 2018",
    ),
    "covered": Bound(0.7, "coverage relative to real images: above it copies are no sign of missing modes", "ours"),
    "falling": Bound(
        0.75, "ratio of that share to its value two readings earlier: below it samples are becoming diverse", "ours"
    ),
    "rising": Bound(
        1.25, "ratio of the coverage to its value two readings earlier: above it coverage is improving", "ours"
    ),
    "fallen": Bound(0.5, "coverage over the best value of the run", "ours"),
    "warm_up": Bound(0.15, "share of the planned steps before the first judgement", "ours"),
    "readings": Bound(3, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect low coverage with good samples, many duplicates, or coverage far below the best of the run."""
    coverage, precision = h.get("samples/coverage"), h.get("samples/precision")
    diversity = h.get("samples/diversity_ratio")
    if coverage is None or precision is None or diversity is None:
        return Unknown("samples and real images, to measure coverage and precision in a feature space")
    best_possible, real_precision = h.get("real/coverage"), h.get("real/precision")
    ceiling = best_possible.last if best_possible else 0.95
    top = real_precision.last if real_precision else 0.9
    share = smooth(coverage.values, 2) / ceiling
    good = precision.at(coverage.steps) / top >= BOUNDS["precision"].value
    narrow = diversity.at(coverage.steps) < BOUNDS["spread"].value
    late = coverage.steps > warmed_up(h, BOUNDS["warm_up"].value)
    best = np.maximum.accumulate(np.nan_to_num(share))
    rising = share >= BOUNDS["rising"].value * earlier(share, 2)
    copies = h.get("samples/duplicate_share")
    few = np.zeros(len(coverage), dtype=bool)
    if copies is not None:
        now = copies.at(coverage.steps)
        few = (now > BOUNDS["duplicates"].value) & (now > BOUNDS["falling"].value * earlier(now, 2))
        few &= share < BOUNDS["covered"].value
    low = (share < BOUNDS["coverage"].value) & ~rising
    fallen = (share < BOUNDS["fallen"].value * best) & (best > 0.2)
    stretch = persistent(
        coverage.steps, late & ((low & ((good & narrow) | fallen)) | few), int(BOUNDS["readings"].value)
    )
    spread = diversity.at(coverage.steps)
    spreading = spread >= BOUNDS["rising"].value * earlier(spread, 2)
    if stretch is None or (rising[-1] and spreading[-1]):
        return None  # the samples of the newest reading are much more diverse than before
    said = "samples cover a share of {value} of the real images (other real images: " + f"{ceiling:.2f})"
    extra = []
    if copies is not None and copies.last > BOUNDS["duplicates"].value:
        reported = "a share of {value} of the samples has a near copy among 128 samples (healthy: below {against})"
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
            "a share of {value} of the samples lies among real images",
        ),
    )


SYMPTOM = Symptom(
    name="mode_dropping",
    title="partial mode collapse",
    what="Samples look real, but some modes of the data never appear.",
    measured="Coverage (Naeem et al. 2020) far below that of real images while precision is high, or far below the best value of "
    "the run. Pairwise distances alone do not detect it.",
    bounds=BOUNDS,
    detect=detect,
)
