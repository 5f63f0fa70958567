"""Checkerboard: a regular grid of pixels in samples."""

from trainwright.diagnosis.definitions import Bound, Judgement, Symptom, Unknown, evidence, observation, persistent
from trainwright.diagnosis.history import History

BOUNDS = {
    "lattice": Bound(
        0.01,
        "variance of the 2 x 2 sub-lattices' means over that of the images",
        "ours, measured: real photographs 0.002, transposed convolutions at their start 0.3",
    ),
    "lattice_ratio": Bound(5.0, "the same over the real images'", "ours, measured"),
    "nyquist_ratio": Bound(
        1.2,
        "power at the Nyquist frequencies over their neighbours, over the real images': below it fine detail is noise without a grid",
        "ours, measured: white noise 0.7 to 1.1, transposed convolutions 1.3 to 40",
    ),
    "warm_up": Bound(0.2, "share of the budget in which a fresh generator may show its stride", "ours"),
    "readings": Bound(2, "readings in a row", "ours"),
}


def detect(h: History) -> Judgement:
    """Samples have a lattice or Nyquist peaks that real images have not."""
    lattice, ratio, peaks = (
        h.get("samples/lattice_share"),
        h.get("samples/lattice_ratio"),
        h.get("samples/nyquist_ratio"),
    )
    if lattice is None or ratio is None or peaks is None:
        return Unknown("samples beside real images: sub-lattice means and Nyquist peaks")
    grid = (lattice.values > BOUNDS["lattice"].value) & (ratio.values > BOUNDS["lattice_ratio"].value)
    grid &= peaks.at(lattice.steps) > BOUNDS["nyquist_ratio"].value
    bad = grid & (lattice.steps > BOUNDS["warm_up"].value * h.budget)
    stretch = persistent(lattice.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    return observation(
        stretch,
        "sick",
        evidence(
            "samples/nyquist_ratio",
            peaks,
            stretch,
            BOUNDS["nyquist_ratio"].value,
            "peaks at the pixel grid are {value} times those of real images",
        ),
        evidence(
            "samples/lattice_share",
            lattice,
            stretch,
            BOUNDS["lattice"].value,
            "{value} of a sample's variance is a fixed lattice (real images: about 0.002)",
        ),
    )


SYMPTOM = Symptom(
    name="checkerboard",
    title="checkerboard",
    what="Samples carry a regular pixel grid that real images have not.",
    measured="Variance of the four sub-lattices' means, and power at the Nyquist frequencies over their neighbours, "
    "both compared with real images.",
    bounds=BOUNDS,
    detect=detect,
)
