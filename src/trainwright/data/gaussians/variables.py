"""Optimised variables of each Gaussian in two parameterisations, and their conversion to shapes and sets.

Both hold x, y in pixels, three shape numbers and the colour:

* ``inverse_scale`` (Image-GS): 1/σ₁, 1/σ₂ in pixel⁻¹ and θ, which starts at 0 and is not bounded. The same Gaussian has many
  descriptions: θ + π, and the two scales swapped with θ + π/2; a round one has any θ.
* ``log_covariance``: l = ln √(σ₁σ₂) and (p, q) = ln(σ₁/σ₂)·(cos 2θ, sin 2θ), so that ln Σ = 2l·I + [[p, q], [q, -p]]. Each Gaussian has
  one description, and near-round ones have p and q near 0: nothing jumps.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from trainwright.data.gaussians.render import Canvas

Variables = Literal["inverse_scale", "log_covariance"]
TINY = 1e-6


def begin(kind: Variables, places: Tensor, sigma: Tensor, colours: Tensor) -> Tensor:
    """Round Gaussians: places (B, N, 2) and sigma (B, N) in pixels, colours (B, N, C) -> (B, N, 5 + C)."""
    shape = torch.zeros(*places.shape[:2], 3).to(places)
    if kind == "inverse_scale":
        shape[..., :2] = 1 / sigma[..., None]
    else:
        shape[..., 0] = sigma.log()
    return torch.cat([places, shape, colours], -1)


def rates(kind: Variables, sigma: float, channels: int) -> Tensor:
    """(5 + C,): Adam's step of each variable, in proportion to the first size; chosen by trial on 64-pixel images."""
    shape = [0.03 / sigma, 0.03 / sigma, 0.05] if kind == "inverse_scale" else [0.03, 0.04, 0.04]
    return torch.tensor([0.3 * sigma, 0.3 * sigma, *shape, *[0.02] * channels])


def shapes(kind: Variables, values: Tensor) -> Tensor:
    """(B, N, 5): x, y in pixels and a, b, c of Σ⁻¹, as :func:`trainwright.data.gaussians.render.geometry` gives."""
    if kind == "inverse_scale":
        first, second = values[..., 2] ** 2, values[..., 3] ** 2
        cos, sin = torch.cos(2 * values[..., 4]), torch.sin(2 * values[..., 4])
        mean, half = (first + second) / 2, (first - second) / 2
        inverse = [mean + half * cos, half * sin, mean - half * cos]
    else:
        size, p, q = values[..., 2:5].unbind(-1)
        ratio = (p * p + q * q + TINY**2).sqrt()
        scale, cosh, slope = torch.exp(-2 * size), torch.cosh(ratio), torch.sinh(ratio) / ratio
        inverse = [scale * (cosh - slope * p), -scale * slope * q, scale * (cosh + slope * p)]
    return torch.cat([values[..., :2], torch.stack(inverse, -1)], -1)


def bound(kind: Variables, values: Tensor, widest: float) -> Tensor:
    """Keep σ below ``widest`` pixels, since a Gaussian that covers everything would be part of every tile."""
    values = values.clone()
    if kind == "inverse_scale":
        values[..., 2:4] = values[..., 2:4].clamp_min(1 / widest)
    else:
        values[..., 2] = values[..., 2].clamp_max(math.log(widest))
    return values


def to_sets(kind: Variables, values: Tensor, canvas: Canvas) -> Tensor:
    """(B, N, 5 + C) sets as :mod:`trainwright.data.gaussians.render` defines them; the description is kept, not made canonical."""
    if kind == "inverse_scale":
        logs, angle = -values[..., 2:4].abs().clamp_min(TINY).log(), values[..., 4:5]
    else:
        size, p, q = values[..., 2:5].unbind(-1)
        half = (p * p + q * q).sqrt() / 2
        logs = torch.stack([size + half, size - half], -1)
        angle = (torch.atan2(q, p) / 2)[..., None]
    return torch.cat([values[..., :2] / canvas.size(values), logs, angle, values[..., 5:]], -1)
