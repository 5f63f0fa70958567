"""WGAN: the critic's weights are not clipped.

Source: github.com/torchgan/torchgan pull request 42, merged.
Nothing bounds the critic's slope. Its scores, and both losses, grow without end.
"""

import torch

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="critic_unbounded",
    symptoms=("wiring", "unbounded_loss", "exploding", "off_data", "critic_dominance", "mode_collapse", "oscillation"),
    spoils="samples",
    source="torchgan/torchgan#42",
    also=("penalty_too_weak",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(42)
    x, G, D = images("emoji"), generator(), discriminator(norm=False)
    optimizer_generator = torch.optim.RMSprop(G.parameters(), 4e-4)
    optimizer_discriminator = torch.optim.RMSprop(D.parameters(), 4e-4)
    watch = trainwright.watch(total=500, sample=lambda n: G(torch.randn(n, 64)), real=x)
    data = batches(x, 16)
    for step in range(500):
        for _ in range(3):
            fake = G(torch.randn(16, 64)).detach()
            discriminator_loss = D(fake).mean() - D(next(data)).mean()
            optimizer_discriminator.zero_grad()
            discriminator_loss.backward()
            optimizer_discriminator.step()
            if fixed:
                for p in D.parameters():
                    p.data.clamp_(-0.03, 0.03)
        generator_loss = -D(G(torch.randn(16, 64))).mean()
        optimizer_generator.zero_grad()
        generator_loss.backward()
        optimizer_generator.step()
        watch(step, Wasserstein_D=discriminator_loss, Wasserstein_G=generator_loss)
    return watch
