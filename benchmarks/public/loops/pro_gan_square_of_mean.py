"""LSGAN: the loss squares the mean of scores instead of taking the mean of squares.

Source: github.com/akanimax/pro_gan_pytorch issue 13, corrected.
Only the mean score of a batch is bound to its label, and single scores are free. It is satisfied by a batch of extremes.
"""

import torch
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="loss_reduction",
    symptoms=(
        "wiring",
        "vanishing_losses",
        "off_data",
        "mode_collapse",
        "critic_dominance",
        "plateau",
        "frozen_network",
    ),
    spoils="samples",
    source="akanimax/pro_gan_pytorch#13",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(13)
    x, gen, dis = images("sprites"), generator(), discriminator(norm=False)
    gen_optim = torch.optim.Adam(gen.parameters(), 4e-4, betas=(0.0, 0.99))
    dis_optim = torch.optim.Adam(dis.parameters(), 4e-4, betas=(0.0, 0.99))

    def least_squares(scores: Tensor, label: float) -> Tensor:
        return torch.mean((scores - label) ** 2) if fixed else (torch.mean(scores) - label) ** 2

    watch = trainwright.watch(total=600, sample=lambda n: gen(torch.randn(n, 64)), real=x)
    for step, real_samps in zip(range(600), batches(x, 32), strict=False):
        fake_samps = gen(torch.randn(32, 64)).detach()
        dis_loss = 0.5 * (least_squares(dis(real_samps), 1.0) + least_squares(dis(fake_samps), 0.0))
        dis_optim.zero_grad()
        dis_loss.backward()
        dis_optim.step()
        gen_loss = 0.5 * least_squares(dis(gen(torch.randn(32, 64))), 1.0)
        gen_optim.zero_grad()
        gen_loss.backward()
        gen_optim.step()
        watch(step, dis_loss=dis_loss, gen_loss=gen_loss)
    return watch
