"""Checkerboard: a regular pixel grid in samples."""

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
    "lattice": Bound(
        0.01,
        "variance of the means of the 2 x 2 sub-lattices, over that of the images",
        "ours, measured: real photographs 0.002, transposed convolutions at their start 0.3",
    ),
    "lattice_sick": Bound(
        0.03,
        "the same, above which a grid is visible; below it young generators lose it by themselves",
        "ours, measured",
    ),
    "lattice_ratio": Bound(5.0, "that share over the share in real images", "ours, measured"),
    "nyquist_ratio": Bound(
        1.2,
        "power at the Nyquist frequencies over that of neighbouring ones, relative to real images: below it fine detail is noise",
        "ours, measured: white noise 0.7 to 1.1, transposed convolutions 1.3 to 40",
    ),
    "warm_up": Bound(
        0.2,
        "share of the planned steps before the first judgement: an untrained generator may show the stride of its layers",
        "ours",
    ),
    "readings": Bound(2, "consecutive readings", "ours"),
    "young": Bound(
        1000, "steps before which a grid is a suspicion: young generators lose it by themselves", "ours, measured"
    ),
}


def detect(h: History) -> Judgement:
    """Detect a lattice and Nyquist peaks that real images do not have."""
    lattice, ratio, peaks = (
        h.get("samples/lattice_share"),
        h.get("samples/lattice_ratio"),
        h.get("samples/nyquist_ratio"),
    )
    if lattice is None or ratio is None or peaks is None:
        return Unknown("samples and real images, to compare sub-lattice means and Nyquist peaks")
    grid = (lattice.values > BOUNDS["lattice"].value) & (ratio.values > BOUNDS["lattice_ratio"].value)
    grid &= peaks.at(lattice.steps) > BOUNDS["nyquist_ratio"].value
    bad = grid & (lattice.steps > warmed_up(h, BOUNDS["warm_up"].value))
    stretch = persistent(lattice.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    newest = float(np.median(lattice.values[-int(BOUNDS["readings"].value) :]))
    return observation(
        stretch,
        "sick" if newest > BOUNDS["lattice_sick"].value and h.now >= BOUNDS["young"].value else "suspect",
        evidence(
            "samples/nyquist_ratio",
            peaks,
            stretch,
            BOUNDS["nyquist_ratio"].value,
            "spectral peaks at the pixel grid are {value} times those of real images (healthy: below {against})",
        ),
        evidence(
            "samples/lattice_share",
            lattice,
            stretch,
            BOUNDS["lattice"].value,
            "a share of {value} of the variance of samples is a fixed pixel grid (real images: about 0.002)",
        ),
    )


SYMPTOM = Symptom(
    name="checkerboard",
    title="checkerboard artefacts",
    what="Samples show a regular pixel grid that real images do not have.",
    measured="Variance of the means of the four sub-lattices, and power at the Nyquist frequencies over that of neighbouring ones. "
    "Both are compared with real images.",
    bounds=BOUNDS,
    detect=detect,
)
