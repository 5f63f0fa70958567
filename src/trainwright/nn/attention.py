"""Self-attention over the positions of a feature map, as GANs use it (Zhang et al. 2018)."""

import torch
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Layer ``x + γ · attended``, with γ starting at 0, queries and keys of C/8 channels and no 1/√d.

    This is the form of the WGAN-GP guide. It uses plain matrix products, because the fused attention kernel has no double
    backward on the CPU and a gradient penalty needs one.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, max(1, channels // 8), 1)
        self.key = nn.Conv2d(channels, max(1, channels // 8), 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Apply attention to (B, C, H, W)."""
        query, key, value = (f(x).flatten(2) for f in (self.query, self.key, self.value))
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)  # (B, positions, positions)
        attended = (value @ weights.transpose(1, 2)).view_as(x)
        return torch.addcmul(x, self.gamma, attended)
