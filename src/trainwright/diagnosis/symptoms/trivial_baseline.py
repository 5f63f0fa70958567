"""Trivial baseline: the model is no better than a constant, a uniform guess, or a copy of its input."""

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Symptom,
    Unknown,
    evidence,
    observation,
    persistent,
    smooth,
    thin,
    warmed_up,
)
from trainwright.diagnosis.history import History, Series

BOUNDS = {
    "skill": Bound(0.97, "error over that of the trivial prediction: above it the model adds nothing", "ours"),
    "hardly": Bound(0.9, "error over that of the trivial prediction: above it the model adds hardly anything", "ours"),
    "warm_up": Bound(0.3, "share of the planned steps before the first judgement", "ours"),
    "readings": Bound(4, "consecutive readings", "ours"),
    "ratio_readings": Bound(2, "consecutive readings of a measured ratio", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect a measured error ratio, or a loss that stays at the value of a uniform guess."""
    ratio = h.get("baseline/error_ratio", least=2)
    judged = ratio is not None
    if ratio is not None:
        late = ratio.steps > warmed_up(h, BOUNDS["warm_up"].value)
        stretch = persistent(
            ratio.steps, (ratio.values > BOUNDS["skill"].value) & late, int(BOUNDS["ratio_readings"].value)
        )
        if stretch is not None:
            said = "the error is {value} times that of " + str(h.facts.get("baseline", "a constant prediction"))
            return observation(
                stretch, "sick", evidence("baseline/error_ratio", ratio, stretch, BOUNDS["skill"].value, said)
            )
        hardly = persistent(
            ratio.steps, (ratio.values > BOUNDS["hardly"].value) & late, int(BOUNDS["ratio_readings"].value)
        )
        if hardly is not None and ratio.values[-1] > 0.9 * ratio.values[late].max(initial=0.0):
            said = "the error is {value} times that of " + str(h.facts.get("baseline", "a constant prediction"))
            return observation(
                hardly, "suspect", evidence("baseline/error_ratio", ratio, hardly, BOUNDS["hardly"].value, said)
            )
    chance = h.facts.get("chance_loss")
    loss = h.get("loss", least=12)
    if chance and loss is not None:
        judged = True
        loss = thin(loss)
        level = Series(loss.steps, smooth(loss.values, 5))
        bad = (level.values > BOUNDS["skill"].value * chance) & (level.steps > warmed_up(h, BOUNDS["warm_up"].value))
        stretch = persistent(level.steps, bad, int(BOUNDS["readings"].value))
        if stretch is not None:
            said = f"the loss is {{value}}, no lower than that of a uniform guess ({chance:.3g})"
            return observation(stretch, "sick", evidence("loss", level, stretch, chance, said))
    return (
        None if judged else Unknown("inputs, outputs and targets of the network, to compare with a trivial prediction")
    )


SYMPTOM = Symptom(
    name="trivial_baseline",
    title="no better than the trivial baseline",
    what="The model predicts no better than a constant, a uniform guess, or a copy of its input.",
    measured="Error over that of the best trivial prediction (zero, the mean, a part of the input); for classes, the loss beside ln K.",
    bounds=BOUNDS,
    detect=detect,
    explains=("plateau", "mean_regression", "variance_collapse", "slow", "blur"),
)
