"""Hinge GAN whose discriminator ends in a sigmoid.

Source: github.com/grey-eye/talking-heads issue 42.
The hinge loss wants scores below -1 for generated and above 1 for real images. After a sigmoid the scores lie between
0 and 1: the hinge of generated images is never satisfied, and the sigmoid saturates until nothing reaches the generator.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="output_activation",
    symptoms=(
        "wiring",
        "vanishing_losses",
        "critic_dominance",
        "dead_critic",
        "off_data",
        "mode_collapse",
        "mode_dropping",
        "plateau",
        "frozen_network",
        "colour_cast",
    ),
    spoils="samples",
    source="grey-eye/talking-heads#42",
    also=(
        "sigmoid_twice",
        "flat_loss",
        "loss_expects_probabilities",
        "critic_lr_too_high",
        "lr_ratio",
        "critic_too_large",
    ),
    seconds=22,
)


def embedder_generator(z: int = 64) -> nn.Sequential:
    """Return noise -> images, by nearest upsampling and convolutions."""
    return nn.Sequential(
        nn.Linear(z, 48 * 4 * 4),
        nn.Unflatten(1, (48, 4, 4)),
        nn.BatchNorm2d(48),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(48, 32, 3, 1, 1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(32, 16, 3, 1, 1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 3, 3, 1, 1),
        nn.Tanh(),
    )


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(42)
    real = images("sprites", 16)
    G, D = embedder_generator(), discriminator(norm=False, last=nn.Identity() if fixed else nn.Sigmoid())
    for layer in D:
        if isinstance(layer, nn.Conv2d):
            nn.utils.parametrizations.spectral_norm(layer)
    optimizer_G = optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
    optimizer_D = optim.Adam(D.parameters(), lr=2e-3, betas=(0.5, 0.999))
    dataset, steps = batches(real, 32), 1000

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        return G(torch.randn(n, 64))

    watch = trainwright.watch(total=steps, sample=sample, real=real)
    for step in range(steps):
        x, x_hat = next(dataset), G(torch.randn(32, 64))
        r, r_hat = D(x), D(x_hat.detach())
        loss_D = (F.relu(1 + r_hat) + F.relu(1 - r)).mean()
        optimizer_D.zero_grad()
        loss_D.backward()
        optimizer_D.step()
        loss_EG = -D(x_hat).mean()
        optimizer_G.zero_grad()
        loss_EG.backward()
        optimizer_G.step()
        watch(step, loss_EG=loss_EG.item(), loss_D=loss_D.item())
    return watch
