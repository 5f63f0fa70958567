"""Memorisation: samples are training images."""

from trainwright.diagnosis.definitions import Bound, Judgement, Symptom, Unknown, evidence, observation, persistent
from trainwright.diagnosis.history import History

BOUNDS = {
    "ratio": Bound(
        0.5, "median distance of samples to the nearest training image over that of unseen real images", "ours"
    ),
    "diversity": Bound(0.05, "below it the run has collapsed, which is another thing", "ours"),
    "plain": Bound(0.35, "the same: so low that one reading is enough", "ours"),
    "warm_up": Bound(
        0.12, "share of the budget before it is judged: the mean of all images is near each of them", "ours"
    ),
    "readings": Bound(2, "readings in a row", "ours"),
}


def detect(h: History) -> Judgement:
    """Samples lie far nearer to training images than unseen real images do."""
    if h.facts.get("few_on_purpose"):
        return None
    if h.facts.get("continues_training"):
        return Unknown("samples that do not begin with a training image; how held-out clips are continued says more")
    ratio, diversity = h.get("samples/nearest_training_ratio"), h.get("samples/diversity_ratio")
    if ratio is None or diversity is None:
        return Unknown("held-out images, and distances of samples to the nearest training image")
    bad = (ratio.values < BOUNDS["ratio"].value) & (diversity.at(ratio.steps) > BOUNDS["diversity"].value)
    bad &= ratio.steps > BOUNDS["warm_up"].value * h.budget
    stretch = persistent(ratio.steps, bad, 1 if ratio.last < BOUNDS["plain"].value else int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "samples lie {value} times as far from training images as unseen real ones do (copying: below {against})"
    return observation(
        stretch, "sick", evidence("samples/nearest_training_ratio", ratio, stretch, BOUNDS["ratio"].value, said)
    )


SYMPTOM = Symptom(
    name="memorisation",
    title="memorisation",
    what="The model gives training images back instead of new ones.",
    measured="Median distance of samples to the nearest training image, over the same for real images that training never saw.",
    bounds=BOUNDS,
    detect=detect,
    explains=("mode_dropping", "critic_dominance", "overfitting"),
)
