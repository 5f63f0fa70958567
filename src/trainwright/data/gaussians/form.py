"""Forms of Gaussians that a model is trained on, in named groups, and their conversion back to renderable sets.

``raw`` is the form of the Gaussian VAE guide (docs/sources.md): xy (2), inverse scale in pixel⁻¹ (2), angle in radians (1), colour (C).
One Gaussian has many descriptions in it: the angle has period π, the scales can be swapped with a quarter turn, and a round
Gaussian's angle has no meaning.

``canonical`` has one description: xy (2), ln of the larger and of the smaller scale (2), rotation (2), colour (C). The rotation is
tanh(ln(σ₁/σ₂)/0.5)·(cos 2θ, sin 2θ): the doubled angle takes away the period, the order of the scales the swap, and the factor, which
is near 1 for long Gaussians and 0 for round ones, the angle that means nothing.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trainwright.data.gaussians.render import Canvas

ROUND = 0.5  # ln(σ₁/σ₂) at which a shape counts as long by about three quarters
NARROWEST = 0.2  # pixels; a decoded σ is held between this and the image's side


@dataclass(frozen=True)
class Form:
    """One of the two forms, for images with a given number of colour channels."""

    kind: Literal["raw", "canonical"]
    channels: int

    @property
    def groups(self) -> dict[str, slice]:
        """Slice of each group within the numbers; the names are those of the Gaussian VAE guide."""
        turn = 1 if self.kind == "raw" else 2
        return {
            "xy": slice(0, 2),
            "scale": slice(2, 4),
            "rot": slice(4, 4 + turn),
            "feat": slice(4 + turn, 4 + turn + self.channels),
        }

    @property
    def width(self) -> int:
        """Numbers for each Gaussian."""
        return self.groups["feat"].stop

    def encode(self, sets: Tensor) -> Tensor:
        """(..., N, 5 + C) sets -> (..., N, width)."""
        if self.kind == "raw":
            return torch.cat([sets[..., :2], torch.exp(-sets[..., 2:4]), sets[..., 4:]], -1)
        first, second, angle = sets[..., 2], sets[..., 3], sets[..., 4]
        swapped = first < second
        major, minor = torch.maximum(first, second), torch.minimum(first, second)
        doubled = 2 * angle + torch.where(swapped, math.pi, 0.0)
        long = torch.tanh((major - minor) / ROUND)
        shape = torch.stack([major, minor, long * torch.cos(doubled), long * torch.sin(doubled)], -1)
        return torch.cat([sets[..., :2], shape, sets[..., 5:]], -1)

    def decode(self, values: Tensor, canvas: Canvas) -> Tensor:
        """(..., N, width) -> (..., N, 5 + C) sets that can be rendered, for any values."""
        low, high = math.log(NARROWEST), math.log(max(canvas.width, canvas.height))
        if self.kind == "raw":
            logs = -values[..., 2:4].abs().clamp_min(1e-6).log()
            return torch.cat([values[..., :2], logs.clamp(low, high), values[..., 4:]], -1)
        major, minor = values[..., 2:3], values[..., 3:4]
        logs = torch.cat([torch.maximum(major, minor), torch.minimum(major, minor)], -1)
        angle = torch.atan2(values[..., 5:6], values[..., 4:5]) / 2
        return torch.cat([values[..., :2], logs.clamp(low, high), angle, values[..., 6:]], -1)
