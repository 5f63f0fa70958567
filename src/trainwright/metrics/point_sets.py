"""Statistics of sets of points that do not depend on the order, and violations of the order."""

import numpy as np
import torch
from torch import Tensor

TOGETHER = 0.08  # points nearer than that belong to one cluster; clusters of the mixture have a standard deviation of about 0.02
MOST_CLUSTERS = 12
NEAREST = 3
SMALL = 0.005


def nearness(points: Tensor) -> Tensor:
    """Describe the clustering of levels: (B, T, 2) -> (B, 3 T) sorted log distances to the three nearest points.

    They are logarithms, because otherwise a single outlying point would outweigh all others.
    """
    between = torch.cdist(points, points)
    between.diagonal(dim1=1, dim2=2).fill_(float("inf"))
    count = min(NEAREST, points.shape[1] - 1)
    near = between.topk(count, largest=False).values  # (B, T, 3)
    return torch.log(near.transpose(1, 2).sort(-1).values.flatten(1) + SMALL)


def clusters(points: Tensor, together: float = TOGETHER) -> Tensor:
    """(B, T, 2) -> (B,): groups of points that are connected by steps shorter than ``together``."""
    label = components((torch.cdist(points, points) < together).cpu().numpy())
    first = np.unique(label, return_index=True)[1]  # of each component, so that it counts once
    return torch.from_numpy(np.bincount(first // points.shape[1], minlength=len(points))).to(points.device)


def components(near: np.ndarray) -> np.ndarray:
    """(B, T, T) symmetric bool -> (B, T): numbers of the connected components, from 0 over all B graphs."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count, size = near.shape[:2]
    graph, row, column = near.nonzero()
    row, column = graph * size + row, graph * size + column  # one graph with B blocks
    joined = coo_matrix((np.ones(len(row), bool), (row, column)), shape=(count * size, count * size))
    return np.asarray(connected_components(joined, directed=False)[1]).reshape(count, size)


def cluster_count_distance(a: Tensor, b: Tensor) -> float:
    """Total variation between the distributions of the number of clusters of two sets of levels: 0 alike, 1 nothing in common."""
    p, q = (torch.bincount(clusters(x).clamp_max(MOST_CLUSTERS), minlength=MOST_CLUSTERS + 1) / len(x) for x in (a, b))
    return float(0.5 * (p - q).abs().sum())


def order_violations(points: Tensor) -> float:
    """Share of neighbours in (B, T, 2) whose first number falls although levels are sorted by it."""
    return float((points[:, 1:, 0] < points[:, :-1, 0] - 1e-6).float().mean())


# kept: scipy.stats.ks_2samp takes 3 times as long, since it computes p-values; test_marginals shows that distances are equal
def marginal_distance(a: Tensor, b: Tensor) -> float:
    """Kolmogorov and Smirnov's distance between two sets (n, T, 2) and (m, T, 2), averaged over every step and axis."""
    x, y = (s.flatten(1).t().contiguous().sort(-1).values for s in (a, b))  # (2 T, n), (2 T, m)
    both = torch.cat([x, y], -1).sort(-1).values
    p, q = (torch.searchsorted(s, both, right=True) / s.shape[1] for s in (x, y))
    return float((p - q).abs().amax(-1).mean())
