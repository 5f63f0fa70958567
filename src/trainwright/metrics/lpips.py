"""LPIPS (Zhang et al. 2018), where torchvision is installed and AlexNet's weights are in PyTorch's own cache.

Nothing is downloaded for it. The linear weights come with torchmetrics, which computes it.
"""

from pathlib import Path

import torch
from torch import Tensor

LEAST_SIDE = 32  # pixels; of smaller images AlexNet's second pooling has nothing left


def at_hand() -> bool:
    """Return True if torchvision can be imported and AlexNet's weights are in its cache."""
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
