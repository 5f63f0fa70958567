"""True rotations: RᵀR = I and det R = 1 for all values of the parameters, and the identity at the start.

Two dimensions: an angle. Four: v -> p v q with two unit quaternions, all of SO(4) in 8 numbers. Otherwise PyTorch's orthogonal
parametrization of a square matrix by the Cayley map of a skew matrix. With ``angle`` rotations of 2 and 4
dimensions start there, for the φ option of the nesting: about one axis, v -> p v p*.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal

PHI = (1 + math.sqrt(5)) / 2


def rotation(width: int, angle: float = 0.0) -> nn.Module:
    """Build a learnable rotation of vectors (..., width).

    Args:
        width: dimensions, at least 2.
        angle: of the first rotation, in radians; only 2 and 4 dimensions have one.
    """
    if width == 2:
        return Planar(angle)
    if width == 4:
        return Quaternions(angle)
    if angle:
        raise ValueError(f"a rotation of {width} dimensions has no single angle to start at; use 2 or 4 dimensions")
    linear = nn.Linear(width, width, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.eye(width))
    return orthogonal(linear, orthogonal_map="cayley")


def phi_angle(width: int, level: int) -> float:
    """Compute the first angle of the φ option at level i.

    It is softplus(0)·φ^((i mod 5) - 2)·π/4 in four dimensions, softplus(0)·φ^(i mod 3)·π/3 in two, else 0.
    """
    start = math.log(2)
    if width == 4:
        return start * PHI ** (level % 5 - 2) * math.pi / 4
    return start * PHI ** (level % 3) * math.pi / 3 if width == 2 else 0.0


class Planar(nn.Module):
    """Rotation of the plane by a learnable angle."""

    def __init__(self, angle: float = 0.0) -> None:
        super().__init__()
        self.angle = nn.Parameter(torch.tensor(angle))

    def forward(self, v: Tensor) -> Tensor:
        """Rotate vectors (..., 2)."""
        cos, sin = self.angle.cos(), self.angle.sin()
        x, y = v.unbind(-1)
        return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)


class Quaternions(nn.Module):
    """Rotation v -> p v q with unit quaternions p and q: every rotation of four dimensions."""

    def __init__(self, angle: float = 0.0) -> None:
        super().__init__()
        half, along = angle / 2, 1 / math.sqrt(3)
        tilt = [along * math.sin(half)] * 3
        self.left = nn.Parameter(torch.tensor([math.cos(half), *tilt]))
        self.right = nn.Parameter(torch.tensor([math.cos(half), *(-t for t in tilt)]))

    def forward(self, v: Tensor) -> Tensor:
        """Rotate vectors (..., 4)."""
        return product(product(self.left / self.left.norm(), v), self.right / self.right.norm())


def product(a: Tensor, b: Tensor) -> Tensor:
    """Multiply quaternions (..., 4), real part first (Hamilton product)."""
    a0, a1, a2, a3 = a.unbind(-1)
    b0, b1, b2, b3 = b.unbind(-1)
    return torch.stack(
        [
            a0 * b0 - a1 * b1 - a2 * b2 - a3 * b3,
            a0 * b1 + a1 * b0 + a2 * b3 - a3 * b2,
            a0 * b2 - a1 * b3 + a2 * b0 + a3 * b1,
            a0 * b3 + a1 * b2 - a2 * b1 + a3 * b0,
        ],
        dim=-1,
    )
