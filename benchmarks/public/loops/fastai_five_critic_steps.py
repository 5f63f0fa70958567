"""GAN with the classic loss: five steps of the critic for one of the generator, as the WGAN has by default.

Source: github.com/fastai/fastai issue 3390, corrected in pull request 3392.
With this loss both are trained equally often. With five steps, the critic is sure of all samples and the generator lags.
"""

import torch
import torch.nn.functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="too_many_critic_steps",
    symptoms=(
        "wiring",
        "critic_dominance",
        "generator_undertrained",
        "off_data",
        "mode_collapse",
        "vanishing_losses",
        "slow",
    ),
    spoils="samples",
    source="fastai/fastai#3390",
    also=("lr_ratio", "critic_too_large"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(90)
    n_crit, n_gen = (1, 1) if fixed else (5, 1)
    x, G, critic = images("sprites"), generator(), discriminator()
    opt_g = torch.optim.Adam(G.parameters(), 3e-4, betas=(0.0, 0.99))
    opt_c = torch.optim.Adam(critic.parameters(), 3e-4, betas=(0.0, 0.99))
    bce, one, zero = F.binary_cross_entropy_with_logits, torch.ones(32), torch.zeros(32)
    watch = trainwright.watch(total=900, sample=lambda n: G(torch.randn(n, 64)), real=x)
    for step, real in zip(range(900), batches(x, 32), strict=False):
        gen_mode = step % (n_crit + n_gen) >= n_crit
        if gen_mode:
            gen_loss = bce(critic(G(torch.randn(32, 64))), one)
            opt_g.zero_grad()
            gen_loss.backward()
            opt_g.step()
            watch(step, gen_loss=gen_loss)
        else:
            crit_loss = bce(critic(real), one) + bce(critic(G(torch.randn(32, 64)).detach()), zero)
            opt_c.zero_grad()
            crit_loss.backward()
            opt_c.step()
            watch(step, crit_loss=crit_loss)
    return watch
