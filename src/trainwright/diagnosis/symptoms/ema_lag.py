"""EMA lag: samples of the averaged weights are much worse than those of the raw weights."""

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

BOUNDS = {
    "diversity": Bound(
        0.3,
        "diversity ratio of the averaged weights over that of the raw weights",
        "ours; the large model of the WGAN-GP guide gave grey squares",
    ),
    "warm_up": Bound(0.15, "share of the planned steps before the first judgement", "ours"),
    "readings": Bound(2, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect averaged weights whose samples are far less diverse than those of the raw weights."""
    averaged, raw = h.get("samples/diversity_ratio"), h.get("raw/diversity_ratio")
    if averaged is None or raw is None:
        return Unknown("samples of the raw weights and of the averaged weights")
    share = averaged.at(raw.steps) / raw.values.clip(1e-9)
    bad = (share < BOUNDS["diversity"].value) & (raw.values > 0.1) & (raw.steps > warmed_up(h, BOUNDS["warm_up"].value))
    stretch = persistent(raw.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "samples of the averaged weights have {value} times the diversity of samples of the raw weights (healthy: near 1)"
    return observation(
        stretch,
        "sick",
        evidence("samples/diversity_ratio", Series(raw.steps, share), stretch, BOUNDS["diversity"].value, said),
    )


SYMPTOM = Symptom(
    name="ema_lag",
    title="the averaged (EMA) weights lag behind the raw weights",
    what="The averaged weights, which make the samples, are far behind the raw weights: stale BatchNorm statistics, "
    "or a decay that is too high.",
    measured="Diversity of samples of the averaged weights over that of the raw weights.",
    bounds=BOUNDS,
    detect=detect,
    explains=("colour_cast", "blur", "checkerboard", "mode_dropping"),
)
