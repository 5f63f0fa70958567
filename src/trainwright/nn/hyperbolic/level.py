"""One ball of the nesting and the passage to the next.

A level has a curvature, a scale and a spread that are learned, and points on its own ball: a descriptor and boundary points. The script
behind the video guide turned curvature and scale into plain numbers before use and gave the spread to nobody, so none of them learned;
here all three are tensors in the computation.

That alone would not do. Its points go from one ball to the next by the logarithm and the exponential at the *origin*, and each
logarithm undoes the exponential before it: log0(exp0(v)) = v for every curvature. So the only thing that a curvature did there was to
cut off long tangents at the boundary. Here the vectors from the boundary points are taken inside of the ball, log0(-b ⊕ x) with Möbius
addition, as long as the geodesic from b to x; they depend on the curvature, and the first level has them too.
"""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainwright.nn.hyperbolic.ball import exp0, log0, project
from trainwright.nn.hyperbolic.library import geoopt
from trainwright.nn.hyperbolic.rotation import phi_angle, rotation

SCALE_RANGE = (1e-5, 10.0)
HIDDEN = 32  # width of the combiner's hidden layer
BOUNDARY = 4  # boundary points on each ball that has a successor


@dataclass(frozen=True)
class Nesting:
    """How levels and the passages between them are made.

    Attributes:
        rotate: whether tangents are rotated between levels.
        phi_rotation: whether rotations of 2 and 4 dimensions begin at the φ option's angle and not at the identity.
        in_ball: vectors from the boundary points follow the ball's geodesics; else they are differences of tangents at the origin.
        unit: tangents are divided by √width, so that those of a LayerNorm have length 1 and not √width, which lies at the boundary of a
            ball of curvature 1 from 25 dimensions on.
        dropout: in the combiner.
    """

    rotate: bool = False
    phi_rotation: bool = False
    in_ball: bool = True
    unit: bool = True
    dropout: float = 0.1


@dataclass
class Handed:
    """What a level hands on: a point for each row, and what its ball has of its own.

    Attributes:
        point: (..., d) on the ball.
        relative: (..., d) tangents, summed over the boundary points; None: there are none.
        descriptor: (d,) on the ball; None: there is none.
        spread: the spread of the level before, a scalar; None: there is none.
        boundary: (k, d) on the ball.
    """

    point: Tensor
    relative: Tensor | None = None
    descriptor: Tensor | None = None
    spread: Tensor | None = None
    boundary: Tensor | None = field(default=None, repr=False)


class HyperbolicLevel(nn.Module):
    """Points of one ball -> points of the same ball, told what came before.

    Args:
        width: dimensions d.
        curvature: at the start.
        nesting: see there.
        first: whether no level comes before; the first one looks at its own boundary points.
        followed: whether a level follows; the last one has no descriptor and no spread, since nobody would look at them.
    """

    def __init__(self, width: int, curvature: float, nesting: Nesting, first: bool, followed: bool) -> None:
        super().__init__()
        self.first = first
        self.width, self.nesting = width, nesting
        self.ball = geoopt.PoincareBall(c=curvature, learnable=True)
        low, high = SCALE_RANGE
        share = (1.0 - low) / (high - low)
        self.raw_scale = nn.Parameter(torch.tensor(math.log(share / (1 - share))))
        inputs = 3 * width if first else 3 * width + 1  # the first level has no spread before it
        self.combiner = nn.Sequential(
            nn.Linear(inputs, HIDDEN),
            nn.LayerNorm(HIDDEN),
            nn.GELU(),
            nn.Dropout(nesting.dropout),
            nn.Linear(HIDDEN, width),
            nn.LayerNorm(width),
        )
        self.raw_spread: nn.Parameter | None = None
        self.descriptor: nn.Parameter | None = None
        self.boundary: nn.Parameter | None = None
        if followed:
            self.raw_spread = nn.Parameter(torch.tensor(math.log(math.expm1(0.1))))
            self.descriptor = self._points(1, 0.01)
        if followed or (first and nesting.in_ball):
            self.boundary = self._points(BOUNDARY, 1e-3)

    def _points(self, count: int, reach: float) -> nn.Parameter:
        with torch.no_grad():
            start = exp0(torch.empty(count, self.width).uniform_(-reach, reach), self.c)
        return geoopt.ManifoldParameter(start, manifold=self.ball)

    @property
    def c(self) -> Tensor:
        """Curvature, positive."""
        return self.ball.c.clamp_min(1e-5)

    @property
    def scale(self) -> Tensor:
        """Factor on tangents before they go back to the ball, in (1e-5, 10)."""
        low, high = SCALE_RANGE
        return low + (high - low) * torch.sigmoid(self.raw_scale)

    @property
    def spread(self) -> Tensor | None:
        """What the next level is told of this one's spread, positive."""
        return None if self.raw_spread is None else F.softplus(self.raw_spread) + 1e-5

    def lift(self, tangent: Tensor) -> Tensor:
        """Tangents as a LayerNorm leaves them -> points of the ball."""
        return exp0(tangent / math.sqrt(self.width) if self.nesting.unit else tangent, self.c)

    def vectors_from(self, boundary: Tensor, point: Tensor) -> Tensor:
        """(k, d) boundary points and (..., d) points of this ball -> (..., d) sums of the vectors from the one to the other."""
        if self.nesting.in_ball:
            apart = log0(self.ball.mobius_add(-boundary, point.unsqueeze(-2), project=False), self.c)
        else:
            apart = log0(point, self.c).unsqueeze(-2) - log0(boundary, self.c)
        return apart.sum(dim=-2)

    def forward(self, given: Handed) -> tuple[Handed, Tensor]:
        """Returns what is handed on, and the tangents (..., d) that go into the stack's output."""
        v = log0(given.point, self.c)
        relative = given.relative
        if self.first and self.boundary is not None and self.nesting.in_ball:
            relative = self.vectors_from(project(self.boundary, self.c), given.point)
        parts = [v, torch.zeros_like(v) if relative is None else relative]
        if given.descriptor is None:
            parts.append(torch.zeros_like(v))
        else:
            parts.append(log0(given.descriptor, self.c).expand_as(v))
        if given.spread is not None:
            parts.append(given.spread.log().expand(*v.shape[:-1], 1))
        tangent = self.combiner(torch.cat(parts, dim=-1))
        moved = self.scale * tangent
        out = Handed(self.lift(moved), spread=self.spread)
        if self.descriptor is not None:
            out.descriptor = project(self.descriptor, self.c)
        if self.boundary is not None:
            out.boundary = project(self.boundary, self.c)
        return out, moved


class Passage(nn.Module):
    """From one ball to the next: logarithm, rotation, map, exponential, the same for points, descriptor and boundary points."""

    def __init__(self, here: HyperbolicLevel, there: HyperbolicLevel, nesting: Nesting, level: int) -> None:
        super().__init__()
        self.rotation: nn.Module | None = None
        if nesting.rotate:
            angle = phi_angle(here.width, level) if nesting.phi_rotation else 0.0
            self.rotation = rotation(here.width, angle)
        self.map = nn.Sequential(nn.Linear(here.width, there.width))  # a sequence of one: checkpoints name it map.0

    def forward(self, given: Handed, here: HyperbolicLevel, there: HyperbolicLevel) -> Handed:
        """What ``given`` is on the next ball, and the vectors from its boundary points there."""

        def over(points: Tensor) -> Tensor:
            v = log0(points, here.c)
            return exp0(self.map(v if self.rotation is None else self.rotation(v)), there.c)

        found = Handed(over(given.point), spread=given.spread)
        if given.descriptor is not None:
            found.descriptor = over(given.descriptor)
        if given.boundary is not None:
            found.relative = there.vectors_from(over(given.boundary), found.point)
        return found
