"""Precision, recall, density, coverage and memorisation from distances to nearest neighbours.

Precision and recall: Kynkäänniemi et al. 2019. Density and coverage: Naeem et al. 2020. No maintained library was found
that takes custom features and needs no scikit-learn.
"""

import torch
from torch import Tensor


def radii(points: Tensor, k: int = 5) -> Tensor:
    """Distance of each point (N, D) to its k-th nearest other: (N,)."""
    return torch.cdist(points, points).kthvalue(k + 1, dim=1).values  # the nearest is the point itself


def manifold_metrics(real: Tensor, fake: Tensor, k: int = 5, real_radius: Tensor | None = None) -> dict[str, float]:
    """Return precision, recall, density and coverage of samples compared with real data.

    Args:
        real: (N, D) features.
        fake: (M, D) features.
        k: neighbours that make a point's ball; 5 as in Naeem et al.
        real_radius: (N,) of the real points' balls, if already computed.

    Returns:
        precision: share of samples inside some real ball (1 is best). recall: share of real points inside some sample's ball.
        density: real balls a sample lies in, over k (about 1 is ideal). coverage: share of real balls that hold a sample.

    Raises:
        ValueError: either side has no more than k points.
    """
    if min(len(real), len(fake)) <= k:
        raise ValueError(f"manifold metrics need more than {k} points on either side, got {len(real)} and {len(fake)}")
    real_radius = radii(real, k) if real_radius is None else real_radius
    fake_radius = radii(fake, k)
    between = torch.cdist(real, fake)
    inside_real = between < real_radius[:, None]
    return {
        "precision": float(inside_real.any(0).double().mean()),
        "recall": float((between < fake_radius[None, :]).any(1).double().mean()),
        "density": float(inside_real.double().sum(0).mean() / k),
        "coverage": float(inside_real.any(1).double().mean()),
    }


def nearest_distance(points: Tensor, among: Tensor) -> Tensor:
    """Distance of each point (N, D) to its nearest in ``among`` (M, D): (N,)."""
    return torch.cat([torch.cdist(part, among).min(dim=1).values for part in points.split(1024)])


def memorisation(fake: Tensor, train: Tensor, held_out: Tensor) -> dict[str, float]:
    """Compare the distances of samples and of held-out data to the training data.

    Returns:
        Median nearest-neighbour distances of samples and of held-out data to the training data, and their ratio: about 1 or
        above is no copying, well below 1 is copying.
    """
    own = float(nearest_distance(fake, train).median())
    unseen = float(nearest_distance(held_out, train).median())
    ratio = {"nearest_training_ratio": own / unseen} if unseen > 0 else {}
    return {"nearest_training_distance": own, "nearest_training_distance_of_held_out": unseen, **ratio}
