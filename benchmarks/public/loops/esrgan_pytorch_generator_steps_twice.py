"""GAN: the second ``step()`` is the generator's again.

Source: github.com/Lornatang/ESRGAN-PyTorch issue 39; the same in zhaoyuzhi/deepfillv2 issue 6.
The discriminator's optimizer never steps, so the discriminator keeps its first weights.
"""

import torch
import torch.nn.functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="optimizer_never_steps",
    symptoms=("wiring", "frozen_network", "generator_dominance", "dead_critic", "off_data", "mode_collapse"),
    spoils="samples",
    source="Lornatang/ESRGAN-PyTorch#39",
    also=("not_trained",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(4)
    x, generator_model, discriminator_model = images("sprites"), generator(), discriminator()
    optimizer_g = torch.optim.Adam(generator_model.parameters(), 4e-4, betas=(0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator_model.parameters(), 4e-4, betas=(0.5, 0.999))
    bce, one, zero = F.binary_cross_entropy_with_logits, torch.ones(32), torch.zeros(32)
    watch = trainwright.watch(total=550, sample=lambda n: generator_model(torch.randn(n, 64)), real=x)
    for step, real in zip(range(550), batches(x, 32), strict=False):
        fake = generator_model(torch.randn(32, 64))
        optimizer_g.zero_grad()
        g_loss = bce(discriminator_model(fake), one)
        g_loss.backward()
        optimizer_g.step()

        optimizer_d.zero_grad()
        d_loss = bce(discriminator_model(real), one) + bce(discriminator_model(fake.detach()), zero)
        d_loss.backward()
        if fixed:
            optimizer_d.step()
        else:
            optimizer_g.step()
        watch(step, d_loss=d_loss, g_loss=g_loss)
    return watch
