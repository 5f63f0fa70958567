"""Layer normalisation over all of (C, H, W) that keeps the channels-last memory format."""

import torch.nn.functional as F
from torch import Tensor, nn


class SpatialLayerNorm(nn.LayerNorm):
    """``nn.LayerNorm([C, H, W])`` with the same results and parameters, without a copy to channels-first and back.

    The plain layer makes its input contiguous, which undoes channels-last at every layer. Here the same function runs over
    the permuted view, whose memory is contiguous already. ``benchmarks/speed.py`` measures the difference.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W)."""
        channels, height, width = self.normalized_shape
        moved = F.layer_norm(
            x.permute(0, 2, 3, 1),
            [height, width, channels],
            self.weight.permute(1, 2, 0),
            self.bias.permute(1, 2, 0),
            self.eps,
        )
        return moved.permute(0, 3, 1, 2)
