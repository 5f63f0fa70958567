"""GAN: the discriminator's data are emptied in every epoch and made anew in only some of them.

Source: github.com/hwwang55/GraphGAN issue 13; the owner corrected it.
In most epochs the discriminator has nothing to train on. The generator outruns it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="too_few_critic_steps",
    symptoms=(
        "wiring",
        "mode_collapse",
        "off_data",
        "generator_dominance",
        "oscillation",
        "spike",
        "colour_cast",
        "discriminator_guessing",
        "blur",
        "checkerboard",
    ),
    spoils="samples",
    source="hwwang55/GraphGAN#13",
    also=("uneven_updates", "generator_outruns", "optimizer_never_steps"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(17)
    x, generative, discriminative = images("sprites"), generator(), discriminator()
    g_updates = torch.optim.Adam(generative.parameters(), 4e-4, betas=(0.5, 0.999))
    d_updates = torch.optim.Adam(discriminative.parameters(), 4e-4, betas=(0.5, 0.999))
    bce, one, zero = F.binary_cross_entropy_with_logits, torch.ones(32), torch.zeros(32)
    dis_interval, data, d_loss = 30, batches(x, 32), None
    watch = trainwright.watch(total=600, sample=lambda n: generative(torch.randn(n, 64)), real=x)
    for epoch in range(600):
        pairs: list[tuple[Tensor, Tensor]] = []
        if epoch % dis_interval == 0 or fixed:
            pairs.append((next(data), generative(torch.randn(32, 64)).detach()))
        for real, fake in pairs:
            d_loss = bce(discriminative(real), one) + bce(discriminative(fake), zero)
            d_updates.zero_grad()
            d_loss.backward()
            d_updates.step()
        g_loss = bce(discriminative(generative(torch.randn(32, 64))), one)
        g_updates.zero_grad()
        g_loss.backward()
        g_updates.step()
        watch(epoch, d_loss=d_loss, g_loss=g_loss)
    return watch
