"""PSNR and SSIM of images, by torchmetrics.

It is imported when they are first measured, since the import takes over a second.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def psnr(
    made: Tensor, target: Tensor, peak: float, dim: int | Sequence[int] | None = None, most: float = 99.0
) -> Tensor:
    """Peak signal-to-noise ratio in dB, at most ``most``: equal images would have no finite one.

    Args:
        made: (...).
        target: the same shape, or one that broadcasts.
        peak: width of the range of values: 1 for [0, 1], 2 for [-1, 1].
        dim: dimensions over which squared errors are averaged; None: all.
        most: upper limit in dB.

    Returns:
        One number for each place of the dimensions that are not in ``dim``.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio

    made, target = torch.broadcast_tensors(made, target)
    dims = tuple(range(made.ndim)) if dim is None else dim if isinstance(dim, int) else tuple(dim)
    found = peak_signal_noise_ratio(made, target, data_range=peak, reduction="none", dim=dims)
    return found.clamp_max(most)


def ssim(made: Tensor, target: Tensor, peak: float) -> Tensor:
    """(B,): structural similarity (Wang et al. 2004) of (B, C, H, W) images; ``peak`` as in :func:`psnr`."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    found = structural_similarity_index_measure(made, target, data_range=peak, reduction="none")
    assert isinstance(found, Tensor)
    return found.reshape(-1)


def warm_up() -> None:
    """Compute both once, since importing torchmetrics takes seconds that are no cost of a measurement."""
    image = torch.zeros(1, 3, 16, 16)
    psnr(image, image, 2.0)
    ssim(image, image, 2.0)
