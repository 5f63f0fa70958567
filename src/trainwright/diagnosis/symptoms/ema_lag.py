"""The averaged generator lags behind: its samples are much worse than those of the raw weights."""

from trainwright.diagnosis.definitions import Bound, Judgement, Symptom, Unknown, evidence, observation, persistent
from trainwright.diagnosis.history import History, Series

BOUNDS = {
    "diversity": Bound(
        0.3,
        "diversity ratio of the averaged weights over that of the raw ones",
        "ours; the grey squares of the WGAN-GP guide's large model",
    ),
    "warm_up": Bound(0.15, "share of the budget before it is judged", "ours"),
    "readings": Bound(2, "readings in a row", "ours"),
}


def detect(h: History) -> Judgement:
    """Samples of the averaged weights are far less diverse than those of the raw ones."""
    averaged, raw = h.get("samples/diversity_ratio"), h.get("raw/diversity_ratio")
    if averaged is None or raw is None:
        return Unknown("samples of the raw weights beside those of the averaged ones")
    share = averaged.at(raw.steps) / raw.values.clip(1e-9)
    bad = (share < BOUNDS["diversity"].value) & (raw.values > 0.1) & (raw.steps > BOUNDS["warm_up"].value * h.budget)
    stretch = persistent(raw.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "samples of the averaged weights have {value} of the diversity of the raw ones' (healthy: near 1)"
    return observation(
        stretch,
        "sick",
        evidence("samples/diversity_ratio", Series(raw.steps, share), stretch, BOUNDS["diversity"].value, said),
    )


SYMPTOM = Symptom(
    name="ema_lag",
    title="averaged weights that lag behind",
    what="The averaged weights, which samples are made with, are far behind the raw ones: stale statistics, or too slow an average.",
    measured="Diversity of samples of the averaged weights over that of the raw ones.",
    bounds=BOUNDS,
    detect=detect,
    explains=("colour_cast", "blur", "checkerboard", "mode_dropping"),
)
