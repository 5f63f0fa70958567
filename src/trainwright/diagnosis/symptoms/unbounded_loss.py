"""Unbounded loss: a term that cannot be negative is, or a loss falls without end."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Stretch,
    Symptom,
    Unknown,
    evidence,
    observation,
    persistent,
    thin,
)
from trainwright.diagnosis.history import History, Series

BOUNDS = {
    "negative": Bound(
        -1e-3, "a KL divergence below this is no KL divergence", "definition: KL >= 0 (Gibbs' inequality)"
    ),
    "entropy": Bound(
        -1e-2, "a reconstruction error or cross-entropy below this has targets outside 0 to 1", "definition"
    ),
    "growth": Bound(
        3.0,
        "magnitude of a negative loss over its magnitude at half the run, above which it has no lower bound",
        "ours",
    ),
    "far": Bound(-1e5, "loss below which a few readings are enough", "ours"),
    "readings": Bound(3, "consecutive readings", "ours"),
}
KL = ("kl/raw", "kl/nats", "validation/kl")
ERRORS = ("reconstruction/weighted", "validation/reconstruction")


def detect(h: History) -> Judgement:
    """Detect a negative KL or error, or a total loss that falls faster and faster below 0."""
    judged = False
    for name, bound, said in (
        *((n, "negative", "the KL term is {value}, but a KL divergence is never negative") for n in KL),
        *((n, "entropy", "the reconstruction term is {value}, below its smallest possible value 0") for n in ERRORS),
    ):
        series = h.get(name, least=3)
        if series is None:
            continue
        judged = True
        series = thin(series)
        stretch = persistent(series.steps, series.values < BOUNDS[bound].value, int(BOUNDS["readings"].value))
        if stretch is not None and not (bound == "entropy" and h.facts.get("likelihood_can_be_negative")):
            return observation(stretch, "sick", evidence(name, series, stretch, 0.0, said))
    adversarial = any(n.startswith(("critic/", "discriminator/", "generator/")) for n in h.signals)
    loss = None if adversarial else h.get("loss", "vae/loss", least=4)
    if loss is not None and len(loss) < 12:
        return _falls(loss)
    if loss is None:
        return None if judged else Unknown("a KL term or a total loss")
    loss = thin(loss)
    half = np.array([np.median(loss.values[max(0, i // 2 - 1) : i // 2 + 2]) for i in range(len(loss))])
    falling = (loss.values < BOUNDS["growth"].value * half) & (half < -1.0) & (loss.steps > 0.25 * h.budget)
    stretch = persistent(loss.steps, falling, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    return observation(
        stretch, "sick", evidence("loss", loss, stretch, 0.0, "the loss is {value} and falls faster and faster")
    )


def _falls(loss: Series) -> Judgement:
    """Detect, from a few readings, a loss far below 0 that falls by as much in each of them."""
    falls = np.diff(loss.values)
    if (
        loss.last > BOUNDS["far"].value
        or bool((falls >= 0).any())
        or abs(falls[-1]) < 0.8 * float(np.median(np.abs(falls)))
    ):
        return Unknown("a longer run")
    stretch = Stretch(float(loss.steps[0]), loss.steps[-1], float(loss.steps[-1]), 0, len(loss) - 1)
    return observation(
        stretch,
        "sick",
        evidence("loss", loss.after(loss.steps[-2]), stretch, 0.0, "the loss is {value} and falls evenly"),
    )


SYMPTOM = Symptom(
    name="unbounded_loss",
    title="a loss without lower bound",
    what="A term that cannot be negative is negative, or the loss falls without end: its sign or its formula is wrong.",
    measured="Sign of KL and reconstruction terms; growth of a negative total loss.",
    bounds=BOUNDS,
    detect=detect,
    advice="check the sign and the formula of each term, and that targets of a cross-entropy lie in 0 to 1",
    speed="fast",
    explains=(
        "exploding",
        "posterior_collapse",
        "blur",
        "mode_dropping",
        "mode_collapse",
        "off_data",
        "variance_collapse",
        "prior_hole",
        "loss_imbalance",
    ),
)
