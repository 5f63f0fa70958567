"""A minimal hand-written eager loop of the same WGAN-GP: no logs, checks, average or files.

It contains only the algorithm: images in memory, three critic forwards, Adam, the generator every ``n_critic``-th batch. It shares the
network classes in their plain form (``nn.LayerNorm``, channels-first), the augmentation, and the seeds. Both loops therefore do the
same mathematics, and their losses can be compared.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from trainwright.nn.norm import SpatialLayerNorm


def plain(network: nn.Module) -> nn.Module:
    """Return the same network with PyTorch's LayerNorm and default memory layout."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, SpatialLayerNorm):
                norm = nn.LayerNorm(child.normalized_shape, eps=child.eps)
                norm.load_state_dict(child.state_dict())
                setattr(module, name, norm)
    return network.to(memory_format=torch.contiguous_format)


class BareLoop:
    """Two networks, two optimizers, and :meth:`step`."""

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module,
        latent_dim: int,
        lambda_gp: float,
        n_critic: int,
        lr: tuple[float, float],
    ) -> None:
        self.generator, self.critic = plain(generator), plain(critic)
        self.latent_dim, self.lambda_gp, self.n_critic = latent_dim, lambda_gp, n_critic
        self.adam_g = torch.optim.Adam(self.generator.parameters(), lr=lr[0], betas=(0.0, 0.9))
        self.adam_d = torch.optim.Adam(self.critic.parameters(), lr=lr[1], betas=(0.0, 0.9))

    def step(self, index: int, real: Tensor) -> tuple[Tensor, Tensor | None]:
        """Take a critic update, and a generator update every ``n_critic``-th time; return both losses."""
        with torch.no_grad():
            fake = self.generator(torch.randn(len(real), self.latent_dim))
        with parametrize.cached():
            mix = torch.rand(len(real), 1, 1, 1)
            between = (mix * real + (1 - mix) * fake).requires_grad_()
            (gradient,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
            penalty = ((gradient.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
            d_loss = self.critic(fake).mean() - self.critic(real).mean() + self.lambda_gp * penalty
        self.adam_d.zero_grad()
        d_loss.backward()
        self.adam_d.step()
        if (index + 1) % self.n_critic:
            return d_loss.detach(), None
        with parametrize.cached():
            g_loss = -self.critic(self.generator(torch.randn(len(real), self.latent_dim))).mean()
        self.adam_g.zero_grad()
        g_loss.backward()
        self.adam_g.step()
        return d_loss.detach(), g_loss.detach()
