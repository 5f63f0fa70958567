"""Mean regression: z is used and errors are small, but outputs are averages unlike any real sample."""

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
        2.0,
        "distance of reconstructions from real data, over that between two sets of real data",
        "ours; a good decoder stays below 1.5",
    ),
    "warm_up": Bound(0.25, "share of the planned steps before the first judgement", "ours"),
    "readings": Bound(2, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect reconstructions that differ clearly from real data in a two-sample test."""
    again = h.get("reconstructions/two_sample_ratio")
    if again is None:
        return Unknown("a two-sample test of reconstructions and real data")
    late = again.steps > warmed_up(h, BOUNDS["warm_up"].value)
    stretch = persistent(again.steps, (again.values > BOUNDS["ratio"].value) & late, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "the distance of reconstructions from real data is {value} times that between sets of real data (healthy: below {against})"
    return observation(
        stretch, "sick", evidence("reconstructions/two_sample_ratio", again, stretch, BOUNDS["ratio"].value, said)
    )


SYMPTOM = Symptom(
    name="mean_regression",
    title="outputs are averages of several modes",
    what="Losses fall, but the decoder averages over several possible outputs for a code, and the result looks like none of them.",
    measured="Energy distance of reconstructions from real data, over that between two sets of real data.",
    bounds=BOUNDS,
    detect=detect,
    explains=("mode_dropping", "mode_collapse", "blur", "prior_hole", "colour_cast"),
)
