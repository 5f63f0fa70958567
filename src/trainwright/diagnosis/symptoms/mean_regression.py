"""Averaging: z is used and errors are small, but what the decoder makes of it is unlike any real sample, because it gives means."""

from trainwright.diagnosis.definitions import Bound, Judgement, Symptom, Unknown, evidence, observation, persistent
from trainwright.diagnosis.history import History

BOUNDS = {
    "ratio": Bound(
        2.0,
        "distance of reconstructions from real data over that of other real data",
        "ours; a sound decoder stays below 1.5",
    ),
    "warm_up": Bound(0.25, "share of the budget before it is judged", "ours"),
    "readings": Bound(2, "readings in a row", "ours"),
}


def detect(h: History) -> Judgement:
    """Reconstructions of real data, decoded from their own codes, can be told from real data."""
    again = h.get("reconstructions/two_sample_ratio")
    if again is None:
        return Unknown("reconstructions beside real data: a two-sample test")
    late = again.steps > BOUNDS["warm_up"].value * h.budget
    stretch = persistent(again.steps, (again.values > BOUNDS["ratio"].value) & late, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "reconstructions are {value} times as far from real data as other real data are (healthy: below {against})"
    return observation(
        stretch, "sick", evidence("reconstructions/two_sample_ratio", again, stretch, BOUNDS["ratio"].value, said)
    )


SYMPTOM = Symptom(
    name="mean_regression",
    title="outputs are averages",
    what="Losses fall, but what the decoder makes of a code is the average of several possibilities and looks like none of them.",
    measured="Energy distance of reconstructions from real data over that between two sets of real data.",
    bounds=BOUNDS,
    detect=detect,
    explains=("mode_dropping", "mode_collapse", "blur", "prior_hole", "colour_cast"),
)
