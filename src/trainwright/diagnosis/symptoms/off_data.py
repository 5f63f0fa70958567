"""Samples off the data: noise, saturated or out of range, so that hardly any sample lies among real data."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Stretch,
    Symptom,
    Unknown,
    earlier,
    evidence,
    observation,
    persistent,
    warmed_up,
)
from trainwright.diagnosis.history import History, Series

BOUNDS = {
    "precision": Bound(
        0.15,
        "share of samples among real data, over that of other real data",
        "ours; Kynkaanniemi et al. 2019 for precision",
    ),
    "coverage": Bound(
        0.15, "share of real data near a sample, over that of other real data", "ours; Naeem et al. 2020"
    ),
    "texture": Bound(
        4.0, "energy in the finest detail over that of real images, or its inverse: a sign of noise", "ours"
    ),
    "contrast": Bound(1.6, "contrast over that of real images, or its inverse", "ours"),
    "spread": Bound(2.0, "mean squared distance of two samples over that of two real images", "ours"),
    "pairs": Bound(
        0.1,
        "total variation between pairs of neighbours in sampled and in real sequences, above that of other real ones",
        "ours; at most 0.06 in 24 sound loops",
    ),
    "other_pairs": Bound(0.2, "the same, from which on the run is sick and not suspect", "ours"),
    "learning": Bound(0.85, "fall of that distance over three readings, below which samples still get better", "ours"),
    "warm_up": Bound(0.25, "share of the planned steps before the first judgement", "ours"),
    "rising": Bound(1.25, "growth over three readings above which samples still approach the data", "ours"),
    "young": Bound(100, "steps before anything but numbers that are not finite is judged", "ours"),
    "readings": Bound(2, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect samples that are not among real data while their texture, contrast or spread is far from real."""
    broken = h.get("samples/finite_share")
    if broken is not None and broken.steps[-1] >= max(s.steps[-1] for n, s in h.match("samples/")):
        whole = Stretch(float(broken.steps[0]), float(broken.steps[0]), h.now, 0, len(broken) - 1)
        text = "only {percent} % of the samples are finite numbers"
        return observation(whole, "sick", evidence("samples/finite_share", broken, whole, 1.0, text))
    if h.now - h.first < BOUNDS["young"].value:
        return Unknown("a longer run")
    pairs, usual = h.get("samples/pair_distance", least=2), h.get("real/pair_distance")
    if pairs is not None and usual is not None:
        return _other_pairs(h, pairs, usual.last)
    precision, coverage = h.get("samples/precision"), h.get("samples/coverage")
    if precision is None or coverage is None:
        return Unknown("samples and real data, to see whether samples lie among them")
    steps = precision.steps
    best = {n: (s.last if (s := h.get(f"real/{n}")) is not None else 0.9) for n in ("precision", "coverage")}
    low = precision.values < BOUNDS["precision"].value * best["precision"]
    low &= coverage.at(steps) < BOUNDS["coverage"].value * best["coverage"]
    far = np.zeros(len(steps), dtype=bool)
    shown = [
        (
            "samples/precision",
            precision,
            BOUNDS["precision"].value * best["precision"],
            "only {percent} % of the samples lie among real data",
        )
    ]
    for name, bound, said in (
        (
            "samples/top_octave_ratio",
            "texture",
            "their finest detail has {value} times the energy of real images (noise, or no detail)",
        ),
        ("samples/contrast_ratio", "contrast", "their contrast is {value} times that of real images"),
        ("samples/diversity_ratio", "spread", "two samples differ {value} times as much as two real images"),
        ("samples/range_ratio", "contrast", "their range is {value} times that of real data"),
    ):
        series = h.get(name)
        if series is None:
            continue
        values = np.nan_to_num(series.at(steps), nan=1.0)
        limit = BOUNDS[bound].value
        outside = (values > limit) if bound == "spread" else (values > limit) | (values < 1 / limit)
        far |= outside
        if outside[-1]:
            shown.append((name, series, limit, said))
    late = steps > warmed_up(h, BOUNDS["warm_up"].value)
    sharpness = precision.values + coverage.at(steps)
    before = sharpness[np.maximum(np.arange(len(steps)) - 3, 0)]
    rising = (sharpness > BOUNDS["rising"].value * before) & (sharpness > 0.02)
    stretch = persistent(steps, low & far & late & ~rising, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    return observation(stretch, "sick", *(evidence(n, s, stretch, a, t) for n, s, a, t in shown))


def _other_pairs(h: History, pairs: Series, usual: float) -> Judgement:
    """Detect sequences whose pairs of neighbours are not those of real sequences."""
    apart = pairs.values - usual
    learning = pairs.values < BOUNDS["learning"].value * earlier(pairs.values, 3)
    late = pairs.steps > warmed_up(h, BOUNDS["warm_up"].value)
    stretch = persistent(pairs.steps, (apart > BOUNDS["pairs"].value) & late & ~learning, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    far = float(np.median(apart[stretch.first :])) > BOUNDS["other_pairs"].value
    said = "their pairs of neighbours have a distance of {value} from those of real sequences, other real ones one of {against}"
    return observation(
        stretch, "sick" if far else "suspect", evidence("samples/pair_distance", pairs, stretch, usual, said)
    )


SYMPTOM = Symptom(
    name="off_data",
    title="samples are off the data",
    what="Hardly any sample lies among real data: samples are noise, saturated, out of range, or of another texture.",
    measured="Precision and coverage over their values for real data, with texture, contrast, range and spread of the samples; "
    "for sequences of symbols, the distance of the pairs of neighbours from those of real ones.",
    bounds=BOUNDS,
    detect=detect,
    speed="fast",
    explains=("mode_dropping", "blur", "colour_cast", "checkerboard", "oscillation"),
)
