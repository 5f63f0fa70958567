"""Flips, rotation and colour jitter, drawn for each image and applied to the whole batch at once."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from trainwright.data.config import Augment
from trainwright.randomness import uniform

# Rows: luma and the two colour axes of YIQ, in which a hue shift is a rotation that leaves the luma alone.
YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])


def augment(images: Tensor, settings: Augment, background: Tensor) -> Tensor:
    """Return an augmented copy of ``images``.

    Args:
        images: (B, C, H, W) in [-1, 1].
        settings: strengths; zero strengths cost nothing.
        background: (C,) in [-1, 1], shown where rotation uncovers the border.

    Returns:
        (B, C, H, W) in [-1, 1]. Random numbers are drawn on the CPU, seeded by the loop for each step.
    """
    if settings.flip > 0:
        mask = uniform(len(images)).lt(settings.flip).to(images.device)
        images = torch.where(mask[:, None, None, None], images.flip(-1), images)
    if settings.rotation > 0:
        images = _rotate(images, settings.rotation, background)
    if any(settings.color_jitter):
        images = _jitter(images, settings.color_jitter)
    return images


def _rotate(images: Tensor, degrees: float, background: Tensor) -> Tensor:
    angle = (uniform(len(images)) * 2 - 1) * math.radians(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    matrix = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    grid = F.affine_grid(matrix.to(images), list(images.shape), align_corners=False)
    fill = background.to(images)[None, :, None, None]
    return F.grid_sample(images - fill, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + fill


def _jitter(images: Tensor, strengths: tuple[float, float, float, float]) -> Tensor:
    """Contrast about each image's mean luma, then brightness, saturation and hue as one matrix for each image."""
    brightness, contrast, saturation, hue = strengths
    count = len(images)

    def around_one(strength: float) -> Tensor:
        return (1 + (uniform(count) * 2 - 1) * strength).to(images)

    bright, con, sat = around_one(brightness), around_one(contrast), around_one(saturation)
    turn = ((uniform(count) * 2 - 1) * hue * 2 * math.pi).to(images)
    colour, alpha = (images[:, :3], images[:, 3:]) if images.shape[1] == 4 else (images, images[:, :0])
    unit = (colour + 1) / 2
    to_yiq = YIQ.to(images)
    luma = to_yiq[0] if colour.shape[1] == 3 else torch.ones(1, device=images.device, dtype=images.dtype)
    mean = torch.einsum("c,bc->b", luma, unit.mean((2, 3)))[:, None, None, None]
    unit = (unit - mean) * con[:, None, None, None] + mean
    if colour.shape[1] == 3:
        cos, sin, zero, one = turn.cos(), turn.sin(), torch.zeros_like(turn), torch.ones_like(turn)
        chroma = torch.stack(
            [
                torch.stack([one, zero, zero], 1),
                torch.stack([zero, sat * cos, -sat * sin], 1),
                torch.stack([zero, sat * sin, sat * cos], 1),
            ],
            1,
        )
        matrix = bright[:, None, None] * (torch.linalg.inv(to_yiq.double()).to(images) @ chroma @ to_yiq)
        unit = torch.einsum("bij,bjhw->bihw", matrix, unit)
    else:
        unit = unit * bright[:, None, None, None]
    return torch.cat([unit.clamp(0, 1) * 2 - 1, alpha], 1)
