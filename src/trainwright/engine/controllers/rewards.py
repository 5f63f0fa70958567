"""States and rewards of the Q-controller in the video VAE-GAN guide's program: pure functions of loss histories.

A history is a list of readings whose last one is the newest. "Before" is the median without the newest. A gain is before minus now.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

EPS = 1e-5
SCALES = {
    "g_total": 1.0,
    "d_total": 0.5,
    "reconstruction": 0.1,
    "kl": 50.0,
    "quality": 1.0,
}  # scale of a trend where the median is near 0
TREND = (-0.15, -0.02, 0.02, 0.15)
STEADY = 2  # the bin in the middle
ALL = ("g_total", "d_total", "reconstruction", "kl", "adversarial", "d_real", "d_fake", "quality")
EXTREME, WORST = 500.0, 100.0
Histories = Mapping[str, Sequence[float]]
Roles = Iterable[str]
State = tuple[int, ...]


def below(value: float, edges: Sequence[float]) -> int:
    """Return the bin of a value: the number of edges that it exceeds."""
    return sum(value > edge for edge in edges)


def trend(history: Sequence[float], scale: float) -> int:
    """Return 0 (falls much) to 4 (rises much) for the newest reading compared with the median of all."""
    now, median = history[-1], float(np.median(history))
    size = abs(median)
    if size < 0.1 * scale:
        size = max(abs(now), 0.1 * scale)
    return below((now - median) / (size + EPS), TREND)


def exploring(epsilon: float, least: float, start: float) -> int:
    """Return the bin of the share of random choices."""
    return below(epsilon, (2 * least, 0.6 * start))


def generator_state(h: Histories, lambda_kl: float, explored: int, roles: Roles = ALL) -> State | None:
    """Return (1, trends of G, D and reconstruction, KL flag, adversarial bin, exploration bin).

    None if a loss that the family has is missing or not finite. Losses that it does not have (``roles``) count as steady.
    """
    if not _known(h, {"g_total", "reconstruction", "kl", "adversarial", "d_total"} & {*roles, "g_total"}):
        return None
    flag = 0
    if "reconstruction" in h and "kl" in h:
        rec, kl = h["reconstruction"][-1], h["kl"][-1]
        if lambda_kl * kl > 5 * rec and rec > 0.10 and lambda_kl > 5e-4:
            flag = 1
        elif kl > 150 and rec > 0.15 and lambda_kl > 0.005:
            flag = 2
    trends = (_trend(h, name) for name in ("g_total", "d_total", "reconstruction"))
    return (1, *trends, flag, _bin(h, "adversarial", (0.3, 0.6, 1.0)), explored)


def discriminator_state(h: Histories, explored: int, roles: Roles = ALL) -> State | None:
    """Return (0, trends of D and G, bins of D, D_fake / D_real and adversarial loss, exploration bin).

    None as in :func:`generator_state`. The bins are of cross-entropies, so without ``d_real`` and ``d_fake`` (a Wasserstein critic)
    only trends are used.
    """
    if not _known(h, {"d_total", "g_total", "d_real", "d_fake", "adversarial"} & {*roles, "d_total"}):
        return None
    bins = (0, 0, 0)
    if "d_real" in h and "d_fake" in h:
        ratio = h["d_fake"][-1] / (h["d_real"][-1] + EPS)
        bins = (
            below(h["d_total"][-1], (0.35, 0.65, 0.85)),
            below(ratio, (0.8, 1.2, 2.0)),
            _bin(h, "adversarial", (0.2, 0.5)),
        )
    return (0, _trend(h, "d_total"), _trend(h, "g_total"), *bins, explored)


def kl_state(h: Histories, lambda_kl: float, explored: int, roles: Roles = ALL) -> State | None:
    """Return (2, trends of reconstruction, KL and quality, bins of the KL weight and of D, exploration bin).

    None as in :func:`generator_state`.
    """
    if not _known(h, {"reconstruction", "kl", "quality"} & {*roles, "kl"}):
        return None
    trends = (_trend(h, "reconstruction"), _trend(h, "kl"), _trend(h, "quality"))
    d = _bin(h, "d_total", (0.35, 0.65, 0.85))
    return (2, *trends, below(lambda_kl, (5e-4, 5e-3, 0.05)), d, explored)


def generator_reward(h: Histories, lambda_kl: float) -> float:
    """Return the reward of the generator's last factors, before :func:`bounded`, from the losses that exist."""
    found, seen = _extremes(h)
    if "reconstruction" in h:
        rec = seen["reconstruction"]
        before = _before(h["reconstruction"])
        weight = 1 + math.log(1 + 20 * max(0.0, rec - 0.02))
        found += 2.5 * math.tanh((before - rec) / (abs(before) + 0.01 + EPS) * weight)
        if "kl" in h and seen["kl"] > 100 and lambda_kl >= 5e-4 and rec > 0.1:
            found -= 0.3 * min(1.0, (seen["kl"] - 100) / 200)
    if "adversarial" in h:
        found += 1.2 * math.tanh(_gain(h["adversarial"], seen["adversarial"]))
    if "adversarial" in h and "d_total" in h:  # cross-entropies
        if 0.4 < seen["d_total"] < 0.75:
            found += 0.3
        elif seen["d_total"] <= 0.3:
            found -= 0.45
    return found + 0.1 * math.tanh(_gain(h["g_total"], seen["g_total"]))


def discriminator_reward(h: Histories) -> float:
    """Return the reward of the discriminator's last factors, before :func:`bounded`.

    For a Wasserstein critic only its own loss is used.
    """
    found, seen = _extremes(h)
    d = seen["d_total"]
    if "d_real" in h and "d_fake" in h:
        if 0.4 < d < 0.65:
            found += 1.5
        elif d < 0.3:
            found -= 0.75
        elif d > 0.8:
            found -= 1.125
        if seen["d_real"] < 0.3:
            found += 0.7 * (0.3 - seen["d_real"]) / 0.3
        adversarial = seen.get("adversarial", math.nan)
        if seen["d_fake"] < 0.3 and adversarial > 0.4:
            found += 0.7 * (0.3 - seen["d_fake"]) / 0.3
        if adversarial < 0.25:
            found -= 0.3
    return found + 0.1 * math.tanh(_gain(h["d_total"], d))


def kl_reward(h: Histories, lambda_kl: float) -> float:
    """Return the reward of the KL weight's last factor, before :func:`bounded`.

    Held-out quality weighs most, then reconstruction, then a KL that falls where it is large.
    """
    found, seen = _extremes(h)
    rec, kl = seen.get("reconstruction", 0.0), seen["kl"]
    if "quality" in h:
        found += 2 * math.tanh(5 * (h["quality"][-1] - _before(h["quality"])))
    if "reconstruction" in h:
        found += 1.5 * math.tanh(10 * (_before(h["reconstruction"]) - rec))
    if kl > 100:
        found += math.tanh((_before(h["kl"]) - kl) / 50)
    elif kl < 20 and rec > 0.05:
        found -= 0.5
    if "d_total" in h:
        change = abs(h["d_total"][-1] - _before(h["d_total"]))
        found -= 0.5 * change / 0.2 if change > 0.2 else 0.0
    return found - (0.5 if lambda_kl > 0.5 and rec > 0.15 else 0.0)


def bounded(reward: float, earlier: Sequence[float], most: float = 2.0) -> float:
    """Return the reward, reduced if rewards oscillate, clipped to ± ``most``; ``earlier`` are the rewards before it."""
    last = [*earlier, reward][-5:]
    if len(last) == 5:
        swings = sum(a * b < 0 and min(abs(a), abs(b)) > 0.05 for a, b in zip(last, last[1:], strict=False))
        if swings >= 2:
            reward -= 0.25 * swings / 5
    return max(-most, min(most, reward))


def _before(history: Sequence[float]) -> float:
    return float(np.median(history[:-1]))


def _gain(history: Sequence[float], now: float) -> float:
    before = _before(history)
    return (before - now) / (abs(before) + EPS)


def _trend(h: Histories, name: str) -> int:
    return trend(h[name], SCALES[name]) if name in h else STEADY


def _bin(h: Histories, name: str, edges: Sequence[float]) -> int:
    return below(h[name][-1], edges) if name in h else 0


def _known(h: Histories, names: Iterable[str]) -> bool:
    return all(name in h and math.isfinite(h[name][-1]) for name in names)


def _extremes(h: Histories) -> tuple[float, dict[str, float]]:
    """Return the penalty for extreme losses, and the newest readings with extreme values clipped."""
    cost, seen = 0.0, {}
    for name, history in h.items():
        value = history[-1]
        if name == "quality":
            continue
        if not math.isfinite(value):
            cost, value = cost - 3.75, WORST
        elif abs(value) > EXTREME:
            cost, value = cost - 0.75 * abs(value) / EXTREME, math.copysign(EXTREME, value)
        seen[name] = value
    return cost, seen
