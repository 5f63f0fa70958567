"""GAN with the hinge loss: the discriminator ends in a sigmoid.

Source: github.com/tntrung/gan issue 4; a user saw noise until the loss was given logits, and the owner took note of it.
Scores between 0 and 1 never reach the margins at -1 and 1, so the sigmoid saturates and leaves the generator hardly any gradient.
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
    cause="output_activation",
    symptoms=(
        "wiring",
        "vanishing_losses",
        "discriminator_guessing",
        "critic_dominance",
        "generator_dominance",
        "dead_critic",
        "mode_collapse",
        "off_data",
        "oscillation",
        "colour_cast",
    ),
    spoils="samples",
    source="tntrung/gan#4",
    also=("flat_loss",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(3)
    x, G = images("sprites"), generator()
    D = discriminator(last=None if fixed else nn.Sigmoid())
    g_opt = torch.optim.Adam(G.parameters(), 2e-4, betas=(0.5, 0.999))
    d_opt = torch.optim.Adam(D.parameters(), 1e-3, betas=(0.5, 0.999))
    watch = trainwright.watch(total=700, sample=lambda n: G(torch.randn(n, 64)), real=x)
    for step, d_real_x in zip(range(700), batches(x, 32), strict=False):
        d_loss = F.relu(1 - D(d_real_x)).mean() + F.relu(1 + D(G(torch.randn(32, 64)).detach())).mean()
        d_opt.zero_grad()
        d_loss.backward()
        d_opt.step()
        g_loss = -D(G(torch.randn(32, 64))).mean()
        g_opt.zero_grad()
        g_loss.backward()
        g_opt.step()
        watch(step, d_loss=d_loss, g_loss=g_loss)
    return watch
