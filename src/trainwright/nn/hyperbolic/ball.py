"""Exponential and logarithmic map at the origin of a Poincaré ball of curvature -c, and the projection into it.

geoopt has the same maps. In 32 bits it keeps points within 1 - 4e-3 of the radius, so tangents longer than 3.1 (c = 1) are cut off.
Here the limit is 1 - 1e-4, which 32 bits still resolve. Where both apply they agree (``tests/nn/test_hyperbolic.py``). Everything is
computed in at least 32 bits, regardless of autocast.
"""

import torch
from torch import Tensor

MARGIN = {
    torch.float32: 1e-4,
    torch.float64: 1e-9,
}  # share of the radius; a point nearer to the boundary is moved back to it
TINY = 1e-15


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype in MARGIN else x.float()


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(TINY)


def limit(x: Tensor) -> float:
    """Return the largest share of the radius at which a point of this dtype may lie."""
    return 1.0 - MARGIN[_wide(x).dtype]


def project(x: Tensor, c: Tensor) -> Tensor:
    """Move points outside of the ball (or nearer to its boundary than :func:`limit`) back along their radius.

    Args:
        x: (..., d) points.
        c: positive curvature, a scalar.
    """
    x = _wide(x)
    reach = limit(x) / c.sqrt()
    norm = _norm(x)
    return torch.where(norm > reach, x * (reach / norm), x)


def exp0(v: Tensor, c: Tensor) -> Tensor:
    """Map tangent vectors (..., d) at the origin to points of the ball, tanh(√c‖v‖) v / (√c‖v‖), never on its boundary."""
    v = _wide(v)
    length = c.sqrt() * _norm(v)
    return v * (torch.tanh(length).clamp_max(limit(v)) / length)


def log0(x: Tensor, c: Tensor) -> Tensor:
    """Invert :func:`exp0`, artanh(√c‖x‖) x / (√c‖x‖); points outside of the ball are projected first."""
    x = _wide(x)
    length = c.sqrt() * _norm(x)
    inside = length.clamp_max(limit(x))
    return x * (torch.atanh(inside) / length)


def at_boundary(x: Tensor, c: Tensor, share: float = 0.99) -> Tensor:
    """Compute the share of points (..., d) beyond ``share`` of the radius, a scalar without a gradient."""
    return (c.sqrt() * _norm(x) > share).float().mean().detach()
