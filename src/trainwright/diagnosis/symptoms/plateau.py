"""Plateau: the run stopped improving before it learned anything useful."""

import numpy as np

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
)
from trainwright.diagnosis.history import History, Series
from trainwright.diagnosis.kinds import kinds_of

BOUNDS = {
    "gain": Bound(0.02, "relative improvement over the window", "ours; Ax uses 0.1 of the inter-quartile range"),
    "window": Bound(0.2, "share of the planned steps without improvement", "ours"),
    "learned": Bound(
        0.1,
        "explained share of the variance: above it the model has learned something",
        "ours: an error of 0.9 of the variance is like predicting the mean",
    ),
    "readings": Bound(2, "consecutive readings", "ours"),
    "young": Bound(100, "steps before anything is judged", "ours"),
    "gained": Bound(6.0, "gain over its scatter, above which a plateau of a log is a suspicion", "ours"),
    "constant": Bound(
        2e-4, "relative difference of readings of a loss that is constant", "ours; prints have four digits"
    ),
    "equal": Bound(5, "such readings to the end", "ours"),
    "converged": Bound(
        20.0,
        "fall of a loss before it became constant, over what it moves since, from which it may have converged",
        "ours",
    ),
    "chance": Bound(0.9, "accuracy above which a constant one may be all that there is to learn", "ours"),
    "fall": Bound(
        1.5,
        "first readings above the level of a noisy loss, over the difference of neighbours, from which it fell at once",
        "ours",
    ),
    "little": Bound(0.05, "improvement over the window that the mean of a noisy loss may show by chance", "ours"),
    "noisy": Bound(
        0.02, "difference of neighbouring readings over the level, from which a loss is averaged for longer", "ours"
    ),
    "many": Bound(20, "readings of a log before anything is judged", "ours"),
    "late": Bound(0.02, "share of the planned steps before the first held-out loss", "ours"),
    "diversity": Bound(0.02, "diversity ratio of a generator that has been trained at all", "ours"),
}


def detect(h: History) -> Judgement:
    """Detect held-out quality that is flat at the level of predicting the mean."""
    groups = [s for _, s in h.match("r2_beyond_mean/") if len(s) >= 3]
    if groups:
        steps = groups[0].steps
        best = np.max([s.at(steps) for s in groups], axis=0)
        return _flat(
            h,
            "r2_beyond_mean",
            Series(steps, best),
            BOUNDS["learned"].value,
            "at most a share of {value} of the variance of any group is explained, without improvement (healthy: above {against})",
        )
    plain = (h.get("loss", "vae/loss", least=6) or _only(h)) if h.foreign else None
    constant = _constant(plain) if plain is not None else None
    if constant is None and h.foreign:
        constant = _one_answer(h)
    if constant is not None:
        return constant
    held = h.get("validation/loss", least=12)
    if held is not None and held.steps[0] > h.first + BOUNDS["late"].value * h.budget:
        held = None  # its first value is not one of an untrained network
    loss = held or h.get("vae/loss", "loss", least=12)
    if h.foreign and kinds_of(h) >= {"fine_tune", "diffusion"}:
        return None  # whose loss hardly moves
    if loss is not None and "discriminator/term" not in h.signals and "critic/loss" not in h.signals:
        raw, loss = loss, thin(loss)
        start = float(np.median(loss.values[: max(2, len(loss) // 50)]))
        if start <= 0:
            return None
        level, gain = smooth(loss.values, 3), BOUNDS["gain"].value
        if _noisy(loss) and h.foreign and "fine_tune" not in kinds_of(h):  # which begins where others end
            level, gain = _averaged(raw).at(loss.steps), BOUNDS["little"].value
            first, jump = float(np.median(raw.values[:5])), float(np.median(np.abs(np.diff(raw.values))))
            start = first if first > level[0] + BOUNDS["fall"].value * jump else float(level[0])
        gained = Series(loss.steps, 1 - level / start)
        return _flat(
            h,
            "loss",
            gained,
            0.05,
            "the loss has fallen by only {value} of its first value and has stopped falling (healthy: above {against})",
            gain,
        )
    return Unknown("the explained variance of reconstructions, or a held-out loss")


def _only(h: History) -> Series | None:
    """Return the only column of a log, which is judged if it never changes, whatever it means."""
    names = [n for n in h.signals if n.startswith("other/")]
    return h.get(names[0], least=8) if len(names) == len(h.signals) == 1 else None


def _averaged(loss: Series) -> Series:
    """Return the mean over the last twelfth of the readings, at every reading."""
    wide = max(3, len(loss) // 12)
    summed = np.concatenate([np.zeros(1), np.cumsum(loss.values)])
    means = (summed[wide:] - summed[:-wide]) / wide
    return Series(loss.steps, np.concatenate([np.repeat(means[0], wide - 1), means]))


def _noisy(loss: Series) -> bool:
    return float(np.median(np.abs(np.diff(loss.values)))) > BOUNDS["noisy"].value * abs(float(np.median(loss.values)))


def _flat(
    h: History, name: str, level: Series, learned: float, said: str, gain: float = BOUNDS["gain"].value
) -> Judgement:
    then = level.at(level.steps - BOUNDS["window"].value * h.budget)
    flat = (level.values - np.nan_to_num(then, nan=-np.inf)) < gain
    reached = np.maximum.accumulate(level.values)  # what was learned once and lost is no plateau
    grown_up = level.steps - h.first >= BOUNDS["young"].value
    if h.facts.get("log"):  # whose steps may be epochs
        grown_up |= np.arange(len(level)) >= BOUNDS["many"].value
    bad = flat & (reached < learned) & grown_up
    stretch = persistent(level.steps, bad, int(BOUNDS["readings"].value))
    if stretch is None:
        return None
    scatter = float(np.median(np.abs(np.diff(level.values)))) / 0.95
    certainty = float(reached[-1]) * np.sqrt(
        max(3, len(level) // 10)
    )  # a loss with an offset gains little of its value
    doubtful = h.foreign and name == "loss" and certainty > BOUNDS["gained"].value * scatter
    # a noisy loss of a model of unknown kind: one that was trained before begins where others end
    doubtful |= gain > BOUNDS["gain"].value and not kinds_of(h)
    return observation(stretch, "suspect" if doubtful else "sick", evidence(name, level, stretch, learned, said))


def _constant(loss: Series) -> Judgement:
    """Detect the loss of a log that has been one number for several readings without having fallen."""
    last = loss.values[-1]
    same = np.abs(loss.values - last) <= BOUNDS["constant"].value * abs(last)
    stretch = persistent(loss.steps, same, int(BOUNDS["equal"].value))
    if (
        stretch is None
        or (stretch.first == 0 and len(loss) < 8)
        or last < (1 - BOUNDS["learned"].value) * loss.values[0]
    ):
        return None
    moves = float(np.ptp(loss.values[stretch.first :]))
    fell = float(loss.values[0] - last)
    return observation(
        stretch,
        "suspect" if fell > BOUNDS["converged"].value * moves and stretch.first > 1 else "sick",
        evidence("loss", loss, stretch, float(loss.values[0]), "the loss stays at {value}; it began at {against}"),
    )


def _one_answer(h: History) -> Judgement:
    """Detect an accuracy that is the same in all readings: the same class is given for every input."""
    held = h.get("validation/accuracy", least=8)
    if held is None or np.ptp(held.values) > 0:
        return None
    whole = 100.0 if held.last > 1 else 1.0  # percent, or a share
    if held.last >= BOUNDS["chance"].value * whole:
        return None
    stretch = persistent(held.steps, held.values == held.last, int(BOUNDS["equal"].value))
    assert stretch is not None
    said = "the held-out accuracy is {value} in all readings, so the same answer is given to every input"
    return observation(stretch, "sick", evidence("validation/accuracy", held, stretch, held.last, said))


SYMPTOM = Symptom(
    name="plateau",
    title="plateau near the level of predicting the mean",
    what="Quality has stopped improving at the level of predicting the mean. A run that has converged does not count.",
    measured="Explained variance of held-out data, or the loss over its first value, and its gain over a fifth of the planned steps.",
    bounds=BOUNDS,
    detect=detect,
    speed="fast",
    advice="check that inputs and targets belong together, then try a learning rate 3 times higher and 3 times lower",
)
