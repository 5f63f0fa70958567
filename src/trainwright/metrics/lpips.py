"""LPIPS (Zhang et al. 2018), for whoever has its network at hand: torchvision, and AlexNet's weights in PyTorch's own cache.

Nothing is downloaded for it. The linear weights come with torchmetrics, which computes it.
"""

from pathlib import Path

import torch
from torch import Tensor

LEAST_SIDE = 32  # pixels; of smaller images AlexNet's second pooling has nothing left


def at_hand() -> bool:
    """Whether torchvision loads and AlexNet's weights lie where it looks for them."""
    try:
        from torchvision.models import AlexNet_Weights
    except (ImportError, RuntimeError):  # RuntimeError: built for another PyTorch
        return False
    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(AlexNet_Weights.DEFAULT.url).name).exists()


@torch.no_grad()
def lpips(made: Tensor, target: Tensor) -> float:
    """Mean over frames (N, 3, H, W) in [-1, 1], with AlexNet; only where it is :func:`at_hand`."""
    from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

    metric = LearnedPerceptualImagePatchSimilarity(net_type="alex")
    for some, truth in zip(made.cpu().split(64), target.cpu().split(64), strict=True):
        metric.update(some, truth)
    return float(metric.compute())
