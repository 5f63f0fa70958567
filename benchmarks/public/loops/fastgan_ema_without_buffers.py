"""GAN: the averaged generator lacks BatchNorm's running statistics.

Source: github.com/odegeasslbc/FastGAN-pytorch issue 4.
The average copies parameters only. In eval mode, BatchNorm uses the statistics of an untrained network.
"""

import copy

import torch
import torch.nn.functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="ema_without_buffers",
    symptoms=("wiring", "off_data", "ema_lag", "mode_collapse"),
    spoils="samples",
    source="odegeasslbc/FastGAN-pytorch#4",
    also=("batch_statistics_when_sampling",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(9)
    x, netG, netD = images("sprites"), generator(), discriminator()
    optimizerG = torch.optim.Adam(netG.parameters(), 4e-4, betas=(0.5, 0.999))
    optimizerD = torch.optim.Adam(netD.parameters(), 4e-4, betas=(0.5, 0.999))
    bce, one, zero = F.binary_cross_entropy_with_logits, torch.ones(32), torch.zeros(32)
    averaged = copy.deepcopy(netG).eval()
    watch = trainwright.watch(total=550, sample=lambda n: averaged(torch.randn(n, 64)), real=x)
    for step, real in zip(range(550), batches(x, 32), strict=False):
        fake = netG(torch.randn(32, 64))
        optimizerD.zero_grad()
        err_d = bce(netD(real), one) + bce(netD(fake.detach()), zero)
        err_d.backward()
        optimizerD.step()
        optimizerG.zero_grad()
        err_g = bce(netD(fake), one)
        err_g.backward()
        optimizerG.step()
        for p, average in zip(netG.parameters(), averaged.parameters(), strict=True):
            average.data.mul_(0.98).add_(0.02 * p.data)
        if fixed:
            for b, kept in zip(netG.buffers(), averaged.buffers(), strict=True):
                kept.copy_(b)
        watch(step, loss_d=err_d, loss_g=err_g)
    return watch
