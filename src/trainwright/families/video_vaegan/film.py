"""FiLM (Perez et al. 2018): a condition scales and shifts each map of a layer."""

from torch import Tensor, nn


def embedder(regions: int, width: int) -> nn.Sequential:
    """Build the network from centres and sizes of boxes (B, 4 R) to a condition (B, width)."""
    hidden = max(width, 2 * regions)
    return nn.Sequential(nn.Linear(4 * regions, hidden), nn.GELU(), nn.Linear(hidden, width))


class Film(nn.Module):
    """Layer (1 + γ) x + β with γ and β from the condition; it starts as the identity."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(width, 2 * channels)
        nn.init.zeros_(self.affine.weight)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, C, T, H, W) and (B, width) -> (B, C, T, H, W)."""
        scale, shift = self.affine(condition)[:, :, None, None, None].chunk(2, dim=1)
        return x + scale * x + shift
