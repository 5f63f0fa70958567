"""GAN of dense layers: all weights start at zero, because 1 / shape[0] is a division of integers.

Source: github.com/nlintz/TensorFlow-Tutorials issue 83; its reporter found the cause.
Hidden units stay at zero and the weights get no gradient. Every image is grey and the cost stays the same.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="weights_start_at_zero",
    symptoms=(
        "wiring",
        "frozen_network",
        "dead_critic",
        "mode_collapse",
        "discriminator_guessing",
        "vanishing_losses",
        "off_data",
        "blur",
        "plateau",
        "colour_cast",
    ),
    spoils="samples",
    source="nlintz/TensorFlow-Tutorials#83",
    also=("dead_units", "not_trained"),
)


def dense(a: int, b: int, fixed: bool) -> nn.Linear:
    """Return a layer with random weights."""
    layer = nn.Linear(a, b)
    nn.init.normal_(layer.weight, std=a**-0.5 if fixed else 1 // a)
    nn.init.zeros_(layer.bias)
    return layer


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(11)
    x = (images("sprites", 8) + 1) / 2
    G = nn.Sequential(dense(64, 256, fixed), nn.BatchNorm1d(256), nn.ReLU(), dense(256, 192, fixed), nn.Sigmoid())
    D = nn.Sequential(
        dense(192, 128, fixed), nn.ReLU(), dense(128, 64, fixed), nn.ReLU(), dense(64, 1, fixed), nn.Flatten(0)
    )
    G_opt = torch.optim.Adam(G.parameters(), 5e-4, betas=(0.5, 0.999))
    D_opt = torch.optim.Adam(D.parameters(), 2e-4, betas=(0.5, 0.999))
    bce, one, zero = F.binary_cross_entropy_with_logits, torch.ones(64), torch.zeros(64)

    def sample(n: int) -> Tensor:
        return G(torch.rand(n, 64) * 2 - 1).view(n, 3, 8, 8)

    watch = trainwright.watch(total=2000, sample=sample, real=x)
    for step, batch in zip(range(2000), batches(x, 64), strict=False):
        fake = G(torch.rand(64, 64) * 2 - 1)
        d_cost = bce(D(batch.flatten(1)), one) + bce(D(fake.detach()), zero)
        D_opt.zero_grad()
        d_cost.backward()
        D_opt.step()
        g_cost = bce(D(fake), one)
        G_opt.zero_grad()
        g_cost.backward()
        G_opt.step()
        watch(step, d_cost=d_cost, g_cost=g_cost)
    return watch
