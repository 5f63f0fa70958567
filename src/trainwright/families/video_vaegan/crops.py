"""Crops of boxes from images and feature maps, as two small matrix products for each box.

They need no torchvision, and boxes may differ by clip. Bilinear interpolation is separable, so a crop is A_y X A_xᵀ with one matrix
for each axis. There are two kinds. RoI-Align (He et al. 2017, the half-pixel-aligned variant) averages bilinear readings at evenly
spaced points of each bin. The other is a resize with a triangle filter as wide as a bin (bilinear, antialiased).
"""

from typing import Literal

import torch
from torch import Tensor

Kind = Literal["roi_align", "resize"]


def axis_matrix(low: Tensor, high: Tensor, length: int, out: int, kind: Kind, points: int = 2) -> Tensor:
    """Compute the weights of ``length`` pixels in each of ``out`` bins between ``low`` and ``high``.

    Args:
        low: (...) start of the boxes, in pixels; pixel j covers [j, j + 1].
        high: (...) end of the boxes.
        length: pixels along the axis.
        out: bins along the box.
        kind: see above.
        points: for RoI-Align, readings in each bin.

    Returns:
        (..., out, length), rows sum to 1.
    """
    pixels = torch.arange(length, device=low.device) + 0.5
    size = (high - low).clamp_min(1e-3)[..., None] / out
    if kind == "roi_align":
        at = (torch.arange(out * points, device=low.device) + 0.5) / points
        read = (low[..., None] + size * at).clamp(0.5, length - 0.5)
        weights = (1 - (pixels - read[..., None]).abs()).clamp_min(0)
        return weights.unflatten(-2, (out, points)).mean(dim=-2)
    centres = low[..., None] + size * (torch.arange(out, device=low.device) + 0.5)
    centres = centres.clamp(0.5, length - 0.5)
    weights = (1 - (pixels - centres[..., None]).abs() / size.clamp_min(1.0)[..., None]).clamp_min(0)
    return weights / weights.sum(dim=-1, keepdim=True)


def crop(x: Tensor, boxes: Tensor, out: int, kind: Kind) -> Tensor:
    """Cut every box out of every image.

    Args:
        x: (N, C, H, W).
        boxes: (R, 4), the same for all, or (N, R, 4); in pixels of ``x``.
        out: side of the crops.
        kind: ``roi_align`` for feature maps, ``resize`` for pixels.

    Returns:
        (N, R, C, out, out).
    """
    height, width = x.shape[-2:]
    across = axis_matrix(boxes[..., 0], boxes[..., 2], width, out, kind).to(x.dtype)
    down = axis_matrix(boxes[..., 1], boxes[..., 3], height, out, kind).to(x.dtype)
    one = "n" if boxes.dim() == 3 else ""
    return torch.einsum(f"{one}rph,nchw,{one}rqw->nrcpq", down, x, across)
