"""DCGAN: images of 0 to 255, and a generator that ends in tanh.

Source: github.com/carpedm20/DCGAN-tensorflow pull request 24.
The images were not scaled to [-1, 1]. The discriminator tells them from samples by their size alone.
"""

import torch
import torch.nn.functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="data_range",
    symptoms=("wiring", "off_data", "critic_dominance", "mode_collapse", "colour_cast", "vanishing_losses"),
    spoils="samples",
    source="carpedm20/DCGAN-tensorflow#24",
    also=("output_activation",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(6)
    x, G, D = (images("sprites") + 1) * 127.5, generator(), discriminator()
    if fixed:
        x = x / 127.5 - 1
    opt_g = torch.optim.Adam(G.parameters(), 4e-4, betas=(0.5, 0.999))
    opt_d = torch.optim.Adam(D.parameters(), 4e-4, betas=(0.5, 0.999))
    bce, one, zero = F.binary_cross_entropy_with_logits, torch.ones(32), torch.zeros(32)
    watch = trainwright.watch(total=550, sample=lambda n: G(torch.randn(n, 64)), real=x)
    for step, real in zip(range(550), batches(x, 32), strict=False):
        fake = G(torch.randn(32, 64))
        opt_d.zero_grad()
        loss_d = bce(D(real), one) + bce(D(fake.detach()), zero)
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        loss_g = bce(D(fake), one)
        loss_g.backward()
        opt_g.step()
        watch(step, d_loss=loss_d, g_loss=loss_g)
    return watch
