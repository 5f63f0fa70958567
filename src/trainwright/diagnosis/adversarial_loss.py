"""Inference of the kind of adversarial loss from logged values, only where they identify it clearly.

The rules use four losses: ``f`` and ``r``, the discriminator's on samples and on real data, their sum ``d``, and the generator's ``g``.

- A cross-entropy is never negative, and an untrained discriminator's is near ln 2 per term. For the non-saturating loss
  exp(-f) + exp(-g) <= 1 (Jensen), hence f + g >= 2 ln 2 for any two networks.
- A hinge loss ``d`` is never negative and starts near 2 (near 1 if it is a mean). Its ``g`` is a raw score, so it takes both signs,
  and f + g is near 1 while the margin is not reached.
- Least squares has f + g near 1/2 to 1.
- A Wasserstein critic's loss is negative for long. So is a cross-entropy that is maximised, but that one is never positive.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trainwright.diagnosis.history import Series

Kind = Literal["wasserstein", "bce", "hinge"]
LN2 = float(np.log(2))
LEAST = 4  # readings needed for an answer
LOSES = 3.0  # cross-entropy of a generator whose samples are recognised
CERTAIN = 1.3  # slightly below 2 ln 2: the discriminator is updated between the two losses


@dataclass(frozen=True)
class AdversarialLoss:
    """Properties of an adversarial loss, as far as they are known.

    Attributes:
        kind: kind of loss; None if the values do not identify it.
        terms: number of cross-entropies in the sum ``discriminator/loss``; None if uncertain.
        terms_are_losses: False if ``discriminator/real`` and ``/fake`` hold scores.
        estimate: the Wasserstein estimate, if scores are logged and agree with the loss.
    """

    kind: Kind | None = None
    terms: int | None = None
    terms_are_losses: bool = True
    estimate: Series | None = None


def infer_adversarial_loss(signals: Mapping[str, Series], said: Kind | None = None) -> AdversarialLoss:
    """Infer the kind of loss; ``said`` is the kind that the user declared, if any."""
    real, fake = signals.get("discriminator/real"), signals.get("discriminator/fake")
    d = signals.get("discriminator/loss") or signals.get("critic/loss")
    g = signals.get("generator/adversarial") or signals.get("generator/loss")
    if real is None or fake is None:
        kind, terms = _of_sum(d, g)
        if said is not None:
            terms = terms if kind == said else None
        return AdversarialLoss(said or kind, terms if (said or kind) == "bce" else None)
    if said == "bce" or (said is None and _entropies(real, fake, g)):
        return AdversarialLoss("bce", 2)
    if said is None and _squares_won(real, fake, g):
        return AdversarialLoss(None, None)
    scores = bool((_finite(real) < 0).any() or (_finite(fake) < 0).any())
    kind = said or _of_sum(d, g)[0]
    if kind == "wasserstein" and d is not None:
        return AdversarialLoss(kind, None, False, _estimate(d, real, fake))
    return AdversarialLoss(kind if kind != "bce" else None, None, not scores and kind == "hinge")


def _entropies(real: Series, fake: Series, g: Series | None) -> bool:
    """True if two series are cross-entropies on real data and on samples."""
    r, f = _finite(real), _finite(fake)
    if min(len(r), len(f)) < LEAST or min(r.min(), f.min()) < 0:
        return False
    if g is not None and _won(real, fake, g):
        return True
    if not _from_the_start(real):
        return False
    r0, f0 = float(np.median(r[:3])), float(np.median(f[:3]))
    if g is None:
        return abs(r0 + f0 - 2 * LN2) < 0.15 and min(r0, f0) > 0.4
    both = _finite(Series(fake.steps, fake.values + g.at(fake.steps)))
    if len(both) < LEAST or _finite(g).min() < 0:
        return False
    begins = any(0.3 < start < 1.75 for start in (r[0] + f[0], r0 + f0))
    return bool(begins and both[:3].min() > CERTAIN and np.mean(both > CERTAIN) > 0.95)


def _won(real: Series, fake: Series, g: Series) -> bool:
    """True if both series are near 0 where the generator loses. Of two probabilities, the one of real data would be near 1."""
    at = g.at(real.steps)
    lost = np.isfinite(at) & (at > LOSES)
    both = fake.at(real.steps) + at
    if lost.sum() < 2 * LEAST or _finite(g).min() < 0:
        return False
    return bool(np.median(real.values[lost]) < 0.3 and np.mean(both[np.isfinite(both)] > CERTAIN) > 0.95)


def _squares_won(real: Series, fake: Series, g: Series | None) -> bool:
    """True for squared errors of a discriminator that is always right: both terms are 0, and the generator's is 1."""
    if g is None or min(len(real), len(fake), len(g)) < 2 * LEAST:
        return False
    r, f, other = (s.values[len(s) // 2 :] for s in (real, fake, g))
    if min(r.min(), f.min(), other.min()) < 0:
        return False
    return bool(np.median(r) < 0.02 and np.median(f) < 0.02 and abs(np.median(other) - 1) < 0.02)


def _of_sum(d: Series | None, g: Series | None) -> tuple[Kind | None, int | None]:
    """Infer kind and number of terms from the discriminator's total loss and the generator's."""
    values = _finite(d)
    if d is None or len(values) < LEAST:
        return None, None
    if np.mean(values < -1e-3) > 0.2:
        return (None if _maximised(values) else "wasserstein"), None
    others = _finite(g)
    if values.min() < 0 or len(others) < LEAST:
        return None, None
    early = _from_the_start(d)
    d0, g0 = float(np.median(values[:3])), float(np.median(others[:3]))
    if np.sum(others < -0.05) >= 2 and np.sum(others > 0.05) >= 2 and np.quantile(values, 0.95) < 2.5:
        return "hinge", None
    if not early:
        return None, None
    if 1.75 < d0 < 2.15 and abs(g0) < 0.6:
        return "hinge", None
    if others.min() < 0:
        return None, None
    for first, begin in ((values[0], others[0]), (d0, g0)):
        if 1.15 < first < 2.1 and 0.55 < begin < 10 and _possible(d, g, 2):
            return "bce", 2
        if 0.6 < first < 0.8 and 0.55 < begin < 1.1 and _possible(d, g, 1):
            return "bce", 1
    return None, None


def _possible(d: Series, g: Series | None, terms: int) -> bool:
    """True if cross-entropies can have these values.

    With d = r + f they satisfy f >= -log(1 - exp(-g)), and r is usually not much smaller than f.
    """
    at = g.at(d.steps) if g is not None else np.full(len(d), np.nan)
    both = np.isfinite(at) & np.isfinite(d.values)
    least = -np.log1p(-np.exp(-np.maximum(at[both], 1e-6)))
    whole = d.values[both] * (2 if terms == 1 else 1)
    if both.sum() < LEAST:
        return False
    least = np.maximum(least, 1e-12)
    return bool(np.mean(whole < 0.8 * least) < 0.05 and np.median(whole / least) > 1.3)


def _estimate(d: Series, real: Series, fake: Series) -> Series | None:
    """Compute E D(x) - E D(G(z)) from scores, if exactly one combination fits the loss up to a penalty."""
    r, f, whole = real.values, fake.at(real.steps), d.at(real.steps)
    ways = [f - r, r + f, r - f]
    with np.errstate(invalid="ignore"):
        scale = float(np.nanmedian(np.abs(whole))) + 1e-9
        left = [whole - way for way in ways]
        exact = [i for i, rest in enumerate(left) if np.nanmax(np.abs(rest)) < 1e-3 * scale]
        fits = exact or [i for i, rest in enumerate(left) if np.nanmin(rest) > -0.02 * scale]
    return Series(real.steps, -ways[fits[0]]) if len(fits) == 1 else None


def _maximised(values: np.ndarray) -> bool:
    """True for log D(x) + log(1 - D(G(z))), the minimax value: never positive, starting at -2 ln 2 or -ln 2."""
    start = float(np.median(values[:3]))
    return bool(values.max() <= 1e-6 and min(abs(start + 2 * LN2), abs(start + LN2)) < 0.3)


def _from_the_start(series: Series) -> bool:
    """True if the log starts at the first steps of training."""
    return len(series) > 1 and series.steps[0] <= 2 * float(np.median(np.diff(series.steps))) + 1


def _finite(series: Series | None) -> np.ndarray:
    return np.empty(0) if series is None else series.values[np.isfinite(series.values)]
