"""Diverging: a loss leaves its best value for good, though not by orders of magnitude."""

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
    smooth,
    thin,
)
from trainwright.diagnosis.history import History, Series
from trainwright.diagnosis.kinds import kinds_of

BOUNDS = {
    "rise": Bound(0.3, "rise of the smoothed loss above its best value, over the larger of that value and the gain so far", "ours"),
    "noise": Bound(6.0, "the same rise over the scatter of its readings", "ours"),
    "far": Bound(1.0, "rise over the best value, above which the run is sick and not suspect", "ours"),
    "lasting": Bound(0.2, "share of the readings so far for which the loss has stayed there", "ours"),
    "readings": Bound(5, "consecutive readings, at least", "ours"),
    "least": Bound(12, "readings before a loss is judged", "ours"),
    "shift": Bound(3.0, "smallest of at least five readings to the end over the largest before: a jump, however short the log", "ours"),
    "held": Bound(0.2, "rise of a held-out loss above its best for half of its readings, while training does not improve", "ours"),
    "not_falling": Bound(0.1, "training loss above its lowest, from which it does not improve", "ours"),
    "quality": Bound(0.5, "rise of FID or KID over its best value", "ours; StudioGAN logs above it are called degraded"),
}  # fmt: skip
LOSSES = ("loss", "vae/loss", "reconstruction/weighted")
QUALITY = ("samples/fid", "samples/kid")
SHORT, LASTS = 6, 5  # readings of a log, and after a jump
GROWING = ("weight/", "kl/")  # a total rises with the weight of its terms


def detect(h: History) -> Judgement:
    """Detect a training loss that has been far above its own best value for long; adversarial losses may rise and are left out."""
    worse = next((f for n in QUALITY if (f := _worse(h, n)) is not None), None)
    worse = worse or (_held(h) if h.foreign else None)
    if worse is not None:
        return worse
    known = [n for n in (*LOSSES, *_others(h)) if len(h.signals.get(n, ())) >= SHORT]
    if "adversarial" in kinds_of(h):
        known = [n for n in known if n == "reconstruction/weighted"]
    if any(n.startswith(GROWING) for n in h.signals):
        known = [n for n in known if n not in ("loss", "vae/loss")]
    if not known:
        return Unknown("a loss over at least 12 readings")
    found = [f for n in known if (f := _risen(n, thin(h.signals[n]))) is not None]
    for rule in (_jumped, _rising) if h.foreign else ():
        if not found:
            found = [f for n in known if (f := rule(n, thin(h.signals[n]))) is not None]
    return max(found, key=lambda f: f.severity == "sick") if found else None


def _others(h: History) -> list[str]:
    """Return columns of a log that are losses by their name, though it is not known of what."""
    return [n for n, _ in h.match("other/") if "loss" in n.lower()]


def _worse(h: History, name: str, bound: float = BOUNDS["quality"].value, least: int = 2) -> Observation | None:
    """Return that a measure of quality has been well above its best value for several readings to the end."""
    series = h.get(name, least=4)
    if series is None:
        return None
    best = np.minimum.accumulate(series.values)
    stretch = persistent(series.steps, series.values > (1 + bound) * best, least)
    if stretch is None:
        return None
    said = f"{name} has been at {{value}} since step {stretch.onset:.0f}; its best value was {{against}}"
    return observation(stretch, "sick", evidence(name, series, stretch, float(best[-1]), said))


def _held(h: History) -> Observation | None:
    """Return that a held-out loss has been above its best value for half of its readings, while the training loss does not fall."""
    held, trained = h.get("validation/loss", least=8), h.get("loss", least=4)
    if held is None or trained is None:
        return None
    below = smooth(trained.values, min(5, len(trained) // 2))
    if below[-1] <= (1 + BOUNDS["not_falling"].value) * below.min() or below.min() <= 0:
        return None  # overfitting, if anything
    return _worse(h, "validation/loss", BOUNDS["held"].value, max(4, len(held) // 2))


def _jumped(name: str, series: Series) -> Observation | None:
    """Return that all readings after a step are far above all before it."""
    values = series.values
    if values.min() <= 0 or len(values) < SHORT:
        return None
    before = np.maximum.accumulate(values)[:-1]
    after = np.minimum.accumulate(values[::-1])[::-1][1:]
    ratio = after / before
    ratio[len(values) - LASTS :] = 0  # too few after it
    place = int(np.argmax(ratio))
    if ratio[place] < BOUNDS["shift"].value:
        return None
    stretch = Stretch(
        float(series.steps[place + 1]),
        float(series.steps[place + LASTS]),
        float(series.steps[-1]),
        place + 1,
        len(values) - 1,
    )
    said = f"{name.removeprefix('other/')} jumped to {{value}} at step {stretch.onset:.0f}; it was at most {{against}} before"
    return observation(stretch, "sick", evidence(name, series, stretch, float(before[place]), said))


def _rising(name: str, series: Series) -> Observation | None:
    """Return that the newest readings each lie above the one before, up to a multiple of the best value."""
    values = series.values
    falls = np.flatnonzero(np.diff(values) <= 0)
    first = int(falls[-1]) + 1 if len(falls) else 0
    climbed = len(values) - 1 - first
    best = float(values.min())
    if best <= 0 or first == 0 or climbed < LASTS or values[-1] < BOUNDS["shift"].value * best or len(values) < SHORT:
        return None
    stretch = Stretch(
        float(series.steps[first + 1]),
        float(series.steps[first + LASTS]),
        float(series.steps[-1]),
        first + 1,
        len(values) - 1,
    )
    what = f"{name.removeprefix('other/')} has risen with every reading since step {stretch.onset:.0f}"
    said = f"{what}, to {values[-1]:.3g}; its best value was {{against}}"
    return observation(stretch, "suspect", evidence(name, series, stretch, best, said))


def _risen(name: str, series: Series) -> Observation | None:
    values = series.values
    if len(values) < BOUNDS["least"].value:
        return None
    level = smooth(values, 2 * (len(values) // 50) + 3)
    best = np.minimum.accumulate(level)
    before = np.maximum.accumulate(level)
    scatter = float(np.median(np.abs(np.diff(values)))) / 0.95
    scale = np.maximum(np.abs(best), 0.5 * (before[0] - best))
    rise = level - best
    bad = (rise > BOUNDS["rise"].value * scale) & (rise > BOUNDS["noise"].value * scatter)
    least = max(int(BOUNDS["readings"].value), int(BOUNDS["lasting"].value * len(values)))
    stretch = persistent(series.steps, bad, least)
    if stretch is None:
        return None
    lowest = float(best[-1])
    far = float(np.median(level[stretch.first :])) - lowest > BOUNDS["far"].value * abs(lowest)
    said = f"{name.removeprefix('other/')} has been at {{value}} since step {stretch.onset:.0f}; its best value was {{against}}"
    return observation(stretch, "sick" if far else "suspect", evidence(name, series, stretch, lowest, said))


SYMPTOM = Symptom(
    name="diverging",
    title="a loss that has left its best value",
    what="A training loss rises well above its best value and does not come back. The weights of its best step are the better ones.",
    measured="Rise of the smoothed loss above its lowest value so far, relative to that value and to its own scatter, for a fifth "
    "of the readings. Losses of GANs are not judged: they may rise in a healthy run.",
    bounds=BOUNDS,
    detect=detect,
    speed="fast",
    advice="go back to the checkpoint of the best step, divide the learning rate by 3, and clip the norm of the gradient",
    explains=("worse_than_baseline", "plateau", "slow", "oscillation", "overfitting"),
)
