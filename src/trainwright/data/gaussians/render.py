"""Differentiable rendering of batches of 2-D Gaussians, tile by tile, in two matrix products.

A set is a tensor (B, N, 5 + C): x, y (fractions of width and height, edges at 0 and 1), ln σ₁, ln σ₂ (σ in pixels), θ
(radians, of the first axis, from x towards y), and C colour channels with 0 dark and 1 bright. A Gaussian's weight at a
pixel is w = exp(-½ dᵀΣ⁻¹d), Σ = R(θ) diag(σ₁², σ₂²) R(θ)ᵀ. Two blending rules of the field:

* ``normalised``: colour = Σ w·c / (Σ w + 1e-4) over the ``top_k`` largest weights at the pixel (Image-GS, K = 10);
* ``sum``: colour = Σ w·c (GaussianImage; its colours are amounts and may be negative).

The exponent is linear in the monomials of a pixel's place in its tile, so a tile's weights are exp(M·A) with one M (pixels, 6)
for all tiles, and its colours are one more product. Only Gaussians that reach a tile take part.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Blend = Literal["normalised", "sum"]
TILE = 8
PIXELS = TILE * TILE
EPSILON = 1e-4  # of the normalised rule, as in Image-GS
REACH = 3.5  # standard deviations from which on a weight (below 0.0022) counts as 0; Image-GS cuts at 3


@dataclass(frozen=True)
class Canvas:
    """The image that sets are rendered to, cut into square tiles of :data:`TILE` pixels."""

    height: int
    width: int

    @property
    def rows(self) -> int:
        """Number of tiles from top to bottom; the last may extend beyond the image."""
        return math.ceil(self.height / TILE)

    @property
    def columns(self) -> int:
        """Number of tiles from left to right."""
        return math.ceil(self.width / TILE)

    def centres(self, like: Tensor) -> Tensor:
        """(T, 2): x, y of each tile's middle in pixels, row by row."""
        y, x = torch.meshgrid(torch.arange(self.rows), torch.arange(self.columns), indexing="ij")
        return (torch.stack([x, y], -1).reshape(-1, 2) * TILE + TILE / 2).to(like)

    def size(self, like: Tensor) -> Tensor:
        """(2,): width and height."""
        return torch.tensor([self.width, self.height]).to(like)

    def assemble(self, tiles: Tensor) -> Tensor:
        """(B, T, PIXELS, C) -> (B, C, H, W)."""
        batch, channels = len(tiles), tiles.shape[-1]
        grid = tiles.view(batch, self.rows, self.columns, TILE, TILE, channels).permute(0, 5, 1, 3, 2, 4)
        whole = grid.reshape(batch, channels, self.rows * TILE, self.columns * TILE)
        return whole[:, :, : self.height, : self.width]

    def cut(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, T, PIXELS, C); pixels beyond the image repeat the border."""
        batch, channels = images.shape[:2]
        over = (0, self.columns * TILE - self.width, 0, self.rows * TILE - self.height)
        if any(over):
            images = torch.nn.functional.pad(images, over, mode="replicate")
        grid = images.reshape(batch, channels, self.rows, TILE, self.columns, TILE).permute(0, 2, 4, 3, 5, 1)
        return grid.reshape(batch, self.rows * self.columns, PIXELS, channels)


def geometry(sets: Tensor, canvas: Canvas) -> Tensor:
    """(B, N, 5) of a set: x, y in pixels and the entries a, b, c of Σ⁻¹ = [[a, b], [b, c]] in pixel⁻²."""
    first, second = torch.exp(-2 * sets[..., 2]), torch.exp(-2 * sets[..., 3])
    cos, sin = torch.cos(2 * sets[..., 4]), torch.sin(2 * sets[..., 4])
    mean, half = (first + second) / 2, (first - second) / 2
    inverse = torch.stack([mean + half * cos, half * sin, mean - half * cos], -1)
    return torch.cat([sets[..., :2] * canvas.size(sets), inverse], -1)


@torch.no_grad()
def reaching(shapes: Tensor, canvas: Canvas, most: int | None = None) -> Tensor:
    """Return which Gaussians reach which tile: (B, T, K) indices into the set, padded with N.

    Args:
        shapes: (B, N, 5) of :func:`geometry`.
        canvas: the image.
        most: an upper limit of K; beyond it the nearest in standard deviations stay. None: all that reach.
    """
    offset = (shapes[:, None, :, :2] - canvas.centres(shapes)[None, :, None]).abs()  # (B, T, N, 2)
    a, b, c = shapes[..., 2:].unbind(-1)
    determinant = (a * c - b * b).clamp_min(1e-12)
    spread = torch.stack([c / determinant, a / determinant], -1).sqrt()  # σ along x and along y
    gap = ((offset - TILE / 2).clamp_min(0) / spread[:, None]).amax(-1)  # at most the Mahalanobis distance
    wanted = gap < REACH
    longest = max(1, int(wanted.sum(-1).max()))
    take = longest if most is None else min(longest, most)
    distance, index = torch.where(wanted, gap, math.inf).topk(take, dim=-1, largest=False)
    return torch.where(torch.isinf(distance), shapes.shape[1], index)


def paint(
    shapes: Tensor,
    colours: Tensor,
    index: Tensor,
    canvas: Canvas,
    blend: Blend,
    top_k: int | None = None,
    keep: Tensor | None = None,
) -> Tensor:
    """Return the colours of every tile's pixels, differentiable in shapes and colours.

    Args:
        shapes: (B, N, 5) of :func:`geometry`.
        colours: (B, N, C).
        index: of :func:`reaching`; may be a few optimizer steps old.
        canvas: the image.
        blend: the rule.
        top_k: of ``normalised``: number of weights that count at a pixel; None: all.
        keep: a mask (B·T, PIXELS, K) from :func:`largest` that replaces ``top_k``.

    Returns:
        (B, T, PIXELS, C).
    """
    batch, tiles, taken = index.shape
    weights = weigh(shapes, index, canvas)
    if blend == "normalised" and keep is None and top_k is not None and top_k < taken:
        keep = largest(weights, top_k)
    if keep is not None:
        weights = weights * keep
    colour = _gather(colours, index, empty=0.0).view(batch * tiles, taken, -1)
    if blend == "sum":
        return torch.bmm(weights, colour).view(batch, tiles, PIXELS, -1)
    mixed = torch.bmm(weights, torch.cat([colour, torch.ones_like(colour[..., :1])], -1))
    return (mixed[..., :-1] / (mixed[..., -1:] + EPSILON)).view(batch, tiles, PIXELS, -1)


def largest(weights: Tensor, top_k: int) -> Tensor:
    """1 where a weight is among its pixel's ``top_k`` largest, else 0; same shape (B·T, PIXELS, K)."""
    if top_k >= weights.shape[-1]:
        return torch.ones_like(weights)
    edge = weights.detach().topk(top_k, dim=-1, sorted=False).values.amin(-1, keepdim=True)
    return (weights.detach() >= edge).to(weights.dtype)


def weigh(shapes: Tensor, index: Tensor, canvas: Canvas) -> Tensor:
    """(B·T, PIXELS, K): each reaching Gaussian's weight at each pixel of each tile; 0 in empty places."""
    batch, tiles, taken = index.shape
    x, y, a, b, c = _gather(shapes, index, empty=-1e3).unbind(-1)
    empty = index == shapes.shape[1]
    a, b, c = (torch.where(empty, value, t) for value, t in ((1.0, a), (0.0, b), (1.0, c)))
    centre = canvas.centres(shapes)[None, :, None]
    x, y = x - centre[..., 0], y - centre[..., 1]
    along, down = a * x + b * y, b * x + c * y
    terms = torch.stack([-0.5 * a, -b, -0.5 * c, along, down, -0.5 * (x * along + y * down)], -2)
    weights: Tensor = _Exponential.apply(terms.view(batch * tiles, 6, taken), monomials(shapes))
    return weights


class _Exponential(torch.autograd.Function):
    """exp(M·A) in one buffer. Exponents below -30 are raised to it: the exponential is slow near underflow."""

    @staticmethod
    def forward(ctx: Any, terms: Tensor, places: Tensor) -> Tensor:
        """(B·T, 6, K) and (PIXELS, 6) -> (B·T, PIXELS, K)."""
        weights = torch.matmul(places, terms).clamp_(min=-30.0).exp_()
        ctx.save_for_backward(weights, places)
        return weights

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the terms."""
        weights, places = ctx.saved_tensors
        return torch.matmul(places.T, gradients[0] * weights), None


def monomials(like: Tensor) -> Tensor:
    """(PIXELS, 6): u², uv, v², u, v, 1 of every pixel's place (u, v) from the middle of its tile."""
    side = torch.arange(TILE) + 0.5 - TILE / 2
    v, u = (t.reshape(-1) for t in torch.meshgrid(side, side, indexing="ij"))
    return torch.stack([u * u, u * v, v * v, u, v, torch.ones_like(u)], -1).to(like)


def _gather(values: Tensor, index: Tensor, empty: float) -> Tensor:
    """(B, N, F) and (B, T, K) -> (B, T, K, F), with ``empty`` for index N."""
    batch, _, features = values.shape
    padded = torch.cat([values, values.new_full((batch, 1, features), empty)], 1)
    flat = padded.gather(1, index.reshape(batch, -1, 1).expand(-1, -1, features))
    return flat.view(*index.shape, features)


def render(sets: Tensor, canvas: Canvas, blend: Blend = "normalised", top_k: int | None = 10, chunk: int = 4) -> Tensor:
    """Images (B, C, H, W) of sets (B, N, 5 + C), not clamped; ``chunk`` sets at a time bound the memory."""
    parts = []
    for part in sets.split(chunk):
        shapes = geometry(part, canvas)
        index = reaching(shapes, canvas)
        parts.append(canvas.assemble(paint(shapes, part[..., 5:], index, canvas, blend, top_k)))
    return torch.cat(parts)
