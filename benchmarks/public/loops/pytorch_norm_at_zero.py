"""WGAN-GP: NaN, because a norm has no derivative at zero.

Source: github.com/pytorch/pytorch issue 2534.
The critic's last layer starts at zero, so its gradient is exactly 0 and the penalty's derivative is NaN.
A small number under the root corrects it.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="sqrt_at_zero",
    symptoms=("non_finite",),
    spoils="training",
    source="pytorch/pytorch#2534",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(3)
    x, G, D = images("sprites"), generator(), discriminator(norm=False)
    nn.init.zeros_(D[5].weight)
    opt_g = torch.optim.Adam(G.parameters(), 4e-4, betas=(0.0, 0.9))
    opt_d = torch.optim.Adam(D.parameters(), 4e-4, betas=(0.0, 0.9))

    def gradient_penalty(real: Tensor, fake: Tensor) -> Tensor:
        u = torch.rand(len(real), 1, 1, 1)
        between = (u * real + (1 - u) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
        squares = gradient.flatten(1).square().sum(1)
        norm = torch.sqrt(squares + 1e-12) if fixed else torch.sqrt(squares)
        return (norm - 1).square().mean()

    watch = trainwright.watch(total=350, sample=lambda n: G(torch.randn(n, 64)), real=x)
    data = batches(x, 16)
    for step in range(350):
        for _ in range(3):
            real, fake = next(data), G(torch.randn(16, 64)).detach()
            wasserstein = D(real).mean() - D(fake).mean()
            gp = gradient_penalty(real, fake)
            critic_loss = 10 * gp - wasserstein
            opt_d.zero_grad()
            critic_loss.backward()
            opt_d.step()
        loss_G = -D(G(torch.randn(16, 64))).mean()
        opt_g.zero_grad()
        loss_G.backward()
        opt_g.step()
        watch(step, critic_loss=critic_loss, gp=gp, wasserstein=wasserstein, loss_G=loss_G)
    return watch
