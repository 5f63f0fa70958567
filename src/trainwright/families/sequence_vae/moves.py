"""Coordinates in which a mixture of Gaussians describes points."""

from dataclasses import dataclass

import torch
from torch import Tensor

from trainwright.families.sequence_vae.likelihood import Bounds


@dataclass(frozen=True)
class Moves:
    """Map between points in the unit square and two numbers for each step.

    Sorted by ``x``: the distance from the point before along x in mean distances, never negative, and y in [-1, 1]. In any other
    order: both axes in [-1, 1], and half of the Gaussians are centred at the points around the one before. Densities are over
    these numbers. They differ from those over the unit square by a constant.
    """

    order: str

    def bounds(self, steps: int) -> Bounds:
        """Range of each of the two numbers, for levels of ``steps`` points."""
        return ((0.0, float(steps)), (-1.0, 1.0)) if self.ordered else ((-1.0, 1.0), (-1.0, 1.0))

    @property
    def ordered(self) -> bool:
        """True if points are sorted by x, so that the first number cannot be negative."""
        return self.order == "x"

    def of(self, points: Tensor) -> Tensor:
        """Convert points (B, T, 2) to these numbers (B, T, 2)."""
        if not self.ordered:
            return (points * 2 - 1).clamp(-1, 1)
        along = torch.diff(points[..., 0], dim=1, prepend=torch.zeros_like(points[:, :1, 0]))
        return torch.stack([along.clamp_min(0) * points.shape[1], (points[..., 1] * 2 - 1).clamp(-1, 1)], -1)

    def around(self, seen: Tensor | None) -> Tensor | None:
        """Centre of half of the Gaussians, from the context of a step: the mean of the points around the one before."""
        if self.ordered or seen is None:
            return None
        return (seen[..., :2] * 2 - 1) * seen[..., 6:7]

    def after(self, before: Tensor, move: Tensor, steps: int) -> Tensor:
        """Point (B, 2) that follows ``before`` (B, 2) by ``move`` (B, 2), of a level of ``steps`` points."""
        if not self.ordered:
            return (move + 1) / 2
        return torch.stack([before[:, 0] + move[:, 0] / steps, (move[:, 1] + 1) / 2], -1)
