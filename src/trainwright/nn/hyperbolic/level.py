"""One ball of the nesting and the passage to the next.

A level has a curvature, a scale and a spread that are learned, and points on its own ball: a descriptor and boundary points. In the
script behind the video VAE-GAN guide none of the three learned. It turned curvature and scale into plain numbers before use, and no
layer used the spread. Here all three are tensors in the computation.

That alone does not suffice. In that script points pass from one ball to the next by the logarithm and the exponential at the *origin*.
Each logarithm undoes the exponential before it: log0(exp0(v)) = v for every curvature. So the only effect of a curvature there was to
cut off long tangents at the boundary. Here the vectors from the boundary points are computed inside of the ball, as log0(-b ⊕ x) with
Möbius addition. Their length is that of the geodesic from b to x. They depend on the curvature, and the first level has them too.
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
    """Configuration of levels and of the passages between them.

    Attributes:
        rotate: tangents are rotated between levels.
        phi_rotation: rotations of 2 and 4 dimensions start at the φ option's angle and not at the identity.
        in_ball: vectors from the boundary points follow the ball's geodesics; else they are differences of tangents at the origin.
        unit: tangents are divided by √width, so that those of a LayerNorm have length 1 and not √width. That length lies at the
            boundary of a ball of curvature 1 from 25 dimensions on.
        dropout: share in the combiner.
    """

    rotate: bool = False
    phi_rotation: bool = False
    in_ball: bool = True
    unit: bool = True
    dropout: float = 0.1


@dataclass
class LevelOutput:
    """Output of a level: a point for each row, and the own parameters of its ball.

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
    """Layer from points of one ball to points of the same ball, with the level before as an input.

    Args:
        width: dimensions d.
        curvature: positive curvature at the start.
        nesting: configuration of the levels.
        first: no level comes before; the first one uses its own boundary points.
        followed: a level follows; the last one has no descriptor and no spread, because no layer would use them.
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
        """Factor on tangents before they return to the ball, in (1e-5, 10)."""
        low, high = SCALE_RANGE
        return low + (high - low) * torch.sigmoid(self.raw_scale)

    @property
    def spread(self) -> Tensor | None:
        """Positive spread of this level, an input of the next one."""
        return None if self.raw_spread is None else F.softplus(self.raw_spread) + 1e-5

    def lift(self, tangent: Tensor) -> Tensor:
        """Map tangents, the output of a LayerNorm, to points of the ball."""
        return exp0(tangent / math.sqrt(self.width) if self.nesting.unit else tangent, self.c)

    def vectors_from(self, boundary: Tensor, point: Tensor) -> Tensor:
        """Sum the vectors from boundary points (k, d) to points (..., d) of this ball: (..., d)."""
        if self.nesting.in_ball:
            vectors = log0(self.ball.mobius_add(-boundary, point.unsqueeze(-2), project=False), self.c)
        else:
            vectors = log0(point, self.c).unsqueeze(-2) - log0(boundary, self.c)
        return vectors.sum(dim=-2)

    def forward(self, given: LevelOutput) -> tuple[LevelOutput, Tensor]:
        """Return the output for the next level, and the tangents (..., d) for the output of the stack."""
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
        out = LevelOutput(self.lift(moved), spread=self.spread)
        if self.descriptor is not None:
            out.descriptor = project(self.descriptor, self.c)
        if self.boundary is not None:
            out.boundary = project(self.boundary, self.c)
        return out, moved


class Passage(nn.Module):
    """Layer from one ball to the next: logarithm, rotation, map, exponential.

    It is the same for points, descriptor and boundary points.
    """

    def __init__(self, here: HyperbolicLevel, there: HyperbolicLevel, nesting: Nesting, level: int) -> None:
        super().__init__()
        self.rotation: nn.Module | None = None
        if nesting.rotate:
            angle = phi_angle(here.width, level) if nesting.phi_rotation else 0.0
            self.rotation = rotation(here.width, angle)
        self.map = nn.Sequential(nn.Linear(here.width, there.width))  # a sequence of one: checkpoints name it map.0

    def forward(self, given: LevelOutput, here: HyperbolicLevel, there: HyperbolicLevel) -> LevelOutput:
        """Map ``given`` to the next ball, and compute the vectors from its boundary points there."""

        def over(points: Tensor) -> Tensor:
            v = log0(points, here.c)
            return exp0(self.map(v if self.rotation is None else self.rotation(v)), there.c)

        found = LevelOutput(over(given.point), spread=given.spread)
        if given.descriptor is not None:
            found.descriptor = over(given.descriptor)
        if given.boundary is not None:
            found.relative = there.vectors_from(over(given.boundary), found.point)
        return found
