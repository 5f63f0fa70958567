"""Distribution of the next element, and draws from it: mixtures of Gaussians, and symbols."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST = -7.0  # smallest log standard deviation of a component, so that the likelihood stays bounded
LEAST_MASS = 1e-6  # smallest mass of a Gaussian within the bounds
BEYOND = 0.5  # largest distance of a mean from the bounds
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


Bounds = tuple[tuple[float, float], tuple[float, float]]  # lowest and highest of each of the two numbers


@dataclass(frozen=True)
class MixtureLikelihood:
    """K Gaussians over two numbers for each step, with diagonal covariance, truncated to the range of the data.

    Attributes:
        logits: (..., K).
        mean: (..., K, 2).
        log_std: (..., K, 2).
        low: (2,) lowest values.
        high: (2,) highest values.
    """

    logits: Tensor
    mean: Tensor
    log_std: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, raw: Tensor, components: int, bounds: Bounds, around: Tensor | None = None) -> "MixtureLikelihood":
        """Build the mixture from (..., 5 K) numbers.

        The means of half of the Gaussians are relative to ``around`` (..., 2), if that is given.
        """
        raw = raw.float()
        logits, rest = raw[..., :components], raw[..., components:].unflatten(-1, (components, 4))
        mean = rest[..., :2]
        if around is not None:
            half = components // 2
            mean = torch.cat([mean[..., :half, :] + around[..., None, :], mean[..., half:, :]], -2)
        low, high = torch.tensor(bounds).to(raw).unbind(1)
        return cls(logits, mean.clamp(low - BEYOND, high + BEYOND), rest[..., 2:].clamp_min(LEAST), low, high)

    def _ends(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """Mass of each Gaussian below the lowest value, and below the highest."""
        below, above = (torch.special.ndtr((end - mean) / std) for end in (self.low, self.high))
        return below, torch.maximum(above, below + LEAST_MASS)

    def negative_log_likelihood(self, target: Tensor) -> Tensor:
        """Negative log-likelihood of targets (..., 2), in nats: (...)."""
        below, above = self._ends(self.mean, self.log_std.exp())
        away = (target[..., None, :] - self.mean) * torch.exp(-self.log_std)
        log_density = -0.5 * away.square() - self.log_std - HALF_LOG_TWO_PI - torch.log(above - below)
        return -torch.logsumexp(torch.log_softmax(self.logits, -1) + log_density.sum(-1), -1)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw one element for each step: (..., 2)."""
        noise = torch.rand(self.logits.shape, generator=generator).to(self.logits)
        chosen = (self.logits - torch.log(-torch.log(noise.clamp(1e-20, 1 - 1e-7)))).argmax(-1)  # Gumbel
        index = chosen[..., None, None].expand(*chosen.shape, 1, 2)
        mean, std = self.mean.gather(-2, index)[..., 0, :], self.log_std.gather(-2, index)[..., 0, :].exp()
        below, above = self._ends(mean, std)
        level = below + torch.rand(mean.shape, generator=generator).to(mean) * (above - below)
        found = mean + std * torch.special.ndtri(level.clamp(1e-7, 1 - 1e-7))
        return torch.minimum(torch.maximum(found, self.low), self.high)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Compute the cross-entropy of logits (..., S) and symbol numbers (...), in nats: (...)."""
    return F.cross_entropy(logits.float().flatten(0, -2), target.flatten(), reduction="none").view(target.shape)


def draw_symbol(logits: Tensor, allowed: Tensor | None, generator: torch.Generator) -> Tensor:
    """Draw symbol numbers (B,) from logits (B, S), among the allowed ones (B, S) where there are any."""
    if allowed is not None:
        logits = logits.masked_fill(~allowed & allowed.any(-1, keepdim=True), -1e9)
    noise = torch.rand(logits.shape, generator=generator).to(logits)
    return (logits - torch.log(-torch.log(noise.clamp(1e-20, 1 - 1e-7)))).argmax(-1)
