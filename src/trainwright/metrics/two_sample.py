"""Two-sample statistics of vectors: the energy distance compared with that of two sets of real data."""

import torch
from torch import Tensor


def energy(a: Tensor, b: Tensor) -> float:
    """Energy distance 2 E|a - b| - E|a - a'| - E|b - b'| of (n, D) and (m, D) (Székely & Rizzo 2013), the biased estimate.

    It is positive for two sets of one distribution, about (1/n + 1/m)·E|a - a'|, which is why the ratio of two of them is informative.
    """
    across, within_a, within_b = (torch.cdist(x.double(), y.double()).mean() for x, y in ((a, b), (a, a), (b, b)))
    return float(2 * across - within_a - within_b)


def energy_ratio(samples: Tensor, real: Tensor, other: Tensor) -> float:
    """Distance of samples from real data over that of other real data: about 1 for samples like real ones.

    Args:
        samples: (n, D).
        real: (m, D).
        other: (k, D), real too; samples and ``other`` are cut to the smaller number of the two.
    """
    n = min(len(samples), len(other))
    return energy(samples[:n], real) / max(energy(other[:n], real), 1e-12)


def nearest_neighbour_accuracy(a: Tensor, b: Tensor) -> float:
    """Share of (n, D) and (n, D) whose nearest other vector is of their own set: 0.5 for one distribution (Lopez-Paz & Oquab 2017)."""
    both = torch.cat([a, b]).double()
    between = torch.cdist(both, both)
    between.fill_diagonal_(float("inf"))
    label = torch.arange(len(both)) < len(a)
    return float((label[between.argmin(1).cpu()] == label).float().mean())
