"""Kernel Inception Distance (Bińkowski et al. 2018) by torchmetrics, on features that were computed once."""

import warnings

import torch
from torch import Tensor, nn

from trainwright.errors import UserError


class _AsTheyAre(nn.Module):
    """Stand-in for the network that torchmetrics requires; the features are computed before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        """Return the features unchanged."""
        return features


def kid(real: Tensor, fake: Tensor, subsets: int = 50, subset_size: int = 500, seed: int = 0) -> tuple[float, float]:
    """Unbiased squared MMD with the cubic polynomial kernel in float64, times 1000.

    Args:
        real: (N, D) features.
        fake: (M, D) features.
        subsets: random subsets that the mean and its standard deviation are taken over.
        subset_size: at most; smaller sets use all they have.
        seed: of the subsets.

    Returns:
        (mean, standard deviation); about 0 for equal distributions, and slightly negative values are possible.
    """
    try:
        from torchmetrics.image.kid import KernelInceptionDistance
    except (ImportError, RuntimeError):
        raise UserError("evaluation needs torchmetrics: pip install 'trainwright[features]'.") from None
    size = min(subset_size, len(real), len(fake))
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        metric = KernelInceptionDistance(feature=_AsTheyAre(real.shape[1]), subsets=subsets, subset_size=size)
        metric.set_dtype(torch.float64)
        metric.update(real.double(), real=True)
        metric.update(fake.double(), real=False)
        mean, deviation = metric.compute()
    return 1000 * float(mean), 1000 * float(deviation)


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """KID of all of (N, D) and (M, D) features at once, without subsets: fast enough for monitoring."""
    x, y = real.double(), fake.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        own = kernel(a, a)
        return (own.sum() - own.diagonal().sum()) / (len(a) * (len(a) - 1))

    return 1000 * float(within(x) + within(y) - 2 * kernel(x, y).mean())
