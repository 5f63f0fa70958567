"""Information in a latent space: KL in nats for each dimension, active units, mutual information.

All functions take the mean and log-variance (B, L) of a diagonal Gaussian posterior; the prior is N(0, I).
"""

import math

import torch
from torch import Tensor

ACTIVE = 0.01  # variance of the posterior mean over the data above which a dimension is active (Burda et al. 2016)
BINS = (0.001, 0.01, 0.1, 1.0)  # edges in nats of the histogram over dimensions


def kl_per_dimension(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z|x) ‖ N(0, 1)) of each dimension, in nats: (B, L)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def posterior_draw(mean: Tensor, log_variance: Tensor, seed: int) -> Tensor:
    """(B, L): one draw from each posterior, always the same for the same seed; torch's global generator is not used."""
    own = torch.Generator().manual_seed(seed)
    return mean + torch.randn(mean.shape, generator=own).to(mean) * torch.exp(0.5 * log_variance)


def active_units(mean: Tensor) -> int:
    """Number of dimensions whose posterior mean varies by more than :data:`ACTIVE` over the data (Burda et al. 2016)."""
    return int((mean.var(0) > ACTIVE).sum()) if len(mean) > 1 else 0


def mutual_information(mean: Tensor, log_variance: Tensor, z: Tensor) -> float:
    """Estimate of I(x; z) in nats: E KL(q(z|x) ‖ p) - KL(q(z) ‖ p) (He et al. 2019).

    Args:
        mean: (B, L).
        log_variance: (B, L).
        z: (B, L), one draw from each posterior.

    Returns:
        log q(z|x) - log q(z), averaged, with q(z) the mixture of the B posteriors: at most ln B, and about 0 if z is not
        informative.
    """
    precision = torch.exp(-log_variance)
    # Σ (z - μ)²/σ² for every pair, from three products
    square = (z * z) @ precision.T - 2 * z @ (mean * precision).T + (mean * mean * precision).sum(1)[None]
    log_density = -0.5 * (square + log_variance.sum(1)[None] + mean.shape[1] * math.log(2 * math.pi))
    own = log_density.diagonal()
    mixture = torch.logsumexp(log_density, 1) - math.log(len(mean))
    return float((own - mixture).mean())


def prior_gap(mean: Tensor, log_variance: Tensor, centre: Tensor, variance: Tensor) -> float:
    """Distance of the aggregate posterior from the prior of samples, in nats per dimension.

    Args:
        mean: (B, L).
        log_variance: (B, L).
        centre: (L,) mean of the prior of samples.
        variance: (L,) its variance.

    Returns:
        The mean over dimensions of KL(N(m, s) ‖ N(centre, variance)) with the mixture's own m and s: 0 if samples are drawn where codes
        are, for any correlations; large for an autoencoder without a term that pulls its codes towards the prior.
    """
    spread = mean.var(0) + log_variance.exp().mean(0)
    ratio = spread / variance.clamp_min(1e-12)
    away = (mean.mean(0) - centre).square() / variance.clamp_min(1e-12)
    return float(0.5 * (ratio + away - 1 - ratio.clamp_min(1e-12).log()).mean())


def latent_signals(mean: Tensor, log_variance: Tensor, z: Tensor) -> dict[str, float]:
    """Return all of these as signals: totals, the histogram of KL over dimensions, active units, mutual information and its ceiling."""
    each = kl_per_dimension(mean, log_variance).mean(0)
    edges = [-math.inf, *BINS, math.inf]
    names = ["below_0.001", "0.001_to_0.01", "0.01_to_0.1", "0.1_to_1", "above_1"]
    share = {
        f"kl_histogram/{name}": float(((each >= low) & (each < high)).double().mean())
        for name, low, high in zip(names, edges[:-1], edges[1:], strict=True)
    }
    return {
        "kl/nats_heldout": float(each.sum()),
        "kl/largest_dimension": float(each.max()),
        "kl/mean_dimension": float(each.mean()),
        **share,
        "latent/active_units": float(active_units(mean)),
        "latent/active_share": active_units(mean) / mean.shape[1],
        "latent/mutual_information": mutual_information(mean, log_variance, z),
        "latent/mutual_information_ceiling": math.log(len(mean)),
    }
