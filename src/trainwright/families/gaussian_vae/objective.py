"""Loss terms of a set in the reductions of guides and papers, and the meaning of β in each.

Every reduction is Σ over numbers of a_g·w_g·(x - x̂)² plus β·k·KL in nats. Reductions differ in a_g and k.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from trainwright.families.gaussian_vae.config import LossConfig
from trainwright.metrics.latent import kl_per_dimension


def reconstruction(target: Tensor, output: Tensor, groups: Mapping[str, slice], reduction: str) -> dict[str, Tensor]:
    """Compute the raw squared-error terms of (B, F, N), one scalar for each group."""
    squared = (output - target).square()
    count = target.shape[1] * target.shape[2]
    terms = {}
    for name, channels in groups.items():
        part = squared[:, channels]
        if reduction == "group_mean":
            terms[name] = part.mean()
        elif reduction == "channel_sum":
            terms[name] = part.sum(1).mean()
        else:
            terms[name] = part.sum() / (len(target) * (count if reduction == "mean" else 1))
    return terms


def image_error(wanted: Tensor, drawn: Tensor, reduction: str) -> Tensor:
    """Compute the raw squared error of rendered images (B, C, H, W): summed over an image for ``sum``, else the mean."""
    return torch.nn.functional.mse_loss(drawn, wanted) * (wanted[0].numel() if reduction == "sum" else 1)


def divergence(mean: Tensor, log_variance: Tensor, reduction: str) -> Tensor:
    """Compute the raw KL term: mean over dimensions for ``group_mean`` and ``channel_sum``, else the sum; mean over the batch."""
    each = kl_per_dimension(mean, log_variance)
    return each.mean() if reduction in ("group_mean", "channel_sum") else each.sum(1).mean()


def square_weights(groups: Mapping[str, slice], count: int, optim: LossConfig) -> Tensor:
    """Factor (F, N) of each number's squared error in the loss, including the weights of the groups."""
    width = max(channels.stop for channels in groups.values())
    factors = torch.zeros(width, count)
    for name, channels in groups.items():
        numbers = (channels.stop - channels.start) * count
        share = {"group_mean": 1 / numbers, "channel_sum": 1 / count, "mean": 1 / (width * count), "sum": 1.0}
        factors[channels] = share[optim.reduction] * getattr(optim.weights, name)
    return factors


def kl_per_nat(latent_dim: int, optim: LossConfig) -> float:
    """Factor of one nat of KL in the loss at β = 1."""
    return 1 / latent_dim if optim.reduction in ("group_mean", "channel_sum") else 1.0


def effective_beta(
    beta: float, groups: Mapping[str, slice], count: int, latent_dim: int, optim: LossConfig
) -> dict[str, float]:
    """Compute for each group the β of the equivalent likelihood, ½Σ(x - x̂)² + β·KL[nats].

    1 is a Gaussian decoder with unit variance. Groups of weight 0 are omitted.
    """
    factors = square_weights(groups, count, optim)
    k = beta * kl_per_nat(latent_dim, optim)
    found = {name: float(factors[channels].max()) for name, channels in groups.items()}
    return {name: k / (2 * factor) for name, factor in found.items() if factor > 0}


def beta_at(optim: LossConfig, epoch: float) -> float:
    """Compute β at an epoch by the warm-up of the Gaussian VAE guide.

    It is max_beta · (epoch + 1) / beta_warmup_epochs, with whole epochs counted from 0, then max_beta.
    """
    if optim.beta_warmup_epochs <= 0:
        return optim.max_beta
    return optim.max_beta * min(1.0, (int(epoch) + 1) / optim.beta_warmup_epochs)
