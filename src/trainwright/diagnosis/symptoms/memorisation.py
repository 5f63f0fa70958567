"""Memorisation: samples are copies of training images."""

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
        0.5, "median distance of samples to the nearest training image, over that of held-out images", "ours"
    ),
    "diversity": Bound(0.05, "diversity ratio: below it the run has collapsed, which is a different fault", "ours"),
    "plain": Bound(0.35, "a ratio so low that one reading is enough", "ours"),
    "warm_up": Bound(
        0.12,
        "share of the planned steps before the first judgement: early samples resemble the mean image, which is near every image",
        "ours",
    ),
    "readings": Bound(2, "consecutive readings", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect samples that are far nearer to training images than held-out images are."""
    if h.facts.get("few_on_purpose"):
        return None
    if h.facts.get("continues_training"):
        return Unknown("samples that do not start with a training image; predictions of held-out clips show more")
    ratio, diversity = h.get("samples/nearest_training_ratio"), h.get("samples/diversity_ratio")
    if ratio is None or diversity is None:
        return Unknown("held-out images, and distances of samples to the nearest training image")
    bad = (ratio.values < BOUNDS["ratio"].value) & (diversity.at(ratio.steps) > BOUNDS["diversity"].value)
    bad &= ratio.steps > warmed_up(h, BOUNDS["warm_up"].value)
    stretch = persistent(ratio.steps, bad, 1 if ratio.last < BOUNDS["plain"].value else int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "the distance of samples to the nearest training image is {value} times that of held-out images (copying: below {against})"
    return observation(
        stretch, "sick", evidence("samples/nearest_training_ratio", ratio, stretch, BOUNDS["ratio"].value, said)
    )


SYMPTOM = Symptom(
    name="memorisation",
    title="memorisation",
    what="The model reproduces training images instead of generating new ones.",
    measured="Median distance of samples to the nearest training image, over that of held-out images.",
    bounds=BOUNDS,
    detect=detect,
    explains=("mode_dropping", "critic_dominance", "overfitting"),
)
