"""GAN with spectral norm: the discriminator is evaluated before training, and stays in eval mode.

Source: github.com/pytorch/pytorch issue 51500.
It is one of the silent errors of TrainCheck (OSDI'25), OrderLab/TrainCheck-Evaluation-Workloads.
The norm is estimated in forward passes of train mode only.
Else weights are divided by a small random number and grow by orders of magnitude.
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
    cause="spectral_norm_in_eval",
    symptoms=(
        "wiring",
        "exploding",
        "critic_dominance",
        "unbounded_loss",
        "off_data",
        "mode_collapse",
        "spike",
        "vanishing_losses",
    ),
    spoils="samples",
    source="pytorch/pytorch#51500",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(51)
    x, G, D = images("sprites"), generator(), discriminator(norm=False)
    for layer in D:
        if isinstance(layer, nn.Conv2d):
            nn.utils.spectral_norm(layer)
    opt_g = torch.optim.Adam(G.parameters(), 4e-4, betas=(0.5, 0.999))
    opt_d = torch.optim.Adam(D.parameters(), 2e-3, betas=(0.5, 0.999))
    D.eval()
    with torch.no_grad():
        D(x[:64])  # a look at the outputs at initialisation
    if fixed:
        D.train()
    watch = trainwright.watch(total=500, sample=lambda n: G(torch.randn(n, 64)), real=x)
    for step, real in zip(range(500), batches(x, 32), strict=False):
        fake = G(torch.randn(32, 64))
        d_loss = F.relu(1 - D(real)).mean() + F.relu(1 + D(fake.detach())).mean()
        opt_d.zero_grad()
        d_loss.backward()
        opt_d.step()
        g_loss = -D(fake).mean()
        opt_g.zero_grad()
        g_loss.backward()
        opt_g.step()
        watch(step, d_loss=d_loss, g_loss=g_loss)
    return watch
