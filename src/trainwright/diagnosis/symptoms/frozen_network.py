"""A network whose weights do not move."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Symptom,
    Unknown,
    evidence,
    observation,
    persistent,
    thin,
)
from trainwright.diagnosis.history import History

BOUNDS = {
    "ratio": Bound(
        1e-12,
        "length of an update over the norm of the weights",
        "SageMaker: UnchangedTensor, WeightUpdateRatio 1e-8",
    ),
    "done": Bound(1e-3, "loss over its first value below which standing still is being done", "ours"),
    "readings": Bound(2, "readings in a row", "ours"),
}


def detect(h: History) -> Judgement:
    """Weights stand still between two looks, or the gradient or the rate of a group is 0."""
    looked = [(f"update_ratio/{n}", s) for n, s in h.match("update_ratio/")]
    looked += [(f"grad_norm/{n}", s) for n, s in h.match("grad_norm/")]
    looked += [(f"lr/{n}", s) for n, s in h.match("lr/")]
    if not looked:
        return Unknown("the length of an update of each network over the norm of its weights, or its gradient norm")
    if _done(h):
        return None
    for name, series in looked:
        series = thin(series)
        bound = BOUNDS["ratio"].value if name.startswith("update_ratio/") else 0.0
        bad = np.abs(series.values) <= bound
        if name.startswith("lr/") and h.total and h.now >= 0.9 * h.total:
            continue  # a schedule may end at 0
        certain = name.startswith("update_ratio/") and len(series) and series.last == 0.0
        stretch = persistent(series.steps, bad, 1 if certain else int(BOUNDS["readings"].value))
        if stretch is not None:
            said = f"{name} is {{value}}: the network stands still"
            return observation(stretch, "sick", evidence(name, series, stretch, bound, said))
    return None


def _done(h: History) -> bool:
    """A loss that has all but vanished moves nothing any more."""
    loss = h.get("loss", "vae/loss", least=8)
    return loss is not None and abs(loss.last) < BOUNDS["done"].value * abs(float(loss.values[0]))


SYMPTOM = Symptom(
    name="frozen_network",
    title="a frozen network",
    what="The weights of a network do not move although it is to be trained.",
    measured="Length of an update over the norm of the weights; gradient norm and learning rate in force.",
    bounds=BOUNDS,
    detect=detect,
    speed="fast",
    explains=(
        "plateau",
        "slow",
        "variance_collapse",
        "mode_collapse",
        "mode_dropping",
        "colour_cast",
        "checkerboard",
        "blur",
        "dead_critic",
        "critic_dominance",
        "generator_dominance",
        "discriminator_guessing",
        "posterior_collapse",
        "loss_imbalance",
        "oscillation",
    ),
    certain=True,
)
