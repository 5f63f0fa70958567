"""Perceptual distance of two images as a loss: distance of the feature network's maps, with gradients."""

import torch
from torch import Tensor

from trainwright.metrics.features import Features

BLOCKS = (0, 2, 4, 7, 10)  # the last ones of five stages: sides 1/2, 1/4, 1/8, 1/16 and 1/16 of the image's
LEAST = 1e-6


class PerceptualDistance:
    """Distance of maps at five depths, each position's vector scaled to length 1 (Zhang et al. 2018, with equal weights).

    The network is EfficientNet-Lite0 and not the one that LPIPS was fitted to, so numbers are not LPIPS. It is frozen and belongs to no
    checkpoint. The distance that ``trainwright evaluate`` prints is of other features, pooled and from its end.
    """

    def __init__(self, device: torch.device) -> None:
        self._network = Features().network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, made: Tensor, target: Tensor) -> Tensor:
        """Mean over images (N, 3, H, W) in [-1, 1]; gradients go to ``made`` alone."""
        with torch.no_grad():
            wanted = self._maps(target)
        found = self._maps(made)
        return torch.stack([(a - b).square().sum(1).mean() for a, b in zip(found, wanted, strict=True)]).mean()

    def _maps(self, images: Tensor) -> list[Tensor]:
        x = images.float().contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU
        deep = [m for i, m in zip(range(BLOCKS[-1] + 1), self._network.maps(x), strict=False) if i in BLOCKS]
        return [m * torch.rsqrt(m.square().sum(1, keepdim=True) + LEAST) for m in deep]
