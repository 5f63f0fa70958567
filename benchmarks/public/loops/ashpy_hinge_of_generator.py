"""Hinge GAN: the generator's loss cuts off negative scores.

Source: github.com/zurutech/ashpy issue 23, corrected in pull request 24.
The loss is a ReLU of the scores of samples. It is flat once the discriminator gives all samples a negative score.
"""

import torch
import torch.nn.functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="flat_loss",
    symptoms=("wiring", "frozen_network", "vanishing_losses", "critic_dominance", "off_data", "mode_collapse"),
    spoils="samples",
    source="zurutech/ashpy#23",
    also=("not_trained", "dead_units", "output_activation"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(23)
    x, G, D = images("sprites"), generator(), discriminator()
    generator_optimizer = torch.optim.Adam(G.parameters(), 4e-4, betas=(0.5, 0.999))
    discriminator_optimizer = torch.optim.Adam(D.parameters(), 4e-4, betas=(0.5, 0.999))
    watch = trainwright.watch(total=500, sample=lambda n: G(torch.randn(n, 64)), real=x)
    for step, real in zip(range(500), batches(x, 32), strict=False):
        fake = G(torch.randn(32, 64))
        d_real, d_fake = D(real), D(fake.detach())
        d_loss = F.relu(1 - d_real).mean() + F.relu(1 + d_fake).mean()
        discriminator_optimizer.zero_grad()
        d_loss.backward()
        discriminator_optimizer.step()
        d_fake = D(fake)
        g_loss = -d_fake.mean() if fixed else -F.relu(d_fake).mean()
        generator_optimizer.zero_grad()
        g_loss.backward()
        generator_optimizer.step()
        watch(step, d_loss=d_loss, g_loss=g_loss)
    return watch
