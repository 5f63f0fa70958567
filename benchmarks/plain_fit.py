"""A plain loop for the same optimisation of Gaussians: every Gaussian at every pixel, PyTorch's Adam.

Variables, initial values, rates, warm-up and loss are those of an adaptive fit without densification. It has no tiles, no culling of
Gaussians that do not reach a pixel, and no early end.
"""

import torch
from torch import Tensor

EPSILON = 1e-4


def render(values: Tensor, height: int, width: int) -> Tensor:
    """Render (B, N, 5 + C) (x, y in pixels, inverse scales, angle) to (B, H·W, C), normalised over Gaussians."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    dx = x.reshape(1, -1, 1) - values[:, None, :, 0]
    dy = y.reshape(1, -1, 1) - values[:, None, :, 1]
    cos, sin = values[:, None, :, 4].cos(), values[:, None, :, 4].sin()
    along = (cos * dx + sin * dy) * values[:, None, :, 2]
    across = (cos * dy - sin * dx) * values[:, None, :, 3]
    weight = torch.exp(-0.5 * (along**2 + across**2))
    return weight @ values[..., 5:] / (weight.sum(-1, keepdim=True) + EPSILON)


def fit(images: Tensor, values: Tensor, rates: Tensor, steps: int, noise: float) -> tuple[Tensor, list[float]]:
    """Optimise ``values`` for ``steps``; return them and the mean squared error before each step."""
    height, width = images.shape[2:]
    target = images.flatten(2).transpose(1, 2)
    columns = [values[..., i : i + 1].clone().requires_grad_() for i in range(values.shape[-1])]
    groups = [{"params": [c], "lr": float(r)} for c, r in zip(columns, rates, strict=True)]
    adam = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-12)
    errors = []
    for step in range(steps):
        difference = render(torch.cat(columns, -1), height, width) - target
        errors.append(float(difference.detach().square().mean()))
        adam.zero_grad()
        (difference.square().sum() / (2 * noise**2)).backward()
        for group, rate in zip(adam.param_groups, rates, strict=True):
            group["lr"] = float(rate) * min(1.0, (step + 1) / 10)
        adam.step()
    return torch.cat(columns, -1).detach(), errors
