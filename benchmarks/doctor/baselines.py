"""Baselines on the same runs: rules of the guides, loss-only rules with published thresholds, and a decision tree.

Each gets the run up to the steps at which the doctor examined it, and no signals that need a probe.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.doctor.settings import Setting
from trainwright.diagnosis.history import History, Series

Said = tuple[str, ...]  # symptoms


def losses(h: History) -> dict[str, Series]:
    """Return the plain loss curves that any loop has: d, g or loss."""
    found: dict[str, Series] = {}
    real, fake = h.get("discriminator/real"), h.get("discriminator/fake")
    if real is not None and fake is not None:
        found["d"] = Series(real.steps, real.values + fake.at(real.steps))
    elif (critic := h.get("critic/loss")) is not None:
        found["d"] = critic
    if (g := h.get("generator/loss")) is not None:
        found["g"] = g
    if (loss := h.get("vae/loss", "loss")) is not None:
        found["loss"] = loss
    if (val := h.get("validation/loss")) is not None:
        found["val"] = val
    if (kl := h.get("kl/nats")) is not None:
        found["kl"] = kl
    return found


def guides(h: History) -> Said:
    """Apply the five guides' rules as written; where a guide names no number, ours stands in the comment."""
    found, raw = [], losses(h)
    bce = h.get("discriminator/real") is not None
    d, g = raw.get("d"), raw.get("g")
    for series in raw.values():
        if not np.isfinite(series.values).all() or abs(series.last) > 1e6:  # "goes to ±inf", "NaN/Inf"
            found.append("exploding")
    if d is not None and len(d) >= 10:
        last = d.values[-10:]
        if not bce and np.all(last < -10):  # "large negative number and stays there" (no number: -10)
            found.append("critic_dominance")
        if not bce and np.all(last > 10):  # "large positive number" (no number: 10)
            found.append("generator_dominance")
        if bce and np.all(np.abs(last / 2 - math.log(2)) < 0.02):  # "stays at about 0.69"
            found.append("discriminator_guessing")
        if bce and np.all(last / 2 < 0.1):  # "goes to zero and stays there" (no number: 0.1)
            found.append("critic_dominance")
        if (
            np.ptp(last) > 2 * abs(float(np.median(d.values)))
            and g is not None
            and np.ptp(g.values[-10:]) > 2 * abs(float(np.median(g.values)))
        ):
            found.append("oscillation")  # "both losses oscillate wildly" (no number: twice the level)
    if g is not None and len(g) >= 10:
        last = g.values[-10:]
        if bce and np.all(last < 0.05):  # "generator loss goes to zero"
            found.append("generator_dominance")
        if (
            not bce and np.all(last < -10) and np.std(last) < 0.1 * abs(float(np.mean(last)))
        ):  # "g_loss very negative and stable"
            found.append("mode_collapse")
    diversity = h.get("samples/diversity_ratio")
    if (
        diversity is not None and len(diversity) >= 2 and np.all(diversity.values[-2:] < 0.1)
    ):  # "pairwise_mse_mean low or trending to 0"
        found.append("mode_collapse")
    kl = raw.get("kl")
    latent = h.number("latent_dim") or 1
    if (
        kl is not None and len(kl) >= 10 and np.all(kl.values[-10:] / latent < 0.1)
    ):  # "KL collapsed" at 0.06 to 0.07, a mean over dimensions
        found.append("posterior_collapse")
    groups = [s for n, s in h.match("vae/") if n in ("xy", "scale", "rot", "feat") and len(s) >= 10]
    if groups:  # "0.1 for places and 1.2 for rotation"
        progress = [float(np.mean(s.values[-10:])) / max(float(np.mean(s.values[:3])), 1e-9) for s in groups]
        if max(progress) / max(min(progress), 1e-9) > 3:
            found.append("loss_imbalance")
    return tuple(dict.fromkeys(found))


def published(h: History) -> Said:
    """Apply tests of AutoTrainer and SageMaker Debugger for loss curves and gradient norms, with published thresholds."""
    found, raw = [], losses(h)
    for name, series in raw.items():
        values = series.values
        if not np.isfinite(values).all() or np.abs(values[-1]) >= 1e3:  # AutoTrainer: any loss of 1e3
            found.append("exploding")
        elif name in ("loss", "d", "g") and len(values) >= 20:
            half = values[: len(values) // 2]
            if name == "loss" and np.mean(values[-5:]) >= np.mean(half[:5]) * 0.99:  # SageMaker: LossNotDecreasing
                found.append("plateau")
            swings = np.abs(np.diff(values[-20:])) / max(abs(float(np.mean(values[-20:]))), 1e-9)
            if (
                np.mean(swings >= 0.03) >= 0.2 and np.mean(np.diff(np.sign(np.diff(values[-20:]))) != 0) > 0.5
            ):  # AutoTrainer's oscillation
                found.append("oscillation")
    loss, val = raw.get("loss"), raw.get("val")
    if (
        loss is not None
        and val is not None
        and len(val) > 3
        and (val.last - loss.last) / max(abs(loss.last), 1e-9) > 0.1
    ):
        found.append("overfitting")  # SageMaker: (val - train) / train > 0.1
    for _, series in h.match("grad_norm/"):
        if len(series) > 2 and series.last < 1e-7:  # SageMaker: VanishingGradient
            found.append("frozen_network")
    return tuple(dict.fromkeys(found))


def features(h: History) -> list[float]:
    """Return twenty-one numbers of raw loss curves, for the tree."""
    raw, found = losses(h), []
    for name in ("d", "g", "loss"):
        series = raw.get(name)
        values = series.values[np.isfinite(series.values)] if series is not None else np.zeros(0)
        if len(values) < 4:
            found += [0.0] * 7
            continue
        tail, head = values[-max(3, len(values) // 5) :], values[: max(3, len(values) // 10)]
        scale = max(float(np.median(np.abs(values))), 1e-9)
        broken = float(series is not None and not np.isfinite(series.values).all())
        found += [
            float(np.mean(tail)),
            float(np.mean(head)),
            float(np.std(tail) / scale),
            float(np.max(np.abs(values)) / scale),
            float((np.mean(tail) - np.mean(head)) / scale),
            float(np.polyfit(np.arange(len(tail)), tail, 1)[0] / scale),
            broken,
        ]
    return [float(np.clip(x, -1e9, 1e9)) for x in found]


class Tree:
    """A decision tree of depth 5 on :func:`features`, fitted on the tuning half only."""

    def __init__(
        self, runs: list[tuple[Setting, dict[str, Any]]], history: Callable[[dict[str, Any]], History]
    ) -> None:
        from sklearn.tree import DecisionTreeClassifier

        rows, labels = [], []
        for setting, made in runs:
            whole = history(made)
            for share in (0.3, 0.6, 1.0):
                rows.append(features(whole.until(share * made["total"])))
                labels.append(setting.symptom or "healthy")
        self.model = DecisionTreeClassifier(max_depth=5, min_samples_leaf=3, random_state=0).fit(rows, labels)

    def __call__(self, h: History) -> Said:
        """Return its answer for a run so far."""
        said = str(self.model.predict([features(h)])[0])
        return () if said == "healthy" else (said,)
