"""GAN: the generator is trained on responses that were left at zero, not on the discriminator's answer.

Source: github.com/mlpack/mlpack pull request 1933, merged.
The generator's own output layer computes the error against empty responses, so it only learns to make all pixels zero.
"""

import torch
import torch.nn.functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="labels_do_not_oppose",
    symptoms=(
        "wiring",
        "mode_collapse",
        "off_data",
        "blur",
        "colour_cast",
        "critic_dominance",
        "vanishing_losses",
        "variance_collapse",
    ),
    spoils="samples",
    source="mlpack/mlpack#1933",
    also=("wrong_target", "term_left_out"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(5)
    x, gen, disc = images("emoji"), generator(), discriminator()
    gen_optimizer = torch.optim.Adam(gen.parameters(), 4e-4, betas=(0.5, 0.999))
    disc_optimizer = torch.optim.Adam(disc.parameters(), 2e-4, betas=(0.5, 0.999))
    bce, one, zero = F.binary_cross_entropy_with_logits, torch.ones(32), torch.zeros(32)
    responses = torch.zeros(32, 3, 16, 16)
    watch = trainwright.watch(total=600, sample=lambda n: gen(torch.randn(n, 64)), real=x)
    for step, predictors in zip(range(600), batches(x, 32), strict=False):
        fake_data = gen(torch.randn(32, 64))
        disc_loss = bce(disc(predictors), one) + bce(disc(fake_data.detach()), zero)
        disc_optimizer.zero_grad()
        disc_loss.backward()
        disc_optimizer.step()
        gen_loss = bce(disc(fake_data), one) if fixed else F.mse_loss(fake_data, responses)
        gen_optimizer.zero_grad()
        gen_loss.backward()
        gen_optimizer.step()
        watch(step, disc_loss=disc_loss, gen_loss=gen_loss)
    return watch
