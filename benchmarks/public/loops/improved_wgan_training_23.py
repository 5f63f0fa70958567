"""DCGAN without batch normalization.

Source: github.com/igul222/improved_wgan_training issue 23: it was only switched on in another mode; adding it repaired
the example.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="no_normalization",
    symptoms=(
        "mode_collapse",
        "critic_dominance",
        "vanishing_losses",
        "off_data",
        "mode_dropping",
        "variance_collapse",
        "dead_critic",
        "plateau",
        "colour_cast",
        "generator_dominance",
        "discriminator_guessing",
    ),
    spoils="samples",
    source="igul222/improved_wgan_training#23",
    also=("initialization",),
    seconds=16,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(23)
    data, DIM, z = images("sprites", 16), 16, 64

    def bn(c: int) -> nn.Module:
        return nn.BatchNorm2d(c) if fixed else nn.Identity()

    Generator = nn.Sequential(
        nn.Linear(z, 4 * DIM * 16),
        nn.Unflatten(1, (4 * DIM, 4, 4)),
        bn(4 * DIM),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(4 * DIM, 2 * DIM, 3, 1, 1),
        bn(2 * DIM),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(2 * DIM, DIM, 3, 1, 1),
        bn(DIM),
        nn.ReLU(),
        nn.Conv2d(DIM, 3, 3, 1, 1),
        nn.Tanh(),
    )
    Discriminator = nn.Sequential(
        nn.Conv2d(3, 24, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(24, 48, 4, 2, 1),
        bn(48),
        nn.LeakyReLU(0.2),
        nn.Conv2d(48, 48, 3, 1, 1),
        bn(48),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(48 * 16, 1),
        nn.Flatten(0),
    )
    gen_train_op = optim.Adam(Generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    disc_train_op = optim.Adam(Discriminator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    loader, iters = batches(data, 48), 600

    @torch.no_grad()
    def generate(n: int) -> Tensor:
        return Generator(torch.randn(n, z))

    def bce(logits: Tensor, target: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

    watch = trainwright.watch(total=iters, sample=generate, real=data)
    for iteration in range(iters):
        real, fake = next(loader), Generator(torch.randn(48, z))
        disc_cost = (bce(Discriminator(fake.detach()), 0.0) + bce(Discriminator(real), 1.0)) / 2
        disc_train_op.zero_grad()
        disc_cost.backward()
        disc_train_op.step()
        gen_cost = bce(Discriminator(fake), 1.0)
        gen_train_op.zero_grad()
        gen_cost.backward()
        gen_train_op.step()
        watch(iteration, disc_cost=disc_cost.item(), gen_cost=gen_cost.item())
    return watch
