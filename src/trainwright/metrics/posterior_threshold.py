"""Prediction of posterior collapse before the first step, from the data's covariance and the loss.

In the collapsed state z carries no information and the decoder gives the mean. Near it, a latent direction is learned only if the
error that it explains is larger than its KL. For a loss Σ aᵢ(xᵢ - x̂ᵢ)² + k·KL[nats] the covariance C of √a·x gives the gain of a
direction u: it exceeds the KL exactly while k < 2·λ(u), so everything collapses once k > 2·λmax. The encoder may be any function: by
Cauchy and Schwarz none gains more than the linear one. With summed squared errors this is the σ² > λmax of the phase-transition
literature (arXiv 2510.01621), for β = 2σ².
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Threshold:
    """Threshold of the KL weight that the spectrum of the data gives.

    Attributes:
        beta: the KL weight, in the recipe's own units, above which nothing is learned.
        dimensions: (n,) the weight above which the 1st, 2nd, ... direction is not learned, falling.
    """

    beta: float
    dimensions: Tensor

    def active(self, beta: float) -> int:
        """Directions that still pay at a KL weight: an upper limit of the active units."""
        return int((self.dimensions > beta).sum())

    def nats(self, beta: float) -> float:
        """KL per sample of the best linear VAE at a weight: Σ ½ ln(βᵢ/β) over the directions that pay."""
        alive = self.dimensions[self.dimensions > beta]
        return float(0.5 * (alive / beta).log().sum()) if beta > 0 else float("inf")


def predict(data: Tensor, weights: Tensor, kl_per_nat: float) -> Threshold:
    """Return the threshold of a data set under a loss.

    Args:
        data: (n, D) training samples as the model sees them.
        weights: (D,) the factor aᵢ of each squared error in the loss per sample.
        kl_per_nat: the factor of one nat of KL at β = 1: 1 for a summed KL, 1/L for a mean over L dimensions.

    Returns:
        See :class:`Threshold`; eigenvalues by singular values of the centred, weighted data in float64.
    """
    weighted = (data.double() - data.double().mean(0)) * weights.double().sqrt()
    smaller = weighted @ weighted.T if len(weighted) < weighted.shape[1] else weighted.T @ weighted
    eigenvalues = torch.linalg.eigvalsh(smaller).flip(0).clamp_min(0) / len(data)
    limits = 2 * eigenvalues / kl_per_nat
    return Threshold(float(limits[0]), limits)
