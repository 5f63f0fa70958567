"""Memorisation: samples are training pictures."""

from trainwright.diagnosis.definitions import Bound, Judgement, Symptom, Unknown, evidence, finding, persistent
from trainwright.diagnosis.history import History

BOUNDS = {
    "ratio": Bound(
        0.5, "median distance of samples to the nearest training picture over that of unseen real pictures", "ours"
    ),
    "diversity": Bound(0.05, "below it the run has collapsed, which is another thing", "ours"),
    "plain": Bound(0.35, "the same: so low that one reading is enough", "ours"),
    "warm_up": Bound(
        0.12, "share of the budget before it is judged: the mean of all pictures is near each of them", "ours"
    ),
    "readings": Bound(2, "readings in a row", "ours"),
}


def look(h: History) -> Judgement:
    """Samples lie far nearer to training pictures than unseen real pictures do."""
    if h.facts.get("few_on_purpose"):
        return None
    if h.facts.get("continues_training"):
        return Unknown("samples that do not begin with a training picture; how held-out clips are continued says more")
    ratio, diversity = h.get("samples/nearest_training_ratio"), h.get("samples/diversity_ratio")
    if ratio is None or diversity is None:
        return Unknown("held-out pictures, and distances of samples to the nearest training picture")
    bad = (ratio.values < BOUNDS["ratio"].value) & (diversity.at(ratio.steps) > BOUNDS["diversity"].value)
    bad &= ratio.steps > BOUNDS["warm_up"].value * h.budget
    stretch = persistent(ratio.steps, bad, 1 if ratio.last < BOUNDS["plain"].value else int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    said = "samples lie {value} times as far from training pictures as unseen real ones do (copying: below {against})"
    return finding(
        stretch, "sick", evidence("samples/nearest_training_ratio", ratio, stretch, BOUNDS["ratio"].value, said)
    )


SYMPTOM = Symptom(
    "memorisation",
    "memorisation",
    "The model gives training pictures back instead of new ones.",
    "Median distance of samples to the nearest training picture, over the same for real pictures that training never saw.",
    BOUNDS,
    look,
    explains=("mode_dropping", "critic_dominance", "overfitting"),
)
