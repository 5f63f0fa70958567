"""Vanishing losses: adversarial losses that are pinned to one value or vanish, so that nothing is learned from them."""

import numpy as np

from trainwright.diagnosis.definitions import (
    Bound,
    Judgement,
    Observation,
    Stretch,
    Symptom,
    Unknown,
    evidence,
    observation,
    persistent,
    thin,
    warmed_up,
)
from trainwright.diagnosis.history import History, Series

BOUNDS = {
    "moves": Bound(
        2e-3,
        "range of a loss over the last quarter of its readings, over its size: below it the loss is pinned",
        "ours",
    ),
    "alone": Bound(24, "readings of the discriminator's loss alone", "ours"),
    "digit": Bound(3e-4, "difference from the newest, over its size, below which a reading is the same", "ours"),
    "nothing": Bound(1e-3, "a loss below this vanishes", "ours"),
    "readings": Bound(4, "consecutive readings", "ours"),
    "warm_up": Bound(0.05, "share of the planned steps before the first judgement", "ours"),
}
GONE, FAR = 8, 10.0  # readings that are exactly 0, and the other loss beside them
PAIRS = (
    ("discriminator/loss", "generator/loss"),
    ("discriminator/loss", "generator/adversarial"),
    ("discriminator/term", "generator/adversarial"),
    ("critic/loss", "generator/loss"),
)


def detect(h: History) -> Judgement:
    """Detect that both adversarial losses are constant, or that the discriminator's is 0 and the generator's is constant."""
    for first, second in PAIRS:
        d, g = h.get(first, least=8), h.get(second, least=8)
        if d is None or g is None:
            continue
        pinned = _pinned(first, d, second, g) or _stands(h, first, d)
        if pinned is not None or min(len(d), len(g)) < 12:
            return pinned
        d, g = thin(d), thin(g)
        still = np.zeros(len(d), dtype=bool)
        other = g.at(d.steps)
        for i in range(8, len(d)):
            part = slice(max(0, i - max(6, i // 4)), i + 1)
            still[i] = _flat(d.values[part]) and _flat(other[part])
        late = d.steps > warmed_up(h, BOUNDS["warm_up"].value)
        stretch = persistent(d.steps, still & late, int(BOUNDS["readings"].value))
        if stretch is not None:
            return observation(
                stretch,
                "sick",
                evidence(first, d, stretch, 0.0, f"{first} stays at {{value}}"),
                evidence(second, g, stretch, 0.0, f"{second} stays at {{value}}"),
            )
        return None
    return Unknown("the losses of discriminator and generator")


def _pinned(first: str, d: Series, second: str, g: Series) -> Observation | None:
    """Return that one loss is 0 and the other stays at one number, which a few readings show."""
    for beside, zero, other in ((first, d, g), (second, g, d)):
        n = min(len(zero), len(other))
        begin = max(len(zero) - max(GONE, n // 3), 0)
        if n >= GONE and not zero.values[begin:].any() and float(np.min(other.values[-GONE:])) > FAR:
            stretch = Stretch(
                float(zero.steps[begin]), float(zero.steps[-1]), float(zero.steps[-1]), begin, len(zero) - 1
            )
            return observation(stretch, "sick", evidence(beside, zero, stretch, 0.0, f"{beside} is exactly {{value}}"))
    for name, still, beside, zero in ((second, g, first, d), (first, d, second, g)):
        begin = max(0, min(len(still), len(zero)) - 60)
        values, gone = still.values[begin:], zero.at(still.steps)[begin:]
        if not np.isfinite(gone).all() or np.median(np.abs(gone)) > BOUNDS["nothing"].value or abs(values[-1]) < 1:
            continue
        if np.max(np.abs(gone)) <= 10 * BOUNDS["nothing"].value and np.ptp(values) <= 1e-4 * abs(values[-1]):
            stretch = Stretch(
                float(still.steps[begin]), float(still.steps[-1]), float(still.steps[-1]), begin, len(still) - 1
            )
            return observation(
                stretch,
                "sick",
                evidence(beside, zero, stretch, 0.0, f"{beside} is {{value}}"),
                evidence(name, still, stretch, 0.0, f"{name} stays at {{value}}"),
            )
    return None


def _stands(h: History, name: str, d: Series) -> Observation | None:
    """Return that the discriminator's loss of a log is one number since long, whatever the generator's does beside it."""
    if not h.foreign or len(d) < BOUNDS["alone"].value or name.startswith("critic/"):
        return None
    least = max(int(BOUNDS["alone"].value) // 2, len(d) // 4)
    same = np.abs(d.values - d.last) <= BOUNDS["digit"].value * abs(d.last)
    stretch = persistent(d.steps, same, least)
    if stretch is None or stretch.first == 0 or not d.last:
        return None
    return observation(
        stretch, "suspect", evidence(name, d, stretch, 0.0, f"{name} stays at {{value}}, so it has stopped to learn")
    )


def _flat(values: np.ndarray) -> bool:
    values = values[np.isfinite(values)]
    if len(values) < 4:
        return False
    size = float(np.median(np.abs(values)))
    return bool(
        np.max(np.abs(values)) < BOUNDS["nothing"].value or np.ptp(values) < BOUNDS["moves"].value * max(size, 1e-12)
    )


SYMPTOM = Symptom(
    name="vanishing_losses",
    title="adversarial losses are pinned or vanish",
    what="Both adversarial losses stay at one value, so neither network learns from the other.",
    measured="Range of both losses over the last quarter of their readings.",
    bounds=BOUNDS,
    detect=detect,
    advice="start again from an earlier checkpoint, with the discriminator's learning rate divided by 4",
    speed="fast",
    kinds=("adversarial",),
    explains=(
        "critic_dominance",
        "mode_dropping",
        "mode_collapse",
        "blur",
        "colour_cast",
        "checkerboard",
        "off_data",
        "dead_critic",
        "plateau",
    ),
)
