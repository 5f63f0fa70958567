"""GAN: the discriminator ends in a sigmoid, and the loss expects logits.

Source: github.com/torchgan/torchgan issue 116 (the trap); the same corrected in yudi-mars/daisyRec pull request 15.
The loss applies its sigmoid to probabilities. The discriminator's loss can't fall below 1.006, and gradients are small.
"""

import torch
import torch.nn.functional as F
from torch import nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="sigmoid_twice",
    symptoms=("wiring",),
    spoils="nothing visible",
    source="torchgan/torchgan#116",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(8)
    x, G, D = images("emoji"), generator(), discriminator(last=nn.Identity() if fixed else nn.Sigmoid())
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
        watch(step, Discriminator_Loss=loss_d, Generator_Loss=loss_g)
    return watch
