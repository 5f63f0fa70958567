"""WGAN-GP: the critic has BatchNorm.

Source: github.com/hwalsuklee/tensorflow-generative-model-collections issue 17; the same in eriklindernoren/Keras-GAN issue 253.
With BatchNorm an image's gradient depends on the others of its batch. The penalty binds another function than the one that scores.
"""

import torch
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="batch_norm_in_critic",
    symptoms=("wiring",),
    spoils="nothing visible",
    source="hwalsuklee/tensorflow-generative-model-collections#17",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(2)
    x, G, D = images("sprites"), generator(), discriminator(norm=not fixed)
    opt_g = torch.optim.Adam(G.parameters(), 4e-4, betas=(0.0, 0.9))
    opt_d = torch.optim.Adam(D.parameters(), 4e-4, betas=(0.0, 0.9))

    def gradient_penalty(real: Tensor, fake: Tensor) -> Tensor:
        u = torch.rand(len(real), 1, 1, 1)
        between = (u * real + (1 - u) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()

    watch = trainwright.watch(total=350, sample=lambda n: G(torch.randn(n, 64)), real=x)
    data = batches(x, 16)
    for step in range(350):
        for _ in range(3):
            real, fake = next(data), G(torch.randn(16, 64)).detach()
            wasserstein = D(real).mean() - D(fake).mean()
            gp = gradient_penalty(real, fake)
            d_loss = 10 * gp - wasserstein
            opt_d.zero_grad()
            d_loss.backward()
            opt_d.step()
        g_loss = -D(G(torch.randn(16, 64))).mean()
        opt_g.zero_grad()
        g_loss.backward()
        opt_g.step()
        watch(step, d_loss=d_loss, gp=gp, wasserstein=wasserstein, g_loss=g_loss)
    return watch
