"""GAN: the discriminator's gradients are never set to zero.

Source: github.com/Adversarial-Deep-Learning/code-soup issue 69, corrected in pull request 73.
Gradients pile up over all steps, and the generator's loss adds its own to the discriminator's.
"""

import torch
import torch.nn.functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="gradients_not_cleared",
    symptoms=("wiring", "critic_dominance", "exploding", "mode_collapse", "oscillation", "off_data"),
    spoils="samples",
    source="Adversarial-Deep-Learning/code-soup#69",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(10)
    x, G, D = images("sprites"), generator(), discriminator()
    opt_g = torch.optim.Adam(G.parameters(), 4e-4, betas=(0.5, 0.999))
    opt_d = torch.optim.Adam(D.parameters(), 4e-4, betas=(0.5, 0.999))
    bce, one, zero = F.binary_cross_entropy_with_logits, torch.ones(32), torch.zeros(32)
    watch = trainwright.watch(total=600, sample=lambda n: G(torch.randn(n, 64)), real=x)
    for step, real in zip(range(600), batches(x, 32), strict=False):
        fake = G(torch.randn(32, 64))
        if fixed:
            opt_d.zero_grad()
        loss_d = bce(D(real), one) + bce(D(fake.detach()), zero)
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        loss_g = bce(D(fake), one)
        loss_g.backward()
        opt_g.step()
        watch(step, loss_D=loss_d, loss_G=loss_g)
    return watch
