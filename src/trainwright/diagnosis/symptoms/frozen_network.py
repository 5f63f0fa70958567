"""Frozen network: weights that do not change."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Evidence,
    Judgement,
    Observation,
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
        "norm of an update over the norm of the weights",
        "ours; SageMaker Debugger uses 1e-8",
    ),
    "done": Bound(
        1e-3, "loss over its first value: below it the run has converged and small updates are expected", "ours"
    ),
    "hinge": Bound(
        0.05, "loss of a discriminator below which a gradient of 0 is expected: its hinge is satisfied", "ours"
    ),
    "readings": Bound(2, "consecutive readings", "ours"),
    "ended": Bound(
        0.7, "share of the planned steps from which on a learning rate of 0 may be the end of a schedule", "ours"
    ),
    "passes": Bound(
        2,
        "passes over the same batches that a log must show before losses that repeat themselves are looked for",
        "ours",
    ),
    "different": Bound(5, "different losses that repeat themselves in the same order", "ours"),
    "warm_up": Bound(
        0.05, "share of the planned steps in which a learning rate of 0 may be the beginning of a warm-up", "ours"
    ),
}


MOST_PERIODS = 200  # places of the newest loss in the log that are tried as the same batch of an earlier pass


def detect(h: History) -> Judgement:
    """Detect weights that do not change between two readings, or a gradient or learning rate of 0."""
    repeated = _repeated(h)
    if repeated is not None:
        return repeated
    looked = [(f"update_ratio/{n}", s) for n, s in h.match("update_ratio/")]
    looked += [(f"grad_norm/{n}", s) for n, s in h.match("grad_norm/")]
    looked += [(f"lr/{n}", s) for n, s in h.match("lr/")]
    if not looked:
        return Unknown("the relative size of the updates of each network, or its gradient norm")
    if _done(h):
        return None
    for name, series in looked:
        if _weightless(h, name.partition("/")[2], series.steps[-1]):
            continue
        if _rising(h, name.partition("/")[2]):
            continue
        series = thin(series)
        bound = BOUNDS["ratio"].value if name.startswith("update_ratio/") else 0.0
        bad = np.abs(series.values) <= bound
        if h.facts.get("log") and name.startswith("grad_norm/") and not series.values.any():
            continue  # a norm that the program did not measure
        certain = name.startswith("update_ratio/") and len(series) and series.last == 0.0
        stretch = persistent(series.steps, bad, 1 if certain else int(BOUNDS["readings"].value))
        if stretch is not None and name.startswith("lr/") and stretch.onset > BOUNDS["ended"].value * h.budget:
            continue  # a schedule may end at 0
        if stretch is not None:
            said = f"{name} is {{value}}, so the weights do not change (healthy: above {{against}})"
            return observation(stretch, "sick", evidence(name, series, stretch, bound, said))
    return None


def _repeated(h: History) -> Observation | None:
    """Return that the losses of a log repeat themselves, reading by reading: each pass over the data finds the same weights."""
    loss = (
        h.get("loss", "vae/loss", least=int(BOUNDS["passes"].value * BOUNDS["different"].value)) if h.foreign else None
    )
    if loss is None:
        return None
    values, least = loss.values, int(BOUNDS["different"].value)
    for at in np.flatnonzero(values == values[-1])[:-1][::-1][:MOST_PERIODS]:
        apart = len(values) - 1 - int(at)  # readings from one pass to the next
        shared = min(apart, len(values) - apart)
        newest = values[-shared:]
        if np.array_equal(newest, values[-shared - apart : -apart]) and len(np.unique(newest)) >= least:
            step, end = float(loss.steps[-shared]), float(loss.steps[-1])
            said = f"the losses repeat themselves every {apart} readings, to the last digit: the weights do not change"
            return Observation(
                step, end, "sick", (Evidence("loss", float(values[-1]), float(values[at]), said, step, end),)
            )
    return None


def _done(h: History) -> bool:
    """True if the loss has fallen to almost 0, so that no update is expected."""
    loss = h.get("loss", "vae/loss", least=8)
    return loss is not None and abs(loss.last) < BOUNDS["done"].value * abs(float(loss.values[0]))


def _rising(h: History, network: str) -> bool:
    """True while the learning rate of a network may still be warming up from 0."""
    rate = h.get(f"lr/{network}")
    return rate is not None and float(rate.values.min()) == 0 and h.now <= BOUNDS["warm_up"].value * h.budget


def _weightless(h: History, network: str, step: float) -> bool:
    """True if the loss of a network was 0 at a step: its term had not started yet, had ended, or was a hinge that was satisfied."""
    loss = h.get(f"{network}/loss")
    small = BOUNDS["hinge"].value if network in ("discriminator", "critic") else 0.0
    return loss is not None and abs(float(loss.at(np.array([step]))[0])) <= small


SYMPTOM = Symptom(
    name="frozen_network",
    title="a frozen network",
    what="The weights of a network do not change although it should be trained.",
    measured="Norm of an update over the norm of the weights, gradient norm, and current learning rate.",
    bounds=BOUNDS,
    detect=detect,
    advice="check that its optimizer holds its parameters and steps, and that its learning rate is above 0",
    speed="fast",
    explains=(
        "worse_than_baseline",
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
