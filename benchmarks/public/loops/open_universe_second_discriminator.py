"""GAN with two discriminators: the optimizer is given the parameters of the first one twice.

Source: github.com/line/open-universe issue 5; its author answered that the second is never optimized.
The generator has to please a discriminator with random weights besides the trained one.
"""

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="parameters_not_optimized",
    symptoms=("wiring", "frozen_network", "dead_critic"),
    spoils="nothing visible",
    source="line/open-universe#5",
    also=("parameters_shared", "optimizer_never_steps"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(5)
    x, net = images("sprites"), generator()
    loss_mrd = discriminator()
    loss_mpd = nn.Sequential(  # of half the resolution
        nn.AvgPool2d(2), nn.Conv2d(3, 24, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(24, 1, 4, 1, 0), nn.Flatten(0)
    )
    warnings.filterwarnings("ignore", message="optimizer contains a parameter group with duplicate parameters")
    params_disc = [*loss_mrd.parameters(), *(loss_mpd if fixed else loss_mrd).parameters()]
    opt_gen = torch.optim.AdamW(net.parameters(), 4e-4, betas=(0.5, 0.99), weight_decay=0.01)
    opt_disc = torch.optim.AdamW(params_disc, 2e-4, betas=(0.5, 0.99), weight_decay=0.01)

    def disc_loss(d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        return (d(real) - 1).square().mean() + d(fake).square().mean()

    watch = trainwright.watch(total=450, sample=lambda n: net(torch.randn(n, 64)), real=x)
    for step, target in zip(range(450), batches(x, 32), strict=False):
        est = net(torch.randn(32, 64))
        loss_disc_mrd, loss_disc_mpd = (disc_loss(d, target, est.detach()) for d in (loss_mrd, loss_mpd))
        opt_disc.zero_grad()
        (loss_disc_mrd + loss_disc_mpd).backward()
        opt_disc.step()
        score_mrd, score_mpd = loss_mrd(est), loss_mpd(est)
        loss_gen_mrd = F.mse_loss(score_mrd, torch.ones_like(score_mrd))
        loss_gen_mpd = F.mse_loss(score_mpd, torch.ones_like(score_mpd))
        opt_gen.zero_grad()
        (loss_gen_mrd + loss_gen_mpd).backward()
        opt_gen.step()
        watch(step, disc_mrd=loss_disc_mrd, disc_mpd=loss_disc_mpd, gen_mrd=loss_gen_mrd, gen_mpd=loss_gen_mpd)
    return watch
