"""Generator from z to predicted frames: a transposed-convolution pyramid, optionally with FiLM, added to a base.

The base is the last given frame, or that frame moved by the flow that led to it, after the generator corrects the flow. Without a base
(as in the video VAE-GAN guide) the latent carries the whole image. Then a clip with little motion is predicted far worse than by
repeating its last frame. With a base the latent carries only the changes.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainwright.families.video_vaegan.config import NetworkConfig
from trainwright.families.video_vaegan.film import Film, embedder

CORRECTION = 32  # maps of the network that corrects the base


class Generator(nn.Module):
    """Network from (z, boxes, context) to frames (B, predict, 3, S, S) in [-1, 1].

    Args:
        model: the recipe's networks.
        size: side S, a power of two.
        predict: frames.
    """

    def __init__(self, model: NetworkConfig, size: int, predict: int) -> None:
        super().__init__()
        self.base, self.predict = model.base, predict
        self.start = 1 if size <= 8 else 2 if size <= 32 else 4
        doublings = int(math.log2(size // self.start))
        self.first = min(512, max(128, 2 * model.latent_dim))
        widths = [self.first]
        for i in range(doublings):
            widths.append(max(32, widths[-1] // 2) if i < doublings - 1 else 32)
        self.seed = nn.Linear(model.latent_dim, self.first * predict * self.start**2)
        condition = max(32, model.latent_dim // 4)
        self.condition = embedder(model.region_count, condition) if model.gen_film else None
        pairs = list(zip(widths, widths[1:], strict=False))
        self.ups = nn.ModuleList(Up(a, b, (3, 4, 4), (1, 2, 2), (1, 1, 1), bias=False) for a, b in pairs)
        self.norms = nn.ModuleList(NORMS[model.gen_norm](b) for _, b in pairs)
        self.films = nn.ModuleList(Film(condition, b) for _, b in pairs if model.gen_film)
        self.last = nn.Conv3d(widths[-1], 3, 3, padding=1)
        seen = {"none": 0, "last": 3, "moved": 9}[model.base]
        if seen:
            corrections: list[nn.Module] = []
            sides = int(math.log2(size))  # number of layers whose receptive field is the whole frame
            for i in range(sides if model.reach == "whole" else max(2, sides - 2)):
                given = widths[-1] * predict + seen if i == 0 else CORRECTION
                corrections += [nn.Conv2d(given, CORRECTION, 3, padding=2**i, dilation=2**i), nn.GELU()]
                if i == 0 and model.reach == "whole":
                    corrections.append(Everywhere(CORRECTION))
            self.look = nn.Sequential(*corrections)
            self.change = nn.Conv2d(CORRECTION, (6 if model.base == "moved" else 4) * predict, 3, padding=1)
            nn.init.zeros_(self.change.weight)
            assert self.change.bias is not None
            nn.init.zeros_(self.change.bias)
            self.last = nn.Identity()  # type: ignore[assignment]

    def forward(self, z: Tensor, condition: Tensor, context: Tensor) -> Tensor:
        """Predict frames (B, predict, 3, S, S) from z (B, latent_dim), condition (B, 4 R), context (B, T, 5, S, S)."""
        embedded = None if self.condition is None else self.condition(condition)
        x = self.seed(z).unflatten(1, (self.first, self.predict, self.start, self.start))
        for i, (up, norm) in enumerate(zip(self.ups, self.norms, strict=True)):
            x = norm(up(x))
            if embedded is not None:
                x = self.films[i](x, embedded)
            x = F.gelu(x)
        if self.base == "none":
            return torch.tanh(self.last(x)).transpose(1, 2)
        frame, flow = context[:, -1, :3], context[:, -2:-1, 3:]
        seen = [frame]
        if self.base == "moved":
            seen += [warp(frame, flow[:, 0]), frame - context[:, -2, :3]]
        change = self.change(self.look(torch.cat([x.transpose(1, 2).flatten(1, 2), *seen], dim=1)))
        change = change.unflatten(1, (self.predict, -1))
        share = torch.sigmoid(change[:, :, :1])  # share of the moved frame; the rest is the unmoved frame
        if self.base == "moved":
            times = torch.arange(1, self.predict + 1, device=flow.device).view(-1, 1, 1, 1)
            flows = flow * times + change[:, :, 4:]
            moved = torch.stack([warp(frame, one) for one in flows.unbind(1)], dim=1)
        else:
            moved = frame[:, None]
        made = frame[:, None] + share * (moved - frame[:, None]) + change[:, :, 1:4]
        return made if self.training else made.clamp(-1, 1)


class Everywhere(nn.Module):
    """Layer that adds to each position the mean and maximum of each map over the whole frame.

    So a position can take the colour of an object that jumps to it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.told = nn.Linear(2 * channels, channels)  # the name in checkpoints of 0.1.0

    def forward(self, x: Tensor) -> Tensor:
        """Add the statistics of the frame to (B, C, H, W)."""
        whole: Tensor = self.told(torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1))
        return x + whole[:, :, None, None]


class PixelNorm(nn.Module):
    """Normalisation of each position's vector to a root mean square of 1 (Karras et al. 2018), then scale and shift."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, T, H, W)."""
        shape = (-1, 1, 1, 1)
        scale = torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)
        return x * scale * self.weight.view(shape) + self.bias.view(shape)


NORMS: dict[str, Callable[[int], nn.Module]] = {"pixel": PixelNorm, "instance": partial(nn.InstanceNorm3d, affine=True)}


class Up(nn.ConvTranspose3d):
    """Transposed convolution that doubles the side.

    For a single frame only the middle of its three time steps is used. Then it runs as a 2-D layer, twice as fast on a CPU.
    """

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convert (B, C, T, H, W) to (B, C', T, 2 H, 2 W)."""
        if x.shape[2] > 1:
            return super().forward(x, output_size)
        flat = F.conv_transpose2d(x[:, :, 0], self.weight[:, :, 1], stride=2, padding=1)
        return flat.unsqueeze(2)


def warp(frame: Tensor, flow: Tensor) -> Tensor:
    """Move frames (B, 3, S, S) by (B, 2, S, S) pixels to the right and down.

    The interpolation is cubic, because it blurs motion by a fraction of a pixel less than linear interpolation does.
    """
    side = frame.shape[-1]
    middle = torch.arange(side, device=frame.device) + 0.5
    x = middle[None, None, :] - flow[:, 0]
    y = middle[None, :, None] - flow[:, 1]
    grid = torch.stack([x, y], dim=-1) * (2 / side) - 1
    return F.grid_sample(frame, grid, mode="bicubic", padding_mode="border", align_corners=False)
