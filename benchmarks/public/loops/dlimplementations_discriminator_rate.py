"""GAN: the learning rate is too high, and the discriminator is sure of everything after the first epoch.

Source: github.com/tdeboissiere/DeepLearningImplementations issue 11; a smaller rate solved it.
The generator's loss stays at about 16, the largest value of the cross-entropy with clipped probabilities.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="lr_too_high",
    symptoms=(
        "wiring",
        "critic_dominance",
        "vanishing_losses",
        "off_data",
        "mode_collapse",
        "frozen_network",
        "plateau",
    ),
    spoils="samples",
    source="tdeboissiere/DeepLearningImplementations#11",
    also=("lr_ratio", "flat_loss"),
)


def binary_crossentropy(p: Tensor, y: float) -> Tensor:
    """Return the cross-entropy of probabilities, which are clipped."""
    return F.binary_cross_entropy(p.clamp(1e-7, 1 - 1e-7), torch.full_like(p, y))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(11)
    lr = 4e-4 if fixed else 2e-2
    x, G, D = images("sprites"), generator(), discriminator(norm=False, last=nn.Sigmoid())
    opt_dcgan = torch.optim.Adam(G.parameters(), lr, betas=(0.5, 0.999))
    opt_discriminator = torch.optim.Adam(D.parameters(), lr, betas=(0.5, 0.999))
    watch = trainwright.watch(total=600, sample=lambda n: G(torch.randn(n, 64)), real=x)
    for step, X_real in zip(range(600), batches(x, 32), strict=False):
        X_gen = G(torch.randn(32, 64))
        disc_loss = binary_crossentropy(D(X_real), 1.0) + binary_crossentropy(D(X_gen.detach()), 0.0)
        opt_discriminator.zero_grad()
        disc_loss.backward()
        opt_discriminator.step()
        gen_loss = binary_crossentropy(D(X_gen), 1.0)
        opt_dcgan.zero_grad()
        gen_loss.backward()
        opt_dcgan.step()
        watch(step, D_logloss=disc_loss, G_logloss=gen_loss)
    return watch
